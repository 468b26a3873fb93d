"""A worker's sandbox: what a process gives up before it runs the first guest, and can never have again.

On Unicorn it is the boundary between a guest and the host, on KVM the second one. Its layers do not lean on one
another: no file is in reach because the root is empty, because Landlock denies it, and because no system call opens
one. `enter` says which layers stand; where the platform refuses one the worker runs without, and says so.

Rules for callers: one call a process, when everything is imported and opened but no second thread runs. The kernel
keeps user, namespaces and Landlock per thread, so a thread that was there before would stay outside of them and could
be made to work for an intruder. What needs threads is made by `start`, inside.
"""

import contextlib
import ctypes
import importlib
import os
import resource
import stat
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from edge.vmm.kernel import host
from edge.vmm.kernel import kvm_api as kvm
from edge.vmm.sandbox import seccomp
from edge.vmm.sandbox.seccomp import libc_call
from vmimage.errors import OperatorError

# An own user for each worker: this and its process id, which is unique for as long as the process lives. No system
# assigns the range (systemd.io/UIDS-GIDS: 0x70000000 is above the users of containers); process ids have 22 bits.
FIRST_UID: Final = 0x7000_0000
NOBODY: Final = 65534  # where the own one has no mapping, as in many containers

# What `KvmEngine` and `kvm_api` ask of the kernel; a test compares.
KVM_REQUESTS: Final = (
    *(kvm.RUN, kvm.GET_SREGS, kvm.GET_XSAVE, kvm.SET_XSAVE),
    *(kvm.CREATE_VM, kvm.CREATE_VCPU, kvm.GET_VCPU_MMAP_SIZE, kvm.SET_TSS_ADDR, kvm.SET_USER_MEMORY_REGION),
    *(kvm.GET_SUPPORTED_CPUID, kvm.SET_CPUID2, kvm.SET_MSRS, kvm.GET_API_VERSION),
    kvm.CHECK_EXTENSION,
)

# By numpy for set operations; by unicorn for the first machine.
LOADED_LATE: Final = ("numpy.ma", "unicorn.unicorn_py3.arch.intel")

# linux/sched.h, linux/mount.h, linux/prctl.h, linux/capability.h
CLONE_NEWUSER: Final = 0x1000_0000
NAMESPACES: Final = 0x4000_0000 | 0x0800_0000 | 0x0400_0000 | 0x0002_0000  # network, IPC, host name, mounts
MS_LOCKED: Final = 1 | 2 | 4 | 8  # read-only, nosuid, nodev, noexec
MS_PRIVATE_BELOW: Final = 1 << 18 | 1 << 14
PR_SET_DUMPABLE: Final = 4
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION: Final = 0x2008_0522

# Landlock: from which ABI on there is what to deny (linux/landlock.h). (ABI, files, network, scopes)
LANDLOCK: Final = (
    (1, 0x1FFF, 0, 0),
    (2, 1 << 13, 0, 0),  # link and rename to another directory
    (3, 1 << 14, 0, 0),  # truncate
    (4, 0, 3, 0),  # TCP: bind, connect
    (5, 1 << 15, 0, 0),  # ioctl on devices
    (6, 0, 0, 3),  # abstract Unix sockets and signals, to the outside
    (9, 1 << 16, 0, 0),  # Unix sockets that have a path
    (10, 0, 12, 0),  # UDP: bind, connect and send
)
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446  # on every architecture
_LANDLOCK_VERSION: Final = 1

