"""Stops that are exact: Unicorn is told to look for them only where a basic block begins.

Unicorn 2.1.4 asks after every load and store whether it is to stop, and then goes back to the start of that
instruction. One that loads, changes and stores (`inc` in memory) has done its work by then and does it again: a counter
is one too high, in about one stop of a thousand. `no_exit_request` in Unicorn's own structure leaves the question out
(qemu/tcg/tcg-op.c, check_exit_request; meant for Arm), and with it a call for each access. No function sets it, so it
is written in place, found by a neighbour that a function does change.
"""

import ctypes
import functools
import warnings
from typing import Final

from unicorn import Uc, __version__, unicorn_const

KNOWN: Final = "2.1.4"  # whose structure this is
_SEARCHED: Final = 4096  # bytes of the structure, which is larger
_MODES: Final = (
    unicorn_const.UC_CTL_CONTEXT_CPU,
    unicorn_const.UC_CTL_CONTEXT_MEMORY,
    unicorn_const.UC_CTL_CONTEXT_CPU,
)


def stop_between_blocks(uc: Uc) -> bool:
    """Before anything is translated: ask for stops at the start of blocks alone. False: not with this Unicorn."""
    offset = _offset()
    if offset is None:
        return False
    ctypes.memset(_address(uc) + offset, 1, 1)
    return True


def _address(uc: Uc) -> int:
    handle = uc._uch.value
    assert handle
    return int(handle)


@functools.cache
def _offset() -> int | None:
    """Where `no_exit_request` lies, in bytes; None where that is not certain."""
    if __version__ != KNOWN:
        warnings.warn(f"unicorn {KNOWN} expected, got {__version__}: stops are not exact", stacklevel=2)
        return None
    uc = Uc(unicorn_const.UC_ARCH_X86, unicorn_const.UC_MODE_64)
    uc.mem_map(0x1000, 0x1000)  # brings it up
    seen = []
    for mode in _MODES:  # context_content, an int, is what changes
        uc.ctl(unicorn_const.UC_CTL_CONTEXT_MODE, unicorn_const.UC_CTL_IO_WRITE, ctypes.c_int(mode))
        seen.append(ctypes.string_at(_address(uc), _SEARCHED))
    places = [at for at in range(0, _SEARCHED, 4) if tuple(data[at] for data in seen) == _MODES]
    if len(places) != 1:
        return None
    # int context_content, cpu_context_size; u64 next_pc; bool hook_insert, first_tb, no_exit_request, init_done
    flags = (places[0] + 8 + 7 & ~7) + 8
    hook_insert, first_tb, no_exit_request, init_done = seen[-1][flags : flags + 4]
    if (hook_insert, no_exit_request, init_done) != (0, 0, 1) or first_tb > 1:
        return None
    return flags + 2
