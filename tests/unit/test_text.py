"""Does text of others do nothing to a terminal, and stay readable?"""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmimage.text import SHOWN, plain


@pytest.mark.parametrize(
    "text",
    [
        "\x1b]0;owned\x07",  # the window's title
        "\x1b[31mred",
        "\x9b31mred",  # the same by one C1 character
        "\x9d0;owned\x9c",
        "\x90q\x9c",  # DCS
        "gone\x08\x08\x08\x08",
        "over\rwritten",
        "\x7f",
        "a\x0b\x0cb",
        "user \u202egnp.exe",
        "\u2066isolate\u2069",
        "\u200fright\u200e",
        "\u061c",
        "a\u2028b\u2029c",
        "\ud800",
        "\U000e0041",
        "\x85",  # NEL
        "\n2026-01-01T00:00:00Z - forged",
    ],
)
def test_what_does_something_is_shown_instead(text: str) -> None:
    assert SHOWN in plain(text)
    assert plain(text).isprintable() or "\t" in text


@pytest.mark.parametrize("text", ["plain", "tab\tstays", "größe 雪 ❄️ 👩‍🚀", "שלום", "می‌خواهم"])
def test_printable_text_is_unchanged(text: str) -> None:
    assert plain(text) == text


def test_lines_stay_where_they_are_wanted() -> None:
    assert plain("one\ntwo\r\x1b[2J", lines=True) == f"one\ntwo{SHOWN}{SHOWN}[2J"


@given(st.text())
def test_no_control_is_left(text: str) -> None:
    shown = plain(text)
    assert len(shown) == len(text)
    assert not any(unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs") and char != "\t" for char in shown)
    assert not any(
        unicodedata.bidirectional(char) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        for char in shown
    )
    assert plain(shown) == shown
    shown.encode()
