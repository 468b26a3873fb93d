"""Edges of one POP without their machines, over real TLS on loopback."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.content.blobs import Load, Ref
from edge.peers.asking import Asking
from edge.peers.door import PeerDoor
from edge.peers.identity import load_identity
from edge.peers.members import Members, Peer
from edge.peers.store import Collapsed, PeerStore
from edge.peers.taking import Taking
from edge.peers.tls import Trust
from vmimage.errors import OriginError
from vmimage.manifest import digest_of

DATA = b"what everybody wants" * 1000
REF = Ref("blobs", digest_of(DATA), len(DATA))


class Content:
    """A store that has this, or says so; what it was asked for it remembers."""

    def __init__(self, data: bytes | None = DATA) -> None:
        self.data, self.asked = data, list[str]()

    async def get(self, ref: Ref, load: Load) -> bytes:
        """:raises OriginError: it has nothing."""
        self.asked.append(ref.digest)
        if self.data is None:
            raise OriginError("nothing here")
        return self.data


class Edge:
    """What an edge has to do with peers, without its machines."""

    def __init__(self, folder: Path, content: Content) -> None:
        self.counters, self.content = Counters(), content
        self.identity = load_identity(folder)
        self.members = Members(self.identity.sha256)
        self.trust = Trust(self.identity, self.members)
        self.asking = Asking(self.members, self.trust, self.counters)
        self.members.on_change = self._changed
        # Nobody gets so far as to have a client's request taken: that would be an AttributeError.
        self.door = PeerDoor(self.members, self.trust, content, cast(Taking, None), self.counters)
        self.tasks = Tasks(self.counters)

    def _changed(self) -> None:
        self.trust.look()
        self.asking.take()

    async def open(self) -> None:
        await self.door.listen(("127.0.0.1", 0))
        self.tasks.keep("certificates", self.trust.keep_learning)

    async def close(self) -> None:
        self.asking.close()
        await self.tasks.close()
        await self.door.close()

    def peer(self, id: str, pop: str = "here") -> Peer:
        """As a list has it."""
        return Peer(id, pop, self.door.where, self.identity.sha256)

    async def knows(self, *others: Peer) -> None:
        """Wait until it accepts them."""
        while not all(map(self.trust.knows, others)):  # noqa: ASYNC110  # it tells nobody but its log
            await asyncio.sleep(0.01)


@dataclass
class Scene:
    """Two edges of one POP, and one that is of none."""

    good: Edge
    asks: Edge
    stranger: Edge


Play = Callable[[Scene], Awaitable[None]]


def play(tmp_path: Path, scene: Play, content: Content | None = None) -> None:
    """:param content: what the good one has."""

    async def run() -> None:
        for name in ("good", "asks", "stranger"):
            (tmp_path / name).mkdir()
        edges = [Edge(tmp_path / "good", content or Content())]
        edges += [Edge(tmp_path / name, Content(None)) for name in ("asks", "stranger")]
        good, asks, _ = edges
        try:
            async with asyncio.timeout(30):
                for edge in edges:
                    await edge.open()
                listed = [good.peer("good"), asks.peer("asks")]
                for edge in (good, asks):
                    edge.members.take(listed)
                await good.knows(listed[1])
                await asks.knows(listed[0])
                await scene(Scene(*edges))
        finally:
            for edge in edges:
                await edge.close()

    asyncio.run(run())


async def fetched(edge: Edge, ref: Ref = REF) -> bytes:
    """What it gets of its peers, or else of its own source, which has nothing."""
    tasks = Tasks(edge.counters)
    try:
        return await PeerStore(edge.asking, Collapsed(edge.content, tasks), 5.0, edge.counters).get(ref, Load())
    finally:
        await tasks.close()


def a_ref_of(edge: Edge, owner: str) -> tuple[bytes, Ref]:
    """Content whose first owner that is."""
    for number in range(1000):
        data = DATA + bytes([number % 256, number // 256])
        if edge.members.owners.of(digest_of(data).encode())[0] == owner:
            return data, Ref("blobs", digest_of(data), len(data))
    raise AssertionError
