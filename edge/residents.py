"""The machines in workers, under a byte budget: opened, parked when room is needed, closed.

What a machine's end means for its service and its requests is the supervisor's business.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from edge.counters import Counters
from edge.disks import Attached, Disks
from edge.images import Image, Images
from edge.services import Machine, Service
from edge.streams import Stream, wake
from edge.tiers import Tier
from edge.upstreams import Upstreams
from edge.vmm import frames
from edge.workers import Worker
from vmimage import abi
from vmimage.manifest import canonical_json

# What a resident machine costs beside its own pages: an engine with an 8 MiB translation buffer that is hardly touched
# (1.2 MiB measured on unicorn 2.1.4), page tables, and rings.
SHELL_BYTES: Final = 3 << 19
LOOK_AGAIN_S: Final = 0.25  # while all machines are busy
CLOSE_S: Final = 2.0  # for a machine that is closed to come to rest and say what it wrote


def cost_of(image: Image, attached: Sequence[Attached] = ()) -> int:
    """Memory a machine of this image is taken to need, in bytes, with what was written to its disks so far."""
    return SHELL_BYTES + image.manifest.page_count * abi.PAGE_SIZE + sum(len(each.pages) for each in attached)


class Residents:
    """All machines in workers, those being parked aside: their memory is as good as free."""

    def __init__(
        self,
        budget_bytes: int,
        weights: Mapping[str, int],
        images: Images,
        upstreams: Upstreams,
        disks: Disks,
        counters: Counters,
    ) -> None:
        """:param weights: of tenants in the sharing of CPU time; 1 where there is none."""
        self._weights = weights
        self.tier: Tier[int, Machine] = Tier(budget_bytes)  # by number
        self.touch = self.tier.touch
        self._images, self._upstreams, self._disks, self._counters = images, upstreams, disks, counters
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._room: deque[asyncio.Future[None]] = deque()  # those who wait for a machine to become idle
        self._parking: dict[int, asyncio.Future[None]] = {}  # by machine
        self._closing: dict[Service, Machine] = {}  # that are parked for what they wrote, not for their record

    async def prepare(self, service: Service, image: Image) -> Sequence[Attached]:
        """The disks of one more machine of a service: none of them is copy-on-write, or it could have but one machine.

        :raises OriginError: a disk cannot be had.
        """
        return await self._disks.prepare(service, image.manifest.disks)

    def open(
        self, worker: Worker, service: Service, image: Image, record: bytes, attached: Sequence[Attached]
    ) -> Machine:
        """Send OPEN; frames for the machine may follow at once. The image is pinned until the machine is gone."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        machine = Machine(self._number, service, image, worker, self._loop.time())
        image.pins += 1
        worker.enter(machine)
        self.tier.put(machine.number, machine, cost_of(image, attached))
        limits = image.manifest.limits
        about = canonical_json(
            {
                "image": image.number,
                "tenant": service.tenant,
                "weight": self._weights.get(service.tenant, 1),
                "limits": asdict(limits),
                "growth_bytes": image.manifest.rejuvenate.growth_bytes,
                "fresh": image.manifest.instance == "request",
                "disks": self._disks.attach(machine, attached),
            }
        )
        worker.send(frames.pack(frames.OPEN, 0, machine.number, 0, frames.with_json(about, record)))
        self._counters.opens += 1
        return machine

    def reset(self, machine: Machine, stream: Stream) -> None:
        """Tell the guest that nobody waits for this answer any more."""
        machine.worker.send(frames.pack(frames.RESET, 0, machine.number, stream.number))

    def park(self, service: Service) -> "asyncio.Future[None] | None":
        """Ask for an idle machine's record; None if there is no such machine. The future is done when it is here."""
        machine = service.machine
        if service.state != "resident" or machine is None or not self._may_park(machine):
            return None
        service.step("park")
        return self._ask_to_park(machine)

    def _ask_to_park(self, machine: Machine) -> "asyncio.Future[None]":
        self.tier.pop(machine.number)  # a worker lets few wait for that, and frees its memory before it takes more
        machine.worker.send(frames.pack(frames.PARK, 0, machine.number, 0))
        parked = self._parking[machine.number] = self._loop.create_future()
        return parked

    def parking(self, machine: Machine) -> bool:
        """Whether its record has been asked for."""
        return machine.number in self._parking

    def _may_park(self, machine: Machine) -> bool:
        first = machine.service.machine is machine and not machine.service.others  # others go by themselves
        return first and not machine.streams and not machine.retiring

    def full(self, image: Image) -> bool:
        """Whether one more machine of the image would need room to be made."""
        return self.tier.over(cost_of(image))

    async def make_room(self, image: Image, attached: Sequence[Attached] = ()) -> None:
        """Park the coldest idle machines until one more fits; wait while all are busy."""
        cost = cost_of(image, attached)
        while self.tier.over(cost) and len(self.tier):
            number = self.tier.coldest(self._may_park)
            if number is not None and (machine := self.tier.pop(number)) is not None:
                self.park(machine.service)
                continue
            waiter = self._loop.create_future()
            self._room.append(waiter)
            await asyncio.wait([waiter], timeout=LOOK_AGAIN_S)
            if waiter in self._room:
                self._room.remove(waiter)

    async def park_all(self, timeout_s: float) -> None:
        """Park every machine, waiting for those that are not idle yet, but only so long."""
        deadline = self._loop.time() + timeout_s
        while (len(self.tier) or self._parking) and self._loop.time() < deadline:
            for machine in list(self.tier.values()):
                for other in machine.service.others:
                    self.close(other)
                machine.service.others.clear()
                self.park(machine.service)
            await asyncio.wait(self._parking.values() or [self._loop.create_future()], timeout=LOOK_AGAIN_S)

    def idle(self) -> None:
        """A machine has no requests any more, or is gone: one who waits for room may look again."""
        if self._room:
            wake(self._room.popleft())

    def close(self, machine: Machine) -> None:
        """End a machine that retires. What it wrote to copy-on-write disks is kept, flushed or not; nothing else is."""
        if self._disks.may_write(machine) and not machine.service.withdrawn:
            self._closing[machine.service] = machine
            self._ask_to_park(machine)
            return
        self._end(machine)

    def _end(self, machine: Machine) -> None:
        machine.worker.send(frames.pack(frames.CLOSE, 0, machine.number, 0))
        self.forget(machine)

    async def closed(self, service: Service) -> None:
        """Wait until a machine of the service that is being closed has said what it wrote; not for long."""
        machine = self._closing.get(service)
        parked = self._parking.get(machine.number) if machine is not None else None
        if machine is not None and parked is not None:
            await asyncio.wait([parked], timeout=CLOSE_S)
            if self._closing.get(service) is machine:
                self._end(machine)

    def forget(self, machine: Machine) -> None:
        """A machine is no longer in its worker."""
        if not machine.worker.leave(machine):
            return
        self.tier.pop(machine.number)
        self._upstreams.forget(machine)
        self._disks.forget(machine)
        machine.image.pins -= 1
        if machine.image.pins == 0:
            self._images.trim()
        wake(self._parking.pop(machine.number, None))
        if self._closing.get(machine.service) is machine:
            del self._closing[machine.service]
        self.idle()
