"""Is kept what says so, for as long as it says, and nothing else?"""

import pytest

from edge.cache import fields
from edge.cache.asked import Asked
from edge.cache.storing import REFUSALS, TOO_LONG, USELESS, Answer, Kept, Wish, answers_get, storing, storing_to

NOW = 1_800_000_000
MODIFIED = b"Thu, 01 Jan 2026 00:00:00 GMT"


def said(
    *lines: str,
    status: int = 200,
    authorized: bool = False,
    no_store: bool = False,
    heuristics: bool = False,
    if_error_s: int = 0,
) -> Kept | str:
    """What becomes of an answer with these fields."""
    pairs = [line.encode("latin-1").partition(b": ") for line in lines]
    found = [(name.lower(), value) for name, _, value in pairs]
    return storing(Answer(status, found, authorized, no_store, NOW, Wish(heuristics, if_error_s)))


def kept(*lines: str, status: int = 200, authorized: bool = False, heuristics: bool = False) -> Kept:
    found = said(*lines, status=status, authorized=authorized, heuristics=heuristics)
    assert isinstance(found, Kept), found
    return found


@pytest.mark.parametrize(
    ("lines", "lifetime_s"),
    [
        (["Cache-Control: max-age=60"], 60),
        (["Cache-Control: MAX-AGE=060"], 60),
        (["Cache-Control: max-age=60, s-maxage=5"], 5),
        (["Cache-Control: max-age=60", "Cache-Control: s-maxage=5"], 5),
        (["Cache-Control: max-age=60", "Expires: 0"], 60),
        (["Cache-Control: max-age=60, max-age=90"], 60),
        (["Cache-Control: max-age=99999999999999999999"], fields.AGE_MAX_S),
        (['Cache-Control: x="max-age=3600, no-store", max-age=1'], 1),
        (["Cache-Control: max-age=1", "CDN-Cache-Control: max-age=60"], 60),
        (["Cache-Control: no-store", "CDN-Cache-Control: max-age=60"], 60),
        (["CDN-Cache-Control: max-age=1", "Nunatak-Cache-Control: max-age=60"], 60),
        (["CDN-Cache-Control: max-age=60;x=1, y=(1 2)"], 60),
        (["CDN-Cache-Control: max-age=60, max-age=7"], 7),
        (["Cache-Control: max-age=60", 'CDN-Cache-Control: max-age="7"'], 60),
        (["Cache-Control: max-age=60", "CDN-Cache-Control: max-age=7, &&"], 60),
        (["Cache-Control: max-age=60", "CDN-Cache-Control: no-store=1"], 60),
        (["Date: Fri, 15 Jan 2027 08:00:00 GMT", "Expires: Fri, 15 Jan 2027 08:01:00 GMT"], 60),
    ],
)
def test_the_lifetime_is_what_the_first_says_that_is_heard(lines: list[str], lifetime_s: int) -> None:
    assert kept(*lines).lifetime_s == lifetime_s


@pytest.mark.parametrize(
    ("reason", "lines"),
    [
        ("unsaid", []),
        ("unsaid", [f"Last-Modified: {MODIFIED.decode()}", 'ETag: "a"']),
        ("unsaid", ["Cache-Control: public"]),
        ("no-store", ["Cache-Control: max-age=60, No-Store"]),
        ("no-store", ["Cache-Control: max-age=60", "CDN-Cache-Control: no-store"]),
        ("private", ["Cache-Control: private, max-age=60"]),
        ("vary", ["Cache-Control: max-age=60", "Vary: a", "Vary: , *"]),
        ("vary", ["Cache-Control: max-age=60", "Vary: a,b,c,d,e,f,g,h,i"]),
        ("vary-client", ["Cache-Control: max-age=60", "Vary: Accept, X-Forwarded-For"]),
        ("vary-client", ["Cache-Control: max-age=60, public", "Vary: x-real-ip"]),
        ("vary-client", ["Cache-Control: max-age=60", "Vary: Traceparent"]),
        ("set-cookie", ["Cache-Control: max-age=60", "Set-Cookie: a=b"]),
        (USELESS, ["Cache-Control: max-age=0"]),
        (USELESS, ["Cache-Control: max-age='60'"]),
        (USELESS, ["Cache-Control: max-age=-60"]),
        (USELESS, ["Cache-Control: max-age=60", "Age: 60"]),
        (USELESS, ["Expires: 0"]),
        (USELESS, ["Expires: Fri, 01 Jan 2038 00:00:00 GMT", "Expires: Fri, 01 Jan 2038 00:00:00 GMT"]),
        (USELESS, ["CDN-Cache-Control: max-age=0", "Expires: Fri, 01 Jan 2038 00:00:00 GMT"]),
        (TOO_LONG, ["Cache-Control: max-age=60" + "," * 5000]),
        (TOO_LONG, ["Cache-Control: max-age=60", *["Cache-Tag: " + "," * 2000] * 3]),
    ],
)
def test_what_is_not_to_be_kept_says_why(reason: str, lines: list[str]) -> None:
    assert said(*lines) == reason


