"""Which version of a service a request is for, where two are served: the visitor is found out, and told his version.

Requests for all other services pay one look at an attribute.
"""

import secrets
from typing import Final

from edge.common.counters import Counters
from edge.front.marks import Marks
from edge.front.request import Request
from edge.model.services import Service
from edge.releases.assignment import choice_in, key_of, version_for, visitor_of
from edge.releases.releases import Releases
from edge.supervisor.supervisor import Supervisor
from vmimage.release import Candidate

DIGITS: Final = 12  # of an image's digest, by which an answer names its version


class Versions:
    """Those of one front."""

    def __init__(self, marks: Marks, supervisor: Supervisor, counters: Counters) -> None:
        self.releases: Final = Releases(supervisor, counters, lambda: supervisor.config.pop)
        self._marks, self._key = marks, key_of(supervisor.fleet_secret)

    def of(self, request: Request, service: Service) -> Service:
        """The version of a service that a request is for; the same again for a request that is taken anew."""
        candidate, released = service.candidate, service.release.candidate
        if candidate is None or released is None:
            return service
        if not request.visitor:
            request.visitor, request.visitor_line = self._visitor(request, released)
        version = choice_in(request.headers) if released.choose else None
        version = version or version_for(self._key, service.name, released, request.visitor)
        chosen = candidate if version == "candidate" else service
        digest = chosen.release.manifest_digest.removeprefix("sha256:")[:DIGITS]
        said = digest.encode(), version.encode(), request.visitor_line
        request.version_line = b"X-Nunatak-Version: %b; %b\r\n%b" % said
        return chosen

    def _visitor(self, request: Request, released: Candidate) -> tuple[bytes, bytes]:
        """Who asks, and the line that gives him a cookie, if he gets one."""
        sender = self._marks.sender_of(request)
        cookies = released.sticky == "cookie" and not request.on_service_host
        return visitor_of(request.headers, sender.address, cookies=cookies, secure=sender.secure, fresh=_fresh)


def _fresh() -> bytes:
    return secrets.token_urlsafe(16).encode()
