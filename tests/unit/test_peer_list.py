"""The list of members as an origin signs it: taken from a real origin, and what is not taken."""

import asyncio
import time
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web

from edge.peers.listed import AGE_MAX_S, Listed
from edge.peers.members import Members
from tests.support.fleet import FleetOrigin, fleet_origin
from vmimage.heartbeat import Heartbeat
from vmimage.membership import MEMBERSHIP_MAX, Member, Membership, sign_membership

SHA = {name: letter * 64 for name, letter in (("one", "a"), ("two", "b"), ("far", "c"), ("mute", "d"))}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetOrigin]:
    """One to which four edges have spoken; one of them has no listener."""
    with fleet_origin(tmp_path_factory.mktemp("origin")) as running:
        for name, certificate in SHA.items():
            peer, sha = ("", "") if name == "mute" else (f"127.0.0.1:{ord(name[0])}", certificate)
            pop = "elsewhere" if name == "far" else "here"
            beat = Heartbeat(edge=name, pop=pop, version="1", peer=peer, peer_sha256=sha, requests_s=20.0)
            assert running.ask("POST", "/fleet/heartbeats", beat.to_bytes(), running.token(name, pop)).status == 200
        yield running


@pytest.fixture
def members() -> Members:
    """Of edge `one`."""
    return Members(SHA["one"])


@pytest.fixture
def listed(origin: FleetOrigin, members: Members) -> Listed:
    root = origin.keys.trust.root
    return Listed(origin.url, "here", "one", origin.token("one", "here"), lambda: root, members)


def look(listed: Listed) -> str:
    async def once() -> str:
        async with aiohttp.ClientSession() as session:
            return await listed.look(session)

    return asyncio.run(once())


def test_an_edge_has_the_weight_that_its_token_says(origin: FleetOrigin) -> None:
    certificates = {"large": "e" * 64, "small": "f" * 64}
    tokens = {"large": origin.token("large", "other", 3.0), "small": origin.token("small", "other")}
    for name, sha in certificates.items():
        beat = Heartbeat(edge=name, pop="other", version="1", peer="127.0.0.1:1", peer_sha256=sha)
        assert origin.ask("POST", "/fleet/heartbeats", beat.to_bytes(), tokens[name]).status == 200
    members = Members(certificates["small"])
    root = origin.keys.trust.root
    assert look(Listed(origin.url, "other", "small", tokens["small"], lambda: root, members)) == ""
    assert {each.id: each.weight for each in members.owners.members} == {"large": 3.0, "small": 1.0}
    keys = [str(number).encode() for number in range(400)]
    first = sum(members.owners.ranked(key)[0] == "large" for key in keys)
    assert 0.65 < first / len(keys) < 0.85, "three of four"


def test_members_are_those_of_the_pop_that_have_a_listener(listed: Listed, members: Members) -> None:
    assert look(listed) == ""
    assert members.here == "one"
    assert [(each.id, each.address, each.sha256, each.load) for each in members.others] == [
        ("two", "127.0.0.1:116", SHA["two"], 20.0)
    ]


@pytest.mark.parametrize(
    ("pop", "ago_s", "why"),
    [("elsewhere", 0.0, "expected, got those of"), ("here", AGE_MAX_S + 60, "got an older one")],
    ids=["other-pop", "old"],
)
def test_a_list_that_is_not_of_now_and_here_changes_nothing(
    origin: FleetOrigin, members: Members, pop: str, ago_s: float, why: str
) -> None:
    """What somebody on the way gives in place of the origin's answer: an earlier one, or one for another."""
    (said,) = told(origin, members, [signed(origin, pop, ago_s)])
    assert why in said
    assert not members.others


def test_a_list_that_was_known_before_or_that_nobody_signed_changes_nothing(
    origin: FleetOrigin, members: Members
) -> None:
    good, earlier = signed(origin, "here", 0.0), signed(origin, "here", 5.0)
    said = told(origin, members, [good, earlier, good.replace(b"here", b"hare"), b"{}", b"x" * MEMBERSHIP_MAX + b"x"])
    assert said[0] == ""
    assert "older than the one before" in said[1]
    assert all(said[1:])
    assert len(members.others) == len(SHA) - 1


def test_an_origin_that_is_away_or_knows_no_such_edge_changes_nothing(origin: FleetOrigin, members: Members) -> None:
    root = origin.keys.trust.root
    assert "401" in look(Listed(origin.url, "here", "one", "wrong", lambda: root, members))
    assert look(Listed("http://127.0.0.1:9", "here", "one", "token", lambda: root, members))
    assert "not seen" in look(Listed(origin.url, "here", "one", "token", lambda: None, members))
    assert not members.others


def signed(origin: FleetOrigin, pop: str, ago_s: float) -> bytes:
    """A list with all edges, of some seconds ago."""
    entries = tuple(Member(name, pop, "127.0.0.1:1", sha, 0.0, 0, 0, 0) for name, sha in sorted(SHA.items()))
    at_ms = int((time.time() - ago_s) * 1000)
    return sign_membership(Membership(origin.feed.log.origin, pop, at_ms, entries), origin.feed.signer)


def told(origin: FleetOrigin, members: Members, answers: list[bytes]) -> list[str]:
    """What comes of each look of one edge, where these stand in the place of the origin's answers."""
    left = iter(answers)

    async def give(_: web.Request) -> web.Response:
        return web.Response(body=next(left))

    async def run() -> list[str]:
        app = web.Application()
        app.router.add_get("/fleet/members", give)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            root = origin.keys.trust.root
            listed = Listed(f"http://{host}:{port}", "here", "one", "token", lambda: root, members)
            async with aiohttp.ClientSession() as session:
                return [await listed.look(session) for _ in answers]
        finally:
            await runner.cleanup()

    return asyncio.run(run())