def test_the_request_can_forbid_it() -> None:
    fresh = "Cache-Control: max-age=60"
    assert said(fresh, no_store=True) == "request-no-store"
    assert said(fresh, authorized=True) == "authorization"
    for more in ("public", "s-maxage=5", "must-revalidate"):
        assert kept(f"{fresh}, {more}", authorized=True)


def test_statuses() -> None:
    fresh = "Cache-Control: max-age=60"
    assert [
        code for code in (200, 204, 299, 301, 404, 500, 599) if not isinstance(said(fresh, status=code), Kept)
    ] == []
    assert [said(fresh, status=code) for code in (206, 304, 412, 416)] == ["status"] * 4
    understood = "Cache-Control: max-age=60, no-store, must-understand"
    assert kept(understood).lifetime_s == 60
    assert said(understood, status=599) == "no-store"
    assert said("Cache-Control: max-age=60, must-understand", status=599) == "not-understood"


def to(*lines: str, status: int = 200, method: str = "GET", answer: str = "Cache-Control: max-age=60") -> Kept | str:
    """What becomes of an answer to a request with these fields."""
    headers = [(name.encode(), value.encode()) for name, _, value in (line.partition(": ") for line in lines)]
    name, _, value = answer.encode().partition(b": ")
    asked = Asked(method, headers, "s", "d", "h.test", "/a?b")
    return storing(Answer.to(asked, status, [(name.lower(), value)], NOW, Wish(heuristics=True)))


def test_what_the_request_says_is_heard() -> None:
    assert isinstance(to(), Kept)
    assert to("Cache-Control: max-age=0, No-Store") == "request-no-store"
    assert to("Authorization: Bearer x") == "authorization"


SAYS = (
    (),
    ((b"cache-control", b"no-store"),),
    ((b"cache-control", b"private"), (b"vary", b"*")),
    ((b"cache-control", b"no-store, must-understand"),),
    ((b"cache-control", b"max-age=60, must-understand"),),
    ((b"cache-control", b"max-age=60"), (b"vary", b"*")),
    ((b"cache-control", b"max-age=60"), (b"set-cookie", b"a=b")),
    ((b"last-modified", MODIFIED),),
    ((b"cache-control", b"max-age=60, x=" + b"y" * 300),),
    tuple((b"cache-tag", b"%d" % number) for number in range(9)),
)
REQUESTS = (
    ("GET", ()),
    ("POST", ()),
    ("GET", ((b"Authorization", b"x"),)),
    ("GET", ((b"Cache-Control", b"no-store"),)),
    ("GET", ((b"Range", b"bytes=0-1"),)),
)


@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("status", [200, 206, 304, 416, 599])
def test_what_is_remembered_of_an_answer_is_what_would_be_found_anew(
    says: tuple[tuple[bytes, bytes], ...], status: int
) -> None:
    for heuristics in (False, True):
        wish = Wish(heuristics=heuristics)
        for method, headers in REQUESTS * 2:  # in the second round from memory
            asked = Asked(method, headers, "s", "d", "h.test", "/")
            assert storing_to(asked, status, says, NOW, wish) == storing(Answer.to(asked, status, says, NOW, wish))


def test_a_part_is_kept_for_who_asks_for_the_same() -> None:
    assert isinstance(to("Range: bytes=0-1", status=206), Kept)
    assert to(status=206) == "status"
    assert to("Range: bytes=0-1", "If-Range: x", status=206) == "status"
    assert to("Range: lines=0-1", status=206) == "status"
    assert to("Range: bytes=0-1", status=416) == "status"


def test_what_a_post_says_is_explicit() -> None:
    modified = f"Last-Modified: {MODIFIED.decode()}"
    assert isinstance(to(answer=modified), Kept)
    assert to(answer=modified, method="POST") == "unsaid"
    assert isinstance(to(method="POST"), Kept)


