"""The module `web` of Lua pages: JSON that loses nothing, fields of forms, cookies, and requests to upstreams."""

import json
import struct
from functools import cache

import pytest

from edge.vmm.devices.ring import Record
from edge.vmm.shells.shell import Image
from tests.guest.test_lua import page_baker
from tests.support.guests import Guest, Response, head_block
from vmimage import abi
from vmimage.errors import PublisherError
from vmimage.terms import Terms

# The interpreter is fetched and compiled by the first test that needs it: some minutes, once a machine.
pytestmark = pytest.mark.timeout(900)

END = abi.FLAG_END

# Runs the request's body, and answers with what it gives; what it gives as a function is the answer's body.
PAGE = """
web = require "web"
return function(request)
    local handler = assert(load(request.body))
    local result = handler(request)
    return type(result) == "function" and {body = result} or tostring(result)
end
"""


@cache
def image() -> Image:
    bundle = page_baker().bake_source(PAGE.encode(), name="lua", env={}, terms=Terms(), progress=print)
    return page_baker().image(bundle)


@pytest.fixture(scope="module")
def guest(engine: str) -> Guest:
    return Guest(image())


def run(guest: Guest, lua: str, **variables: str) -> str:
    """What a piece of Lua gives; or the first line that it left in the log."""
    guest.log = b""
    answer = guest.get(method="POST", body=lua.encode("utf-8", "surrogateescape"), **variables)
    if answer.status == 500:
        return "error: " + guest.log.decode("utf-8", "replace").split("\n")[0]
    return bytes(answer.body).decode()


WRITTEN = {
    "3.141592653589793": "3.141592653589793",
    "0.1 + 0.2": "0.30000000000000004",
    "2.0 ^ 53": "9007199254740992",
    "1e300": "1e+300",
    "5e-324": "4.94065645841247e-324",
    "10 / 2": "5",
    "-0.0": "-0.0",
    "math.maxinteger": "9223372036854775807",
    "math.mininteger": "-9223372036854775808",
    "nil": "null",
    "web.null": "null",
    "{1, web.null, 3}": "[1,null,3]",
    "{}": "{}",
    "web.array {}": "[]",
    "{web.array {}, {}}": "[[],{}]",
    "{[2] = 'b', [3] = 'c'}": '{"2":"b","3":"c"}',
    "{b = 1, a = {true, false}}": '{"a":[true,false],"b":1}',
    "'\\0\\t\\127é\\u{1F600}'": '"\\u0000\\t\\u007fé\U0001f600"',
}
REFUSED = {
    "1 / 0": "JSON has no inf",
    "0 / 0": "JSON has no -nan",
    "{1, nil, 3}": "an array without holes expected",
    "{1, 2, name = 'x'}": "an array, which has [1], has no key name",
    "{1, [1.5] = 2}": "an array, which has [1], has no key 1.5",
    "{[true] = 1}": "a string or an integer expected as a key, got a boolean",
    "{[2] = 1, ['2'] = 2}": "one key 2 expected",
    "web.array {a = 1}": "has no key a",
    "'a\\xff'": "text in UTF-8 expected, byte 2 is none",
    "'\\xed\\xa0\\x80'": "text in UTF-8 expected, byte 1 is none",
    "{'\\xff'}": "text in UTF-8",
    "print": "JSON has no function",
    "(function() local t = {}; t.t = t; return t end)()": "a table in itself",
    "(function() local t = {}; for _ = 1, 1001 do t = {t} end; return t end)()": "at most 1000 tables",
}


@pytest.mark.parametrize("lua", WRITTEN)
def test_json_says_exactly_what_the_value_is(guest: Guest, lua: str) -> None:
    assert run(guest, f"return web.json({lua})") == WRITTEN[lua]
    if lua not in ("nil", "web.null"):
        assert run(guest, f"return web.json(web.from_json(web.json({lua})))") == WRITTEN[lua], "and comes back"


@pytest.mark.parametrize("lua", REFUSED)
def test_what_json_cannot_say_is_an_error(guest: Guest, lua: str) -> None:
    assert REFUSED[lua].replace("-nan", "") in run(guest, f"return web.json({lua})")


