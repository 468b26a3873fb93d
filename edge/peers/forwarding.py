"""Requests of this edge's clients that a peer answers: which, by whom, and what becomes of them when it does not.

A request goes to the owner of its service where its machine would have to be brought up here, and to the owner of its
page where its answer may be kept, so that one machine in the POP writes it. An owner that cannot be reached, or says
that it has not begun, costs a try; then the other owner has it, or a machine here. What a peer may have acted upon is
asked again only where its method allows that (`flow.IDEMPOTENT`), as with workers that are lost.
"""

from typing import Final

from edge.cache.purges import Purges
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.config.options import EdgeConfig
from edge.front.http import Front
from edge.front.request import Request
from edge.model.services import Service
from edge.peers.asking import Asking
from edge.peers.attempt import Attempt, Means
from edge.peers.placement import Hot, place, service_key

GRACE_S: Final = 5.0  # beyond the time after which the peer itself gives a request up
_HERE: Final = frozenset({"opening", "resident", "parking", "parked"})  # states of services with a machine here


class Forwarding:
    """For one front."""

    def __init__(
        self, front: Front, asking: Asking, purges: Purges, config: EdgeConfig, tasks: Tasks, counters: Counters
    ) -> None:
        self._front, self._asking, self._tasks, self._counters = front, asking, tasks, counters
        self._purges = purges
        self._hot = Hot()
        self.reconfigure(config)

    def reconfigure(self, config: EdgeConfig) -> None:
        """Go by other options from the next request on."""
        self._share = config.share
        patience_s, stream_s = config.request_timeout + GRACE_S, config.stream_timeout + GRACE_S
        assert self._front.caching is not None  # it is set with the front
        voids = self._front.caching.voids
        self._means = Means(self._front, self._tasks, self._counters, patience_s, stream_s, self._purges, voids)

    # Which, and by whom.

    def takes(self, request: Request, service: Service) -> bool:
        """Whether peers are to be asked; decided once for a request."""
        if request.owners is None:
            request.owners = self._owners(request, service)
        return bool(request.owners)

    def _owners(self, request: Request, service: Service) -> tuple[str, ...]:
        members = self._asking.members
        if not members.others or request.told is not None or self._share == "images":
            return ()
        if request.host is None or request.version != (1, 1):
            return ()  # a peer would be told more of it than its client said
        if request.version_line:
            return ()  # of two versions: each edge measures its own candidates
        hot, fill = self._hot.asked(service.name), request.fill
        leads = fill is not None and fill.place is not None and request.method == "GET"
        shares = self._share == "requests"
        if not (shares or leads):
            return ()
        key = service_key(service.name)
        if hot and fill is not None:  # its machines are everywhere, its pages are shared out
            key += b"\0" + fill.where[1].encode()
        owners, kept = members.owners.of(key), shares and not hot and service.state in _HERE
        chosen = place(owners, members.here, kept=kept, hot=hot and not leads, fits=self._asking.fits)
        members.loads.placed(owners, chosen)
        if chosen.member == members.here:
            return ()
        return owners[owners.index(chosen.member) :]

    # Done.

    async def serves(self, request: Request, service: Service) -> bool:
        """Have a request answered by its owners, one after the other; False: nobody has.

        :raises ClientError: its body is broken. :raises PeerFailed: it may have been acted upon.
        """
        if not self.takes(request, service):
            return False
        for owner in request.owners or ():
            if owner == self._asking.members.here:
                break
            asked = self._asking.of(owner)
            if asked is not None and await Attempt(self._means, asked, request, service).made():
                return True
        self._count("here")
        return False

    def _count(self, outcome: str) -> None:
        self._counters.add(self._counters.peer_requests, outcome)
