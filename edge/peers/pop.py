"""All that makes an edge one of its POP: put together here, begun with the edge, and ended with it.

Without a listener for peers there is nothing of it: no store asks a peer, and no request goes to one.
"""

from collections.abc import Callable
from typing import Final

from tuf.api.metadata import Root

from edge.common import log
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.config.options import EdgeConfig
from edge.content.blobs import Store
from edge.front.http import Front
from edge.peers.asking import Asking
from edge.peers.door import PeerDoor
from edge.peers.forwarding import Forwarding
from edge.peers.identity import load_identity
from edge.peers.listed import Listed
from edge.peers.members import Members, Peer, read_members
from edge.peers.store import Collapsed, PeerStore
from edge.peers.taking import Taking
from edge.peers.tls import Trust
from edge.supervisor.supervisor import Supervisor

_logger: Final = log.logger("peers")


class Pop:
    """For an edge with a listener for peers.

    :raises OperatorError: its identity, or the list of members, cannot be used.
    """

    def __init__(self, config: EdgeConfig, counters: Counters) -> None:
        self._config, self._counters = config, counters
        self.tasks: Final = Tasks(counters)
        self.identity: Final = load_identity(config.cache)
        self.members: Final = Members(self.identity.sha256)
        self._trust = Trust(self.identity, self.members)
        self._asking = Asking(self.members, self._trust, counters)
        self.members.on_change = self._changed
        self._door: PeerDoor | None = None
        self._taking: Taking | None = None
        self._forwarding: Forwarding | None = None
        self.reload(config)

    def store(self, inner: Store) -> Store:
        """Owners in the POP before an edge's other sources, which are asked once for what several want."""
        return PeerStore(self._asking, Collapsed(inner, self.tasks), self._config.origin_timeout, self._counters)

    async def begin(self, front: Front, supervisor: Supervisor, store: Store) -> None:
        """Serve peers, and have them serve.

        :param store: of content by digest, this edge's own.
        :raises OperatorError: there can be no listener.
        """
        self._taking = Taking(front, supervisor.directory, self._config, self.tasks, self._counters)
        self._door = PeerDoor(self.members, self._trust, store, self._taking, self._counters)
        assert self._config.peer_address is not None  # there is a listener, so this is
        await self._door.listen(self._config.peer_address)
        self.tasks.keep("certificates", self._trust.keep_learning)
        purges = supervisor.responses.purges
        self._forwarding = Forwarding(front, self._asking, purges, self._config, self.tasks, self._counters)
        front.elsewhere = self._forwarding
        log.announce(f"nunatak edge: peers on {self._door.where}, certificate {self.identity.sha256}")

    def follow(self, root: Callable[[], Root | None]) -> None:
        """Go by the list that the origin signs, where the operator gives none and the origin knows this edge.

        :param root: that the edge believes now.
        """
        config = self._config
        if config.edge_token and config.peer_file is None:
            listed = Listed(config.origin, config.pop, config.edge_name, config.edge_secret, root, self.members)
            self.tasks.keep("members", listed.run)

    def said(self) -> tuple[str, str]:
        """Where peers reach this edge, and by what they know it: for its heart-beats."""
        return (self._door.where, self.identity.sha256) if self._door is not None else ("", "")

    @property
    def listeners(self) -> list[tuple[str, int]]:
        """Addresses and ports of the listener for peers, which no guest may reach."""
        return self._door.listeners if self._door is not None else []

    def take(self, listed: list[Peer]) -> None:
        """Go by another list of members."""
        self.members.take(listed)

    def reload(self, config: EdgeConfig) -> None:
        """Go by other options, and by the operator's list as it is now.

        :raises OperatorError: it cannot be used; what was in use stays.
        """
        file = config.peer_file
        listed = read_members(file) if file is not None else None
        self._config = config
        if listed is not None:
            self.take(listed)
        if self._forwarding is not None:
            self._forwarding.reconfigure(config)
        if self._taking is not None:
            self._taking.reconfigure(config)

    def _changed(self) -> None:
        self._trust.look()
        self._asking.take()
        here, others = self.members.here, len(self.members.others)
        _logger.info(log.line("members", here=here or "not in the list", peers=others))

    async def close(self) -> None:
        """Take nothing more from peers and ask them nothing; what is under way for them has ended."""
        if self._door is not None:
            await self._door.close()
        self._asking.close()
        await self.tasks.close()


def pop_of(config: EdgeConfig, counters: Counters) -> Pop | None:
    """None without a listener for peers. :raises OperatorError: as `Pop`."""
    return Pop(config, counters) if config.peer_address is not None else None