READ = (
    "0", "-1", "1.5e3", "9223372036854775807", "-9223372036854775808", "100000000000000000000",
    '"a\\u00e9\\ud83d\\ude00\\/"',
    ' [ 1 , { "a" : [ ] } , null , true ] ', '{"":{}}', '"\\u0000"', "2.5", "1E5", "0.1",
)  # fmt: skip
NOT_READ = {
    "": "a value expected, got the end",
    "[1,]": "a value expected",
    "[1 2]": ", or ] expected",
    '{"a":1,}': "a name in quotes expected",
    "{a:1}": "a name in quotes expected",
    '{"a" 1}': ": expected",
    "1 2": "the end expected",
    "01": "the end expected",
    "+1": "a value expected",
    "1.": "the end expected",
    ".5": "a value expected",
    "nul": "a value expected",
    "NaN": "a value expected",
    "1e400": "a number up to 1.8e308 expected",
    "-1e400": "a number up to 1.8e308 expected",
    "18446744073709551615": "an integer of 64 bits",
    "1" * 400: "an integer of 64 bits",
    '"a': "the end of a string",
    '"a\tb"': "the end of a string, or an escape",
    '"\\x"': "an escape expected",
    '"\\ud83d"': "a low surrogate after a high one",
    '"\\ude00"': "a high surrogate before a low one",
    '{"a":1,"a":2}': "another name than the one before",
    '{"a":null,"a":2}': "another name than the one before",
    "\ufeff1": "a value expected",
    '"\udcff"': "text in UTF-8 expected",
    "[" * 2000: "at most 1000 values in one another",
}


@pytest.mark.parametrize("text", READ)
def test_json_that_is_read_is_what_python_reads(guest: Guest, text: str) -> None:
    back = run(guest, f"return web.json(web.from_json([==[{text}]==]))")
    assert json.loads(back) == json.loads(text)


@pytest.mark.parametrize("text", NOT_READ)
def test_json_that_is_none_is_refused_with_a_place(guest: Guest, text: str) -> None:
    said = run(guest, f"return web.json(web.from_json([==[{text}]==]))")
    assert said.startswith("error: ")
    assert NOT_READ[text] in said
    assert "byte" in said


def test_several_fields_and_cookies_are_all_there(guest: Guest) -> None:
    fields = "local t = {}; for _, f in ipairs(web.fields(request.query)) do t[#t + 1] = f.name .. '=' .. f.value end"
    said = run(
        guest, f"local request = ...; {fields}; return table.concat(t, ';')", QUERY_STRING="a=1&b=%26+x&a=2&c&=d"
    )
    assert said == "a=1;b=& x;a=2;c=;=d"
    cookies = "local c = web.cookies((...).headers.cookie); return c.a .. '|' .. c.b .. '|' .. c.c .. tostring(c.d)"
    assert run(guest, cookies, HTTP_COOKIE='a=1; b="two words"; c=; a=3') == "1|two words|nil"


class Outside(Guest):
    """A guest whose exchanges the test answers."""

    def __init__(self) -> None:
        super().__init__(image())

    def begin(self, lua: str) -> int:
        stream = self.send(method="POST", body=lua.encode())
        self.run()
        return stream

    @property
    def asked(self) -> dict[str, str]:
        """What the last exchange asked for, with its number."""
        record = [record for record in self.exchanges if record.type == abi.RECORD_SUBREQUEST][-1]
        parts = record.payload.rstrip(b"\0").decode().split("\0")
        return {"number": str(record.stream), **dict(zip(parts[::2], parts[1::2], strict=False))}

    def answer(self, body: bytes = b"", *, end: bool = True, status: int = 200, **fields: str) -> None:
        number = int(self.asked["number"])
        head = head_block({"Status": str(status), **{name.replace("_", "-"): value for name, value in fields.items()}})
        self.machine.offer(Record(abi.RECORD_HEAD, 0, number, head))
        self.more(number, body, end=end)

    def more(self, number: int, body: bytes, *, end: bool = False) -> None:
        self.machine.offer(Record(abi.RECORD_BODY, END if end else 0, number, body))
        self.run()

    def body(self, stream: int) -> str:
        return bytes(self.responses[stream].body).decode()


