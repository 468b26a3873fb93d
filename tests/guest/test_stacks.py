"""Where a program was when it failed, in its own language, and in which request; also when its time is up."""

import time
from functools import cache

import pytest

from edge.devices.traces import TraceReader
from edge.vmm.machine.machine import Idle
from edge.vmm.shells.shell import Image
from edge.vmm.turns.watchdog import watchdog
from tests.guest.test_lua import page_baker
from tests.support.guests import EXAMPLES, PROGRAMS, RUNS_MAX, Guest, image_of, wait_until
from tests.support.workers import SOON_NS, worker_image
from vmimage.errors import GuestError, GuestExited, OutOfMemory, OutOfTime
from vmimage.terms import Terms

# The interpreters are fetched and compiled by the first test that needs them: some minutes, once a machine.
pytestmark = pytest.mark.timeout(900)

CPU_MS = 400
WORKER = b"""\
const spin = () => { for (let n = 0; ; n++) Math.abs(n); };
function boom() { throw new TypeError("no basket"); }
const late = async () => { await null; boom(); };
export default { async fetch(request, env, context) {
  switch (new URL(request.url).pathname) {
    case "/throw": boom();
    case "/rejected": await late();
    case "/nobody": late(); break;
    case "/timer": setTimeout(boom, 1); await scheduler.wait(2); break;
    case "/kept": context.waitUntil(late()); break;
    case "/cause": throw new Error("outer", { cause: new RangeError("inner") });
    case "/loop": spin();
    case "/caught": try { spin(); } catch { spin(); } finally { spin(); }
    case "/promise": await null; spin();
    case "/executor": await new Promise(() => spin());
    case "/native": [1].map(spin);
    case "/sort": while (true) Array.from({ length: 5000 }, (_, n) => -n).sort();
    case "/late": for (const end = Date.now() + 1e9; Date.now() < end; ) ;
  }
  return new Response("done");
} };
"""
PAGE = """\
local function spin()
    while true do end
end
return function(request)
    local path = request.path
    if path == "/error" then error("no basket") end
    if path == "/loop" then spin() end
    if path == "/strings" then while true do ("a"):rep(100):find("b*c") end end
    if path == "/coroutine" then coroutine.wrap(spin)() end
    if path == "/hoard" then
        local all = {}
        while true do
            all[#all + 1] = ("x"):rep(65536) .. #all
        end
    end
    return "done"
end
"""


class Watched(Guest):
    """A machine that is run as a real one is: with a watchdog, until nothing happens soon."""

    def run(self, *, credit: bool = True) -> None:
        for _ in range(RUNS_MAX):
            with watchdog().watching(self.machine.shell.engine):
                outcome = self.machine.run()
            if isinstance(outcome, Idle) and not self.collect(credit):
                if outcome.until_ns is None or outcome.until_ns > time.monotonic_ns() + SOON_NS:
                    return
                wait_until(outcome.until_ns)
        raise AssertionError("the program does not come to rest")


@cache
def page() -> Image:
    return page_baker().image(page_baker().bake_source(PAGE.encode(), name="p", env={}, terms=Terms(), progress=print))


def stacks(guest: Guest, path: str) -> list[tuple[str, tuple[str, ...], str]]:
    """What the log says of one request: what happened, where, and the request's identifier."""
    guest.send(path, HTTP_X_REQUEST_ID="a-1")
    try:
        guest.run()
    finally:
        watchdog().rest()
        guest.log += b"".join(guest.machine.log)
        reader, lines = TraceReader(), guest.log.decode().splitlines()
        found = [trace for line in lines if (trace := reader.add(line)) is not None]
        assert all(f"    for GET {path} (a-1)" in lines for _ in found)
        guest.told = [(each.what, each.frames, each.request) for each in found]  # type: ignore[attr-defined]
    return guest.told  # type: ignore[attr-defined,no-any-return]


def ended(guest: Guest, path: str, error: type[GuestError]) -> list[tuple[str, tuple[str, ...], str]]:
    """The same of one that ends its machine so."""
    with pytest.raises(error):
        stacks(guest, path)
    return guest.told  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    ("path", "what", "line"),
    [
        ("/throw", "uncaught: TypeError: no basket", 2),
        ("/rejected", "uncaught: TypeError: no basket", 2),
        ("/nobody", "unhandled rejection: TypeError: no basket", 2),
        ("/timer", "uncaught: TypeError: no basket", 2),
        ("/kept", "waitUntil: TypeError: no basket", 2),
        ("/cause", "uncaught: Error: outer", 11),
    ],
)
def test_an_error_of_a_worker_has_its_stack_and_its_request(path: str, what: str, line: int) -> None:
    ((said, frames, request),) = stacks(Watched(worker_image(WORKER)), path)
    assert (said, request) == (what, "a-1")
    assert f"(worker.js:{line}:" in frames[0]
    assert ("cause: RangeError: inner" in frames) == (path == "/cause")


@pytest.mark.parametrize("path", ["/loop", "/caught", "/promise", "/native"])
def test_a_worker_without_end_says_where_it_was(path: str) -> None:
    ((said, frames, request),) = ended(Watched(worker_image(WORKER), cpu_ms=CPU_MS), path, OutOfTime)
    assert (said, request) == ("out of time: the CPU time of a request is used up", "a-1")
    assert frames[0].startswith("spin (worker.js:1:")
    assert any(frame.startswith("fetch (worker.js:") for frame in frames)


@pytest.mark.parametrize("path", ["/executor", "/sort", "/late"])
def test_a_worker_ends_in_time_wherever_it_spins(path: str) -> None:
    guest = Watched(worker_image(WORKER), cpu_ms=CPU_MS)
    ended(guest, path, OutOfTime)
    assert guest.machine.virtual_ns < (CPU_MS + 200) * 1_000_000, "a moment more, not another limit"


def test_an_error_of_a_page_has_its_request() -> None:
    ((said, frames, request),) = stacks(Watched(page()), "/error")
    assert (said, request) == ("main.lua:6: no basket", "a-1")
    assert any("main.lua:6: in function <main.lua:4>" in frame for frame in frames)


def test_a_page_without_end_says_where_it_was() -> None:
    ((said, frames, request),) = ended(Watched(page(), cpu_ms=CPU_MS), "/loop", OutOfTime)
    assert (said, request) == ("out of time: the CPU time of a request is used up", "a-1")
    assert frames[0].startswith("main.lua:2: in ")
    assert any("main.lua:7: in " in frame for frame in frames)


@pytest.mark.parametrize("path", ["/strings", "/coroutine"])
def test_a_page_ends_in_time_wherever_it_spins(path: str) -> None:
    guest = Watched(page(), cpu_ms=CPU_MS)
    ended(guest, path, OutOfTime)
    assert guest.machine.virtual_ns < (CPU_MS + 200) * 1_000_000


def test_a_page_without_memory_says_where_it_was() -> None:
    ((said, frames, request),) = ended(Watched(page(), cpu_ms=60_000), "/hoard", OutOfMemory)
    assert said.startswith("out of memory: ")
    assert (frames[0], request) == ("main.lua:13:", "a-1")


def test_a_program_that_looks_at_no_interrupt_has_no_moment_more() -> None:
    guest = Watched(image_of(EXAMPLES / "spin.c"), cpu_ms=50)
    with pytest.raises(OutOfTime):
        guest.get("/spin")


def test_who_says_that_its_time_is_up_before_it_is_has_only_left() -> None:
    with pytest.raises(GuestExited, match="exit code 14"):
        Guest(image_of(PROGRAMS / "exits.c")).get("/14")
