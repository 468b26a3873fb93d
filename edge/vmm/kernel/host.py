"""What only Linux gives to a VMM, and what stands in for it elsewhere, so that `nunatak dev` runs where Unicorn does.

Elsewhere there are no seals and no sandbox: a machine is then parted from the host by Unicorn alone, which is enough
for a program of one's own and for nobody else's. `nunatak edge` refuses to run there. Read `LINUX` when it is needed,
not at import: tests set it.
"""

import ctypes
import fcntl
import os
import select
import socket
import struct
import sys
import tempfile
import threading
import time
from typing import Final, Protocol

LINUX: bool = sys.platform == "linux"

_CLOCK_MONOTONIC: Final = 1  # linux/time.h
_SYS_SCHED_SETATTR: Final = 314  # x86-64
_SCHED_ATTR: Final = struct.Struct("<IIQiIQQQ")  # linux/sched/types.h, sched_attr of 48 bytes
_SCHED_OTHER: Final = 0
_RESET_ON_FORK: Final = 1  # SCHED_FLAG_RESET_ON_FORK
_PR_SET_THP_DISABLE: Final = 41  # linux/prctl.h
_ITIMERSPEC: Final = struct.Struct("<4q")  # interval, then first expiry; seconds and nanoseconds


def memory_file(name: str) -> int:
    """A file without a place in the file system; elsewhere one that has lost its own. The caller closes it."""
    if LINUX:
        return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    fd, path = tempfile.mkstemp(prefix=f"{name}-")
    os.unlink(path)
    return fd


def seal(fd: int) -> None:
    """Nobody can change this memory file any more; elsewhere nobody has reason to."""
    if LINUX:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals())


def seals() -> int:
    """The seals of an image's memory."""
    return fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def message_pair() -> tuple[socket.socket, socket.socket]:
    """Two sockets that carry whole messages with descriptors, in order."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET if LINUX else socket.SOCK_DGRAM)


def ticker() -> "Ticker":
    """A clock that wakes its one thread at even times, and nobody while it is stopped."""
    return TimerDescriptor() if LINUX else SleepingThread()


class Ticker(Protocol):
    """Stopped at first."""

    def set(self, interval_ns: int) -> None:
        """Tick so often from now on; 0 stops."""

    def wait(self) -> None:
        """Until the next tick."""


class TimerDescriptor:
    """timerfd_create(2)."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, interval_ns: int) -> None:
        """Tick so often from now on; 0 stops."""
        self._libc.timerfd_settime(self._fd, 0, _ITIMERSPEC.pack(0, interval_ns, 0, interval_ns), None)

    def wait(self) -> None:
        """Until the next tick."""
        os.read(self._fd, 8)


class SleepingThread:
    """Ticks by sleeping; they come late by what the system's sleep is late by."""

    def __init__(self) -> None:
        self._interval_s = 0.0
        self._runs = threading.Event()

    def set(self, interval_ns: int) -> None:
        """Tick so often from now on; 0 stops."""
        self._interval_s = interval_ns / 1e9
        (self._runs.set if interval_ns else self._runs.clear)()

    def wait(self) -> None:
        """Until the next tick."""
        self._runs.wait()
        select.select([], [], [], self._interval_s)


def thread_cpu_ns(ident: int) -> int:
    """CPU time that a thread of this process has had, which may be another than the caller's.

    :raises OSError: it has ended.
    """
    return time.clock_gettime_ns(time.pthread_getcpuclockid(ident)) if LINUX else time.monotonic_ns()


def ask_for_short_slices(slice_ns: int, thread: int = 0) -> bool:
    """Have the kernel run a thread soon after it wakes, for turns no longer than this; whether it will.

    :param thread: its number in the system (`Thread.native_id`); 0: the one that asks.

    Linux since 6.12 takes `sched_runtime` of an ordinary thread as its slice, from 0.1 to 100 ms, and lets a
    thread that wakes preempt one with a longer slice (kernel/sched/fair.c, PREEMPT_SHORT). It takes no more time in all
    and needs no privilege. Threads and processes that this one starts do not inherit it.
    """
    if not LINUX:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, _SCHED_OTHER, _RESET_ON_FORK, nice, 0, slice_ns, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(_SYS_SCHED_SETATTR, thread, attributes, 0)) == 0


def small_pages() -> None:
    """Take no huge pages: Unicorn asks for them for translated code, 2 MiB of memory a machine for nothing gained."""
    if LINUX:  # a kernel without them refuses, and there is nothing to be refused
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
