"""Lua in a machine: Lua's own test suite, pages and what they may say, and how failures end."""

import re
from functools import cache

import pytest

from edge.vmm.shells.shell import Image
from libos.runtimes import LANGUAGES, lua
from libos.toolchain.packages import source_tree
from origin.bake import files
from origin.bake.bake import BAKE_CPU_MS, Baker
from tests.support.guests import Guest
from vmimage import abi
from vmimage.archive import ImageBundle
from vmimage.errors import OutOfMemory, PublisherError
from vmimage.terms import Terms

# The interpreter is fetched and compiled by the first test that needs it: some minutes, once a machine.
pytestmark = pytest.mark.timeout(900)

(LUA,) = (language for language in LANGUAGES if language.name == "lua")

# Left out: what needs a shell (main, files, and all, which runs the others), or hours (heavy, verybig).
CHAPTERS = (
    "api attrib big bitwise bwcoercion calls closure code constructs db events gc gengc goto literals locals math "
    "nextvar pm sort strings tpack tracegc utf8 vararg cstack"
).split()
MAIN_THREAD = ("coroutine", "errors")  # a page's own code runs there, a request in a coroutine

SUITE = """
package.path = "/suite/?.lua;" .. package.path
_soft, _port, _nomsg = true, true, true
os.setlocale = function() end -- musl takes every name and keeps the point
local function run(chapter)
    local ok, why = xpcall(function() dofile("/suite/" .. chapter .. ".lua") end, debug.traceback)
    return ok and "passed" or why
end
local first = os.getenv("CHAPTER") and run(os.getenv("CHAPTER"))
return function(request) return first or run(request.path:sub(2)) end
"""

PAGE = """
local web = require "web"
local count, loaded = 0, os.time()
local pages = {
    ["/json"] = function(request)
        count = count + 1
        return {headers = {["Content-Type"] = "application/json"}, body = web.json {
            count = count, method = request.method, params = request.params, body = request.body,
            form = web.form(request.body), host = request.headers.host, agent = request.headers["user-agent"],
        }}
    end,
    ["/text"] = function() return "a page" end,
    ["/nothing"] = function() return {status = 204} end,
    ["/escape"] = function(request)
        return web.render("<b>{{a.b}}</b>{{{plain}}}{{none}}", {a = {b = request.params.q}, plain = "<i>"})
    end,
    ["/random"] = function() return tostring(math.random(0)) end,
    ["/clock"] = function() return tostring(loaded) .. " " .. os.date("!%Y", os.time()) end,
    ["/parts"] = function()
        local n = 0
        return {body = function() n = n + 1; return n <= 300 and ("%04d"):format(n):rep(100) or nil end}
    end,
    ["/slow"] = function()
        local words = {"one", "two", "three"}
        return {body = function()
            local until_ = os.clock() + (#words < 3 and 0.05 or 0)
            while os.clock() < until_ do for _ = 1, 10000 do end end
            return table.remove(words, 1)
        end}
    end,
    ["/large-head"] = function(request)
        local fields = {}
        for n = 1, tonumber(request.params.n) do fields["X-" .. n] = ("x"):rep(2000) end
        return {headers = fields, body = "ok"}
    end,
    ["/breaks-off"] = function()
        local n = 0
        return {body = function() n = n + 1; return n < 3 and "part" or error("half way") end}
    end,
    ["/breaks"] = function() return {body = function() error("half way") end} end,
    ["/nested"] = function()
        local function nest(depth) return depth == 0 and "deep" or select(2, pcall(nest, depth - 1)) end
        return nest(180)
    end,
    ["/recursion"] = function() local function f() return 1 + f() end return tostring(select(2, pcall(f))) end,
    ["/pattern"] = function() return tostring(select(2, pcall(string.find, ("a"):rep(300000), ("a?"):rep(300000)))) end,
    ["/error"] = function() local nothing; return nothing.field end,
    ["/status"] = function() return {status = 99} end,
    ["/header"] = function() return {headers = {["X-Bad"] = "a\\r\\nSet-Cookie: b"}} end,
    ["/truth"] = function() return true end,
    ["/hoard"] = function() local t = {}; while true do t[#t + 1] = ("x"):rep(100000) .. #t end end,
    ["/file"] = function() return io.open("/data/words.txt"):read("a") end,
    ["/write"] = function() return tostring(select(2, io.open("/data/words.txt", "w"))) end,
    ["/module"] = function() return require("other").word end,
    ["/gone"] = function() return tostring(os.execute) .. tostring(os.exit) .. tostring(io.popen) end,
}
return function(request)
    local page = pages[request.path]
    return page and page(request) or {status = 404, body = "none"}
end
"""


