"""Kept answers in their store: what a purge voids, what goes for what, what is remembered of pages."""

import random
from collections.abc import Callable

from edge.cache.asked import Asked
from edge.cache.purges import PREFIXES_MAX, SCOPES_MAX, Named, Purge, Purges
from edge.cache.responses import ENTRY_BYTES, VARIANTS_MAX, Entry, Responses
from edge.cache.shelves import Shelves
from edge.cache.storing import Kept
from edge.common.counters import Counters

KEPT = Kept(0, 60, 0, 0, False, (), (), "", "", frozenset())


def asked(target: str, *fields: tuple[bytes, bytes], service: str = "s", host: str = "h.test") -> Asked:
    return Asked("GET", fields, service, "digest", host, target)


def responses(budget_bytes: int = 1 << 20, entry_max_bytes: int = 1 << 16) -> Responses:
    return Responses(budget_bytes, entry_max_bytes, Purges(1000), Counters())


def entry(
    store: Responses, request: Asked, kept: Kept = KEPT, *, body: bytes = b"", run: int = -1, tenant: str = "t"
) -> Entry:
    number = store.purges.scope(request.key[0]).last if run < 0 else run
    uri = request.key[2] + request.key[3]
    return Entry(request, tenant, number, kept, 200, b"", b"", body, 0.0, uri, store.purges, ())


def put(store: Responses, request: Asked, kept: Kept = KEPT, *, body: bytes = b"", tenant: str = "t") -> Entry:
    made = entry(store, request, kept, body=body, tenant=tenant)
    store.put(made)
    return made


def is_kept(store: Responses, request: Asked) -> bool:
    return not isinstance(store.find(request), str)


def test_a_run_that_began_before_a_purge_is_void_whenever_it_ends() -> None:
    store, page = responses(), asked("/a")
    run = store.purges.scope("s").last
    store.purge(Purge("uri", "", "h.test/a"), 0.0)
    store.put(entry(store, page, run=run))
    assert not is_kept(store, page)
    assert len(store) == 0, "what is void is not held"


def test_a_later_run_stays_when_an_earlier_one_ends_after_it() -> None:
    store, page = responses(), asked("/a")
    early = store.purges.scope("s").last
    store.purge(Purge("service", "other"), 0.0)
    store.purge(Purge("tag", "s", "x"), 0.0)
    late = put(store, page)
    store.put(entry(store, page, run=early))
    assert store.find(page) is late


def test_more_purges_than_are_remembered_void_more_and_never_less() -> None:
    purges = Purges()
    scope, named = purges.scope("s"), Named("h.test/a", ("x",))
    run = scope.last
    purges.add(Purge("tag", "s", "x"), 0.0)
    between = scope.last
    assert scope.fate(Named("h.test/b", ()), run)[0] == "good"
    for number in range(SCOPES_MAX):
        purges.add(Purge("uri", "s", f"h.test/{number}"), 0.0)
    assert scope.fate(named, run)[0] == "gone"
    assert scope.fate(Named("h.test/b", ()), run)[0] == "gone", "the purge of the tag stands for one of the service now"
    assert scope.fate(Named("h.test/b", ()), between)[0] == "good"
    assert purges.scope("t").fate(named, run)[0] == "good", "purges of one service are nothing to another"


def test_all_of_a_uri_goes_at_once_and_nothing_else() -> None:
    store = responses()
    pages = [asked("/a"), asked("/a", host="H.test"), asked("/a", (b"X-Original-Url", b"/o"))]
    others = [asked("/a", service="t"), asked("/b")]
    for page in (*pages, *others):
        made = entry(store, page)
        made.named = made.named._replace(uri=made.named.uri.lower())
        store.put(made)
    for _ in range(2):
        store.drop_uri("s", "h.test/a")
    assert [is_kept(store, page) for page in (*pages, *others)] == [False] * 3 + [True] * 2
    put(store, pages[0])
    assert is_kept(store, pages[0])


def test_prefixes_are_few() -> None:
    purges = Purges()
    scope = purges.scope("s")
    run = scope.last
    purges.add(Purge("prefix", "s", "h.test/x/"), 0.0)
    assert [scope.fate(Named(uri, ()), run)[0] for uri in ("h.test/x/y", "h.test/x")] == ["gone", "good"]
    for number in range(PREFIXES_MAX):
        purges.add(Purge("prefix", "s", f"h.test/{number}/"), 0.0)
    assert scope.fate(Named("h.test/x", ()), run)[0] == "gone"


def test_variants_are_bounded_and_the_newest_answer_says_what_they_depend_on() -> None:
    store, kept = responses(), KEPT._replace(vary=(b"foo",))
    pages = [asked("/a", (b"Foo", b"%d" % number)) for number in range(VARIANTS_MAX + 1)]
    for page in pages:
        put(store, page, kept)
    assert [is_kept(store, page) for page in (pages[0], pages[1], pages[-1])] == [False, True, True]
    assert store.find(asked("/a")) == "vary-miss"
    put(store, asked("/a"))
    assert len(store) == 1


def test_the_budget_holds_under_many_pages() -> None:
    store = responses(budget_bytes=100 * (ENTRY_BYTES + 500))
    for number in range(3_000):
        put(store, asked(f"/{number}"), body=bytes(400))
        assert store.used_bytes <= store.budget_bytes
    assert 50 < len(store) <= 105


def test_who_has_most_makes_room() -> None:
    store = responses(budget_bytes=100 * (ENTRY_BYTES + 100))
    quiet = [asked(f"/{number}", service="quiet") for number in range(20)]
    for page in quiet:
        put(store, page, tenant="quiet")
    for number in range(5_000):
        page = asked(f"/{number}", service="loud")
        put(store, page, tenant="loud")
        assert is_kept(store, page) or number  # each is asked for again, as a flood would
    assert all(is_kept(store, page) for page in quiet)


def test_what_is_asked_for_again_outlives_a_scan() -> None:
    def kept_after_scan(used: Callable[[Responses, Asked], object]) -> int:
        store = responses(budget_bytes=200 * (ENTRY_BYTES + 100))
        popular = [asked(f"/popular-{number}") for number in range(50)]
        for page in popular:
            put(store, page)
            used(store, page)
            used(store, page)
        for number in range(1_000):
            put(store, asked(f"/scan-{number}"))
        return sum(is_kept(store, page) for page in popular)

    assert kept_after_scan(lambda store, page: store.find(page)) == 50
    assert kept_after_scan(lambda store, page: None) == 0


class _Item:
    hits, wanted = 0, False

    def __init__(self, number: int, size_bytes: int, tenant: str) -> None:
        self.name, self.size_bytes, self.tenant = number, size_bytes, tenant


def test_shelves_count_right_whatever_comes_and_goes() -> None:
    shelves: Shelves[_Item] = Shelves(1000)
    held: set[_Item] = set()
    choose = random.Random(7)
    for number in range(5_000):
        if held and choose.random() < 0.3:
            item = choose.choice(sorted(held, key=lambda item: item.name))
            held.discard(item)
            shelves.remove(item)
            shelves.remove(item)
        else:
            item = _Item(number, choose.randrange(1, 200), choose.choice("abc"))
            held.add(item)
            held -= set(shelves.add(item))
        assert shelves.used_bytes == sum(item.size_bytes for item in held) <= 1000
        assert len(shelves) == len(held)
