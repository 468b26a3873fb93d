"""What comes of `Open` and `Grow`: decided step by step, over facts that are brought one by one. Pure, as `life`.

Image, disks, record, worker and room take their time, and all may change meanwhile: the worker ends, the service
becomes another version or another tenant's. So each step says whether what was prepared is still of use.
"""

from typing import Literal, NamedTuple

from edge.content.blobs import Load
from edge.model import flow
from edge.model.services import Link, Machine, Service
from edge.model.sockets import SERVICE_RESTART
from edge.supervisor import commands as do
from edge.supervisor.budget import OPEN_ROOM, cost_of
from edge.supervisor.life import Life
from edge.vmm.wire.frames import PAYLOAD_MAX
from vmimage.errors import OverBudget, UnknownService
from vmimage.manifest import ImageManifest


class Held(NamedTuple):
    """The record that this edge has of a service's machine: where, how long that has lived, what it served."""

    tier: Literal["parked", "disk"]
    lived_s: float
    served: int
    size_bytes: int


class Openings:
    """The machines that are being brought up, of all services."""

    def __init__(self, life: Life) -> None:
        self._life, self._out = life, life.out

    def begin(self, service: Service) -> str:
        """`Open` begins, or begins anew. The name that the service's record has now; see `still_right`.

        :raises UnknownService: the catalogue knows the service no longer.
        """
        if service.withdrawn:
            raise UnknownService(f"{service.name}: withdrawn")
        return service.key

    def may_use(self, service: Service, manifest: ImageManifest, held: Held) -> bool:
        """Whether the next machine may go on from a record. One that it may not is dropped."""
        if cause := flow.rejuvenation_cause(manifest.rejuvenate, held.served, held.lived_s):
            self._out += (do.ForgetRecord(service.key), do.Count("rejuvenations", cause))
            return False
        if held.size_bytes > PAYLOAD_MAX - OPEN_ROOM:  # no worker would take it
            self._out += (do.RecordTooLarge(service, held.size_bytes), do.ForgetRecord(service.key))
            return False
        return True

    def still_right(self, service: Service, key: str, worker: Link, cost_bytes: int, disks_current: bool) -> bool:
        """Whether a machine may open with all that was prepared; if not, `Open` begins anew.

        :param key: of the service when that began: it names the image and the tenant.
        :param cost_bytes: for which room was made, and was taken by another meanwhile, perhaps.
        :param disks_current: nothing of its disks was written, dropped or decided otherwise meanwhile.
        """
        same = not service.withdrawn and service.key == key
        return same and disks_current and self._takes(worker, service, cost_bytes)

    def opened(self, machine: Machine, held: Held | None, load: Load | None, now: float) -> None:
        """A worker was told to open the machine, and what waits is given to it.

        :param held: the record that it goes on from: it may be used, and fits its disks.
        :param load: of the image, where it was not in memory.
        """
        service = machine.service
        service.machine, service.works = machine, True
        tier: flow.Tier = "blob" if load is None else load.tier
        if held is None:
            self._life.residents.end_sockets(service, SERVICE_RESTART)
        else:
            tier = held.tier
            service.last_good = None  # one that could be parked has come up before
            machine.began, machine.served = now - held.lived_s, held.served
            machine.kept = machine.served
        service.step("opened")
        for place, stream in enumerate(service.queue):
            stream.tier, stream.load = tier, load
            stream.collapsed = tier == "origin" and place > 0
            if stream.collapsed:
                self._out.append(do.Count("collapsed"))
        self._life.pump(machine, now)

    def failed(self, service: Service, error: Exception) -> None:
        """`Open` came to nothing."""
        if isinstance(error, OverBudget):
            service.unfit = error  # until there is another version of it: the budget stays what it is
        service.step("failed")
        self._life.fail_queue(service, error)

    # Beside a service's first machine.

    def may_grow(self, first: Machine) -> bool:
        """Whether there is room for a machine beside the first, within the share of its tenant.

        Idle machines of others are parked for a fresh one, without which requests wait for the end of one of their
        own; for a second that is kept that would be too dear.
        """
        budget, residents, manifest = self._life.budget, self._life.residents, first.image.manifest
        cost_bytes = cost_of(manifest)
        if not budget.within_share(first.service.tenant, cost_bytes, residents.may_park):
            return False
        if manifest.instance != "request":
            return not budget.full(manifest)
        return self._waits(first.service, manifest) and residents.park_coldest(cost_bytes)

    def still_wanted(self, service: Service, first: Machine, worker: Link, cost_bytes: int) -> bool:
        """Whether a machine beside the first, for which `Grow` began, is to open in a worker."""
        serves = service.machine is first and service.state == "resident"  # else it is being parked: nothing to do
        return serves and self._waits(service, first.image.manifest) and self._takes(worker, service, cost_bytes)

    @staticmethod
    def _waits(service: Service, manifest: ImageManifest) -> bool:
        """Whether a request waits, where that is what a machine beside the first is for."""
        return manifest.instance != "request" or bool(service.queue)

    def grown(self, machine: Machine, now: float) -> None:
        """A worker was told to open the machine beside a first, and what waits is given to it."""
        self._life.pools.enter(machine)
        self._out.append(do.Count("pool_grown"))
        self._life.pump(machine, now)

    def grow_over(self, service: Service, *, grown: bool) -> None:
        """`Grow` is done, and came to a machine or to nothing."""
        self._life.pools.grow_over(service, grown=grown)

    def _takes(self, worker: Link, service: Service, cost_bytes: int) -> bool:
        fits = not self._life.budget.tier.over(cost_bytes)
        return fits and worker.alive and not worker.leaving and worker.place == self._life.quarantine.place(service)
