"""A store of kept answers as an edge has it, memory above a disk, and a request's way through it; and what it costs.

python -m tests.support.kept_store [URLS]

puts so many URLs (1,000,000) through it, each asked for twice, so that all of them are worth keeping, and prints what
memory and disk take beside their budgets; then times purges of a tag that 10,000 answers have, and answers from disk.
"""

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from edge.cache.answer_file import AnswerFile
from edge.cache.asked import Asked
from edge.cache.disk import DiskAnswers
from edge.cache.purges import Purge, Purges
from edge.cache.responses import Entry, Responses
from edge.cache.storing import Kept
from edge.common.counters import Counters
from edge.content.seal import Seal
from edge.node import BELOW_SHARE

SEAL: Final = Seal(bytes(range(32)), fresh=False)
HOUR: Final = Kept(0, 3600, 0, 0, False, (), (), "", "", frozenset())
HOST: Final = "h.test"
URLS: Final = 1_000_000
TAGGED: Final = 10_000
TIMES: Final = 50  # purges that are timed
LOOKS: Final = 2_000  # at the disk


def asked(target: str, *fields: tuple[bytes, bytes], service: str = "s") -> Asked:
    """A request."""
    return Asked("GET", fields, service, "digest", HOST, target)


class KeptStore:
    """The store. To be made and used in one event loop."""

    def __init__(
        self,
        folder: Path,
        *,
        memory: int = 64 << 10,
        disk: int = 4 << 20,
        entry_max: int = 1 << 20,
        seal: Seal = SEAL,
    ) -> None:
        self.folder, self.counters = folder, Counters()
        self.thread = ThreadPoolExecutor(1)
        self.purges = Purges(1000)
        self.file = AnswerFile(folder / "responses.db", disk, entry_max, seal)
        self.below = DiskAnswers(self.file, self.purges, self.thread, memory // BELOW_SHARE, self.counters)
        self.responses = Responses(memory, entry_max, self.purges, self.counters, self.below)

    def entry(
        self,
        page: Asked,
        kept: Kept = HOUR,
        *,
        body: bytes = b"body",
        tenant: str = "t",
        run: int | None = None,
        status: int = 200,
    ) -> Entry:
        """An answer that has come now, by default of a run that has begun now."""
        began = self.purges.scope(page.key[0]).last if run is None else run
        now, uri = asyncio.get_running_loop().time(), page.key[2] + page.key[3]
        return Entry(page, tenant, began, kept, status, b"Date: d\r\n", b"X: y\r\n", body, now, uri, self.purges, ())

    def put(self, page: Asked, kept: Kept = HOUR, *, body: bytes = b"body", tenant: str = "t") -> Entry:
        """Keep an answer."""
        made = self.entry(page, kept, body=body, tenant=tenant)
        self.responses.put(made)
        return made

    async def ask(self, page: Asked, tenant: str = "t") -> Entry | None:
        """What a request is answered with."""
        found = self.responses.find(page)
        uri = page.key[2] + page.key[3]
        if isinstance(found, str) and self.below.may_have(page.key[0], uri):
            landed: asyncio.Future[Entry | None] = asyncio.get_running_loop().create_future()
            self.below.look(page, tenant, uri, lambda entry, _: landed.set_result(entry))
            entry = await landed
            if entry is not None and not self.responses.holds(page):
                self.responses.put(entry)
            return entry
        return None if isinstance(found, str) else found

    async def put_on_disk(self, page: Asked, kept: Kept = HOUR, *, body: bytes = b"body", tenant: str = "t") -> Entry:
        """Keep an answer, ask for it again, and evict it."""
        made = self.put(page, kept, body=body, tenant=tenant)
        self.responses.find(page)
        await self.evict(made)
        return made

    async def evict(self, entry: Entry) -> None:
        """Do with an answer in memory what is done where others need its room."""
        self.responses.evict(entry)
        assert await self.below.settled()
        await asyncio.sleep(0)  # what was written is told in a callback

    def killed(self, name: str = "after") -> Path:
        """The folder as a process that was killed would leave it."""
        self.thread.submit(lambda: None).result()
        return copied(self.folder, name)

    async def close(self) -> None:
        """As an edge does at its end."""
        await self.below.close(self.responses.worth_keeping())
        self.thread.shutdown()

    def stop(self) -> None:
        """Without a word, as if it had been killed."""
        self.thread.shutdown()
        self.file.close()


def copied(folder: Path, name: str) -> Path:
    """A copy of the file and of its log, as they are at this moment."""
    copy = folder / name
    copy.mkdir()
    for file in ("responses.db", "responses.db-wal"):
        if (folder / file).exists():
            shutil.copy(folder / file, copy / file)
    return copy


# What it costs.


async def _fill(store: KeptStore, urls: int, say: Callable[[int], None]) -> None:
    body = bytes(600)
    for number in range(urls):
        page = _page(number)
        store.put(page, body=body)
        store.responses.find(page)
        if number % 64 == 0:
            await asyncio.sleep(0)
        if number % 512 == 0:
            await store.below.settled()  # so that the disk takes all of it, and is as full as it can be
        if number % (urls // 10) == 0:
            say(number)


def _page(number: int) -> Asked:
    return asked(f"/pages/{number}?of=a-site-with-names-of-usual-length")


async def _look(store: KeptStore, urls: int) -> tuple[float, int]:
    """Microseconds from a request to its answer from disk, median; and how many there were."""
    took = []
    for number in range(0, urls, max(1, urls // LOOKS)):
        began = time.perf_counter()
        if await store.ask(_page(number)) is not None:
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e6, len(took)


async def _purge(store: KeptStore, *, soft: bool) -> tuple[float, float]:
    """Microseconds of a purge by tag: until nothing is served, and until no kill brings it back; medians."""
    void, durable = [], []
    for _ in range(TIMES):
        began = time.perf_counter()
        store.responses.purge(Purge("tag", "s", "of-many", soft), asyncio.get_running_loop().time())
        void.append(time.perf_counter() - began)
        assert await store.below.settled()
        durable.append(time.perf_counter() - began)
    return statistics.median(void) * 1e6, statistics.median(durable) * 1e6


async def _costs(folder: Path, urls: int) -> None:
    store = KeptStore(folder, memory=64 << 20, disk=1 << 30, entry_max=4 << 20)
    before = _resident_bytes()
    print(f"budgets: memory {64 << 20:,} bytes, disk {1 << 30:,} bytes; the process has {before:,} bytes before")

    def say(number: int) -> None:
        grown, disk = _resident_bytes() - before, sum(file.stat().st_size for file in folder.iterdir())
        print(f"{number:>9,} URLs: memory +{grown:,}, disk {disk:,}, answers {len(store.responses):,} in memory, "
              f"{store.below.answers:,} on disk", flush=True)  # fmt: skip

    await _fill(store, urls, say)
    await store.below.settled()
    say(urls)
    tagged = HOUR._replace(tags=("of-many",))
    for number in range(TAGGED):
        page = asked(f"/tagged/{number}")
        store.put(page, tagged)
        store.responses.find(page)
    await store.below.settled()
    for soft in (False, True):
        void, durable = await _purge(store, soft=soft)
        kind = "soft" if soft else "hard"
        print(
            f"purge of a tag of {TAGGED:,} answers, {kind}: void after {void:.1f} µs, for good after {durable:.0f} µs"
        )
    began = time.perf_counter()
    await store.close()
    print(f"closed in {time.perf_counter() - began:.2f} s", flush=True)
    began = time.perf_counter()
    again = KeptStore(folder, memory=64 << 20, disk=1 << 30, entry_max=4 << 20)
    print(f"opened in {time.perf_counter() - began:.2f} s, with {again.below.answers:,} answers")
    took, looks = await _look(again, urls)
    print(f"an answer from disk took {took:.0f} µs, the median of {looks:,}")
    again.stop()


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Print it."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_costs(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else URLS))


if __name__ == "__main__":
    main()
