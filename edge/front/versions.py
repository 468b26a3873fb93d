"""Which version of a service a request is for, where two are served: the visitor is found out, and told his version.

Requests for all other services pay one look at an attribute.
"""

import secrets
from typing import Final

from edge.common.counters import Counters
from edge.front.marks import Marks
from edge.front.request import Request
from edge.model.services import Service
from edge.releases.assignment import choice_in, cookie_in, cookie_line, key_of, network_of, version_for
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
        """Who asks, and the line that gives him a cookie: over HTTPS only, else no browser takes it."""
        sender = self._marks.sender_of(request)
        if released.sticky == "cookie":
            cookie = cookie_in(request.headers)
            if cookie:
                return cookie, b""
            if sender.secure:
                cookie = secrets.token_urlsafe(16).encode()
                return cookie, cookie_line(cookie)
        return network_of(sender.address), b""
