"""A machine that comes back after a week in a record: what its clocks say, and what its timers do."""

import json
import time
from functools import cache

import pytest

from edge.vmm.shells.shell import Image
from libos.runtimes import LANGUAGES
from origin.bake.bake import Baker
from tests.support.guests import Guest, wait_until
from vmimage import abi
from vmimage.terms import Terms

# The runtime is compiled by the first test that needs it.
pytestmark = pytest.mark.timeout(900)

WEEK_NS = 7 * 24 * 3600 * 1_000_000_000

WORKER = """
const fired = [], begun = [];
const states = () => JSON.stringify({ fired, wall: Date.now(), mono: performance.now(), random: Math.random() });
export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/start") {
      for (const ms of [40, 5, 20]) setTimeout(() => fired.push(ms), ms);
      const every = setInterval(() => { fired.push("every"); if (fired.length >= 6) clearInterval(every); }, 15);
      ctx.waitUntil(new Promise((done) => setTimeout(() => { fired.push("owed"); done(); }, 60)));
    }
    return new Response(states());
  },
};
"""


@cache
def maker() -> Baker:
    (js,) = (language for language in LANGUAGES if language.name == "js")
    return Baker(abi.MEMORY_DEFAULT, js)


@cache
def image() -> Image:
    bundle = maker().bake_source(WORKER.encode(), name="week", env={}, terms=Terms(), progress=print)
    return maker().image(bundle)


def state(guest: Guest, path: str = "/") -> dict:  # type: ignore[type-arg]
    return dict(json.loads(bytes(guest.get(path).body)))


def test_after_a_week_the_wall_clock_is_right_and_timers_fire_once_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = Guest(image())
    before = state(first, "/start")
    record = first.park()
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + WEEK_NS)
    later = [Guest(image(), parked=record), Guest(image(), parked=record)]
    states = [state(guest) for guest in later]
    for after in states:
        assert WEEK_NS / 1e6 <= after["wall"] - before["wall"] < WEEK_NS / 1e6 + 600_000
        assert 0 <= after["mono"] - before["mono"] < 600_000, "what was parked is not counted"
    assert len({each["random"] for each in [before, *states]}) == 3
    guest, deadline_s = later[0], time.monotonic() + 30
    while "owed" not in (fired := state(guest)["fired"]) and time.monotonic() < deadline_s:
        wait_until(time.monotonic_ns() + 5_000_000)
    once = [name for name in fired if name != "every"]
    assert once == [5, 20, 40, "owed"], "each once, and in the order in which they were due"
    assert fired.count("every") <= 3, "an interval does not make up for what it missed"


def test_a_clock_that_was_set_back_while_the_machine_was_parked_moves_only_the_wall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = Guest(image())
    before = state(first)
    record = first.park()
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - WEEK_NS)
    after = state(Guest(image(), parked=record))
    assert after["mono"] >= before["mono"]
