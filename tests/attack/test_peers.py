"""Peers that are none, peers of another POP, peers that lie: over real TLS, and what an edge is left with."""

import asyncio
import socket
from pathlib import Path

import pytest

from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.content.blobs import Load
from edge.peers.store import Collapsed, PeerStore
from tests.support.peering import DATA, REF, Content, Scene, a_ref_of, fetched, play
from vmimage.errors import PeerFailed, VerificationError


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
