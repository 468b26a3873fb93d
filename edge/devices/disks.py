"""Disks of machines: loaded and verified like images, attached to machines, told apart when their frames come.

Blocks that machines read are `blocks`' business. What machines write goes to `flushes` and `overlays`, what they log to
`logs`. All of it is charged to the tenant: a flush or a record of a tenant of which too much waits already is refused
with EAGAIN, so that nothing of it is held; the guest has it still, and may ask again.
"""

import asyncio
import errno
import time
from collections.abc import Awaitable, Coroutine, Sequence
from concurrent.futures import Executor
from itertools import count
from typing import Final, NamedTuple

from edge.common import log
from edge.common.allowance import LOG_RECORDS, Allowance
from edge.common.counters import Counters
from edge.common.single_flight import SingleFlight
from edge.common.slices import Slices
from edge.common.tasks import Tasks
from edge.content.blobs import Load, Ref, Store
from edge.content.tiers import Tier
from edge.devices.blocks import Blocks, Disk, give
from edge.devices.flushes import Flushes, answer, outcome
from edge.devices.overlays import Overlays
from edge.devices.spool import Spool
from edge.model.services import Link, Machine, Service
from edge.vmm.wire.disks import Append, BlockWant, DropDisk, Keep, NewDisk, Pages
from edge.vmm.wire.machines import OpenDisk
from edge.workers.process import Worker
from vmimage.disk import (
    BlockList,
    decode_pages,
    encode_pages,
    parse_disk_manifest,
)
from vmimage.drives import DriveKind, DriveRef
from vmimage.errors import FormatError, VerificationError
from vmimage.manifest import MANIFEST_MAX
from vmimage.parked import UNFLUSHED, ParkedRecord

LISTS_BYTES: Final = 64 << 20  # of block lists in memory: 60 GiB of disks
_NO_PAGES: Final = encode_pages({})

_logger: Final = log.logger("disks")


