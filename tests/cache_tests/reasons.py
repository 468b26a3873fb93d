"""Why tests of cache-tests.fyi do not pass on an edge as it starts: each has a reason, and each reason such tests."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

Results = Mapping[str, Sequence[str]]  # by test: its kind, the verdict, and what was wrong


class Reason(NamedTuple):
    """Of some tests."""

    tests: tuple[str, ...]  # patterns of names
    why: str


REASONS: Final = (
    Reason(("interim-*",), "programs cannot send 1xx answers"),
    Reason(
        ("headers-store-Set-Cookie", "other-set-cookie"),
        "on purpose: a cookie is one visitor's, unless the answer says `public`; RFC 9111 section 7.3 leaves that open",
    ),
    Reason(
        ("heuristic-*-cached",),
        "on purpose: as it starts, an edge keeps nothing that does not say so; RFC 9111 section 4.2.2 *allows* to"
        " guess. They pass with `response_heuristics`",
    ),
    Reason(
        ("partial-store-partial-reuse-partial-*",),
        "the answer's Content-Range says six bytes and it has five: bytes are not cut out of what contradicts itself",
    ),
    Reason(
        ("partial-store-partial-complete",),
        "the part has no strong validator, without which the rest could not be put to it (RFC 9111 section 3.4):"
        " it would be asked for in vain",
    ),
    Reason(
        ("conditional-lm-fresh-no-lm",),
        "it wants 304 for a time before the answer's Date, where RFC 9111 section 4.3.2 wants one from it on",
    ),
    Reason(
        ("vary-normalise-lang-select",),
        "`en, de` and `fr;q=0.5, de;q=1.0` do not mean the same: RFC 9111 section 4.1 forbids to answer one with what"
        " the other got",
    ),
)


def failed(results: Results) -> Mapping[str, str]:
    """The kind of each required or optimal test that does not pass."""
    return {test: kind for test, (kind, verdict, _) in sorted(results.items()) if kind != "check" and verdict != "pass"}


def reason_of(test: str) -> Reason | None:
    """Why a test does not pass; None for one that is to."""
    return next((reason for reason in REASONS if any(fnmatchcase(test, form) for form in reason.tests)), None)


def unexplained(results: Results) -> Sequence[str]:
    """Tests that fail without a reason, and reasons for which no test fails."""
    gone = failed(results)
    seen = {reason_of(test) for test in gone}
    return [test for test in gone if reason_of(test) is None] + [reason.why for reason in REASONS if reason not in seen]


def rows(results: Results) -> Iterable[str]:
    """A table's rows: tests, how many of which kind, why."""
    gone = failed(results)
    for reason in REASONS:
        tests = [test for test in gone if reason_of(test) is reason]
        kinds = ", ".join(
            f"{count} {kind}"
            for kind in ("required", "optimal")
            if (count := [gone[test] for test in tests].count(kind))
        )
        yield f"| {', '.join(f'`{test}`' for test in tests)} | {kinds} | {reason.why} |"
