"""Parked machines: records in memory and, a moment later, on disk; the coldest on disk alone; then forgotten.

A record is known by service, image digest and tenant, so a record of another version is never met. In memory it is a
value, on disk its bytes (`vmimage.parked`) with a check by the edge's key over all of it: what was edited, swapped,
brought from another edge or kept in an older layout is forgotten, and the service starts from its image. Workers parse
states as hostile anyway.

What was saved survives a kill of the edge; the last moments before a power cut may be missing, never half there. The
set of keys on disk is kept in memory, so that only a record that is there costs a look at the disk; what the disk has
evicted by itself is noticed a few seconds later.
"""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Final, Literal, TypeAlias

from edge.common import log
from edge.common.counters import Counters
from edge.common.threads import submit
from edge.content.disk_tier import DiskTier
from edge.content.seal import Seal
from edge.content.tiers import Tier
from vmimage.errors import FormatError
from vmimage.parked import ParkedRecord, parse_parked

KEY_OVERHEAD_BYTES: Final = 512  # of a record in memory: key, dictionary entry, object headers
RECOUNT_S: Final = 5.0  # between two lists of what is on disk, while it evicts: 100,000 keys take 0.1 s of a thread
SAVE_AGAIN_S: Final = 10.0  # after a disk took nothing

Kept: TypeAlias = tuple[ParkedRecord, Literal["parked", "disk"]]  # a record, and the tier that it was found in

_logger: Final = log.logger("records")


def record_key(service: str, digest: str, tenant: str = "") -> str:
    """Name of the record of `service` as image `digest`; of its tenant too, since names may come into other hands."""
    return f"{service}@{digest} {tenant}"


def service_of(key: str) -> str:
    """Whose record a key names."""
    return key.partition("@")[0]


def named_by(key: str) -> tuple[str, str, str]:
    """Service, image digest and tenant that a key names."""
    service, _, rest = key.partition("@")
    digest, tenant, *_ = *rest.split(" "), ""  # a mark of its secrets may follow
    return service, digest, tenant


def key_of(record: ParkedRecord) -> str:
    """The name that a record is kept under."""
    return record_key(record.service, record.image, record.tenant)


