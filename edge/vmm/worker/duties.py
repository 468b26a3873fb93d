"""What a worker does when it is told something: one method for each message, in one table.

A frame is decoded here, so whatever is wrong with it is raised here, and `guard` knows for whom: a machine that a frame
names ends, a frame for nobody is counted. Machines' turns are the loop's business, their parking is `parking`'s.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from edge.vmm.devices.drives import Drives
from edge.vmm.devices.ring import Record
from edge.vmm.machine.machine import Machine
from edge.vmm.machine.resident import Resident
from edge.vmm.shells.held_images import HeldImages
from edge.vmm.shells.shell import Image, Shell
from edge.vmm.shells.shell_pool import ShellPool
from edge.vmm.shells.tiering import Tiering
from edge.vmm.turns.scheduler import Quota, Scheduler
from edge.vmm.wire import frames, messages
from edge.vmm.wire.attribution import NOBODY
from edge.vmm.wire.disks import Block, DiskDone, DiskMore, DropDisk, NewDisk, Pages
from edge.vmm.wire.frames import CREDIT_AMOUNT, RawFrame
from edge.vmm.wire.images import DropImage, NewImage
from edge.vmm.wire.machines import Close, Open, Park
from edge.vmm.wire.streams import Body, Credit, Head, Reset
from edge.vmm.wire.vitals import Ping, Stop
from edge.vmm.worker.parking import Parking
from edge.vmm.worker.placement import Placement
from vmimage import abi
from vmimage.errors import NunatakError

NS_PER_PERCENT: Final = 10_000_000  # of a processor's second

# Types whose first number is a machine's: what goes wrong with one ends that machine.
OF_MACHINES: Final = messages.TO_WORKER.keys() - messages.OF_NOBODY


class Duties:
    """Those of one worker."""

    def __init__(
        self,
        *,
        images: HeldImages,
        shells: ShellPool,
        tiering: Tiering,
        placement: Placement,
        drives: Drives,
        parking: Parking,
        scheduler: Scheduler,
        residents: Mapping[int, Resident],
        enter: Callable[[Resident], None],
        forget: Callable[[Resident], None],
        wake: Callable[[Resident], None],
        pong: Callable[[str], None],
    ) -> None:
        """:param enter: called with a machine that has been brought up. :param forget: with one that is closed.
        :param wake: with one that has something to do. :param pong: with the token of a PING.
        """
        self.spare_for = NOBODY  # the machine that took the last shell of its kind
        self.stopping = False
        self._images, self._shells, self._tiering, self._placement = images, shells, tiering, placement
        self._drives, self._parking, self._scheduler = drives, parking, scheduler
        self._residents, self._enter, self._forget, self._wake, self._pong = residents, enter, forget, wake, pong
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            Head: self._on_head,
            Body: self._on_body,
            Credit: self._on_credit,
            Reset: self._on_reset,
            NewImage: self._on_image,
            DropImage: self._on_drop_image,
            Open: self._on_open,
            Park: self._on_park,
            Close: self._on_close,
            Ping: self._on_ping,
            Stop: self._on_stop,
            NewDisk: drives.on_disk,
            DropDisk: drives.on_drop,
            Block: drives.on_block,
            Pages: drives.on_pages,
            DiskDone: drives.on_done,
            DiskMore: drives.on_more,
        }

    def take(self, frame: RawFrame) -> None:
        """Do what a frame says.

        :raises ValueError: it is none that a supervisor sends.
        """
        try:
            message = messages.to_worker(frame)
        except ValueError:
            if frame[0] == frames.BLOCK:  # those who wait for it get an I/O error, and do not wait for ever
                self._drives.blocks.arrived(frame[2], frame[3], None)
            raise
        self._handlers[type(message)](message)

    # Streams

    def _on_head(self, head: Head) -> None:
        self._offer(head.machine, Record(abi.RECORD_HEAD, abi.FLAG_END if head.end else 0, head.stream, head.payload))

    def _on_body(self, body: Body) -> None:
        self._offer(body.machine, Record(abi.RECORD_BODY, abi.FLAG_END if body.end else 0, body.stream, body.payload))

    def _on_credit(self, credit: Credit) -> None:
        self._offer(credit.machine, Record(abi.RECORD_CREDIT, 0, credit.stream, CREDIT_AMOUNT.pack(credit.amount)))

    def _on_reset(self, reset: Reset) -> None:
        self._offer(reset.machine, Record(abi.RECORD_RESET, 0, reset.stream, reset.reason))

    def _offer(self, machine: int, record: Record) -> None:
        resident = self._residents.get(machine)
        if resident is not None:  # else it died or was closed while the frame was under way
            resident.machine.offer(record)
            self._wake(resident)

    # Images

    def _on_image(self, new: NewImage) -> None:
        self._images.take(new)
        self._placement.bases = self._images.bases()

    def _on_drop_image(self, drop: DropImage) -> None:
        if drop.for_good:
            self._tiering.forget(drop.image)
        image = self._images.drop(drop.image)
        if image is not None and image.is_base:
            self._shells.drop(image)
            self._placement.bases = self._images.bases()

    # Machines

    def _on_open(self, wanted: Open) -> None:
        if wanted.machine in self._residents:
            raise ValueError(f"a machine that is not there yet expected, got {wanted.machine} again")
        image = self._images[wanted.image]
        if self._parking and not self._shells.has_free(image):
            self._parking.next()
        shell = self._shells.take(image)
        if self._shells.short_of is image:
            self.spare_for = wanted.machine
        try:
            self._open(wanted, image, shell)
        except Exception as error:
            shell.broken |= not isinstance(error, NunatakError)
            self._shells.release(shell, image)
            raise

    def _open(self, wanted: Open, image: Image, shell: Shell) -> None:
        started_ns = time.perf_counter_ns()
        self._placement.choose(shell, self._tiering.engine_for(wanted.image, id(image.base)))
        disks = self._drives.open(wanted.machine, shell.memory, wanted.disks, wanted.scratch)
        machine = Machine(shell, image, wanted.limits, fresh=wanted.fresh, disks=disks, secrets=wanted.secrets)
        machine.restore(wanted.state or None, bytes_max=frames.RECORD_BYTES_MAX)
        cpu_percent = wanted.limits.cpu_percent
        quota = Quota(cpu_percent * NS_PER_PERCENT) if cpu_percent else None
        entity = self._scheduler.add(wanted.tenant, tenant_weight=wanted.weight, quota=quota)
        resident = Resident(wanted.machine, wanted.image, machine, entity)
        resident.tenant, resident.growth_bytes = wanted.tenant, wanted.growth_bytes
        resident.record_bytes = wanted.record_bytes
        resident.restore_us = (time.perf_counter_ns() - started_ns) // 1000
        resident.reported_ns = machine.virtual_ns
        self._enter(resident)

    def _on_park(self, park: Park) -> None:
        resident = self._residents.get(park.machine)
        if resident is not None:
            self._parking.ask(resident)

    def _on_close(self, close: Close) -> None:
        resident = self._residents.get(close.machine)
        if resident is not None:
            self._forget(resident)

    # The worker

    def _on_ping(self, ping: Ping) -> None:
        self._pong(ping.token)

    def _on_stop(self, stop: Stop) -> None:
        self.stopping = True
