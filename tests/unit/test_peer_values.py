"""Lists of members, words between peers, health, and what was void when: values and decisions, without I/O."""

import json
from pathlib import Path

import pytest

from edge.cache.voids import OF_SERVICE_MAX, VOIDS_MAX, Voids
from edge.front.nobody import Nobody
from edge.front.reached import DIRECTLY, Reached
from edge.front.request import Request
from edge.model.tracing import Trace
from edge.peers.health import FAILURES, PAUSE_MAX_S, Health
from edge.peers.identity import load_identity
from edge.peers.members import Members, Peer, parse_members, read_members
from edge.peers.onward import answered, head_of
from edge.peers.said import Forwarded, parse_forwarded_by_peer
from vmimage.errors import OperatorError

IMAGE = "sha256:" + "a" * 64
TRACE = Trace(b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01", b"", b"")


def peer(id: str, pop: str = "here") -> Peer:
    return Peer(id, pop, f"127.0.0.1:{len(id)}", (id * 64)[:64].translate(str.maketrans("ghijklmnop", "0123456789")))


def entry(**other: object) -> dict[str, object]:
    return {"id": "a", "pop": "here", "peer": "127.0.0.1:1", "sha256": "a" * 64, **other}


# The list of members.


def test_an_edge_finds_itself_by_its_certificate_and_has_its_pop_for_peers() -> None:
    members = Members(peer("a").sha256)
    changes: list[int] = []
    members.on_change = lambda: changes.append(len(members.others))
    members.take([peer("a"), peer("b"), peer("c"), peer("d", "elsewhere")])
    assert members.here == "a"
    assert [each.id for each in members.others] == ["b", "c"]
    assert members.by_certificate(peer("d").sha256) is None
    owners = members.owners
    members.take([peer("c")._replace(load=5.0), peer("a"), peer("b")])
    assert members.owners is owners, "other loads move nothing"
    members.take([peer("b"), peer("c")])
    assert (members.here, members.others) == ("", []), "who is not in the list has no peers"
    assert changes == [2, 0], "loads change nothing"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (entry(id="A b"), "id"),
        (entry(pop=""), "pop"),
        (entry(peer="host"), "HOST:PORT"),
        (entry(peer="127.0.0.1:0"), "HOST:PORT"),
        (entry(sha256="A" * 64), "hexadecimal"),
        (entry(weight=0), "weight"),
        (entry(weight=float("nan")), "weight"),
        (entry(weight=True), "weight"),
        (entry(more=1), "members with"),
        ("a", "members with"),
        (entry(id=5), "texts"),
    ],
)
def test_a_list_is_refused_as_a_whole(wrong: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_members({"members": [entry(), wrong] if wrong != entry() else [wrong]})


def test_a_list_names_each_once_and_nothing_else(tmp_path: Path) -> None:
    value: object
    for value in ([], {"members": 1}, {"members": [], "more": 1}, {"members": [entry(), entry(id="b")]}):
        with pytest.raises(ValueError, match="expected"):
            parse_members(value)
    file = tmp_path / "peers.json"
    with pytest.raises(OperatorError, match="No such file"):
        read_members(file)
    file.write_text("[" * 100_000)
    with pytest.raises(OperatorError, match="peers"):
        read_members(file)
    file.write_text(json.dumps({"members": [entry(weight=2)]}))
    assert read_members(file) == [Peer("a", "here", "127.0.0.1:1", "a" * 64, 2.0)]


def test_an_identity_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    first = load_identity(tmp_path)
    assert load_identity(tmp_path) == first
    assert first.file.stat().st_mode & 0o777 == 0o600
    first.file.write_text("something else")
    with pytest.raises(OperatorError, match="remove it"):
        load_identity(tmp_path)


# What peers say.


@pytest.mark.parametrize(
    "said",
    [
        Forwarded("127.0.0.1", DIRECTLY, b"id-1", IMAGE, None),
        Forwarded("2001:db8::1", Reached(443, None, True, True), b"x", IMAGE, 0),
        Forwarded("", Reached(8080), b"x.y_z", IMAGE, 123456),
    ],
)
def test_what_a_peer_says_is_read_as_it_was_meant(said: Forwarded) -> None:
    assert parse_forwarded_by_peer(said.line()) == said


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"2 127.0.0.1 80 - id " + IMAGE.encode() + b" -",
        b"1 127.0.0.1 80 - id " + IMAGE.encode(),
        b"1 127.0.0.1 99999 - id " + IMAGE.encode() + b" -",
        b"1 127.0.0.1 80 - id\r\n " + IMAGE.encode() + b" -",
        b"1 evil\0 80 - id " + IMAGE.encode() + b" -",
        b"1 127.0.0.1 80 x id " + IMAGE.encode() + b" -",
        b"1 127.0.0.1 80 - id sha256:short -",
        b"1 127.0.0.1 80 - id " + IMAGE.encode() + b" -5",
    ],
)
def test_what_is_not_in_that_form_says_nothing(said: bytes) -> None:
    assert parse_forwarded_by_peer(said) is None


