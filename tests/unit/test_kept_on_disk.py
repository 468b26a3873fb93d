"""The parts of kept answers on disk that need no disk: their bytes, their names, their time, what is worth keeping."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cache.asked import Asked
from edge.cache.moments import Moment, Passed, passed
from edge.cache.places import DIGEST_BYTES, page_digest, uri_digest, variant_digest
from edge.cache.purges import REMEMBERED_MAX, Named, Purge, Purges
from edge.cache.recorded import from_bytes, purge_from_bytes, purge_to_bytes, to_bytes
from edge.cache.responses import Entry
from edge.cache.reuse import is_of_use
from edge.cache.storing import Kept
from edge.common.bloom import BloomFilter

HOUR = Kept(0, 3600, 0, 0, False, (), (), "", "", frozenset())

texts = st.text(st.characters(max_codepoint=255), max_size=20)
some_bytes = st.binary(max_size=20)
names = st.lists(some_bytes, max_size=3).map(tuple)


@given(
    target=texts, fields=st.lists(st.tuples(some_bytes, some_bytes), max_size=4), body=st.binary(max_size=200),
    vary=names, tags=st.lists(texts, max_size=3).map(tuple), left_out=st.frozensets(some_bytes, max_size=3),
    times=st.tuples(*[st.integers(0, 1 << 31)] * 4), always=st.booleans(), entity_tag=texts,
    run=st.integers(0, 1 << 60),
)  # fmt: skip
def test_an_answer_is_the_same_after_it_was_bytes(
    target: str, fields: list[tuple[bytes, bytes]], body: bytes, vary: tuple[bytes, ...], tags: tuple[str, ...],
    left_out: frozenset[bytes], times: tuple[int, int, int, int], always: bool, entity_tag: str, run: int,
) -> None:  # fmt: skip
    page = Asked("GET", fields, "s", "d", "h.test", target)
    kept = Kept(*times, always, vary, tags, entity_tag, "", left_out)
    made = Entry(page, "t", run, kept, 200, b"Date: \xff\r\n", b"X: \xfe\r\n", body, 5.0, "h.test/", Purges(), fields)
    data = to_bytes(made, 105.0)
    read = from_bytes(data, page, "t", Purges(), 90.0)
    assert read is not None
    assert (read.came, read.said) == (15.0, tuple(fields))
    for name in ("key", "variant", "tenant", "run", "kept", "status", "date", "fields", "body", "named", "size_bytes"):
        assert getattr(read, name) == getattr(made, name), name
    assert from_bytes(data, page, "another", Purges(), 90.0) is None
    assert from_bytes(data, Asked("GET", fields, "s", "other", "h.test", target), "t", Purges(), 90.0) is None


def test_one_variant_is_not_taken_for_another() -> None:
    red, blue = (Asked("GET", [(b"Foo", colour)], "s", "d", "h.test", "/") for colour in (b"red", b"blue"))
    made = Entry(red, "t", 1, HOUR._replace(vary=(b"foo",)), 200, b"", b"", b"", 0.0, "h.test/", Purges(), ())
    assert from_bytes(to_bytes(made, 0.0), blue, "t", Purges(), 0.0) is None


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff\xff", b"\2\0\0\0{}", b"\2\0\0\0[]", b"\4\0\0\0null"])
def test_what_is_no_answer_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        from_bytes(data, Asked("GET", [], "s", "d", "h.test", "/"), "t", Purges(), 0.0)


def test_a_purge_is_the_same_after_it_was_bytes() -> None:
    for purge in (Purge("all"), Purge("tag", "s", "x", True), Purge("uri", "", "h.test/ü")):
        assert purge_from_bytes(purge_to_bytes(purge, 1.5)) == (purge, 1.5)
    with pytest.raises(ValueError, match="a purge expected"):
        purge_from_bytes(b"7")


def test_names_tell_apart_what_differs() -> None:
    key = Asked("GET", [], "s", "d", "h.test", "/").key
    pages = [key, ("s", "d", "h.tes", "t/", ()), ("s", "d", "h.test", "/", (b"=x",)), ("s", "d", "h.test", "/\n", ())]
    assert len({page_digest(page) for page in pages}) == len(pages)
    assert (
        len({variant_digest((b"a",), (b"b",)), variant_digest((), ()), variant_digest((b"a", b"b"), (b"", b""))}) == 3
    )
    assert uri_digest("a", "b/") != uri_digest("ab", "/")
    assert len(page_digest(key)) == DIGEST_BYTES


def test_an_index_never_denies_what_is_there() -> None:
    index, choose = BloomFilter(4096), random.Random(3)
    there: list[bytes] = []
    for number in range(6_000):
        if there and choose.random() < 0.4:
            index.remove(there.pop(choose.randrange(len(there))))
        else:
            there.append(uri_digest("s", f"/{number}"))
            index.add(there[-1])
        assert bool(index) is bool(there)
        if number % 100 == 0:
            assert all(uri in index for uri in there)
    wrong = sum(uri_digest("s", f"/never-{number}") in index for number in range(1_000))
    assert wrong < 500, f"of {len(there)} in 4,096 bytes"
    for uri in there:
        index.remove(uri)
    assert not index
    assert sum(uri_digest("s", f"/{number}") in index for number in range(1_000)) == 0


def test_an_index_that_is_much_too_small_says_yes() -> None:
    index = BloomFilter(2)
    many = [uri_digest("s", f"/{number}") for number in range(2_000)]
    for uri in many:
        index.add(uri)
    for uri in many[:-1]:
        index.remove(uri)
    assert many[-1] in index


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (Moment(0, "b", 100, 5000), Moment(0, "b", 160, 1000), Passed(60, True)),  # the clock was set back
        (Moment(0, "b", 100, 5000), Moment(0, "b", 160, 99999), Passed(60, True)),  # or forward
        (Moment(0, "b", 100, 5000), Moment(0, "c", 10, 5060), Passed(60, True)),  # the machine was started again
        (Moment(0, "b", 100, 5000), Moment(0, "c", 10, 4000), Passed(0, False)),  # and its clock went back
        (Moment(0, "", 100, 5000), Moment(0, "", 160, 5030), Passed(30, True)),  # nothing says when it was started
        (Moment(0, "b", 100, 5000), Moment(0, "b", 90, 5030), Passed(30, True)),
    ],
)
def test_time_never_goes_back(before: Moment, after: Moment, found: Passed) -> None:
    assert passed(before, after) == found


@pytest.mark.parametrize(
    ("kept", "stale_s", "fate", "of_use"),
    [
        (HOUR, -1, "good", True),
        (HOUR, 1, "good", False),
        (HOUR, -1, "gone", False),
        (HOUR._replace(while_revalidate_s=5), 4, "good", True),
        (HOUR._replace(if_error_s=5), 4, "softened", True),
        (HOUR._replace(if_error_s=5), 6, "good", False),
        (HOUR._replace(entity_tag='"e"'), 6, "good", True),
        (HOUR._replace(entity_tag='"e"'), 6, "gone", False),
        (HOUR._replace(validates_always=True), -1, "good", False),
        (HOUR._replace(validates_always=True, last_modified="then"), -1, "good", True),
    ],
)
def test_what_is_good_for_nothing_is_not_kept(kept: Kept, stale_s: float, fate: str, of_use: bool) -> None:
    assert is_of_use(kept, stale_s, fate) == of_use  # type: ignore[arg-type]


# Purges, remembered.


def test_purges_of_all_services_together_are_bounded_and_void_never_less() -> None:
    purges = Purges()
    runs = {service: purges.scope(service).last for service in ("few", "many")}
    purges.add(Purge("tag", "few", "x"), 0.0)
    for number in range(REMEMBERED_MAX // 4096 + 1):
        for each in range(4096):
            purges.add(Purge("uri", f"many-{number}", f"h.test/{each}"), 0.0)
    assert purges.remembered <= REMEMBERED_MAX
    assert purges.remembered == sum(purge.kind not in ("service", "all") for _, purge, _ in purges.all())
    assert purges.scope("few").fate(Named("", ("x",)), runs["few"])[0] == "gone"
    assert purges.scope("few").fate(Named("", ("y",)), runs["few"])[0] == "good", "who has most made room"
    for each in range(0, 4096, 100):
        for number in range(REMEMBERED_MAX // 4096 + 1):
            assert purges.scope(f"many-{number}").fate(Named(f"h.test/{each}", ()), 0)[0] == "gone"


@given(st.lists(st.tuples(
    st.sampled_from(["all", "service", "uri", "prefix", "tag"]), st.sampled_from(["", "s", "t"]),
    st.sampled_from("xyz"), st.booleans(),
), max_size=30))  # fmt: skip
def test_what_is_remembered_voids_the_same_when_it_is_replayed(said: list[tuple[str, str, str, bool]]) -> None:
    purges, again = Purges(100), Purges()
    for at, (kind, service, selector, soft) in enumerate(said):
        if (kind == "service") == bool(service) or kind in ("uri", "prefix", "tag"):
            purges.add(Purge(kind, "" if kind == "all" else service, selector, soft), at)  # type: ignore[arg-type]
    remembered = purges.all()
    assert [number for number, _, _ in remembered] == sorted({number for number, _, _ in remembered})
    for each in remembered:
        again.replay(*each)
    for service in ("s", "t"):
        for named in (Named("x", ("y",)), Named("yz", ()), Named("z", ("x", "z"))):
            for run in range(99, 100 + len(said)):
                one, other = (each.scope(service).fate(named, run) for each in (purges, again))
                assert one == other