# What an operator can do about a layer that is missing.
FIXES: Final = {
    "sandbox": "run edges on Linux",
    "namespaces": "start the edge as root, or allow user namespaces to ordinary users",
    "user": "start the edge as root, or with CAP_SETUID and CAP_SETGID",
    "landlock": "Linux 5.13 or newer, with landlock among the kernel's `lsm=`",
    "processes": "start the edge as root, or allow user namespaces to ordinary users",
    "seccomp": "a kernel with CONFIG_SECCOMP_FILTER, on x86_64",
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What stays with the worker."""

    keep: tuple[int, ...] = ()  # open descriptors, beside stdin (made /dev/null), stdout and stderr
    kvm: int | None = None  # the descriptor of `kvm_api.open_kvm()`
    uid: int | None = None  # of user and group when started as root; `None`: one of its own
    descriptors: int = 4096  # open at once: a shell has 1, with KVM 4, a base image 2
    address_bytes: int = 1 << 40  # of mappings: a thousand of the largest guests


@dataclass(frozen=True, slots=True)
class Layer:
    """One thing that was given up, or could not be."""

    name: str
    stands: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What stands between an intruder in the worker and the host."""

    layers: tuple[Layer, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the layers that the platform refused."""
        return tuple(layer.name for layer in self.layers if not layer.stands)

    def lines(self) -> list[str]:
        """For a log and `nunatak doctor`: what each layer is, or that it is MISSING, why, and what would fix it."""
        return [
            f"{x.name}: {x.detail}" if x.stands else f"{x.name}: MISSING, {x.detail}; {FIXES.get(x.name, 'report it')}"
            for x in self.layers
        ]


def enter(config: Config, start: Callable[[], T]) -> tuple[Report, T]:
    """Give up everything but what `config` keeps and the system calls of `seccomp`.

    :param start: called when all but the filter stands; it may make threads and pipes, which are then inside.
    :return: what stands, and what `start` returned.
    :raises ValueError: the process has another thread already, or a descriptor to keep is not open.
    """
    if not host.LINUX:
        return Report((Layer("sandbox", False, f"{sys.platform} has none of its parts"),)), start()
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        raise ValueError(f"a process of one thread expected, got {threads}: see `sandbox.environment`")
    load_early()
    layers: dict[str, Layer] = {}

    def put_up(name: str, step: Callable[[], str]) -> bool:
        try:
            layers[name] = Layer(name, True, step())
        except (OSError, OperatorError) as error:
            layers[name] = Layer(name, False, getattr(error, "strerror", None) or str(error))
        return layers[name].stands

    put_up("descriptors", lambda: close_others(config))
    put_up("limits", lambda: limit(config))
    # Either as root, or else in a user namespace; there root would have no mapping to become another user: hence after.
    namespaces = put_up("namespaces", lambda: own_namespaces(0))
    own_user = put_up("user", lambda: become_user(config.uid))
    if not namespaces:
        own_user |= put_up("namespaces", lambda: own_namespaces(CLONE_NEWUSER))
    put_up("capabilities", drop_capabilities)
    put_up("privileges", no_new_privileges)
    put_up("landlock", deny_files)
    made = start()
    put_up("processes", lambda: no_more_processes(config, own_user))
    put_up("seccomp", lambda: f"{seccomp.install(() if config.kvm is None else KVM_REQUESTS)} system calls")
    return Report(tuple(layers.values())), made


def environment() -> dict[str, str]:
    """The environment to start a worker with: none of the supervisor's secrets, and numpy without threads."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PYTHON", "LC_", "LD_", "NUNATAK_COMPILED"))
    }
    return {**kept, "PATH": os.defpath, "LANG": os.environ.get("LANG", "C.UTF-8"), "OPENBLAS_NUM_THREADS": "1"}


def probe() -> list[str]:
    """What the sandbox of a worker started now would be: `Report.lines()`, for `nunatak doctor`."""
    command = [sys.executable, "-m", "edge.vmm.sandbox.layers"]
    done = subprocess.run(command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else [f"sandbox: MISSING, exit status {done.returncode}"]


def load_early() -> None:
    """Modules and libraries that would be opened at their first use, which is after the files are gone."""
    for name in LOADED_LATE:
        importlib.import_module(name)
    with contextlib.suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1")  # the C library aborts where a thread ends and it cannot be loaded
    try:
        raise LookupError
    except LookupError:
        traceback.format_exc()


# Layers, in the order of `enter`. Each says what it did, or raises OSError or OperatorError.


def close_others(config: Config) -> str:
    """Nothing of the supervisor's stays open.

    :raises ValueError: a descriptor to keep is not open.
    """
    keep = {0, 1, 2, *config.keep, *([] if config.kvm is None else [config.kvm])}
    null = os.open(os.devnull, os.O_RDONLY)
    found = set(map(int, os.listdir("/proc/self/fd")))
    if missing := keep - found - {0, 1, 2}:
        raise ValueError(f"open descriptors to keep expected, got {missing}")
    os.dup2(null, 0, inheritable=False)
    for fd in found - keep:
        with contextlib.suppress(OSError):  # the one that the list was read by
            os.close(fd)
    return f"{len(keep)} open"


def limit(config: Config) -> str:
    """Resource limits, soft and hard."""
    limits = {
        resource.RLIMIT_CORE: 0,  # a core file would hold tenants' memory
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_NOFILE: config.descriptors,
        resource.RLIMIT_AS: config.address_bytes,
    }
    is_log = any(stat.S_ISREG(os.fstat(fd).st_mode) for fd in (1, 2))
    if not is_log:  # else it could not be written either
        limits[resource.RLIMIT_FSIZE] = 0
    for which, value in limits.items():
        lower(which, value)
    files = "files may grow since the log is one" if is_log else "no file may grow"
    return f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]} descriptors, no core, {files}"