def test_a_request_goes_on_without_what_only_peers_may_say() -> None:
    request = Request(Nobody("192.0.2.1", DIRECTLY))
    request.method, request.target, request.host, request.loops = "POST", "/a?b", "x.test", "other, nunatak"
    request.content_length = 5
    request.headers = [
        (b"Host", b"x.test"),
        (b"X-Nunatak-Peer", b"1 203.0.113.9 80 - forged " + IMAGE.encode() + b" -"),
        (b"x-nunatak-size", b"1"),
        (b"Connection", b"close, X-Private"),
        (b"X-Private", b"for this hop"),
        (b"Transfer-Encoding", b"chunked"),
        (b"X-Request-Id", b"theirs"),
        (b"CDN-Loop", b"other, nunatak"),
        (b"Expect", b"100-continue"),
        (b"Accept", b"*/*"),
    ]
    said = Forwarded("192.0.2.1", DIRECTLY, b"ours", IMAGE, None)
    head = head_of(request, said, TRACE, b"1.1 nunatak", length=5, waits=False)
    assert head.split(b"\r\n") == [
        b"POST /a?b HTTP/1.1",
        b"Host: x.test",
        b"Accept: */*",
        b"Content-Length: 5",
        b"Via: 1.1 nunatak",
        b"CDN-Loop: other, nunatak, nunatak",
        b"Traceparent: " + TRACE.said,
        b"x-nunatak-peer: " + said.line(),
        b"",
        b"",
    ]


def test_an_answer_is_read_as_a_guests_with_what_the_peer_says_of_it_apart() -> None:
    answer = answered(
        200,
        [
            (b"Date", b"Thu, 01 Jan 1970 00:00:00 GMT"),
            (b"Content-Type", b"text/plain"),
            (b"Content-Length", b"3"),
            (b"Cache-Tag", b"one"),
            (b"Age", b"5"),
            (b"X-Nunatak-Image", IMAGE.encode()),
            (b"X-Nunatak-Since", b"1234"),
            (b"Cache-Status", b"nunatak; hit; ttl=55"),
            (b"Server-Timing", b"restore;dur=0.1, guest;dur=0.2"),
            (b"Connection", b"close"),
        ],
    )
    assert answer.block == b"Status\x00200\0Content-Type\0text/plain\0Content-Length\x003\0Cache-Tag\0one\0Age\x005\0\0"
    assert answer.before == (
        b"Cache-Status: nunatak-pop; hit; ttl=55\r\nServer-Timing: restore;dur=0.1, guest;dur=0.2\r\n"
    )
    assert (answer.image, answer.since_ms, answer.elsewhere, answer.refused) == (IMAGE, 1234, "", "")
    refused = answered(503, [(b"X-Nunatak-Error", b"unavailable"), (b"Retry-After", b"7")])
    assert (refused.refused, refused.retry_after_s) == ("unavailable", 7)
    assert answered(200, [(b"X-Nunatak-Since", b"-1")]).since_ms is None


# Health.


def test_a_peer_is_left_alone_after_failures_in_a_row_for_longer_each_time() -> None:
    health, now = Health(), 100.0
    for _ in range(FAILURES - 1):
        health.failed(now, 1.0)
        assert health.alive(now)
    health.answered()
    for _ in range(FAILURES):
        health.failed(now, 1.0)
    assert not health.alive(now + 0.9)
    assert health.alive(now + 1.0)
    health.failed(now, 1.0)
    assert not health.alive(now + 1.9)
    for _ in range(5000):
        health.failed(now, 0.0)
    assert not health.alive(now + PAUSE_MAX_S / 2 - 0.1)
    assert health.alive(now + PAUSE_MAX_S / 2), "edges do not come back all at once"
    health.answered()
    assert health.alive(now)


# What was void when.


def test_what_is_forgotten_counts_as_void() -> None:
    voids = Voids()
    assert voids.last(("a", "x/1")) == 0.0
    for number in range(OF_SERVICE_MAX + 1):
        voids.note(("a", f"x/{number}"), 10.0 + number)
    assert voids.last(("a", "x/1")) == 11.0
    assert voids.last(("a", "x/0")) == voids.last(("a", "never")) == 10.0, "forgotten"
    assert voids.last(("b", "x/1")) == 0.0, "of others nothing was forgotten"
    for number in range(VOIDS_MAX):
        voids.note((f"service-{number}", "x/"), 5000.0 + number)
    assert voids.last(("b", "x/1")) >= 5000.0
    assert len(voids) <= VOIDS_MAX


def test_who_shows_another_edges_certificate_as_its_own_takes_nobodys_place() -> None:
    """In a list of what edges say of themselves: the thief comes first, by its name."""
    true, false = peer("b"), peer("b")._replace(id="a", address="thief:1")
    members = Members(true.sha256)
    members.take([false, true, peer("c")], "b")
    assert members.here == "b"
    assert [each.id for each in members.others] == ["a", "c"]
    assert members.by_certificate(true.sha256) is None, "nobody but this edge has it"
    assert {each.id for each in members.owners.members} == {"a", "b", "c"}
    members.take([false, peer("c")], "b")
    assert (members.here, members.others) == ("", []), "it does not go by another's name"
