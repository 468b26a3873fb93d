"""Files of a machine and answers that the edge keeps of them mean the same by any condition and any range.

What a client sends goes to either, by whether the answer is kept already: `edge.cache.reuse` decides in Python what
`libos/assets` decides in C. Nothing that a field may hold breaks the machine.
"""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import brotli
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.cache import reuse
from edge.cache.storing import Kept
from tests.support.assets import MODIFIED, guest_with, packed, write
from tests.support.guests import Guest, Response

TEXT = b"0123456789" * 30
CASES = settings(max_examples=150, deadline=None, derandomize=True)
FIELD = st.text(
    st.sampled_from('bytes=-,0123456789W/"*;q. \tgizpbr') | st.characters(min_codepoint=32, max_codepoint=126)
)
RANGES = st.from_regex(r"(bytes|Bytes|byte)=[0-9]{0,4}-[0-9]{0,4}( *, *[0-9]?-[0-9]?)?", fullmatch=True) | FIELD
TAGS = (
    st.lists(st.sampled_from(["TAG", "W/TAG", '"x"', '"', "W/", "*", ",", "x", '""']), max_size=5).map(", ".join)
    | FIELD
)
DATES = st.sampled_from([MODIFIED, "Sat, 05 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"]) | FIELD
CODINGS = st.from_regex(r"((br|gzip|identity|\*|x-gzip)(;q=[01](\.[0-9]{0,3})?)?, ?){0,4}br", fullmatch=True) | FIELD


@cache
def guest() -> Guest:
    with TemporaryDirectory() as folder:
        return guest_with(packed(write(Path(folder), {"a.txt": TEXT, "a.txt.br": brotli.compress(TEXT)})))


@cache
def tag() -> str:
    return guest().get("/a.txt").headers["etag"]


def kept() -> Kept:
    return Kept(0, 60, 0, 0, False, (), (), tag(), MODIFIED, frozenset())


def get(**fields: str) -> Response:
    answer = guest().get("/a.txt", **{f"HTTP_{name}": value.strip() for name, value in fields.items() if value.strip()})
    assert answer.ended
    return answer


@given(wanted=RANGES, if_range=st.none() | TAGS | DATES)
@example(wanted="bytes=-0", if_range=None)
@example(wanted="bytes=299-", if_range=None)
@CASES
def test_ranges(wanted: str, if_range: str | None) -> None:
    wanted, same = wanted.strip(), (if_range or "").replace("TAG", tag()).strip()
    part = reuse.part(kept(), len(TEXT), wanted, same)
    answer = get(RANGE=wanted, IF_RANGE=same)
    if part is None:
        assert (answer.status, bytes(answer.body)) == (200, TEXT)
    elif not part.satisfiable:
        assert answer.status == 416
    else:
        assert (answer.status, bytes(answer.body)) == (206, TEXT[part.start : part.end])


@given(none_match=st.just("") | TAGS, since=st.just("") | DATES)
@CASES
def test_conditions(none_match: str, since: str) -> None:
    none_match, since = none_match.replace("TAG", tag()).strip(), since.strip()
    expected = 304 if reuse.not_modified(kept(), none_match, since, "") else 200
    assert get(IF_NONE_MATCH=none_match, IF_MODIFIED_SINCE=since).status == expected


@given(accepts=CODINGS)
@CASES
def test_codings(accepts: str) -> None:
    answer = get(ACCEPT_ENCODING=accepts)
    packed_by = answer.headers.get("content-encoding")
    assert packed_by in (None, "br")
    assert (brotli.decompress(bytes(answer.body)) if packed_by else bytes(answer.body)) == TEXT
    if "br" not in accepts.lower() and "*" not in accepts:
        assert packed_by is None