@pytest.mark.parametrize(
    ("place", "is_its_own"),
    [
        ("/a?b", True), ("http://h.test/a?b", True), ("https://h.test/a?b", True), ("?b", True), ("a?b", True),
        ("", True),
        ("/a", False), ("https://o.test/a?b", False), ("//[", False), ("/a?b#c", False), ("/a?b" + "c" * 5000, False),
    ],
)  # fmt: skip
def test_a_post_answers_what_a_get_would_where_its_place_is_its_own(place: str, is_its_own: bool) -> None:
    asked = Asked("POST", (), "s", "d", "h.test", "/a?b")
    field = (b"content-location", place.encode())
    assert answers_get(200, asked, [field]) is is_its_own
    assert not answers_get(201, asked, [field])
    assert not answers_get(200, asked, [field, field])
    assert not answers_get(200, asked, [])


def test_freshness_is_guessed_where_the_answer_or_the_operator_allows_it() -> None:
    modified = f"Last-Modified: {MODIFIED.decode()}"
    assert kept(modified, "Cache-Control: public").lifetime_s == 86400
    assert kept(modified, heuristics=True).lifetime_s == 86400
    assert said(modified, status=403, heuristics=True) == "unsaid"


def test_stale_answers_serve_where_they_may() -> None:
    lines = "Cache-Control: max-age=60, stale-while-revalidate=5, stale-if-error=7"
    assert kept(lines)[2:4] == (5, 7)
    for strict in ("must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"):
        assert kept(f"{lines}, {strict}", 'ETag: "a"')[2:4] == (0, 0)
    assert kept("Cache-Control: max-age=0, stale-if-error=7").if_error_s == 7, "of use though it comes stale"
    for line, if_error_s in (
        ("max-age=60", 9),
        ("max-age=60, stale-if-error=7", 7),
        ("max-age=60, must-revalidate", 0),
    ):
        found = said(f"Cache-Control: {line}", if_error_s=9)
        assert isinstance(found, Kept)
        assert found.if_error_s == if_error_s
    assert said("Cache-Control: max-age=0", if_error_s=9) == USELESS, "what was never fresh stands in where it says so"


def test_age_counts_from_what_the_guest_says() -> None:
    fresh = "Cache-Control: max-age=600"
    for value, age_s in (
        ("7", 7),
        ("7, 0", 7),
        ("0, 7", 0),
        ("x", 0),
        ("-7", 0),
        ("7.0", 0),
        ("9999999999999", 1 << 31),
    ):
        found = said(fresh, "ETag: a", f"Age: {value}")
        assert isinstance(found, Kept)
        assert found.age_s == age_s, value


def test_named_fields_are_left_out() -> None:
    found = kept('Cache-Control: max-age=60, no-cache="A, b", private=set-cookie', "Set-Cookie: a=b", "Cache-Tag: X,y")
    assert {b"a", b"b", b"set-cookie", b"cache-tag"} <= found.left_out
    assert not found.validates_always
    assert found.tags == ("x", "y")


def test_tags_are_read_from_three_fields_and_bounded() -> None:
    found = kept(
        "Cache-Control: max-age=60",
        'Cache-Groups: "g one", "g2";p, 7',
        f"Cache-Tag: a,, b,{'x' * 129}",
        "Surrogate-Key: c a",
    )
    assert found.tags == ("g2", "a", "b", "c")
    many = ",".join(f"t{number}" for number in range(500))
    assert len(kept("Cache-Control: max-age=60", f"Cache-Tag: {many}").tags) == fields.TAGS_MAX


def test_each_reason_can_be_the_first() -> None:
    assert len({name for name, _, _ in REFUSALS}) == len(REFUSALS)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Tue, 19 Jan 2038 14:14:08 GMT", 2147523248),
        ("tue, 19 JAN 2038 14:14:08 gmt", 2147523248),
        ("Thursday, 18-Aug-50 02:01:18 GMT", 2544400878),
        ("Thu Aug  8 02:01:18 2050", 2543536878),
        ("Thu, 18 Aug 2050 02:01:18 UTC", None),
        ("Thu, 18 Aug 50 02:01:18 GMT", None),
        ("Thu, 18  Aug  2050 02:01:18 GMT", None),
        ("Thu, 18-Aug-2050 02:01:18 GMT", None),
        ("Thu, 18 Aug 2050 2:01:18 GMT", None),
        ("Thu, 32 Aug 2050 02:01:18 GMT", None),
        ("0", None),
        ("", None),
    ],
)
def test_dates(text: str, seconds: int | None) -> None:
    assert fields.date(text) == seconds
