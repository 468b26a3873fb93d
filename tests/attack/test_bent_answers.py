"""Clients that bend what is kept for others, and guests that make an edge read or void more than is their share."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.cache import fields
from edge.cache.asked import Asked
from edge.cache.purges import Purge
from edge.cache.storing import FIELD_MAX
from edge.common.allowance import CACHE_CALLS
from edge.front import cgi
from edge.front.groups import GroupPurges
from edge.front.senders import Senders
from edge.model import routes
from edge.model.fields import end_to_end
from loadtest.site.fetch import Answer, Client
from loadtest.site.site import Site

HOST = "bent.test"
SAYS = Path(__file__).parents[1] / "guest" / "programs" / "says.c"
KEPT = "Cache-Control: max-age=600|Vary: Colour"


@pytest.fixture(scope="module")
def client(site: Site) -> Iterator[Client]:
    site.publish(site.build(SAYS, name="bent"), "bent", HOST)
    with Client(site.edges[0].url) as client:
        yield client


def get(client: Client, path: str, **headers: str) -> Answer:
    answer = client.request("GET", path, host=HOST, headers={"Say": KEPT} | headers)
    assert answer.status == 200
    return answer


def test_a_field_that_connection_lists_is_not_what_an_answer_is_kept_for(client: Client) -> None:
    """Its guest does not see it, so the answer is that of somebody who did not say it (RFC 9110 section 7.6.1)."""
    bent = get(client, "/colours", Colour="red", Connection="keep-alive, Colour")
    assert get(client, "/colours", Colour="red").body != bent.body
    assert get(client, "/colours").body == bent.body


LISTS = [
    ((b"Connection", b"colour"),),
    ((b"Connection", b"close"), (b"CONNECTION", b" x ,\tColour")),
    ((b"Connection", b"x"), (b"Connection", b"COLOUR")),
    ((b"connection", b"keep-alive, close"),),
    ((b"Connection", b"x-original-url, range"),),
    (),
]


@pytest.mark.parametrize("listing", LISTS)
def test_caches_and_guests_see_the_same_fields(listing: tuple[tuple[bytes, bytes], ...]) -> None:
    said = ((b"Colour", b"red"), (b"X-Original-Url", b"/other"), (b"Range", b"bytes=0-1"), *listing)
    route = routes.route(HOST, "/p")
    assert route is not None
    block = cgi.request_block(route, "GET", (1, 1), said, 80, Senders().of("192.0.2.1", said), b"id", None)
    asked = Asked("GET", said, "s", "digest", HOST, "/p")
    assert (asked.variant((b"colour",)) == (b"red",)) == (b"HTTP_COLOUR\0" in block)
    assert bool(asked.key[4]) == (b"HTTP_X_ORIGINAL_URL\0" in block)
    assert asked.wants_part == (b"HTTP_RANGE\0" in block)
    assert b"connection" not in asked.fields


def test_what_lists_nothing_is_what_it_was() -> None:
    said = [(b"Accept", b"*/*"), (b"Connection", b"Keep-Alive")]
    assert end_to_end(said) is said


def test_a_directive_has_the_value_that_is_written_at_it() -> None:
    """It is not looked for in all of the field, which a client may make of 30,000 directives."""
    said = "private, x-private=a, max-age=6"
    assert fields.cache_control(said) == {"private": None, "x-private": "a", "max-age": "6"}
    assert fields.cache_control('no-cache=, no-store="", a') == {"no-cache": "", "no-store": "", "a": None}


def group_purges(now: float = 0.0) -> GroupPurges:
    return GroupPurges(lambda: now)


def invalidating(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"cache-group-invalidation", value.encode()) for value in values]


def test_groups_are_purged_one_by_one() -> None:
    said = [*invalidating('"a", "B"', '"a"'), (b"etag", b'"c"')]
    assert group_purges().of("t", "s", said) == [Purge("tag", "s", "a"), Purge("tag", "s", "b")]
    assert group_purges().of("t", "s", [(b"etag", b'"c"')]) == []


def test_who_names_more_groups_than_are_read_voids_all_of_its_service_and_nothing_else() -> None:
    long = ", ".join(f'"{number:020}"' for number in range(FIELD_MAX // 40))
    assert len(long) < FIELD_MAX
    assert group_purges().of("t", "s", invalidating(long, long)) == [Purge("service", "s")]
    assert len(group_purges().of("t", "s", invalidating(long))) == FIELD_MAX // 40


def test_groups_are_charged_to_their_tenant() -> None:
    purges, many = group_purges(), ", ".join(f'"{number}"' for number in range(100))
    found = [purges.of("t", "s", invalidating(many)) for _ in range(30)]
    one_by_one = list(itertools.takewhile(lambda each: len(each) > 1, found))
    assert sum(map(len, one_by_one)) == CACHE_CALLS.burst
    assert found[len(one_by_one) :] == [[Purge("service", "s")]] * (30 - len(one_by_one))
    assert len(purges.of("other", "s2", invalidating(many))) == 100
