"""Services whose machines must not be in a worker with others, because the end of a worker was blamed on them.

What follows from what is `flow.QUARANTINE_FLOW` and the functions here; workers of their own are `fleet`'s business. It
is remembered as long as the edge runs, by the service's name, so that to withdraw a service and publish it anew is no
way out. A tenant of whom several services are blamed is confined as a whole: a publisher has names without end.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from edge.model import flow
from edge.model.flow import SHARED, Place, Standing
from edge.model.services import Service

# A worker of its own costs about 1 s of CPU time to start, so pauses grow faster than those of a machine that crashes:
# none (one accident costs a service one request), then 2, 4, 8 ... 300 s. At 300 s that is 0.3 % of a processor.
PAUSE_FIRST_S: Final = 2.0
PAUSE_MAX_S: Final = 300.0
CALM_S: Final = 300.0  # without blame after a pause, and the row begins anew
# Time in quarantine without blame until its machines may be with others again, doubled each time it came back: what
# ends workers seldom, for honest reasons or by design, does so to others at ever longer intervals.
HEALTHY_FIRST_S: Final = 600.0
HEALTHY_MAX_S: Final = 86_400.0
FORGET_S: Final = 86_400.0  # after the last blame, of one that was released
TENANT_SERVICES: Final = 3  # of one tenant, remembered at once, from which on all of it is confined
KEPT_MAX: Final = 10_000  # services remembered; some 300 bytes each


class Blame(NamedTuple):
    """What is remembered of a service that was blamed."""

    standing: Standing = "trusted"
    times: int = 0  # it came into quarantine
    in_row: int = 0  # blames, each not long after the one before
    at: float = 0.0  # loop time of the last
    pause_until: float = 0.0  # loop time before which no machine of it starts
    tenant: str = ""

    @property
    def confined(self) -> bool:
        """Whether its machines must not be in a worker with others."""
        return self.standing in ("quarantined", "held")


def blamed(before: Blame, now: float) -> Blame:
    """What is remembered after one more blame."""
    in_row = before.in_row + 1 if before.in_row and now - before.pause_until < CALM_S else 1
    pause_s = 0.0 if in_row == 1 else min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** min(in_row - 2, 16))
    times = before.times + (not before.confined)
    standing = flow.step(flow.QUARANTINE_FLOW, before.standing, "blamed")
    return before._replace(standing=standing, times=times, in_row=in_row, at=now, pause_until=now + pause_s)


def healthy_after_s(times: int) -> float:
    """How long a service has to go without blame, in seconds, that came into quarantine so many times."""
    return min(HEALTHY_MAX_S, HEALTHY_FIRST_S * 2.0 ** min(times - 1, 16))


class Quarantine:
    """All that were blamed."""

    def __init__(self, isolates: Callable[[str], bool]) -> None:
        """:param isolates: whether a tenant has workers of its own in any case."""
        self.isolates = isolates
        self._blames: OrderedDict[str, Blame] = OrderedDict()  # by service; the last blamed is the last
        self._blamed_of: dict[str, set[str]] = {}  # services, by tenant

    def __len__(self) -> int:
        """Services in quarantine now."""
        return sum(blame.confined for blame in self._blames.values())

    def of(self, service: str) -> Blame | None:
        """What is remembered of a service by this name."""
        return self._blames.get(service)

    def place(self, service: Service) -> Place:
        """Which workers its machines may be in."""
        if self._blames:
            blame = self._blames.get(service.slot)
            if blame is not None and blame.confined:
                return Place("quarantine", service.slot)
            if len(self._blamed_of.get(service.tenant, ())) >= TENANT_SERVICES:
                return Place("quarantine", f"tenant {service.tenant}")  # no service has a blank in its name
        return Place("tenant", service.tenant) if self.isolates(service.tenant) else SHARED

    def pause_s(self, service: Service, now: float) -> float:
        """How long no machine of it may start yet."""
        blame = self._blames.get(service.slot)
        return max(0.0, blame.pause_until - now) if blame is not None and blame.confined else 0.0

    def blame(self, service: Service, now: float) -> Blame:
        """The end of a worker is blamed on a service."""
        before = self._blames.pop(service.slot, Blame())
        if before.tenant and before.tenant != service.tenant:
            self._forget_of(before.tenant, service.slot)
        after = self._blames[service.slot] = blamed(before, now)._replace(tenant=service.tenant)
        self._blamed_of.setdefault(service.tenant, set()).add(service.slot)
        while len(self._blames) > KEPT_MAX:
            name, oldest = self._blames.popitem(last=False)
            self._forget_of(oldest.tenant, name)
        return after

    def on_version(self, service: Service) -> bool:
        """The catalogue names another version of it; whether that leads out."""
        blame = self._blames.get(service.slot)
        return blame is not None and self._move(service.slot, blame, "new_version")

    def sweep(self, now: float) -> list[str]:
        """Called every second or so: release who has been healthy for long enough; their names."""
        released = []
        for name, blame in list(self._blames.items()):
            if blame.confined and now - blame.at >= healthy_after_s(blame.times):
                self._move(name, blame, "healthy")
                released.append(name)
            elif not blame.confined and now - blame.at >= max(FORGET_S, 2 * healthy_after_s(blame.times)):
                del self._blames[name]
                self._forget_of(blame.tenant, name)
        return released

    def _move(self, name: str, blame: Blame, event: flow.StandingEvent) -> bool:
        after = blame._replace(standing=flow.step(flow.QUARANTINE_FLOW, blame.standing, event))
        self._blames[name] = after
        return after.standing != blame.standing

    def _forget_of(self, tenant: str, name: str) -> None:
        names = self._blamed_of.get(tenant, set())
        names.discard(name)
        if not names:
            self._blamed_of.pop(tenant, None)