@cache
def page_baker() -> Baker:
    """Bakes pages of the common size."""
    return Baker(abi.MEMORY_DEFAULT, LUA)


@cache
def suite_baker() -> Baker:
    """Some of Lua's own tests fill more than a common machine: 200 coroutines in one another, a thousand calls each."""
    return Baker(128 << 20, LUA)


@cache
def bake(page: str, **env: str) -> ImageBundle:
    """A page beside some files, among them Lua's own tests."""
    content = dict.fromkeys(("", "data", "suite"), (files.FOLDER_MODE, b""))
    content["other.lua"] = (files.FILE_MODE, b"return {word = 'elsewhere'}")
    content["data/words.txt"] = (files.FILE_MODE, b"some words")
    for path in (source_tree(lua.PACKAGE) / lua.FOLDER / "testes").glob("*.lua"):
        content[f"suite/{path.name}"] = (files.FILE_MODE, path.read_bytes())
    return (suite_baker() if page is SUITE else page_baker()).bake_source(
        page.encode(), name="lua", env={"PATH": "/", **env}, terms=Terms(), progress=print, files=content
    )


def load(bundle: ImageBundle) -> Image:
    """An image as a worker holds it."""
    return (suite_baker() if bundle.manifest.memory_bytes > abi.MEMORY_DEFAULT else page_baker()).image(bundle)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_own_suite_passes(chapter: str) -> None:
    assert bytes(Guest(load(bake(SUITE)), cpu_ms=60_000).get(f"/{chapter}").body).decode() == "passed"


@pytest.mark.parametrize("chapter", MAIN_THREAD)
def test_own_suite_passes_where_the_page_is_loaded(chapter: str) -> None:
    assert bytes(Guest(load(bake(SUITE, CHAPTER=chapter))).get().body).decode() == "passed"


@pytest.fixture(scope="module")
def guest(engine: str) -> Guest:
    return Guest(load(bake(PAGE)))


def test_request_is_a_table_and_state_is_kept(guest: Guest) -> None:
    first = guest.get("/json?a=1&b=%3Cx%3E+y&a=2", HTTP_USER_AGENT="tests")
    assert first.headers["content-type"] == "application/json"
    assert bytes(first.body).decode() == (
        '{"agent":"tests","body":"","count":1,"form":{},"host":"guest.test","method":"GET",'
        '"params":{"a":"2","b":"<x> y"}}'
    )
    second = guest.get("/json", method="POST", body=b"name=T%C3%B8ne&x", CONTENT_LENGTH="16")
    assert '"count":2' in bytes(second.body).decode()
    assert '"form":{"name":"Tøne","x":""}' in bytes(second.body).decode()


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/text", 200, "a page"),
        ("/nothing", 204, ""),
        ("/none", 404, "none"),
        ("/escape?q=%3Cscript%3E%7B%7Bplain%7D%7D", 200, "<b>&lt;script&gt;{{plain}}</b><i>"),
        ("/nested", 200, "deep"),
        ("/file", 200, "some words"),
        ("/module", 200, "elsewhere"),
        ("/gone", 200, "nilnilnil"),
    ],
)
def test_a_page_in_lua_answers_with_status_and_body(guest: Guest, path: str, status: int, body: str) -> None:
    answer = guest.get(path)
    assert (answer.status, bytes(answer.body).decode()) == (status, body)


