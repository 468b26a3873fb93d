"""Attack: a client sends what would end a line of the access log, forge another, or speak to a terminal.

Whatever it sends, a request is one line of printable ASCII, from which each field comes back as it was.
"""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.access.lines import combined_line, json_line
from tests.support.requests_over import over

HOSTILE = (
    "/\n127.0.0.1 - admin",
    '/" 200 5 "-" "-"\r\nforged',
    "/\x1b]0;title\x07\x1b[2J",
    "/\x9b31m\u2028\u2029\u202e",
    '/\\" \\\\',
    '/","status":200,"x":"',
    "/\x00\x7f\t",
    "/\ud800",
    "/é日本😀",
)
COMBINED = re.compile(r'(\S+) - - \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\S+) (\S+) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"')
PRINTABLE = re.compile(r"[ -~]*")


def unescaped(text: str) -> str:
    """What `_quoted` has written."""
    raw = re.sub(
        r"\\(?:x([0-9a-f]{2})|(.))", lambda found: chr(int(found[1], 16)) if found[1] else found[2], text
    ).encode("latin-1")
    return raw.decode("utf-8", "surrogatepass")


def check(text: str) -> None:
    sent = text.encode("utf-8", "surrogatepass")
    finished = over(target=text, host=text, fields=[(b"REFERER", sent), (b"user-agent", sent)])
    shown = sent.decode("utf-8", "backslashreplace")  # fields are bytes, of which nobody says that they are UTF-8
    line = json_line(finished, "192.0.2.1")
    assert PRINTABLE.fullmatch(line)
    said = json.loads(line)
    assert (said.get("target", ""), said.get("host", "")) == (text, text)
    assert (said.get("referer", ""), said.get("agent", "")) == (shown, shown)
    assert (said["status"], said["client"]) == (200, "192.0.2.1")
    line = combined_line(finished, "192.0.2.1")
    assert PRINTABLE.fullmatch(line)
    match = COMBINED.fullmatch(line)
    assert match is not None, "it has nine fields, no more and no less"
    assert unescaped(match[3]) == f"GET {text} HTTP/1.1"
    assert (match[1], match[4], match[5]) == ("192.0.2.1", "200", "42")
    assert unescaped(match[6]) == unescaped(match[7]) == (shown or "-")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_request_is_one_line_and_says_what_it_said(text: str) -> None:
    check(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_so_is_any_other(text: str) -> None:
    check(text)
