"""The tables of docs/reference/cache-tests.md, written from what was found: `run` does it with `--write`.

What stands around them is written by people.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Final

from tests.cache_tests.reasons import Results, rows

KINDS: Final = ("required", "optimal")
MEASURED: Final = "| cache | required | optimal |"  # headers of the two tables
REFUSED: Final = "| tests | kind | why |"
_TESTS: Final = re.compile(r"(?<=with the tests of )[^:]*(?=:$)", re.MULTILINE)


def passed(results: Results) -> Counter[str]:
    """How many tests pass, by kind."""
    return Counter(kind for kind, verdict, _ in results.values() if verdict == "pass")


def counts(results: Results) -> list[str]:
    """Of the required and the optimal: how many pass, and how many there are."""
    found, all_ = passed(results), Counter(kind for kind, _, _ in results.values())
    return [f"{found[kind]}/{all_[kind]}" for kind in KINDS]


def written(text: str, results: Mapping[str, Results], titles: Mapping[str, str], ours: str, tests: str) -> str:
    """The page with other tables.

    :param titles: what each cache is called. :param ours: whose failures are explained. :param tests: which they were.
    """
    caches = [f"| {titles[name]} | {' | '.join(counts(told))} |" for name, told in results.items()]
    text = with_rows(with_rows(text, MEASURED, caches), REFUSED, rows(results[ours]))
    return _TESTS.sub(tests, text)


def with_rows(text: str, header: str, new: Iterable[str]) -> str:
    """A text with other rows of the table with this header."""
    lines = text.splitlines()
    start = lines.index(header) + 2
    end = start + len(list(takewhile(lambda line: line.startswith("|"), lines[start:])))
    return "".join(f"{line}\n" for line in (*lines[:start], *new, *lines[end:]))
