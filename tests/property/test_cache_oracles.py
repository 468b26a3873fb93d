"""What is kept, and for how long it answers, beside two others who know RFC 9111: hishel and http-cache-semantics.

Random answers, requests and times, the same in each run. Each difference is a mistake of ours, or one of the named
exceptions, which say whom the RFC agrees with; each exception has a case that needs it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.cache.storing import REFUSALS
from loadtest.peers.npm import PeerMissing
from tests.support.cache_oracles import (
    NOW,
    Case,
    Fields,
    Hishel,
    Semantics,
    Verdict,
    apparent_age_s,
    asked,
    http_date,
    ours,
)

EXAMPLES = 300


class Seen(NamedTuple):
    """A case in which two differ."""

    case: Case
    we: Verdict
    reason: str  # why we keep nothing
    they: Verdict

    @property
    def has(self) -> Callable[[str], bool]:
        """Whether a directive is there."""
        return self.case.directives.__contains__

    @property
    def times(self) -> Sequence[str]:
        """What the directives that stand for times say."""
        return [self.case.directives[name] or "" for name in ("s-maxage", "max-age") if self.has(name)]


class Exempt(NamedTuple):
    """A difference that is meant."""

    name: str
    why: str
    holds: Callable[[Seen], bool]
    needed: Case  # a case of it


def says(*directives: str, after_s: int = 1, status: int = 200, **fields: str) -> Case:
    """An answer with these directives and other fields."""
    others = tuple((name.replace("_", "-"), value) for name, value in fields.items())
    return Case(status, (("cache-control", ", ".join(directives)), *others), after_s=after_s)


def is_said(seen: Seen) -> bool:
    """Whether the answer says itself how long it holds."""
    return bool(seen.times) or bool(seen.case.said("expires"))


BOTH = [
    Exempt(
        "other-spelling",
        "RFC 9111 section 4.1 lets requests match that mean the same; the others compare values as they are written",
        lambda seen: seen.they == "ask" and seen.we != "ask" and _spelt(seen.case.first) != _spelt(seen.case.later),
        Case(
            200,
            (("cache-control", "max-age=60"), ("vary", "foo")),
            first=(("foo", "1, 2"),),
            later=(("foo", "1,2"),),
        ),
    ),
    Exempt(
        "clients-wish",
        "RFC 9111 section 5.2.1: what clients wish is advice, and any of them could have guests run",
        lambda seen: "cache-control" in dict(seen.case.later) and seen.we != "ask" and seen.they == "ask",
        Case(200, (("cache-control", "max-age=60"),), later=(("cache-control", "no-cache"),)),
    ),
    Exempt(
        "the-last-of-two",
        "RFC 9111 section 4.2.1: of two the first counts, or the answer is stale; with the others the last does",
        lambda seen: _is_twice(seen.case),
        says("max-age=1", "max-age=60", after_s=10),
    ),
]  # fmt: skip
HISHEL = [
    *BOTH,
    Exempt(
        "guessed",
        "nobody said how long it holds: RFC 9111 section 4.2.2 lets a cache guess, ours may not",
        lambda seen: not is_said(seen) and seen.they == "serve",
        says("no-transform", last_modified=http_date(NOW - 100_000)),
    ),
    Exempt(
        "cookie",
        "a cookie is one visitor's, unless the answer says `public` (RFC 9111 section 7.3 leaves it to the cache)",
        lambda seen: seen.reason == "set-cookie" and seen.they == "serve",
        says("max-age=60", set_cookie="a=b"),
    ),
    Exempt(
        "age-not-heard",
        "RFC 9111 section 4.2.3: the age is what Age says where that is more; hishel looks at Date only",
        lambda seen: seen.we == "ask" and seen.they == "serve" and bool(seen.case.said("age")),
        says("max-age=60", age="100"),
    ),
    Exempt(
        "date-ahead",
        "RFC 9111 section 4.2.3: time that it was held counts in full; hishel counts from a Date that has not come yet",
        lambda seen: seen.they == "serve" and seen.we == "ask" and apparent_age_s(seen.case) < 0,
        says("max-age=60", date=http_date(NOW + 10), after_s=60),
    ),
    Exempt(
        "request-no-store",
        "RFC 9111 section 5.2.1.5: nothing of an answer to it is kept; hishel does not look",
        lambda seen: seen.reason == "request-no-store" and seen.they == "serve",
        Case(200, (("cache-control", "max-age=60"),), first=(("cache-control", "no-store"),)),
    ),
    Exempt(
        "must-understand",
        "RFC 9111 section 5.2.2.3: with it `no-store` counts for who does not know the status; hishel does not know it",
        lambda seen: seen.has("must-understand"),
        says("max-age=60", "no-store", "must-understand"),
    ),
    Exempt(
        "no-number",
        "RFC 9111 section 4.2.1: what is no time makes an answer stale; hishel looks further",
        lambda seen: seen.we == "ask" and seen.they == "serve" and any(not time.isdigit() for time in seen.times),
        says("max-age=x", expires=http_date(NOW + 60)),
    ),
]  # fmt: skip
SEMANTICS = [
    *BOTH,
    Exempt(
        "guessed-as-public-allows",
        "`public` lets us guess for how long it holds; the other was told not to guess",
        lambda seen: not is_said(seen) and seen.has("public") and seen.we == "serve",
        says("public", last_modified=http_date(NOW - 100_000)),
    ),
    Exempt(
        "immutable",
        "RFC 8246: it says that it does not change while it is fresh, not for how long that is",
        lambda seen: seen.has("immutable") and seen.we == "ask" and seen.they != "ask",
        says("immutable"),
    ),
    Exempt(
        "asked-though-fresh",
        "RFC 9111 sections 5.2.2.2, 5.2.2.8: these matter once it is stale; the other never serves such an answer",
        lambda seen: (seen.has("must-revalidate") or seen.has("proxy-revalidate")) and seen.they == "ask",
        says("max-age=60", "must-revalidate"),
    ),
    Exempt(
        "fields-alone",
        "RFC 9111 sections 5.2.2.4, 5.2.2.7: with names of fields `no-cache` and `private` are about those alone",
        lambda seen: any(seen.case.directives.get(name) for name in ("no-cache", "private")) and seen.they == "ask",
        says("max-age=60", 'private="x-a"'),
    ),
    Exempt(
        "unknown-status",
        "RFC 9111 section 3: that a status is understood is asked only by `must-understand`",
        lambda seen: seen.case.status in (206, 503, 599) and seen.they == "ask",
        says("max-age=60", status=599),
    ),
    Exempt(
        "must-understand",
        "RFC 9111 section 5.2.2.3: with it `no-store` counts for who does not know the status; the other does not",
        lambda seen: seen.has("must-understand") and seen.has("no-store") and seen.they == "ask",
        says("max-age=60", "no-store", "must-understand"),
    ),
    Exempt(
        "date-not-heard",
        "RFC 9111 section 4.2.3: an answer is as old as its Date says where that is more; the other looks at Age only",
        lambda seen: apparent_age_s(seen.case) > 0 and (seen.we == "ask" or seen.they == "serve"),
        says("max-age=60", date=http_date(NOW - 100)),
    ),
    Exempt(
        "letters",
        "RFC 9111 section 5.2: names of directives are the same in any case",
        lambda seen: any(value != value.lower() for value in seen.case.said("cache-control")),
        says("MAX-AGE=60"),
    ),
    Exempt(
        "no-number",
        "RFC 9111 section 4.2.1: what is no time makes an answer stale; the other takes digits that it begins with",
        lambda seen: seen.we == "ask" and seen.they != "ask" and any(not time.isdigit() for time in seen.times),
        says("max-age=60x"),
    ),
    Exempt(
        "comma-in-quotes",
        "RFC 9110 section 5.6.4: what is in quotes is one value; the other cuts at each comma",
        lambda seen: any("no-store, b" in value for value in seen.case.said("cache-control")),
        says('x="a, no-store, b"', "max-age=60"),
    ),
    Exempt(
        "cookie-though-stale",
        "a cookie is one visitor's, unless the answer says `public`: the other says so too, but not of stale ones",
        lambda seen: seen.reason == "set-cookie" and seen.they == "serve_and_refresh",
        says("stale-while-revalidate=60", set_cookie="a=b"),
    ),
    Exempt(
        "stale-though-strict",
        "RFC 9111 section 4.2.4: these forbid what stale-while-revalidate allows, `s-maxage` too",
        lambda seen: seen.they == "serve_and_refresh" and seen.we == "ask"
        and any(map(seen.has, ("no-cache", "s-maxage", "proxy-revalidate"))),
        says("max-age=1", "s-maxage=1", "stale-while-revalidate=60", after_s=10),
    ),
]  # fmt: skip


def _spelt(fields: Fields) -> Fields:
    return tuple(field for field in fields if field[0] in ("foo", "accept-language"))


def _is_twice(case: Case) -> bool:
    names = [
        part.strip().partition("=")[0].lower() for value in case.said("cache-control") for part in value.split(",")
    ]
    return len(set(names)) < len(names)


def optional(*values: str) -> st.SearchStrategy[str]:
    """One of them, more often nothing."""
    return st.one_of(st.just(""), st.just(""), st.sampled_from(values))


seconds = st.sampled_from(["0", "1", "5", "60", "600"])
timed = st.tuples(st.sampled_from(["max-age", "max-age", "s-maxage", "stale-while-revalidate"]), seconds).map("=".join)
flags = st.sampled_from(
    "no-store no-cache private public must-revalidate proxy-revalidate immutable must-understand".split()
)
odd = st.sampled_from(
    [
        *('max-age="60"', "max-age=x", "max-age=60x", "max-age=-1", "max-age=", "MAX-AGE=60", "stale-if-error=60"),
        *('private="x-a"', 'no-cache="x-a"', 'x="max-age=3600, no-store"', 'x="a, no-store, b"'),
    ]
)
dates = [http_date(NOW + offset_s) for offset_s in (-600, -60, -10, 0, 10, 60, 600)]
plain = st.lists(st.one_of(timed, timed, flags), max_size=4, unique_by=lambda directive: directive.partition("=")[0])
any_directives = st.lists(st.one_of(timed, timed, flags, odd), max_size=4)
answers = st.fixed_dictionaries(
    {
        "date": optional(*dates),
        "age": optional("0", "10", "100", "10, 3", "x"),
        "expires": optional(*dates, "0", "soon"),
        "last-modified": optional(http_date(NOW - 100_000), http_date(NOW - 100)),
        "etag": optional('"a"'),
        "set-cookie": optional("a=b"),
        "vary": optional("foo", "Foo, bar", "accept-language", "*"),
    }
)
requests = st.fixed_dictionaries(
    {
        "foo": optional("1", "2", "1, 2", "1,2"),
        "accept-language": optional("en, de", "de,en", "fr"),
        "authorization": optional("Bearer x"),
        "cache-control": optional("no-store", "no-cache", "max-age=0", "min-fresh=100"),
    }
)

BEGINNINGS = [[], ["max-age=60"], ["max-age=5", "stale-while-revalidate=60"]]  # else most would not be kept


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """What caches may be asked."""
    is_targeted = draw(st.sampled_from([False, False, True]))
    begin = draw(st.sampled_from(BEGINNINGS))
    others = draw(plain.filter(bool) if is_targeted else any_directives)
    names = {directive.partition("=")[0] for directive in begin}
    directives = [*begin, *(other for other in others if not (is_targeted and other.partition("=")[0] in names))]
    fields = draw(answers)
    if directives:
        fields["cache-control"] = ", ".join(directives)
    first, later = draw(requests), draw(requests)
    return Case(
        draw(st.sampled_from([200, 200, 200, 203, 204, 206, 301, 302, 404, 503, 599, 599])),
        there(fields),
        there(first),
        there(later if draw(st.booleans()) else first | {"cache-control": later["cache-control"]}),
        draw(st.sampled_from([0, 1, 4, 5, 49, 50, 59, 60, 61, 599, 600, 3600])),
        is_targeted,
    )


def there(fields: dict[str, str]) -> Fields:
    """The fields that are there."""
    return tuple((name, value) for name, value in fields.items() if value)


Oracle = Hishel | Semantics


@pytest.fixture(scope="module", params=["hishel", "http-cache-semantics"])
def oracle(request: pytest.FixtureRequest) -> Iterator[Oracle]:
    """Whom to ask."""
    try:
        asked_of: Oracle = Hishel() if request.param == "hishel" else Semantics()
    except PeerMissing as error:
        pytest.skip(f"NOT ASKED HERE: {error}")
    with asked_of:
        yield asked_of


def difference(oracle: Oracle, case: Case) -> Seen | None:
    """Both sides of a case, where they differ."""
    (we, reason), they = ours(case), oracle.judge(case)
    if isinstance(oracle, Hishel) and we == "serve_and_refresh":
        we = "ask"  # what is stale it does not serve
    return None if we == they else Seen(case, we, reason, they)


def exempt(oracle: Oracle) -> Sequence[Exempt]:
    """What may differ from one."""
    return HISHEL if isinstance(oracle, Hishel) else SEMANTICS


def test_what_differs_has_a_name(oracle: Oracle) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
    @given(cases())
    def alike(case: Case) -> None:
        seen = difference(oracle, case)
        assert seen is None or any(known.holds(seen) for known in exempt(oracle)), seen

    alike()


def test_each_exception_is_needed(oracle: Oracle) -> None:
    for known in exempt(oracle):
        seen = difference(oracle, known.needed)
        assert seen is not None, known.name
        assert [other.name for other in exempt(oracle) if other.holds(seen)] == [known.name]


def test_cases_reach_all_that_there_is() -> None:
    """Else the first test says little: each verdict, and each reason against keeping but those of parts.

    And but for fields that the edge itself writes, of which the others know nothing.
    """
    found: set[str] = set()

    @settings(max_examples=3 * EXAMPLES, deadline=None, derandomize=True, database=None)
    @given(cases())
    def look(case: Case) -> None:
        found.update(ours(case))

    look()
    reasons = {name for name, _, _ in REFUSALS} | {"expired", "serve", "serve_and_refresh", "ask"}
    assert reasons - {"vary-client"} <= found


def test_requests_are_read_as_clients_send_them() -> None:
    assert asked((("foo", "1"),)).variant((b"foo",)) == (b"1",)