class Records:
    """All parked machines of this edge. `threads` must be one thread: it keeps writes and deletes in order."""

    def __init__(self, budget_bytes: int, disk: DiskTier, seal: Seal, threads: Executor, counters: Counters) -> None:
        """What was parked under another key, or before there were keys, is dropped."""
        self.memory: Tier[str, ParkedRecord] = Tier(budget_bytes)
        self._disk, self._seal, self._threads, self._counters = disk, seal, threads, counters
        if seal.fresh and (dropped := disk.clear()):
            counters.records_refused += dropped
            _logger.warning(log.line("records_of_no_key_dropped", count=dropped))
        self.on_disk: set[str] = disk.keys()
        self._writing: dict[str, ParkedRecord] = {}  # between memory and disk; still to be found
        self._unsaved: dict[str, ParkedRecord] = {}  # newer than what the disk has, until the next `save`
        self._recount_s = 0.0  # not before
        self._save_again_s = 0.0  # not before

    def tier_of(self, key: str) -> Literal["parked", "disk"] | None:
        """Where a record is."""
        if key in self.memory:
            return "parked"
        return "disk" if key in self.on_disk else None

    @property
    def only_on_disk(self) -> int:
        """How many records memory does not hold."""
        return len(self.on_disk.difference(self.memory))

    @property
    def unsaved(self) -> int:
        """How many records the disk does not have yet, or not in their newest form."""
        return len(self._unsaved) + len(self._writing)

    def keys(self) -> set[str]:
        """Of all records, wherever they are."""
        return self.on_disk.union(self.memory)

    def put(self, key: str, record: ParkedRecord) -> None:
        """Keep; the coldest go to disk if the budget is passed."""
        self.memory.put(key, record, record.size + KEY_OVERHEAD_BYTES)
        self._unsaved[key] = record
        spilled: dict[str, ParkedRecord] = {}
        while self.memory.over() and (coldest := self.memory.coldest()) is not None:
            self.memory.pop(coldest)
            self._counters.spills += 1
            if coldest in self._unsaved:
                spilled[coldest] = self._unsaved.pop(coldest)
        if spilled:
            self._write(spilled)

    def save(self) -> None:
        """Write what was parked since the last time, all at once: so much is lost if the edge is killed."""
        if time.monotonic() < self._save_again_s:
            return
        unsaved, self._unsaved = self._unsaved, {}
        if unsaved:
            self._write(unsaved)

    def at_hand(self, key: str) -> Kept | None:
        """A record, as `get` gives it, where that needs no look at the disk; see `tier_of`."""
        record = self.memory.get(key)
        if record is not None:
            return record, "parked"
        record = self._writing.get(key)
        return (record, "disk") if record is not None else None

    async def get(self, key: str) -> Kept | None:
        """A record and where it was. It stays, as the one to come back to if a worker is lost."""
        kept = self.at_hand(key)
        if kept is not None or key not in self.on_disk:
            return kept
        record = await asyncio.get_running_loop().run_in_executor(self._threads, self._read, key)
        if record is None:
            self.on_disk.discard(key)
            return None
        return record, "disk"

    def forget(self, key: str) -> None:
        """Drop wherever it is: the machine crashed, or the service is another version."""
        self.memory.pop(key)
        self._writing.pop(key, None)
        self._unsaved.pop(key, None)
        if key in self.on_disk:
            self.on_disk.discard(key)
            submit(self._threads, "delete record", self._disk.delete, key)

    async def flush(self) -> int:
        """Write everything to disk; how many records are there then. For the end of the edge."""
        self._save_again_s = 0.0
        self.save()
        await asyncio.get_running_loop().run_in_executor(self._threads, lambda: None)
        await asyncio.sleep(0)  # what was written is told in callbacks
        return len(self.on_disk)

    def _write(self, records: Mapping[str, ParkedRecord]) -> None:
        self._writing.update(records)
        self.on_disk.update(records)
        loop = asyncio.get_running_loop()
        written = loop.run_in_executor(self._threads, self._write_all, dict(records), len(self.on_disk))
        written.add_done_callback(lambda done: self._written(records, done))

    def _written(
        self, records: Mapping[str, ParkedRecord], done: "asyncio.Future[tuple[set[str], set[str] | None]]"
    ) -> None:
        newest = {key for key, record in records.items() if self._writing.get(key) is record}
        for key in newest:
            del self._writing[key]
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            kept, found = set[str](), None
            _logger.error(log.line("records_not_written", count=len(records), error=repr(error)), exc_info=error)
        else:
            kept, found = done.result()
        if found is not None:
            self.on_disk = found | self._writing.keys()
        for key in newest - kept:
            self._not_kept(key, records[key])

    def _not_kept(self, key: str, record: ParkedRecord) -> None:
        """The disk did not take it: it is tried again later if memory has it still."""
        self.on_disk.discard(key)
        if self.memory.peek(key) is record:
            self._unsaved.setdefault(key, record)
            self._save_again_s = time.monotonic() + SAVE_AGAIN_S
        else:
            self._counters.records_lost += 1
            _logger.error(log.line("record_lost", key=key, bytes=record.size, why="the disk did not take it"))

    def _write_all(self, records: Mapping[str, ParkedRecord], expected: int) -> tuple[set[str], set[str] | None]:
        """What was kept; and what the disk has then, if that is less than expected: it evicts by its own budget."""
        sealed = {key: self._seal.close_record(record) for key, record in records.items()}
        kept = set(sealed)
        if not self._disk.put_all(sealed):
            kept = set()
            for key, data in sealed.items():  # there may be room for some
                if not self._disk.put(key, data):
                    break
                kept.add(key)
            self._recount_s = 0.0  # a cache that was made anew has nothing of what was there
        now_s = time.monotonic()
        if now_s < self._recount_s or len(self._disk) >= expected:
            return kept, None
        self._recount_s = now_s + RECOUNT_S
        return kept, self._disk.keys()

    def _read(self, key: str) -> ParkedRecord | None:
        data = self._disk.get(key)
        if data is None:
            return None
        why = "its keyed check fails"
        try:
            record = parse_parked(data)
            if self._seal.sealed_record(data) and key == key_of(record):
                return record
        except FormatError as error:
            why = str(error)  # as it does for the layout of an older edge
        self._counters.records_refused += 1
        _logger.warning(log.line("record_refused", key=key, bytes=len(data), why=why))
        self._disk.delete(key)
        return None