def test_a_fetch_sends_what_it_was_told_and_gives_the_answer() -> None:
    guest = Outside()
    stream = guest.begin(
        "local headers = {['X-One'] = {'1', '2'}, Host = 'b'};"
        " local a = web.fetch('http://a.test/x', {method = 'post', headers = headers, body = 'data'})"
        " return a.status .. a.headers['x-answer'] .. a.url .. a.headers['set-cookie'][1] .. a:text()"
    )
    asked = guest.asked
    assert (asked["Method"], asked["URL"], asked["X-One"]) == ("POST", "http://a.test/x", "2")
    assert asked["Accept-Encoding"] == "identity"
    assert "Host" not in asked
    assert b"".join(r.payload for r in guest.exchanges if r.type == abi.RECORD_BODY) == b"data"
    guest.answer(b"page", status=203, X_Answer="42", Set_Cookie="c=d")
    assert guest.body(stream) == "20342http://a.test/xc=dpage"


def test_handlers_meet_while_they_wait_and_only_then() -> None:
    guest = Outside()
    first = guest.begin("count = 1; local a = web.fetch('http://a.test/'); count = count + 1; return a:text() .. count")
    number = int(guest.asked["number"])
    assert run(guest, "count = count + 10; return count") == "11"
    guest.machine.offer(Record(abi.RECORD_HEAD, 0, number, head_block({"Status": "200"})))
    guest.more(number, b"late", end=True)
    assert guest.body(first) == "late12"


def test_an_answer_is_passed_on_as_it_comes() -> None:
    guest = Outside()
    stream = guest.begin("local a = web.fetch('http://a.test/'); return function() return a:read() end")
    guest.answer(b"one", end=False)
    assert guest.body(stream) == "one"
    number = int(guest.asked["number"])
    guest.more(number, b"two", end=True)
    assert (guest.body(stream), guest.responses[stream].ended) == ("onetwo", True)


def test_an_answer_that_breaks_off_breaks_off_what_is_made_of_it() -> None:
    guest = Outside()
    stream = guest.begin("local a = web.fetch('http://a.test/'); return function() return a:read() end")
    guest.answer(b"one", end=False)
    guest.machine.offer(Record(abi.RECORD_RESET, 0, int(guest.asked["number"]), b"upstream broke off"))
    guest.run()
    assert guest.responses[stream].reset
    assert b"fetch: upstream broke off" in guest.log
    assert b"stack traceback" in guest.log


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [(301, "POST", "GET", b""), (302, "POST", "GET", b""), (303, "PUT", "GET", b""), (307, "POST", "POST", b"data")],
)
def test_redirects_are_followed_and_credentials_stay(status: int, method: str, then: str, body: bytes) -> None:
    guest = Outside()
    stream = guest.begin(
        f"local a = web.fetch('http://a.test/x/y?q', {{method = '{method}', body = 'data', headers = "
        "{Authorization = 'secret', ['Content-Type'] = 'text/plain'}}) return a.url .. tostring(a.redirected)"
    )
    guest.answer(status=status, Location="../z#part")
    assert (guest.asked["Method"], guest.asked["URL"]) == (then, "http://a.test/z")
    assert guest.asked["Authorization"] == "secret"
    assert ("Content-Type" in guest.asked) == (then != "GET")
    guest.exchanges = [record for record in guest.exchanges if record.type == abi.RECORD_SUBREQUEST]
    guest.answer(status=status, Location="//b.test/")
    assert guest.asked["URL"] == "http://b.test/"
    assert "Authorization" not in guest.asked
    assert b"".join(r.payload for r in guest.exchanges if r.type == abi.RECORD_BODY) == body
    guest.answer()
    assert guest.body(stream) == "http://b.test/true"


