"""Peers and strangers that take their time: what may a handshake, and an answer that nobody reads, cost an edge?"""

import asyncio
import socket
from pathlib import Path

import pytest

from edge.content.blobs import Load, Ref
from edge.content.coming import HELD_BACK
from edge.peers.link import Link
from edge.peers.store import PATH, SIZE
from edge.sources.partial import Partial
from tests.support.peering import DATA, REF, Content, Scene, play
from vmimage.errors import PeerFailed, VerificationError
from vmimage.manifest import digest_of


class Slowly(Content):
    """A store whose source gives a part, and the rest when it is told to."""

    def __init__(self, *, forged: bool = False) -> None:
        super().__init__()
        self.rest, self._forged = asyncio.Event(), forged

    async def get(self, ref: Ref, load: Load) -> bytes:
        partial, half = Partial(ref), len(DATA) // 2
        partial.begin("source", 0, len(DATA))
        partial.add(DATA[:half])
        load.progress(partial)
        await self.rest.wait()
        partial.add(DATA[half:])
        load.progress(partial)
        await asyncio.sleep(0)
        if self._forged:
            raise VerificationError("another digest expected")
        return DATA


def ask(link: Link, ref: Ref = REF) -> None:
    head = f"GET {PATH}blobs/{ref.digest} HTTP/1.1\r\nHost: peer\r\n".encode()
    link.begin(head + b"%b: %d exact\r\n\r\n" % (SIZE, ref.size), bodiless=False)


async def link_of(at: Scene) -> Link:
    asked = at.asks.asking.of("good")
    assert asked is not None
    return await asked.link()


async def read(link: Link, most: int) -> bytes:
    """So many bytes, or all."""
    data = b""
    while len(data) < most and (part := await link.part()) is not None:
        data += part
    return data


@pytest.mark.parametrize("forged", [False, True], ids=["true", "forged"])
def test_content_is_given_on_while_it_comes_and_its_end_once_it_is_verified(tmp_path: Path, forged: bool) -> None:
    async def scene(at: Scene) -> None:
        content = at.good.content
        assert isinstance(content, Slowly)
        link = await link_of(at)
        ask(link)
        half = await read(link, len(DATA) // 2)
        assert half == DATA[: len(DATA) // 2]
        assert not link.complete
        content.rest.set()
        if forged:
            with pytest.raises(PeerFailed):
                await read(link, len(DATA))
            assert not link.complete
        else:
            assert half + await read(link, len(DATA)) == DATA
            assert link.reusable

    async def made() -> Content:
        return Slowly(forged=forged)

    play(tmp_path, scene, asyncio.run(made()))
    assert len(DATA) // 2 > HELD_BACK


def test_a_place_is_taken_until_the_content_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.peers.door.FETCHES_MAX", 1)
    large = b"much" * (4 << 20)
    ref = Ref("blobs", digest_of(large), len(large))

    async def scene(at: Scene) -> None:
        lazy, next_one = await link_of(at), await link_of(at)
        ask(lazy, ref)
        await lazy.head()
        ask(next_one, ref)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(at.good.content.asked) == 1
        assert not next_one.fields
        lazy.close()
        assert await read(next_one, len(large)) == large
        assert len(at.good.content.asked) == 2

    play(tmp_path, scene, Content(large))


def test_a_member_that_takes_nothing_leaves_places_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.peers.door.FETCHES_MAX", 3)
    monkeypatch.setattr("edge.peers.door.FETCHES_EACH", 2)
    large = b"much" * (4 << 20)
    ref = Ref("blobs", digest_of(large), len(large))

    async def scene(at: Scene) -> None:
        third = at.stranger.peer("third")
        listed = [at.good.peer("good"), at.asks.peer("asks"), third]
        for edge in (at.good, at.stranger):
            edge.members.take(listed)
        await at.good.knows(third)
        lazy = [await link_of(at) for _ in range(4)]
        for each in lazy:
            ask(each, ref)
        asked = at.stranger.asking.of("good")
        assert asked is not None
        link = await asked.link()
        ask(link, ref)
        assert await read(link, len(large)) == large
        assert len(at.good.content.asked) == 3
        for each in lazy:
            each.close()

    play(tmp_path, scene, Content(large))


def test_who_takes_content_too_slowly_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.common.pace.PATIENCE_S", 0.0)
    monkeypatch.setattr("edge.common.pace.SLOWEST", 1 << 40)
    large = b"much" * (4 << 20)

    async def scene(at: Scene) -> None:
        lazy = await link_of(at)
        ask(lazy, Ref("blobs", digest_of(large), len(large)))
        await lazy.head()
        while not at.good.counters.cut_answers:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
        with pytest.raises(PeerFailed):
            await read(lazy, len(large))

    play(tmp_path, scene, Content(large))


def strangers(at: Scene, count: int) -> list[socket.socket]:
    """Connections on which nothing is said."""
    host, _, port = at.good.door.where.rpartition(":")
    return [socket.create_connection((host, int(port)), timeout=20) for _ in range(count)]


def ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_handshakes_that_nobody_goes_on_with_are_bounded_and_hinder_no_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.peers.listener.HANDSHAKES_MAX", 8)
    monkeypatch.setattr("edge.peers.listener.HANDSHAKE_S", 1000.0)

    async def scene(at: Scene) -> None:
        silent = await asyncio.to_thread(strangers, at, 40)
        try:
            (await link_of(at)).close()
            while sum(map(ended, silent)) < len(silent) - 6:  # noqa: ASYNC110  # an address has three quarters
                await asyncio.sleep(0.01)
        finally:
            for each in silent:
                each.close()

    play(tmp_path, scene)


def test_a_handshake_has_a_deadline_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.peers.listener.HANDSHAKE_S", 0.1)

    async def scene(at: Scene) -> None:
        [silent] = await asyncio.to_thread(strangers, at, 1)
        with silent:
            assert await asyncio.to_thread(silent.recv, 1) == b""

    play(tmp_path, scene)