class Attached(NamedTuple):
    """One disk of a machine that is being opened."""

    ref: DriveRef
    disk: Disk | None  # under it; None: nothing
    key: int  # of what this service wrote to it; 0 unless cow
    version: int
    pages: bytes
    service: Service | None = None  # where cow: whose it is
    since: int | None = None  # what the catalogue said of it


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
        self._log_records = Allowance(LOG_RECORDS, time.monotonic)
        self.tasks = Tasks(counters)
        self._loads: SingleFlight[str, Disk] = SingleFlight(self.tasks, "disk_load")
        self.flushes = Flushes(overlays, self.tasks, counters)
        self.slices = Slices()  # in which blocks are given out, and what workers say is taken
        self.blocks = Blocks(store, threads, self.tasks, self.slices, counters)
        self._attached: dict[int, Sequence[Attached]] = {}  # by machine
        self._owners: dict[int, int] = {}  # machine that may write, by overlay: the last one that was opened

    # Opening machines.

    async def prepare(self, service: Service, refs: Sequence[DriveRef]) -> list[Attached]:
        """Have what a machine of `service` needs of its image's disks.

        :raises OriginError: a disk cannot be had, or is not what was promised.
        :raises Unavailable: what the service wrote cannot be read now.
        """
        attached = []
        if not service.is_candidate:  # which has no such disk, and the stable version may
            self.overlays.leave(service.name, [ref.name for ref in refs if ref.kind == "cow"])
        for ref in refs:
            disk = await self._load(ref) if ref.digest is not None else None
            attached.append(
                await self._written(service, ref, disk) if ref.kind == "cow" else Attached(ref, disk, 0, 0, b"")
            )
        return attached

    async def _written(self, service: Service, ref: DriveRef, disk: Disk | None) -> Attached:
        """With what a service wrote to a disk; what cannot be placed is kept aside."""
        await self.overlays.ready()
        while True:
            since = service.release.written_since(ref.name)
            key = self.overlays.find(service.name, ref.name, since, service.tenant, str(ref.digest))
            loaded = await self.overlays.load(key)
            if loaded is None:
                continue
            try:
                decode_pages(loaded[1], ref.bytes)
            except FormatError:  # the publisher's tool refuses a base that is too small
                self.overlays.set_aside(key, "does not fit")
                continue
            return Attached(ref, disk, key, *loaded, service, since)

    def current(self, attached: Sequence[Attached]) -> bool:
        """Whether nothing of it was written, dropped or decided otherwise since `prepare`."""
        return all(
            (a.disk is None or a.disk.number in self._by_number)
            and self.overlays.version(a.key) == a.version
            and (a.service is None or a.service.release.written_since(a.ref.name) == a.since)
            for a in attached
        )

    def attach(self, machine: Machine, attached: Sequence[Attached]) -> tuple[OpenDisk, ...]:
        """Tell a worker of a machine's disks, before OPEN; what OPEN says of them."""
        worker = machine.worker
        for place, a in enumerate(attached):
            disk = a.disk
            if disk is not None:
                disk.users += 1
                disk.tenants[machine.service.tenant] = disk.tenants.get(machine.service.tenant, 0) + 1
                self._give(worker, disk)
            if a.key:
                self._owners[a.key] = machine.number
                if a.pages not in (b"", _NO_PAGES):
                    worker.send(Pages(machine.number, place, a.pages).to_bytes())
        if attached:
            self._attached[machine.number] = attached
        return tuple(OpenDisk(a.disk.number if a.disk is not None else None, a.ref) for a in attached)

    def _give(self, worker: Link, disk: Disk) -> None:
        if disk.number not in worker.disks:
            worker.disks.add(disk.number)
            disk.workers.add(worker)
            worker.send(NewDisk(disk.number, disk.manifest.blocks, self._cache_bytes).to_bytes())

    def may_write(self, machine: Machine) -> bool:
        """Whether it has a disk on which its writes shall last."""
        return any(self._owners.get(a.key) == machine.number for a in self._attached.get(machine.number, ()) if a.key)

    def forget(self, machine: Machine) -> None:
        """A machine is no longer in its worker."""
        self.flushes.forget(machine.number)
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

    def versions_for(self, machine: Machine) -> tuple[int, ...]:
        """The state of its disks that a machine that is parked goes with, of each.

        :raises ValueError: a flush of it is not here as a whole, and no worker parks a machine that waits for one.
        """
        if self.flushes.is_coming(machine.number):
            raise ValueError(f"machine {machine.number}: the rest of a flush expected, got PARKED")
        attached = self._attached.get(machine.number, ())
        if self.flushes.refused(machine.number):
            return (UNFLUSHED,) * len(attached)  # its next machine finds the disks as they were last flushed
        return self._versions(attached)

    def match(self, attached: Sequence[Attached], record: ParkedRecord) -> bool:
        """Whether these disks are as they were when the machine was parked: else they went on without it."""
        same = record.disk_versions == self._versions(attached)
        self._counters.records_outdated += not same
        return same

    def _versions(self, attached: Sequence[Attached]) -> tuple[int, ...]:
        return tuple(self.overlays.version(a.key) for a in attached)

    # Loading.

    async def _load(self, ref: DriveRef) -> Disk:
        assert ref.digest is not None
        disk = self._held.get(ref.digest)
        if disk is None:
            digest = ref.digest
            disk = await self._loads.do(digest, lambda: self._fetch_disk(digest))
        if ref.bytes < disk.manifest.disk_bytes or (ref.kind == "shared" and ref.bytes != disk.manifest.disk_bytes):
            raise VerificationError(f"disk {ref.name}: {ref.bytes} bytes expected, got {disk.manifest.disk_bytes}")
        return disk

    async def _fetch_disk(self, digest: str) -> Disk:
        data = await self._store.get(Ref("manifests", digest, MANIFEST_MAX, exact=False), Load())
        manifest = parse_disk_manifest(data)
        listing = await self._store.get(Ref("blobs", manifest.block_list.digest, manifest.block_list.size), Load())
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
        disk.dropped = True
        for worker in disk.workers:
            worker.disks.discard(disk.number)
            worker.send(DropDisk(disk.number).to_bytes())

    # Messages from workers.

    def on_want(self, worker: Worker, want: BlockWant) -> None:
        """A worker wants a block.

        :raises ValueError: the worker has no such disk, or the disk no such block.
        """
        disk = self._by_number.get(want.disk)
        if disk is None:  # dropped, with all its machines gone, while the frame was under way
            give([worker], want.disk, want.block_no, None)
            return
        if disk.number not in worker.disks or want.block_no >= len(disk.blocks):
            raise ValueError(f"a block of a disk that the worker has expected, got {want.disk}: {want.block_no}")
        self.blocks.want(worker, disk, want.block_no)

    def on_keep(self, machine: Machine, keep: Keep) -> None:
        """Pages that a machine wrote, or some of them.

        :raises ValueError: the machine has no such disk, or not of that kind; or what is no page set.
        """
        a = self._disk_of(machine, keep.place, "cow")
        newer = self._owners.get(a.key) != machine.number  # another machine has the disk
        self.flushes.take(machine, keep, 0 if newer else a.key, a.ref.bytes)

    def on_append(self, machine: Machine, append: Append) -> None:
        """A record for a log disk.

        :raises ValueError: the machine has no such disk, or not of that kind.
        """
        a, service, record = self._disk_of(machine, append.place, "log"), machine.service, append.record
        if not self._log_records.take(service.tenant):
            answer(machine, append.token, -errno.EAGAIN)
        elif record is None:
            self._spawn(self._settle(machine, append.token, self.logs.sync()))
        else:
            taken = self.logs.append(service.name, a.ref.name, record, a.ref.bytes, service.tenant)
            answer(machine, append.token, 0 if taken else -errno.ENOSPC)

    def _disk_of(self, machine: Machine, place: int, kind: DriveKind) -> Attached:
        attached = self._attached.get(machine.number, ())
        got = attached[place].ref.kind if place < len(attached) else None
        if got != kind:
            raise ValueError(f"a disk of machine {machine.number} that takes this expected, got {place}: {got}")
        return attached[place]

    async def _settle(self, machine: Machine, token: int, work: Awaitable[int]) -> None:
        answer(machine, token, await outcome(machine, work))

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        self.tasks.spawn("disk", coroutine)

    async def close(self) -> None:
        """Wait for what is being written, end the rest."""
        self.blocks.close()
        await self.tasks.close()