def test_a_redirect_may_be_left_alone_or_an_error_and_they_end() -> None:
    guest = Outside()
    stream = guest.begin("return web.fetch('http://a.test/', {redirect = 'manual'}).headers.location")
    guest.answer(status=302, Location="/there")
    assert guest.body(stream) == "/there"
    stream = guest.begin("return select(2, pcall(web.fetch, 'http://a.test/', {redirect = 'error'}))")
    guest.answer(status=302, Location="/there")
    assert "no redirect expected" in guest.body(stream)
    stream = guest.begin("return select(2, pcall(web.fetch, 'http://a.test/'))")
    for _ in range(21):
        guest.answer(status=302, Location="/round")
    assert "at most 20 redirects" in guest.body(stream)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("web.fetch('ftp://a.test')", "a URL with http: or https: expected"),
        ("web.fetch('http://a.test/a b')", "without blanks"),
        ("web.fetch('http://a.test/', {method = 'A B'})", "a method such as GET expected"),
        ("web.fetch('http://a.test/', {body = 'x'})", "no body expected with GET"),
        ("web.fetch('http://a.test/', {headers = {['X-A'] = 'a\\r\\nb'}})", "without control characters"),
        ("web.fetch('http://a.test/', {headers = {['X A'] = 'a'}})", "a name of a header field"),
        ("web.fetch('http://a.test/' .. ('x'):rep(20000))", "less than 16 KiB"),
    ],
)
def test_what_cannot_be_asked_is_an_error_that_says_why(guest: Guest, call: str, said: str) -> None:
    guest.exchanges = []
    assert said in run(guest, f"return select(2, pcall(function() return {call} end))")
    assert not guest.exchanges


def test_nothing_is_fetched_while_the_image_is_built() -> None:
    page = "local web = require 'web'; web.fetch('http://a.test/')"
    with pytest.raises(PublisherError, match="it works in a handler, not while the image is built"):
        page_baker().bake_source(page.encode(), name="lua", env={}, terms=Terms(), progress=print)


def test_exchanges_end_with_their_request_and_with_the_client() -> None:
    guest = Outside()
    stream = guest.begin("kept = web.fetch('http://a.test/'); return 'done'")
    guest.answer(b"unread", end=False)
    assert guest.body(stream) == "done"
    assert guest.exchanges[-1].type == abi.RECORD_RESET, "what nobody reads any more is given up"
    assert "this one was closed, or its request has ended" in run(guest, "return select(2, pcall(kept.read, kept))")
    stream = guest.begin("return web.fetch('http://a.test/'):text()")
    guest.log = b""
    guest.machine.offer(Record(abi.RECORD_RESET, 0, stream, b""))
    guest.run()
    assert guest.exchanges[-1].type == abi.RECORD_RESET
    assert guest.log == b"", "a client that leaves is no error of the page"
    assert run(guest, "return 'next'") == "next"


def test_a_body_of_its_own_is_streamed_under_credit() -> None:
    guest = Outside()
    stream = guest.begin(
        "local n = 0; local a = web.fetch('http://a.test/', {method = 'PUT', body = function() n = n + 1;"
        " return n <= 200 and ('%04d'):format(n):rep(250) or nil end}) return a.status"
    )
    number, sent = int(guest.asked["number"]), 0
    for _ in range(40):
        bodies = [record for record in guest.exchanges if record.type == abi.RECORD_BODY]
        taken = sum(len(record.payload) for record in bodies)
        assert taken - sent <= abi.STREAM_WINDOW
        if bodies[-1].flags & END:
            break
        guest.machine.offer(Record(abi.RECORD_CREDIT, 0, number, struct.pack("<I", taken - sent)))
        sent = taken
        guest.run()
    assert b"".join(record.payload for record in bodies) == b"".join(b"%04d" % n * 250 for n in range(1, 201))
    guest.answer(status=201)
    assert guest.body(stream) == "201"


def test_more_handlers_than_stacks_wait_at_once() -> None:
    guest = Outside()
    streams = [guest.begin(f"return web.fetch('http://a.test/{n}'):text()") for n in range(10)]
    asked = [record.stream for record in guest.exchanges if record.type == abi.RECORD_SUBREQUEST]
    assert len(asked) == abi.FIBER_COUNT
    answered = 0
    while answered < len(streams):
        asked = [record.stream for record in guest.exchanges if record.type == abi.RECORD_SUBREQUEST]
        for number in asked[answered:]:
            guest.machine.offer(Record(abi.RECORD_HEAD, 0, number, head_block({"Status": "200"})))
            guest.more(number, b"done", end=True)
            answered += 1
    assert {guest.body(stream) for stream in streams} == {"done"}
    response: Response = guest.responses[streams[-1]]
    assert response.ended
