"""Seeds of hashes are part of an image: what a client that knows one can do with it, and what stops it."""

import numpy as np
import pytest

from edge.vmm.machine.machine import Idle
from edge.vmm.shells.shell import Image
from edge.vmm.turns.watchdog import watchdog
from libos.runtimes import LANGUAGES
from origin.bake import files
from origin.bake.bake import Baker
from tests.support.guests import RUNS_MAX, Guest
from vmimage.errors import OutOfTime
from vmimage.manifest import DEFAULT_TERMS

# The interpreter is compiled by the first test that needs it.
pytestmark = pytest.mark.timeout(900)

SEED = 0x6E756E61  # luai_makeseed in libos/runtimes/lua/tuning.h
BLOCKS, BLOCK = 13, 3  # 39 bytes: strings up to 40 are kept in one table (LUAI_MAXSHORTLEN)
PAGE = """
return function(request)
    local keys, found = {}, 0
    for key in io.open(request.path):lines() do keys[key] = true; found = found + 1 end
    return tostring(found)
end
"""


def step(hashes: np.ndarray, byte: np.ndarray) -> np.ndarray:
    """luaS_hash of Lua 5.4 (lstring.c), for one byte; it goes from a string's end to its beginning."""
    return hashes ^ ((hashes << np.uint32(5)) + (hashes >> np.uint32(2)) + byte)


def colliding() -> list[bytes]:
    """Strings of one hash: at each place two blocks that lead to the same state, and all ways to choose of them."""
    letters = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8)
    a, b, c = (axis.ravel() for axis in np.meshgrid(letters, letters, letters, indexing="ij"))
    state, strings = np.uint32(SEED ^ BLOCKS * BLOCK), [b""]
    for _ in range(BLOCKS):
        after = np.full(len(a), state, dtype=np.uint32)
        for byte in (c, b, a):
            after = step(after, byte.astype(np.uint32))
        order = np.argsort(after, kind="stable")
        same = np.flatnonzero(after[order][1:] == after[order][:-1])[0]
        pair = [bytes((a[at], b[at], c[at])) for at in order[same : same + 2]]
        strings = [block + rest for block in pair for rest in strings]
        state = after[order[same]]
    return strings


@pytest.fixture(scope="module")
def image() -> Image:
    (lua,) = (language for language in LANGUAGES if language.name == "lua")
    baker = Baker(language=lua)
    hostile = colliding()
    ordinary = [b"%039d" % number for number in range(len(hostile))]
    assert len(set(hostile)) == 1 << BLOCKS
    lists = {name: (files.FILE_MODE, b"\n".join(keys)) for name, keys in (("bad", hostile), ("good", ordinary))}
    bundle = baker.bake_source(PAGE.encode(), name="keys", env={}, terms=DEFAULT_TERMS, progress=print, files=lists)
    return baker.image(bundle)


def ask(guest: Guest, path: str) -> int:
    """One request, in slices as a worker gives them; the CPU time it took, in ms.

    :raises OutOfTime: more than the machine's limit.
    """
    before_ns, stream = guest.machine.virtual_ns, guest.send(path)
    try:
        for _ in range(RUNS_MAX):
            with watchdog().watching(guest.shell.engine):
                outcome = guest.machine.run()
            if isinstance(outcome, Idle):
                break
    finally:
        watchdog().rest()
    guest.run()
    assert guest.responses[stream].body == b"%d" % (1 << BLOCKS)
    return (guest.machine.virtual_ns - before_ns) // 1_000_000 + 1


def test_keys_that_collide_meet_the_limit_on_cpu_time(image: Image) -> None:
    cost_ms = ask(Guest(image), "/good")
    guest = Guest(image, cpu_ms=4 * cost_ms)  # colliding keys cost some thirty times as much
    ask(guest, "/good")
    with pytest.raises(OutOfTime):
        ask(guest, "/bad")
    ask(Guest(image), "/good")
