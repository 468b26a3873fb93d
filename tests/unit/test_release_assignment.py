"""Does a visitor keep the version that he has, can he not choose it, and do shares hold?"""

import secrets
from dataclasses import replace
from itertools import pairwise

import pytest

from edge.releases.assignment import (
    COOKIE,
    choice_in,
    cookie_in,
    cookie_line,
    key_of,
    network_of,
    version_for,
    visitor_of,
)
from vmimage.release import ALL, Candidate, place_of

KEY = key_of(b"a secret of the fleet")
CANDIDATE = Candidate("sha256:" + "cd" * 32, 1300, None, "2026-11-27T01:02:03Z", 100)
VISITORS = [b"visitor %d" % number for number in range(20_000)]


def _of(share: int, service: str = "hello", candidate: Candidate = CANDIDATE) -> set[bytes]:
    released = replace(candidate, share=share)
    return {visitor for visitor in VISITORS if version_for(KEY, service, released, visitor) == "candidate"}


def test_widening_moves_visitors_from_the_stable_version_only() -> None:
    steps = [_of(share) for share in (1, 100, 500, 2500, ALL)]
    assert all(before <= after for before, after in pairwise(steps))
    assert steps[-1] == set(VISITORS)


def test_a_share_is_a_share_of_the_visitors() -> None:
    assert [len(_of(share)) for share in (100, 2500)] == [
        pytest.approx(200, rel=0.25),
        pytest.approx(5000, rel=0.05),
    ]


def test_each_release_and_each_service_takes_other_visitors() -> None:
    again, other = replace(CANDIDATE, since="2026-11-28T01:02:03Z"), "other"
    first = _of(500)
    for second in (_of(500, candidate=again), _of(500, other)):
        assert len(first & second) < len(first) / 5  # 5 % of them by chance


def test_the_place_of_a_visitor_is_the_same_on_every_edge_that_has_the_key_and_on_no_other() -> None:
    same, other = key_of(b"a secret of the fleet"), key_of(b"another")
    places = [[place_of(key, "hello", "r", visitor) for visitor in VISITORS[:100]] for key in (KEY, same, other)]
    assert places[0] == places[1] != places[2]


def test_who_tries_cookies_without_the_key_finds_the_candidate_no_oftener_than_anybody() -> None:
    """He knows service, release and share, all of which is public, and picks names that his own key leads there."""
    his = key_of(b"a guess")
    picked = [visitor for visitor in VISITORS if place_of(his, "hello", CANDIDATE.release, visitor) < 100]
    hits = sum(version_for(KEY, "hello", CANDIDATE, visitor) == "candidate" for visitor in picked)
    assert len(picked) > 100
    assert hits <= len(picked) / 10


@pytest.mark.parametrize(
    ("address", "network"),
    [
        (b"192.0.2.77", b"192.0.2.0/24"),
        (b"::ffff:192.0.2.77", b"192.0.2.0/24"),
        (b"2001:db8:1:2::3", b"2001:db8:1::/48"),
        (b"fe80::1%eth0", b"fe80::/48"),
        (b"somebody", b"somebody"),
        (b"", b""),
    ],
)
def test_a_network_stands_for_who_has_no_cookie(address: bytes, network: bytes) -> None:
    assert network_of(address) == network


def test_a_cookie_is_read_where_there_is_one_of_ours() -> None:
    value = secrets.token_urlsafe(16).encode()
    pair = COOKIE + b"=" + value
    assert cookie_in([(b"Cookie", b"a=b; " + pair + b"; c=d")]) == value
    assert cookie_in([(b"cookie", pair)]) == value
    assert cookie_line(value).startswith(b"Set-Cookie: " + pair + b"; Path=/;")
    for field in (b"", b"a=b", pair + b"; " + pair, pair + b"x", COOKIE + b"=", COOKIE + b"=" + b"!" * 22):
        assert cookie_in([(b"Cookie", field)]) == b""
    assert cookie_in([(b"X-Cookie", pair)]) == b""


def test_a_visitor_is_known_by_his_cookie_where_he_may_have_one_and_else_by_his_network() -> None:
    value, new = secrets.token_urlsafe(16).encode(), secrets.token_urlsafe(16).encode()
    with_cookie = [(b"Cookie", COOKIE + b"=" + value)]

    def known(headers: list[tuple[bytes, bytes]], *, cookies: bool, secure: bool) -> tuple[bytes, bytes]:
        return visitor_of(headers, b"192.0.2.7", cookies=cookies, secure=secure, fresh=lambda: new)

    network = (b"192.0.2.0/24", b"")
    assert known(with_cookie, cookies=True, secure=True) == (value, b"")
    assert known([], cookies=True, secure=True) == (new, cookie_line(new))
    assert known([], cookies=True, secure=False) == network
    assert known(with_cookie, cookies=False, secure=True) == network, "on a host that several tenants share"


def test_a_choice_is_one_of_two_words() -> None:
    assert choice_in([(b"X-Nunatak-Choose", b" Candidate ")]) == "candidate"
    assert choice_in([(b"x-nunatak-choose", b"stable")]) == "stable"
    assert choice_in([(b"x-nunatak-choose", b"both")]) is None
    assert choice_in([(b"x-other", b"stable")]) is None
