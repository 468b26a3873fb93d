"""Tests of cache-tests.fyi that do not pass have a reason; the page has what was found, and each reason."""

from pathlib import Path

from tests.cache_tests.page import MEASURED, REFUSED, with_rows, written
from tests.cache_tests.reasons import REASONS, Results, reason_of, rows, unexplained

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cache-tests.md"
FAILING: Results = dict.fromkeys(
    "interim-102 other-set-cookie heuristic-200-cached partial-store-partial-reuse-partial-absent"
    " partial-store-partial-complete conditional-lm-fresh-no-lm vary-normalise-lang-select".split(),
    ("optimal", "fail", ""),
)


def test_all_that_fails_needs_a_reason_and_each_reason_what_fails() -> None:
    assert unexplained(FAILING) == []
    assert unexplained({**FAILING, "new": ("required", "fail", "")}) == ["new"]
    assert unexplained({**FAILING, "new": ("check", "no", ""), "other": ("required", "pass", "")}) == []
    assert unexplained({**FAILING, "interim-102": ("optimal", "pass", "")}) == [REASONS[0].why]


def test_a_row_counts_its_tests_by_kind() -> None:
    more = {**FAILING, "interim-not-cached": ("required", "fail", ""), "interim-103": ("optimal", "fail", "")}
    tests = "`interim-102`, `interim-103`, `interim-not-cached`"
    assert next(iter(rows(more))) == f"| {tests} | 1 required, 2 optimal | {REASONS[0].why} |"
    assert reason_of("headers-store-ETag") is None


def test_rows_are_replaced_and_nothing_else() -> None:
    text = "a\n\n| b |\n|---|\n| 1 |\n| 2 |\n\n| c |\n|---|\n| 3 |\n"
    assert with_rows(text, "| b |", ["| 4 |"]) == "a\n\n| b |\n|---|\n| 4 |\n\n| c |\n|---|\n| 3 |\n"
    assert with_rows(text, "| c |", []) == text.removesuffix("| 3 |\n")


def test_the_page_can_be_written_and_has_the_reasons_of_today() -> None:
    text = PAGE.read_text()
    assert [reason.why for reason in REASONS if f" | {reason.why} |" not in text] == []
    new = written(text, {"ours": FAILING}, {"ours": "an edge"}, "ours", "a day (abc)")
    assert f"with the tests of a day (abc):\n\n{MEASURED}\n|---|---|---|\n| an edge | 0/0 | 0/7 |\n\n" in new
    assert new.endswith("".join(f"{row}\n" for row in (REFUSED, "|---|---|---|", *rows(FAILING))))