def lower(which: int, value: int) -> None:
    """Set a limit, soft and hard, or keep one that is lower."""
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def own_namespaces(user: int) -> str:
    """No network, no one else's shared memory, and of the file system an empty directory that nothing can be put in.

    :param user: `CLONE_NEWUSER` where the process may not do this as it is.
    """
    libc_call("unshare", NAMESPACES | user)
    libc_call("mount", None, b"/", None, MS_PRIVATE_BELOW, None)
    # Over any directory that is there for certain; nobody else sees it.
    libc_call("mount", b"none", b"/proc", b"tmpfs", MS_LOCKED, b"size=4k,nr_inodes=1,mode=555")
    os.chroot("/proc")  # without capabilities and open directories there is no way back
    os.chdir("/")
    return "network, IPC, host name and an empty root of its own" + (", by a user namespace" if user else "")


def become_user(uid: int | None) -> str:
    """A user and group that own nothing."""
    empty_bounding_set()  # while that is permitted
    wanted = (FIRST_UID + os.getpid(), NOBODY) if uid is None else (uid,)
    for number in wanted:
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(number, number, number)
            os.setresuid(number, number, number)
            return f"{number}"
    raise OperatorError(f"user {os.geteuid()} may not become another")


def empty_bounding_set() -> None:
    """No program that is run could have capabilities either."""
    with contextlib.suppress(OSError):  # past the last one, or not permitted
        for capability in range(64):
            libc_call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)


def drop_capabilities() -> str:
    """None now, and none by running a program."""
    empty_bounding_set()
    with contextlib.suppress(OSError):  # before Linux 4.3 there were none
        libc_call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    libc_call("capset", struct.pack("<II", _CAPABILITY_VERSION, 0), bytes(24))
    return "none"


def no_new_privileges() -> str:
    """No program gives any, and no process of the same user may look into this one."""
    libc_call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc_call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
    return "no new ones, memory closed to other processes"


def deny_files() -> str:
    """Everything that the kernel's Landlock can deny."""
    abi = libc_call("syscall", _LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION)
    known = [row for row in LANDLOCK if row[0] <= abi]
    files, network, scopes = (sum(row[column] for row in known) for column in (1, 2, 3))
    rules = libc_call("syscall", _LANDLOCK_CREATE, struct.pack("<QQQ", files, network, scopes), 24, 0)
    try:
        libc_call("syscall", _LANDLOCK_RESTRICT, rules, 0)
    finally:
        os.close(rules)
    return f"ABI {abi}, files" + (", TCP" if network else "") + (", signals, abstract sockets" if scopes else "")


def no_more_processes(config: Config, own_user: bool) -> str:
    """Neither processes nor threads, beside those that are there.

    The kernel counts by user, so where the worker shares its own with others there may only be none at all; and KVM has
    a thread of its own for each machine, which counts too.
    """
    threads = threading.active_count()
    machines = 0 if config.kvm is None else config.descriptors // 2
    if machines and not own_user:
        raise OperatorError("threads of KVM cannot be told from those of the same user's other processes")
    lower(resource.RLIMIT_NPROC, threads + machines)
    beside = f", and {machines} that KVM makes for machines" if machines else ""
    return f"no new ones; {threads} of its own threads{beside}"


if __name__ == "__main__":
    device: int | None = None
    with contextlib.suppress(OperatorError):
        device = kvm.open_kvm()
    print("\n".join(enter(Config(kvm=device), lambda: None)[0].lines()))
