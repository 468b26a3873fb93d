"""Which system calls a worker may make once it serves: a list, and the filter that the kernel holds it to (seccomp(2)).

Three answers. What is on the list goes through. What a library may try in passing (open a file, make a thread) gets
EPERM, so that a surprise in an update costs an error and not every machine in the worker. What only an intruder tries
ends the process with SIGSYS: it is lost anyway, and its supervisor should know.

Numbers are those of x86-64. A call that asks for another table (int 0x80, x32) ends the process too. The kernel works
out at the start which numbers are always allowed and no longer runs the filter for those; only calls whose arguments
count pay for it.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from vmimage.errors import OperatorError

AT_EMPTY_PATH: Final = 0x1000
F_DUPFD_CLOEXEC: Final = 1030  # Python keeps a descriptor of its own for each mapping
FIOCLEX: Final = 0x5451


def _calls(text: str) -> dict[str, int]:
    words = text.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


# What the loop, both engines, Python's memory and its locks need. Files are here only as descriptors that are open.
ALWAYS: Final = _calls("""
    read 0  write 1  close 3  fstat 5  lseek 8  poll 7  recvfrom 45  recvmsg 47  sendto 44
    mmap 9  mprotect 10  munmap 11  mremap 25  madvise 28  brk 12
    futex 202  sched_yield 24  clock_gettime 228  timerfd_settime 286  getrandom 318  getpid 39  gettid 186
    rt_sigaction 13  rt_sigprocmask 14  rt_sigreturn 15  restart_syscall 219  exit 60  exit_group 231
""")
# Allowed with some arguments only: see `checked_calls`.
FCNTL: Final = 72
IOCTL: Final = 16
TGKILL: Final = 234
NEWFSTATAT: Final = 262

# What neither Python, numpy, Unicorn nor the C library does by itself: to run a program, to look into another process,
# to change what the process is or sees, to reach kernel interfaces with a history of holes.
DEADLY: Final = _calls("""
    execve 59  execveat 322
    ptrace 101  process_vm_readv 310  process_vm_writev 311  process_madvise 440  kcmp 312
    pidfd_open 434  pidfd_getfd 438
    mount 165  umount2 166  pivot_root 155  chroot 161  open_tree 428  move_mount 429  fsopen 430  fsconfig 431
    fsmount 432  mount_setattr 442  unshare 272  setns 308
    setuid 105  setgid 106  setreuid 113  setregid 114  setresuid 117  setresgid 119  setgroups 116  capset 126
    bpf 321  perf_event_open 298  userfaultfd 323  io_uring_setup 425  io_uring_enter 426  io_uring_register 427
    add_key 248  request_key 249  keyctl 250
    init_module 175  finit_module 313  delete_module 176  kexec_load 246  kexec_file_load 320  reboot 169
    name_to_handle_at 303  open_by_handle_at 304  fanotify_init 300
    modify_ldt 154  iopl 172  ioperm 173  personality 135  swapon 167  swapoff 168  acct 163  quotactl 179
""")
# Younger than this table: "no such call" makes the C library take its older way, which EPERM would not.
NEWEST: Final = 462  # mseal, Linux 6.10

# linux/audit.h, linux/seccomp.h, linux/bpf_common.h
_ARCH_X86_64: Final = 0xC000_003E
_X32: Final = 0x4000_0000
_KILL_PROCESS: Final = 0x8000_0000
_ALLOW: Final = 0x7FFF_0000
_ERRNO: Final = 0x0005_0000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARGUMENTS = 0, 4, 16  # in struct seccomp_data
_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1  # SECCOMP_FILTER_FLAG_TSYNC
_SECCOMP: Final = 317

_instruction: Final = struct.Struct("<HBBI")
_libc: Final = ctypes.CDLL(None, use_errno=True)


class Argument(NamedTuple):
    """What an argument may be. Its low 32 bits are compared: only for those that the kernel declares as `int`."""

    place: int
    values: tuple[int, ...]


def checked_calls(ioctls: Collection[int]) -> dict[int, Argument]:
    """Calls that are allowed only with certain arguments: these requests, a look at or another number
    for a descriptor, signals to oneself, `fstat`.

    :param ioctls: beside the one that Python makes on a descriptor that it receives.
    """
    return {
        IOCTL: Argument(1, (*ioctls, FIOCLEX)),
        FCNTL: Argument(1, (F_DUPFD_CLOEXEC,)),
        TGKILL: Argument(0, (os.getpid(),)),
        NEWFSTATAT: Argument(3, (AT_EMPTY_PATH,)),
    }


def program(checked: Mapping[int, Argument], always: Collection[int], deadly: Collection[int]) -> bytes:
    """The filter in classic BPF. Everything else is refused with EPERM.

    :raises ValueError: it is longer than a kernel takes, or an argument has more values than a jump can pass.
    """
    kill, allow = _return(_KILL_PROCESS), _return(_ALLOW)
    code = [_load(_OFFSET_ARCH), _jump(_EQUAL, _ARCH_X86_64, 1, 0), kill]
    code += [_load(_OFFSET_NUMBER), _jump(_AT_LEAST, _X32, 0, 1), kill]
    for number, (place, values) in checked.items():
        code.append(_jump(_EQUAL, number, 0, len(values) + 3))
        code.append(_load(_OFFSET_ARGUMENTS + 8 * place))
        code += [_jump(_EQUAL, value, len(values) - tried, 0) for tried, value in enumerate(values)]
        code += [_return(_ERRNO | errno.EPERM), allow]
    for numbers, answer in ((always, allow), (deadly, kill)):
        for number in numbers:
            code += [_jump(_EQUAL, number, 0, 1), answer]
    code += [_jump(_AT_LEAST, NEWEST + 1, 0, 1), _return(_ERRNO | errno.ENOSYS), _return(_ERRNO | errno.EPERM)]
    if len(code) > 4096:  # BPF_MAXINSNS
        raise ValueError(f"a filter of at most 4096 instructions expected, got {len(code)}")
    return b"".join(code)


def _load(offset: int) -> bytes:
    return _instruction.pack(_LOAD, 0, 0, offset)


def _jump(test: int, value: int, if_true: int, if_false: int) -> bytes:
    if max(if_true, if_false) > 255:
        raise ValueError("a jump reaches 255 instructions")
    return _instruction.pack(test, if_true, if_false, value)


def _return(answer: int) -> bytes:
    return _instruction.pack(_RETURN, 0, 0, answer)


def install(ioctls: Collection[int]) -> int:
    """Put every thread of the process under the filter, for ever. Needs "no new privileges".

    :return: how many calls are left.
    :raises OperatorError: there is no table for this processor.
    :raises OSError: the kernel refuses.
    """
    if platform.machine() != "x86_64":
        raise OperatorError(f"the list of system calls is for x86_64, this is {platform.machine()}")
    checked = checked_calls(ioctls)
    code = program(checked, ALWAYS.values(), DEADLY.values())
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog
    whole = struct.pack("<H6xQ", len(code) // _instruction.size, ctypes.addressof(buffer))
    result = libc_call("syscall", _SECCOMP, _SET_MODE_FILTER, _ALL_THREADS, whole)
    if result:
        raise OSError(errno.EBUSY, f"thread {result} is under a filter of its own")
    return len(checked) + len(ALWAYS)


def libc_call(name: str, *arguments: int | bytes | None) -> int:
    """A function of the C library that returns -1 and sets errno.

    :raises OSError: it did, or the library has none of that name.
    """
    try:
        function = getattr(_libc, name)
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    result = int(function(*(ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments)))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
