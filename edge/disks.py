"""Disks of machines: loaded and verified like images, their blocks fetched one by one when a machine reads them.

Which blocks are fetched when is the business of `blocks`, what a tenant may flush is that of `flushes`. What machines
write goes to `overlays`, what they log to `logs`.
"""

import asyncio
import errno
import struct
import time
from collections.abc import Awaitable, Coroutine, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import count
from typing import Final, NamedTuple
from weakref import WeakSet

from edge import log
from edge.allowance import LOG_RECORDS, Allowance
from edge.blocks import Blocks, send_block
from edge.counters import Counters
from edge.flushes import Flushes
from edge.images import Ref, Store, Trip
from edge.logs import Spool
from edge.overlays import Overlays
from edge.services import Machine, Service
from edge.tiers import Tier
from edge.vmm import frames
from edge.vmm.frames import Frame
from edge.workers import Worker
from vmimage.disk import (
    BlockList,
    DiskManifest,
    decode_pages,
    page_numbers,
    parse_disk_manifest,
)
from vmimage.drives import DriveRef
from vmimage.errors import FormatError, VerificationError
from vmimage.manifest import MANIFEST_MAX, canonical_json

LISTS_BYTES: Final = 64 << 20  # of block lists in memory: 60 GiB of disks
_DRIVE: Final = struct.Struct("<I")
_STATUS: Final = struct.Struct("<i")
_VERSION: Final = struct.Struct("<Q")
_NEVER: Final = _VERSION.pack((1 << 64) - 1)  # a version that no disks have

_logger: Final = log.logger("disks")


@dataclass(eq=False, slots=True)
class Disk:
    """A verified disk: its blocks' names, not the blocks."""

    number: int  # on the wire to workers; never used twice
    manifest: DiskManifest
    blocks: BlockList = field(repr=False)
    users: int = 0  # machines
    tenants: dict[str, int] = field(default_factory=dict)  # whose they are, and how many
    workers: WeakSet[Worker] = field(default_factory=WeakSet, repr=False)  # that know it


class Attached(NamedTuple):
    """One disk of a machine that is being opened."""

    ref: DriveRef
    disk: Disk | None  # under it; None: nothing
    key: str  # of what this service wrote to it; "" unless cow
    version: int
    pages: bytes


