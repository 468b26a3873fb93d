"""Does the same static binary print, line by line, what it prints on this host's Linux?"""

import os
from functools import cache
from pathlib import Path

import pytest

from tests.support import busybox, differential

PAGE = Path(__file__).resolve().parents[2] / "docs" / "linux.md"
CASES_MIN = 150

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the cases are root's, as a guest is: run this as root")


@cache
def native() -> dict[str, list[str]]:
    return differential.on_linux(differential.binary())


def test_every_line_is_as_on_linux() -> None:
    guest = differential.in_a_machine(differential.binary())
    found = differential.differences(native(), guest)
    assert [difference for difference in found if not differential.permitted(difference)] == []
    assert sorted(guest) == sorted(native())
    assert len(guest) >= CASES_MIN


@pytest.mark.parametrize("words", busybox.APPLETS, ids=" ".join)
def test_busybox_does_as_on_linux(words: tuple[str, ...]) -> None:
    program = busybox.binary()
    assert busybox.in_a_machine(program, words) == busybox.on_linux(program, words)


def test_nothing_is_permitted_that_does_not_differ() -> None:
    guest = differential.in_a_machine(differential.binary())
    differing = {(found.case, found.native) for found in differential.differences(native(), guest)}
    for case, lines in differential.PERMITTED.items():
        for line in lines:
            assert any(case == name and text.startswith(line) for name, text in differing), (case, line)


def test_the_page_says_what_is_compared() -> None:
    assert PAGE.read_text() == differential.page(native())


def test_a_line_that_differs_is_found() -> None:
    native_, guest = {"a": ["1", "2"], "b": ["x"]}, {"a": ["1", "3"], "b": []}
    found = differential.differences(native_, guest)
    assert [(one.case, one.native, one.guest) for one in found] == [("a", "2", "3"), ("b", "x", "(nothing)")]
