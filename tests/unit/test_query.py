"""Which services a view has: what may be asked for, the choice, and the order against a plain sort."""

import random

import pytest

from edge.model.flow import ClientError
from edge.operators.query import LIMIT, LIMIT_MAX, OFFSET_MAX, ONLY, SORTS, TEXT_MAX, Query, Row


def row(name: str, **about: object) -> Row:
    known = {"tier": "resident", "held": False, "quarantined": False, "rate": 0.0, "p99_ms": 0.0, "memory": 0}
    known |= {"requests": 0, "waiting": 0, "crashes": 0}
    return Row(name, (name, f"{name}.test", "acme"), **{**known, **about})  # type: ignore[arg-type]


def test_a_query_says_what_it_wants_and_the_rest_is_usual() -> None:
    assert Query.parse("") == Query("", "", "rate", 0, LIMIT)
    asked = Query.parse("match=Sh%C3%96p&only=held&sort=p99&offset=50&limit=200")
    assert asked == Query("shöp", "held", "p99", 50, 200)


@pytest.mark.parametrize(
    "query",
    [
        "nonsense",
        "limit=0x10",
        "limit=-1",
        f"limit={LIMIT_MAX + 1}",
        "limit=",
        "limit=1e2",
        "limit=٣",
        f"offset={OFFSET_MAX + 1}",
        "offset=99999999999999999999",
        "sort=size",
        "sort=",
        "only=warm",
        "match=" + "x" * (TEXT_MAX + 1),
        "match=a&match=b",
        "other=1",
        "&".join(["match=a"] * 100),
        "match=" + "%61" * 1000,
    ],
)
def test_what_is_no_query_is_refused(query: str) -> None:
    with pytest.raises(ClientError, match="bad_query"):
        Query.parse(query)


def test_a_search_looks_at_name_hosts_and_tenant() -> None:
    assert [Query(match).wants(row("shop")) for match in ("sho", "shop.te", "acm", "blog")] == [True, True, True, False]


@pytest.mark.parametrize(
    ("only", "about"),
    [
        ("held", {"held": True}),
        ("quarantined", {"quarantined": True}),
        ("crashed", {"crashes": 1}),
        *((tier, {"tier": tier}) for tier in ("parked", "disk", "blob", "cold")),
    ],
)
def test_a_choice_leaves_out_all_others(only: str, about: dict[str, object]) -> None:
    chosen = Query(only=only)  # type: ignore[arg-type]
    assert chosen.wants(row("a", **about))
    assert not chosen.wants(row("a"))
    assert Query().wants(row("a", **about))


def test_every_choice_and_order_is_tried() -> None:
    assert set(ONLY) == {"", "resident", "parked", "disk", "blob", "cold", "held", "quarantined", "crashed"}
    assert set(SORTS) == {"rate", "p99", "memory", "requests", "waiting", "crashes", "name"}


@pytest.mark.parametrize("sort", SORTS)
def test_slices_give_what_one_sort_of_all_gives(sort: str) -> None:
    chance = random.Random(sort)
    sizes = ("rate", "p99_ms", "memory", "requests", "waiting", "crashes")
    rows = [row(f"s{number:04}", **{size: chance.randrange(5) for size in sizes}) for number in range(1000)]
    chance.shuffle(rows)
    query = Query(sort=sort, offset=70, limit=30)  # type: ignore[arg-type]
    best: list[Row] = []
    for start in range(0, len(rows), 64):
        best = query.first(best, rows[start : start + 64])
        assert len(best) <= 100
    assert best == sorted(rows, key=query.place)[:100]
    size = {"p99": "p99_ms", "name": "held"}.get(sort, sort)
    assert [getattr(each, size) for each in best] == sorted((getattr(each, size) for each in best), reverse=True)
