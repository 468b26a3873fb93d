"""Segment selectors of the thread itself, for KVM without hardware support: there a guest's are the worker's own.

Such a KVM neither sets nor keeps them, so what one guest loads is found by the next, in whatever machine it is. No
guest's contract has them: 64-bit code does not use DS and ES, and FS and GS have bases that are set by other means.
"""

import ctypes
import functools
import mmap
import signal
from collections.abc import Callable
from typing import Final

_AT_HWCAP2: Final = 26  # linux/auxvec.h
_HWCAP2_FSGSBASE: Final = 1 << 1  # asm/hwcap2.h

# mov eax, gs; shl rax, 16; mov ecx, fs; or rax, rcx; shl rax, 16; mov ecx, es; or; shl; mov ecx, ds; or; ret
_READ: Final = bytes.fromhex("8ce8 48c1e010 8ce1 4809c8 48c1e010 8cc1 4809c8 48c1e010 8cd9 4809c8 c3")
# xor eax, eax; mov ds, eax; mov es, eax
_CLEAR_DATA: Final = bytes.fromhex("31c0 8ed8 8ec0")
# rdfsbase rcx; rdgsbase rdx; mov fs, eax; mov gs, eax; wrfsbase rcx; wrgsbase rdx: to load a selector changes the base
_CLEAR_BASED: Final = bytes.fromhex("f3480faec1 f3480faeca 8ee0 8ee8 f3480faed1 f3480faeda")
_RETURN: Final = b"\xc3"
_CLEAR_AT: Final = 64


class _Functions:
    """The two as functions of C, in a page of their own."""

    def __init__(self) -> None:
        c = ctypes.CDLL(None, use_errno=True)
        getauxval = c.getauxval
        getauxval.restype = ctypes.c_ulong
        based = _CLEAR_BASED if getauxval(_AT_HWCAP2) & _HWCAP2_FSGSBASE else b""
        clear = _CLEAR_DATA + based + _RETURN
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._page[: len(_READ)] = _READ
        self._page[_CLEAR_AT : _CLEAR_AT + len(clear)] = clear
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        if c.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError(ctypes.get_errno(), "a page of code expected, mprotect refuses")
        kind = ctypes.CFUNCTYPE(ctypes.c_uint64)
        self.read: Callable[[], int] = kind(address)
        self.clear: Callable[[], int] = kind(address + _CLEAR_AT)


_functions = functools.cache(_Functions)


def selectors() -> int:
    """DS, ES, FS and GS, 16 bits each from the lowest on."""
    return _functions().read()


def clear_selectors() -> None:
    """Make them null, which is what a process starts with."""
    functions = _functions()
    if functions.read():
        # The thread has no FS base for two instructions, and a signal's handler would need it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            functions.clear()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
