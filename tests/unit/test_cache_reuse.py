"""What becomes of a request for which an answer is kept: by its age, by purges, by its conditions, by its range."""

import pytest

from edge.cache import reuse
from edge.cache.asked import Asked
from edge.cache.storing import Kept

KEPT = Kept(0, 60, 0, 0, False, (), (), '"a"', "Thu, 01 Jan 2026 00:00:00 GMT", frozenset())


def freshness(kept: Kept, held_s: float, fate: reuse.Fate = "good", softened_s: float | None = None) -> reuse.Freshness:
    return reuse.freshness(kept, reuse.stale_for_s(kept, held_s, softened_s), fate)


def test_freshness_by_age_and_fate() -> None:
    grace = KEPT._replace(while_revalidate_s=10)
    assert [freshness(grace, held_s) for held_s in (0, 59, 60, 69, 70)] == ["fresh", "fresh", "grace", "grace", "stale"]
    assert freshness(KEPT._replace(age_s=50), 10) == "stale", "it was old when it came"
    assert freshness(KEPT._replace(validates_always=True), 0) == "stale"
    assert freshness(KEPT, 0, "gone") == "gone"
    assert freshness(KEPT, 0, "softened", 0) == "stale"
    assert [freshness(grace, 1, "softened", since_s) for since_s in (0, 9, 10)] == ["grace", "grace", "stale"]


def test_every_case_has_a_use() -> None:
    for level in ("gone", "fresh", "grace", "stale"):
        for validator in (True, False):
            assert (level, validator) in reuse.USE
    assert reuse.USE["stale", True] == "validate"
    assert reuse.USE["stale", False] == "forward"


def test_who_may_stand_in() -> None:
    kept = KEPT._replace(if_error_s=10)
    assert reuse.may_stand_in(kept, 9, "good")
    assert not reuse.may_stand_in(kept, 10, "good")
    assert not reuse.may_stand_in(kept, 9, "gone")
    assert not reuse.may_stand_in(kept._replace(validates_always=True), 9, "good")


@pytest.mark.parametrize(
    ("match", "since", "has_it"),
    [
        ('"a"', "", True),
        ('W/"a"', "", True),
        ('"x", "a"', "", True),
        ("*", "", True),
        ('"x"', "", False),
        ('"x"', "Thu, 01 Jan 2026 00:00:00 GMT", False),
        ("", "Thu, 01 Jan 2026 00:00:00 GMT", True),
        ("", "Thursday, 01-Jan-26 00:00:00 GMT", True),
        ("", "Wed, 31 Dec 2025 00:00:00 GMT", False),
        ("", "soon", False),
        ("", "", False),
    ],
)
def test_conditions(match: str, since: str, has_it: bool) -> None:
    assert reuse.not_modified(KEPT, match, since, "Fri, 02 Jan 2026 00:00:00 GMT") is has_it


@pytest.mark.parametrize(
    ("since", "has_it"),
    [("Wed, 31 Dec 2025 23:59:59 GMT", False), ("Thu, 01 Jan 2026 00:00:00 GMT", True), ("soon", False)],
)
def test_what_does_not_say_when_it_was_modified_is_as_old_as_its_date(since: str, has_it: bool) -> None:
    unsaid = KEPT._replace(last_modified="")
    assert reuse.not_modified(unsaid, "", since, "Thu, 01 Jan 2026 00:00:00 GMT") is has_it
    assert not reuse.not_modified(unsaid._replace(last_modified="soon"), "", since, "Thu, 01 Jan 2026 00:00:00 GMT")


@pytest.mark.parametrize(
    ("range_", "part"),
    [
        ("bytes=0-1", (0, 2, True)),
        ("bytes=8-", (8, 10, True)),
        ("bytes=-3", (7, 10, True)),
        ("bytes=-30", (0, 10, True)),
        ("bytes=5-500", (5, 10, True)),
        ("bytes=10-", (10, 10, False)),
        ("bytes=-0", (10, 10, False)),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("", None),
    ],
)
def test_ranges(range_: str, part: tuple[int, int, bool] | None) -> None:
    assert reuse.part(KEPT, 10, range_, "") == part


@pytest.mark.parametrize(
    ("if_range", "is_same"),
    [('"a"', True), ('W/"a"', False), ('"b"', False), ("Thu, 01 Jan 2026 00:00:00 GMT", True), ("x", False)],
)
def test_a_range_of_something_else_is_all_of_it(if_range: str, is_same: bool) -> None:
    assert (reuse.part(KEPT, 10, "bytes=0-1", if_range) is not None) is is_same


def asked(
    *lines: str,
    service: str = "s",
    digest: str = "d",
    host: str = "h.test",
    target: str = "/",
    seen: tuple[bytes, ...] = (),
) -> Asked:
    headers = [(name.encode(), value.encode()) for name, _, value in (line.partition(": ") for line in lines)]
    return Asked("GET", headers, service, digest, host, target, seen)


def test_all_that_says_what_is_asked_for_is_in_the_key() -> None:
    plain = asked().key
    others = [
        asked(service="t"),
        asked(digest="e"),
        asked(host="H.test"),
        asked(target="/?"),
        asked("X-Original-URL: /admin"),
        asked("X-HTTP-Method-Override: DELETE"),
        asked(seen=(b"https",)),
        asked("X-Original-URL: /admin", seen=(b"https",)),
    ]
    keys = [plain, *(other.key for other in others)]
    assert len(set(keys)) == len(keys)
    # What proxies say of clients is `seen` where they are believed, and else no guest sees it.
    for same in ("Cookie: a=b", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: evil.test", "User-Agent: x"):
        assert asked(same).key == plain


def test_variants_say_the_same_however_it_is_written() -> None:
    def variant(*lines: str, vary: bytes) -> object:
        return asked(*lines).variant((vary,))

    assert (
        variant("Foo: 1, 2", vary=b"foo")
        == variant("foo: 1", "FOO:  2 ", vary=b"foo")
        == variant("Foo: 1,2", vary=b"foo")
    )
    assert variant("Foo: 1,2", vary=b"foo") != variant("Foo: 2,1", vary=b"foo")
    assert variant("Foo: ", vary=b"foo") != variant(vary=b"foo"), "an empty field is one"
    for name in ("Accept-Language", "Accept-Encoding"):
        lower = name.lower().encode()
        assert variant(f"{name}: en , de", vary=lower) == variant(f"{name}: DE,en", vary=lower)
        assert variant(f"{name}: en", vary=lower) != variant(f"{name}: de", vary=lower)


def test_a_part_is_asked_for_where_nothing_else_is() -> None:
    assert asked("Range: bytes=0-1").wants_part
    for other in (
        ["If-Range: x"], ["If-None-Match: x"], ["If-Modified-Since: x"], ["If-Match: x"], ["If-Unmodified-Since: x"],
    ):  # fmt: skip
        assert not asked("Range: bytes=0-1", *other).wants_part
    assert not asked("Range: lines=0-1").wants_part
    assert not asked().wants_part
    head = asked("Range: bytes=0-1")
    head.method = "HEAD"
    assert not head.wants_part


def test_parts_are_kept_apart_from_their_wholes_and_from_each_other() -> None:
    one, other, whole = asked("Range: bytes=0-1"), asked("Range: bytes=2-3"), asked()
    vary = KEPT.of_part().vary
    assert one.key == other.key == whole.key
    assert one.for_part().key == other.for_part().key != whole.key
    assert one.for_part().variant(vary) != other.for_part().variant(vary)
    assert one.for_part().variant(vary) == asked("range:  bytes=0-1").for_part().variant(vary)
