"""Parked machines: records in memory and, a moment later, on disk; the coldest on disk alone; then forgotten.

A record is known by service and image digest, so a record of another version is never met. On disk a SHA-256 stands
before it, against rot; workers parse records as hostile anyway. The set of keys on disk is kept in memory, so that only
a record that is there costs a look at the disk; what the disk has evicted by itself is noticed a few seconds later.
"""

import asyncio
import hashlib
import sqlite3
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any, Final, Literal

from edge import log
from edge.counters import Counters
from edge.tiers import Tier

KEY_OVERHEAD_BYTES: Final = 512  # of a record in memory: key, dictionary entry, object headers
RECOUNT_S: Final = 5.0  # between two lists of what is on disk, while it evicts: 100,000 keys take 0.1 s of a thread
_SHA_BYTES: Final = 32

_logger: Final = log.logger("records")


def record_key(service: str, digest: str) -> str:
    """Name of the record of `service` as image `digest`."""
    return f"{service}@{digest}"


class Records:
    """All parked machines of this edge. `threads` must be one thread: it keeps writes and deletes in order."""

    def __init__(self, budget_bytes: int, disk: Any, threads: Executor, counters: Counters) -> None:
        self.memory: Tier[str, bytes] = Tier(budget_bytes)
        self.on_disk: set[str] = set(disk.iterkeys())
        self._disk, self._threads, self._counters = disk, threads, counters
        self._writing: dict[str, bytes] = {}  # between memory and disk; still to be found
        self._unsaved: dict[str, bytes] = {}  # newer than what the disk has, until the next `save`
        self._recount_s = 0.0  # not before

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

    def put(self, key: str, record: bytes) -> None:
        """Keep; the coldest go to disk if the budget is passed."""
        self.memory.put(key, record, len(record) + KEY_OVERHEAD_BYTES)
        self._unsaved[key] = record
        spilled: dict[str, bytes] = {}
        while self.memory.over() and (coldest := self.memory.coldest()) is not None:
            self.memory.pop(coldest)
            self._counters.spills += 1
            if coldest in self._unsaved:
                spilled[coldest] = self._unsaved.pop(coldest)
        if spilled:
            self._write(spilled)

    def save(self) -> None:
        """Write what was parked since the last time, all at once: so much is lost if the edge is killed."""
        unsaved, self._unsaved = self._unsaved, {}
        if unsaved:
            self._write(unsaved)

    async def get(self, key: str) -> tuple[bytes, Literal["parked", "disk"]] | None:
        """A record and where it was. It stays, as the one to come back to if a worker is lost."""
        record = self.memory.get(key)
        if record is not None:
            return record, "parked"
        if key in self._writing:
            return self._writing[key], "disk"
        if key not in self.on_disk:
            return None
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
            self._threads.submit(self._disk.delete, key)

    async def flush(self) -> int:
        """Write everything to disk; how many records are there then. For the end of the edge."""
        self.save()
        await asyncio.get_running_loop().run_in_executor(self._threads, lambda: None)
        return len(self.on_disk)

    def _write(self, records: Mapping[str, bytes]) -> None:
        self._writing.update(records)
        self.on_disk.update(records)
        loop = asyncio.get_running_loop()
        written = loop.run_in_executor(self._threads, self._write_all, dict(records), len(self.on_disk))
        written.add_done_callback(lambda done: self._written(records, done))

    def _written(self, records: Mapping[str, bytes], done: "asyncio.Future[set[str] | None]") -> None:
        for key, record in records.items():
            if self._writing.get(key) is record:
                del self._writing[key]
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            self.on_disk.difference_update(records)
            _logger.error(log.line("records_not_written", count=len(records), error=error))
        elif (found := done.result()) is not None:
            self.on_disk = found | self._writing.keys()

    def _write_all(self, records: Mapping[str, bytes], expected: int) -> set[str] | None:
        """What the disk has then, if that is less than expected: it evicts by its own budget."""
        with self._disk.transact():
            for key, record in records.items():
                self._disk.set(key, hashlib.sha256(record).digest() + record)
        now_s = time.monotonic()
        if now_s < self._recount_s or len(self._disk) >= expected:
            return None
        self._recount_s = now_s + RECOUNT_S
        return set(self._disk.iterkeys())

    def _read(self, key: str) -> bytes | None:
        try:
            data: bytes | None = self._disk.get(key)
        except (OSError, ValueError, sqlite3.Error) as error:
            _logger.warning(log.line("record_unreadable", key=key, error=error))
            data = b""
        if data is None:
            return None
        if hashlib.sha256(data[_SHA_BYTES:]).digest() != data[:_SHA_BYTES]:
            self._counters.disk_bad += 1
            _logger.warning(log.line("record_bad", key=key, bytes=len(data)))
            self._disk.delete(key)
            return None
        return data[_SHA_BYTES:]