def test_each_part_of_a_body_leaves_before_the_next_is_computed(guest: Guest) -> None:
    stream, seen = guest.send("/slow"), []
    response = guest.responses[stream]
    while not response.ended:
        guest.machine.run(1_000_000)
        guest.collect(True)
        if response.body and bytes(response.body) not in seen:
            seen.append(bytes(response.body))
    assert seen == [b"one", b"onetwo", b"onetwothree"]


def test_a_body_that_breaks_off_is_not_whole(guest: Guest) -> None:
    stream = guest.send("/breaks-off")
    guest.run()
    assert guest.responses[stream].reset
    assert not guest.responses[stream].ended
    assert guest.get("/breaks").status == 500, "nothing had left"


@pytest.mark.parametrize(("fields", "status"), [(5, 200), (32, 200), (45, 500)])
def test_a_large_head_arrives_or_is_an_error(guest: Guest, fields: int, status: int) -> None:
    answer = guest.get(f"/large-head?n={fields}")
    assert answer.status == status
    assert sum(name.startswith("x-") for name in answer.headers) == (fields if status == 200 else 0)


def test_a_body_in_parts_is_streamed(guest: Guest) -> None:
    answer = guest.get("/parts")
    assert bytes(answer.body) == b"".join(b"%04d" % n * 100 for n in range(1, 301))
    assert answer.ended


def test_requests_meet_between_handlers(guest: Guest) -> None:
    streams = [guest.send("/parts") for _ in range(5)]
    guest.run()
    bodies = {bytes(guest.responses[stream].body) for stream in streams}
    assert bodies == {b"".join(b"%04d" % n * 100 for n in range(1, 301))}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/error", r"main.lua:\d+: attempt to index a nil value \(local 'nothing'\)"),
        ("/status", "status: 200 to 599 expected, got 99"),
        ("/header", "header X-Bad: a value without control characters"),
        ("/truth", "a string or a table expected as the response, got boolean"),
    ],
)
def test_errors_are_500_for_the_client_and_a_traceback_in_the_log(guest: Guest, path: str, said: str) -> None:
    guest.log = b""
    answer = guest.get(path)
    assert (answer.status, bytes(answer.body)) == (500, b"Internal Server Error\n")
    assert "set-cookie" not in answer.headers
    assert re.search(said, guest.log.decode())
    assert "stack traceback" in guest.log.decode()
    assert guest.get("/text").status == 200


def test_recursion_without_end_is_an_error_in_lua(guest: Guest) -> None:
    assert b"stack overflow" in guest.get("/recursion").body
    assert b"pattern too complex" in guest.get("/pattern").body
    assert guest.get("/text").status == 200


def test_memory_has_an_end() -> None:
    with pytest.raises(OutOfMemory):
        Guest(load(bake(PAGE)), cpu_ms=60_000).get("/hoard")


def test_files_are_read_only(guest: Guest) -> None:
    assert b"Read-only file system" in guest.get("/write").body


def test_clock_stands_still_while_the_page_is_loaded_and_then_goes(guest: Guest) -> None:
    loaded, year = bytes(guest.get("/clock").body).split()
    assert int(loaded) < 86_400
    assert int(year) >= 2025


def test_two_machines_of_one_image_never_agree() -> None:
    image = load(bake(PAGE))
    first, second = Guest(image), Guest(image)
    numbers = [bytes(guest.get("/random").body) for guest in (first, second, first)]
    parked = first.park()
    numbers += [bytes(Guest(image, parked=parked).get("/random").body) for _ in range(2)]
    assert len(set(numbers)) == 5


def test_the_same_page_gives_the_same_image() -> None:
    bake.cache_clear()
    first = bake(PAGE).manifest.digest
    bake.cache_clear()
    assert bake(PAGE).manifest.digest == first


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("return function(", "main.lua:1: <name> or '...' expected near <eof>"),
        ("error('not today')", "main.lua:1: not today"),
        ("x = 1", "`return function(request) ... end` expected, got nil"),
        ("while true do end", f"within {BAKE_CPU_MS // 1000} s of CPU time"),
    ],
)
def test_a_page_that_does_not_load_is_refused_with_its_own_words(page: str, said: str) -> None:
    with pytest.raises(PublisherError) as caught:
        bake(page)
    assert said in str(caught.value)