class Disks:
    """All disks of this edge."""

    def __init__(
        self,
        store: Store,
        threads: Executor,
        overlays: Overlays,
        logs: Spool,
        cache_bytes: int,
        counters: Counters,
    ) -> None:
        """:param cache_bytes: for blocks, in each worker."""
        self._store, self._threads, self._counters = store, threads, counters
        self.overlays, self.logs = overlays, logs
        self._cache_bytes = cache_bytes
        self._held: Tier[str, Disk] = Tier(LISTS_BYTES)
        self._by_number: dict[int, Disk] = {}
        self._numbers = count(1)
        self._loading: dict[str, asyncio.Task[Disk]] = {}
        self._log_records = Allowance(LOG_RECORDS, time.monotonic)
        self._flushes = Flushes(time.monotonic)
        self._tasks: set[asyncio.Task[None]] = set()
        self._blocks = Blocks(store, threads, self._spawn, lambda number: number in self._by_number, counters)
        self._attached: dict[int, Sequence[Attached]] = {}  # by machine
        self._owners: dict[str, int] = {}  # machine that may write, by overlay: the last one that was opened

    # Opening machines.

    async def prepare(self, service: Service, refs: Sequence[DriveRef]) -> list[Attached]:
        """Have what a machine of `service` needs of its image's disks.

        :raises OriginError: a disk cannot be had, or is not what was promised.
        """
        attached = []
        for ref in refs:
            disk = await self._load(ref) if ref.digest is not None else None
            key, version, pages = "", 0, b""
            if ref.kind == "cow":
                key = f"{service.name}/{ref.name}@{ref.digest}"
                version, pages = await self.overlays.load(key)
                decode_pages(pages, ref.bytes)
            attached.append(Attached(ref, disk, key, version, pages))
        return attached

    def current(self, attached: Sequence[Attached]) -> bool:
        """Whether nothing of it was written or dropped since `prepare`."""
        return all(
            (a.disk is None or a.disk.number in self._by_number) and self.overlays.version(a.key) == a.version
            for a in attached
        )

    def attach(self, machine: Machine, attached: Sequence[Attached]) -> list[dict[str, object]]:
        """Tell a worker of a machine's disks, before OPEN; what OPEN says of them."""
        about: list[dict[str, object]] = []
        worker = machine.worker
        for place, a in enumerate(attached):
            ref, disk = a.ref, a.disk
            if disk is not None:
                disk.users += 1
                disk.tenants[machine.service.tenant] = disk.tenants.get(machine.service.tenant, 0) + 1
                self._give(worker, disk)
            if a.key:
                self._owners[a.key] = machine.number
                if len(a.pages) > _DRIVE.size:
                    worker.send(frames.pack(frames.PAGES, 0, machine.number, place, a.pages))
            number = disk.number if disk is not None else None
            about.append(
                {"bytes": ref.bytes, "digest": ref.digest, "kind": ref.kind, "name": ref.name, "number": number}
            )
        if attached:
            self._attached[machine.number] = attached
        return about

    def _give(self, worker: Worker, disk: Disk) -> None:
        if disk.number not in worker.disks:
            worker.disks.add(disk.number)
            disk.workers.add(worker)
            about = canonical_json({"blocks": disk.manifest.blocks, "cache_bytes": self._cache_bytes})
            worker.send(frames.pack(frames.DISK, 0, disk.number, 0, about))

    def may_write(self, machine: Machine) -> bool:
        """Whether it has a disk on which its writes shall last."""
        return any(self._owners.get(a.key) == machine.number for a in self._attached.get(machine.number, ()) if a.key)

    def forget(self, machine: Machine) -> None:
        """A machine is no longer in its worker."""
        self._flushes.forget(machine.number)
        tenant = machine.service.tenant
        for a in self._attached.pop(machine.number, ()):
            if a.disk is not None:
                a.disk.users -= 1
                a.disk.tenants[tenant] -= 1
                if not a.disk.tenants[tenant]:
                    del a.disk.tenants[tenant]
            if self._owners.get(a.key) == machine.number:
                del self._owners[a.key]

    # Records: one that does not know the last thing its disks were told would wake to a disk that it never saw.

    def stamp(self, machine: Machine, record: bytes) -> bytes:
        """A parked machine's record, with the state of its disks that it goes with."""
        attached = self._attached.get(machine.number)
        if self._flushes.lacks(machine.number):
            return _NEVER + record  # its next machine finds the disks as they were last flushed, as after a crash
        return _VERSION.pack(self._version(attached)) + record if attached else record

    def match(self, attached: Sequence[Attached], record: bytes) -> bytes | None:
        """The record that `stamp` was given, or None: the disks went on without it."""
        if not attached:
            return record
        if len(record) < _VERSION.size or _VERSION.unpack_from(record)[0] != self._version(attached):
            self._counters.records_outdated += 1
            return None
        return record[_VERSION.size :]

    def _version(self, attached: Sequence[Attached]) -> int:
        """Each only ever grows, so their sum says whether all are the same."""
        return sum(self.overlays.version(a.key) for a in attached)

    # Loading.

    async def _load(self, ref: DriveRef) -> Disk:
        assert ref.digest is not None
        disk = self._held.get(ref.digest)
        if disk is None:
            task = self._loading.get(ref.digest)
            if task is None:
                task = self._loading[ref.digest] = asyncio.create_task(self._fetch_disk(ref.digest))
                task.add_done_callback(lambda _: self._loading.pop(str(ref.digest)))
            disk = await asyncio.shield(task)
        if ref.bytes < disk.manifest.disk_bytes or (ref.kind == "shared" and ref.bytes != disk.manifest.disk_bytes):
            raise VerificationError(f"disk {ref.name}: {ref.bytes} bytes expected, got {disk.manifest.disk_bytes}")
        return disk

    async def _fetch_disk(self, digest: str) -> Disk:
        data = await self._store.get(Ref("manifests", digest, MANIFEST_MAX, exact=False), Trip())
        manifest = parse_disk_manifest(data)
        listing = await self._store.get(Ref("blobs", manifest.block_list.digest, manifest.block_list.size), Trip())
        loop = asyncio.get_running_loop()
        blocks = await loop.run_in_executor(self._threads, BlockList, listing, manifest.blocks)
        disk = Disk(next(self._numbers), manifest, blocks)
        self._held.put(digest, disk, len(listing))
        self._by_number[disk.number] = disk
        self._counters.disks_loaded += 1
        disk.users += 1
        while self._held.over() and (coldest := self._held.coldest(lambda disk: disk.users == 0)) is not None:
            self._drop(coldest)
        disk.users -= 1
        return disk

    def _drop(self, digest: str) -> None:
        disk = self._held.pop(digest)
        assert disk is not None
        del self._by_number[disk.number]
        for worker in disk.workers:
            worker.disks.discard(disk.number)
            worker.send(frames.pack(frames.DROP_DISK, 0, disk.number, 0))

    # Frames from workers.

    def on_want(self, worker: Worker, frame: Frame) -> None:
        """BLOCK_WANT.

        :raises ValueError: the worker has no such disk, or the disk no such block.
        """
        disk = self._by_number.get(frame.machine)
        if disk is None:  # dropped, with all its machines gone, while the frame was under way
            send_block([worker], frame.machine, frame.stream, None)
            return
        if disk.number not in worker.disks or frame.stream >= len(disk.blocks):
            raise ValueError(f"a block of a disk that the worker has expected, got {frame.machine}: {frame.stream}")
        party = next(iter(disk.tenants)) if len(disk.tenants) == 1 else f"disk {disk.number}"
        self._blocks.want(worker, party, disk.number, frame.stream, disk.blocks[frame.stream])

    def on_write(self, machine: Machine, frame: Frame) -> None:
        """KEEP or APPEND.

        :raises ValueError: the machine has no such disk, or not of that kind; or what is no page set.
        """
        attached = self._attached.get(machine.number, ())
        place = _DRIVE.unpack_from(frame.payload)[0] if len(frame.payload) >= _DRIVE.size else -1
        kind = attached[place].ref.kind if 0 <= place < len(attached) else None
        if kind != ("cow" if frame.type == frames.KEEP else "log"):
            raise ValueError(f"a disk of machine {machine.number} that takes this expected, got {place}: {kind}")
        a, payload = attached[place], memoryview(frame.payload)[_DRIVE.size :]
        if frame.type == frames.KEEP:
            self._on_flush(machine, frame.stream, place, a, payload)
        elif not self._log_records.take(machine.service.tenant):
            self._done(machine, frame.stream, -errno.EAGAIN)
        elif frame.flags & frames.FLAG_SYNC:
            self._spawn(self._settle(machine, frame.stream, self.logs.sync()))
        else:
            taken = self.logs.append(machine.service.name, a.ref.name, bytes(payload), a.ref.bytes)
            self._done(machine, frame.stream, 0 if taken else -errno.ENOSPC)

    def _on_flush(self, machine: Machine, token: int, place: int, a: Attached, payload: memoryview) -> None:
        try:
            numbers = page_numbers(payload, a.ref.bytes)
        except FormatError as error:
            raise ValueError(str(error)) from None
        if machine.service.withdrawn or self._owners.get(a.key) != machine.number:  # a newer machine has the disk
            self._done(machine, token, -errno.EIO)
            return
        tenant, size = machine.service.tenant, len(payload)
        if not self._flushes.take(tenant, machine.number, place, numbers, size):
            self._counters.flushes_refused += 1
            self._done(machine, token, -errno.EAGAIN)  # at once: until then the worker holds the pages
            return
        self._counters.pages_kept += len(numbers)
        written = self.overlays.put(a.key, decode_pages(payload, a.ref.bytes))
        self._spawn(self._settle_flush(machine, token, written, a.key, size))

    async def _settle_flush(self, machine: Machine, token: int, work: Awaitable[int], key: str, size: int) -> None:
        """Answer a flush of so many bytes when it is written and paid for; until then it counts as waiting."""
        paid_s = time.monotonic() + self._flushes.owe(machine.service.tenant, size)
        try:
            status = await self._outcome(machine, work)
            if status:
                self.overlays.spoil(key)
            if (wait_s := paid_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
        finally:
            self._flushes.answered(machine.service.tenant, size)
        self._done(machine, token, status)

    async def _settle(self, machine: Machine, token: int, work: Awaitable[int]) -> None:
        self._done(machine, token, await self._outcome(machine, work))

    async def _outcome(self, machine: Machine, work: Awaitable[int]) -> int:
        try:
            return await work
        except OSError as error:
            _logger.error(log.line("disk_write_failed", service=machine.service.name, error=error))
            return -errno.EIO

    def _done(self, machine: Machine, token: int, status: int) -> None:
        machine.worker.send(frames.pack(frames.DISK_DONE, 0, machine.number, token, _STATUS.pack(status)))

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what is being written, end the rest."""
        self._blocks.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
