"""Peers that are none, peers of another POP, peers that lie: over real TLS, and what an edge is left with."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

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
from vmimage.errors import OriginError, PeerFailed, VerificationError
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


def test_members_have_content_from_their_owner(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.good.content.data, ref = a_ref_of(at.asks, "good")
        assert await fetched(at.asks, ref) == at.good.content.data
        assert at.asks.counters.peer_fetches == {"found": 1}
        assert at.asks.content.asked == []

    play(tmp_path, scene)


def test_a_certificate_that_is_no_members_opens_nothing(tmp_path: Path) -> None:
    """The stranger knows the whole list, and calls itself a member."""

    async def scene(at: Scene) -> None:
        at.stranger.members.take([at.good.peer("good"), at.stranger.peer("asks")])
        asked = at.stranger.asking.of("good")
        assert asked is not None
        with pytest.raises(PeerFailed):
            await asked.link()
        assert at.good.content.asked == []

    play(tmp_path, scene)


def test_a_member_of_another_pop_is_no_peer(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        listed = [at.good.peer("good"), at.stranger.peer("far", "elsewhere")]
        at.good.members.take(listed)
        at.stranger.members.take(listed)
        assert not at.good.members.others
        assert not at.stranger.members.others
        at.stranger.members.take([at.good.peer("good"), at.stranger.peer("far")])  # it lies to itself
        asked = at.stranger.asking.of("good")
        assert asked is not None
        with pytest.raises(PeerFailed):
            await asked.link()

    play(tmp_path, scene)


def test_who_has_left_the_list_is_refused_on_a_connection_that_was_open(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        asked = at.asks.asking.of("good")
        assert asked is not None
        asked.give(await asked.link())
        at.good.members.take([at.good.peer("good")])
        link = await asked.link()
        link.begin(b"GET /v2/nunatak/blobs/%b HTTP/1.1\r\nHost: peer\r\n\r\n" % REF.digest.encode(), bodiless=False)
        with pytest.raises(PeerFailed):
            await link.head()
        assert at.good.counters.peers_refused == {"left": 1}
        with pytest.raises(PeerFailed):  # TLS would let it in: its certificate was learned
            await asked.link()
        assert at.good.counters.peers_refused == {"left": 1, "no-member": 1}
        assert at.good.content.asked == []

    play(tmp_path, scene)


def test_an_address_where_another_edge_listens_is_not_asked(tmp_path: Path) -> None:
    """The stranger listens where the good one did."""

    async def scene(at: Scene) -> None:
        false = at.good.peer("good")._replace(address=at.stranger.door.where)
        at.asks.members.take([false, at.asks.peer("asks")])
        asked = at.asks.asking.of("good")
        assert asked is not None
        with pytest.raises(PeerFailed, match="another certificate"):
            await asked.link()

    play(tmp_path, scene)


def test_who_speaks_no_tls_or_shows_no_certificate_is_answered_nothing(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        host, _, port = at.good.door.where.rpartition(":")

        def plainly() -> bytes:
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(b"GET /-/peer HTTP/1.1\r\nHost: peer\r\n\r\n")
                try:
                    return connection.recv(1000)
                except ConnectionResetError:
                    return b""

        assert b"HTTP" not in await asyncio.to_thread(plainly)

    play(tmp_path, scene)


@pytest.mark.parametrize("lie", [b"x" * len(DATA), DATA[:-1], DATA + b"x", b""], ids=["other", "less", "more", "none"])
def test_of_an_owner_that_lies_nothing_is_kept_and_others_are_asked(tmp_path: Path, lie: bytes) -> None:
    """Three lies, and it is left alone for a while."""

    async def scene(at: Scene) -> None:
        true, ref = a_ref_of(at.asks, "good")
        at.asks.content.data = true  # its other sources are honest
        for _ in range(3):
            assert await fetched(at.asks, ref) == true
        assert at.asks.counters.peer_errors == {"good": 3}
        assert at.asks.asking.of("good") is None
        asked_before = len(at.good.content.asked)
        assert await fetched(at.asks, ref) == true
        assert len(at.good.content.asked) == asked_before

    play(tmp_path, scene, Content(lie))


def test_a_peer_asks_no_peer_for_a_peer(tmp_path: Path) -> None:
    """Two lists that differ: each takes the other for the owner, and neither asks in circles."""

    async def scene(at: Scene) -> None:
        _, ref = a_ref_of(at.good, "asks")
        store = PeerStore(at.good.asking, at.good.content, 5.0, at.good.counters)
        assert await store.get(ref, Load(for_peer=True)) == at.good.content.data
        assert at.good.counters.peer_fetches == {}

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /-/metrics HTTP/1.1",
        b"GET /-/drain HTTP/1.1",
        b"GET / HTTP/1.1",
        b"POST /v2/nunatak/blobs/uploads/ HTTP/1.1",
        b"GET /v2/nunatak/blobs/sha256:" + b"0" * 64 + b" HTTP/1.1",  # of no size
        b"GET /v2/nunatak/blobs/sha256:" + b"0" * 64 + b" HTTP/1.1\r\nX-Nunatak-Size: 999999999999 exact",
        b"GET /v2/nunatak/blobs/sha256:../../x HTTP/1.1\r\nX-Nunatak-Size: 1 exact",
    ],
    ids=["metrics", "drain", "root", "upload", "no-size", "too-large", "no-digest"],
)
def test_even_a_member_finds_nothing_else_there(tmp_path: Path, head: bytes) -> None:
    async def scene(at: Scene) -> None:
        asked = at.asks.asking.of("good")
        assert asked is not None
        link = await asked.link()
        link.begin(head + b"\r\nHost: peer\r\n\r\n", bodiless=False)
        await link.head()
        assert link.status in (404, 405)
        assert at.good.content.asked == []

    play(tmp_path, scene)


def test_a_store_behind_a_flight_checks_what_each_wanted(tmp_path: Path) -> None:
    """Who asks with another size than the one before does not have what does not fit."""

    async def run() -> None:
        tasks = Tasks(Counters())
        store = Collapsed(Content(), tasks)
        assert await store.get(REF, Load()) == DATA
        with pytest.raises(VerificationError):
            await store.get(REF._replace(size=5), Load())
        await tasks.close()

    asyncio.run(run())
