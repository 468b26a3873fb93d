"""When the version before goes on: a new one that cannot be had, verified or started never replaces one that works.

A version that the catalogue names takes the place of the one before at once, and its image is fetched when somebody
asks. If then it cannot be had, is not what was signed, or does not fit here, and none of its machines was ever opened
here, the service is what it was: those who wait are served by the last good version, from its image. So is one whose
machines crash CRASHES times in a row without an answer. What the catalogue says is tried again later
(`edge.releases.last_good`), and at once when it says something else. Another tenant's version is never gone back to.
Pure, as `life`.
"""

from collections.abc import Callable
from typing import Final

from edge.model.services import Machine, Service
from edge.supervisor import commands as do
from edge.supervisor.life import Life
from vmimage.errors import ImageTooLarge, NunatakError, OriginError, OverBudget
from vmimage.trust import ServiceRecord

CRASHES: Final = 3  # of machines of a version that never answered
_DOES_NOT_COME_UP: Final = (OriginError, ImageTooLarge, OverBudget)


def changing(service: Service, release: ServiceRecord | None) -> None:
    """The catalogue names another version, or none; called before anything follows from that."""
    before = service.release
    if release is None or release.tenant != before.tenant:
        service.last_good = None
    elif release.manifest_digest != before.manifest_digest and (service.works or service.refused is not None):
        service.last_good = before
    service.works, service.refused = False, None


class Fallback:
    """What does not come up here."""

    def __init__(self, life: Life) -> None:
        self._out = life.out
        self.is_held: Callable[[ServiceRecord], bool] = lambda _: False  # by the operator of the origin

    def not_opened(self, service: Service, error: Exception) -> bool:
        """`Open` came to nothing; whether the service goes on with its last good version."""
        if service.works or not isinstance(error, _DOES_NOT_COME_UP) or not self._may_go_back(service):
            return False
        service.step("failed")
        self._go_back(service, error)
        return True

    def crashed(self, machine: Machine, error: NunatakError) -> None:
        """A machine has ended by an error, and its service with it, unless it has others."""
        service = machine.service
        if machine.version != service.release.manifest_digest:
            return
        if machine.did_its_work:
            service.last_good = None  # whatever comes now, this version has come up
        elif service.crashes_in_row >= CRASHES and service.state == "backoff" and self._may_go_back(service):
            service.step("replaced")
            self._go_back(service, error)

    def _may_go_back(self, service: Service) -> bool:
        good = service.last_good
        if good is None or service.withdrawn or good.manifest_digest == service.release.manifest_digest:
            return False
        return not self.is_held(good)

    def _go_back(self, service: Service, error: NunatakError) -> None:
        assert service.last_good is not None
        refused, service.release = service.release, service.last_good
        service.refused, service.last_good = refused, None
        service.crashes_in_row, service.pause_until, service.unfit = 0, 0.0, None
        self._out.append(do.FellBack(service, refused, error))
        self._out.append(do.WantSoon(service))
