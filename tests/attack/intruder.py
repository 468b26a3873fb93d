"""What code that took over a worker would try. Runs as a program: prints what became of each attempt, as JSON.

The program plays the supervisor: it listens on sockets, holds a file, keeps a sandboxed neighbour with a memfd, and
starts one process for each attempt, which enters the sandbox first. An attempt ends as "done", as the name of an errno,
or as the name of the signal that ended the process.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge.vmm.kernel import kvm_api
from edge.vmm.sandbox import layers, seccomp
from edge.vmm.sandbox.seccomp import libc_call
from vmimage.errors import OperatorError

KVM_CREATE_IRQCHIP = 0xAE60
TIOCGWINSZ = 0x5413
PTRACE_SEIZE = 0x4206
CLONE_NEWNET = 0x4000_0000
CLONE_NEWNS = 0x0002_0000
PR_SET_DUMPABLE = 4
NO_FD = -1
PROBES = (335, 336)  # uretprobe and uprobe: the kernel answers them past a filter, with SIGILL outside of a probe

Act = Callable[["Scene"], object]


@dataclass
class Scene:
    """What is there to be reached."""

    tcp: tuple[str, int]
    udp: tuple[str, int]
    abstract: str
    named: str
    directory: Path
    supervisor: int
    neighbour: int = 0
    memfd: int = 0  # the neighbour's
    kvm: int | None = None
    keep: list[int] = field(default_factory=list)


acts: dict[str, Act] = {
    "read_a_file": lambda scene: (scene.directory / "secret").read_text(),
    "write_a_file": lambda scene: (scene.directory / "planted").write_text("x"),
    "list_a_directory": lambda scene: os.listdir(scene.directory),
    "look_at_a_path": lambda scene: os.stat(scene.directory),
    "connect_tcp": lambda scene: socket.socket(socket.AF_INET).connect(scene.tcp),
    "send_udp": lambda scene: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", scene.udp),
    "connect_to_an_abstract_socket": lambda scene: socket.socket(socket.AF_UNIX).connect(scene.abstract),
    "connect_to_a_named_socket": lambda scene: socket.socket(socket.AF_UNIX).connect(scene.named),
    "use_a_raw_socket": lambda scene: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "trace_the_supervisor": lambda scene: libc_call("ptrace", PTRACE_SEIZE, scene.supervisor, 0, 0),
    "trace_a_neighbour": lambda scene: libc_call("ptrace", PTRACE_SEIZE, scene.neighbour, 0, 0),
    "open_a_neighbours_memfd": lambda scene: Path(f"/proc/{scene.neighbour}/fd/{scene.memfd}").read_bytes(),
    "take_a_neighbours_descriptor": lambda scene: libc_call(
        "syscall", 438, libc_call("syscall", 434, scene.neighbour, 0), scene.memfd, 0
    ),
    "signal_the_supervisor": lambda scene: os.kill(scene.supervisor, signal.SIGCONT),
    "signal_a_neighbour": lambda scene: os.kill(scene.neighbour, signal.SIGCONT),
    "signal_a_neighbours_thread": lambda scene: libc_call("tgkill", scene.neighbour, scene.neighbour, signal.SIGCONT),
    "mount": lambda scene: libc_call("mount", b"none", b"/", b"proc", 0, None),
    "make_a_namespace": lambda scene: libc_call("unshare", CLONE_NEWNET),
    "be_root_again": lambda scene: os.setuid(0),
    "set_up_io_uring": lambda scene: libc_call("syscall", 425, 8, bytes(120)),
    "handle_page_faults": lambda scene: libc_call("syscall", 323, 0),
    "make_a_memfd": lambda scene: os.memfd_create("planted"),
    "raise_a_limit": lambda scene: resource.setrlimit(
        resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    ),
    "be_dumpable_again": lambda scene: libc_call("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0),
    "ask_a_terminal": lambda scene: fcntl.ioctl(1, TIOCGWINSZ, bytes(8)),
    "make_a_virtual_machine": lambda scene: fcntl.ioctl(scene.kvm or 0, kvm_api.CREATE_VM, 0),
    "call_by_the_x32_table": lambda scene: libc_call("syscall", 0x4000_0000 | seccomp.ALWAYS["getpid"]),
    "write_to_standard_input": lambda scene: os.write(0, b"x"),
}


def act(function: Act) -> Act:
    acts[function.__name__] = function
    return function


@act
def remove_a_file(scene: Scene) -> object:
    (scene.directory / "kept").rename(scene.directory / "moved")
    return (scene.directory / "moved").rename(scene.directory / "kept")


@act
def run_a_program(scene: Scene) -> object:
    os.execv("/proc/self/exe", ["python", "-c", "print('done', flush=True)"])


@act
def fork(scene: Scene) -> object:
    child = os.fork()
    if child == 0:
        os._exit(0)
    return os.waitpid(child, 0)


@act
def start_a_thread(scene: Scene) -> object:
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        raise PermissionError(errno.EPERM, "no thread") from None
    return None


@act
def read_a_neighbours_memory(scene: Scene) -> object:
    buffer = ctypes.create_string_buffer(8)
    here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    return libc_call("process_vm_readv", scene.neighbour, bytes(here), 1, bytes(here), 1, 0)


@act
def load_bpf(scene: Scene) -> object:
    array = struct.pack("<IIII56x", 2, 4, 4, 1)  # type, key, value, entries
    return libc_call("syscall", 321, 0, array, len(array))


@act
def count_events(scene: Scene) -> object:
    cpu_clock = struct.pack("<IIQ96x", 1, 112, 0)  # software event, size, which
    return libc_call("syscall", 298, cpu_clock, 0, NO_FD, NO_FD, 0)


@act
def make_an_interrupt_chip(scene: Scene) -> object:
    assert scene.kvm is not None
    return fcntl.ioctl(fcntl.ioctl(scene.kvm, kvm_api.CREATE_VM, 0), KVM_CREATE_IRQCHIP, 0)


@act
def call_by_the_32_bit_table(scene: Scene) -> object:
    """`getpid` of that table: mov eax, 20; int 0x80; ret."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


@act
def use_descriptors_of_the_supervisor(scene: Scene) -> object:
    """Done when there is one that was not meant to stay."""
    meant = {0, 1, 2, *scene.keep, *([] if scene.kvm is None else [scene.kvm])}
    for fd in set(range(4096)) - meant:
        try:
            os.fstat(fd)
        except OSError:
            continue
        return fd
    raise OSError(errno.EBADF, "none")


@act
def make_any_other_call(scene: Scene) -> object:
    """Done when any number that is on no list is answered otherwise than by EPERM, or ENOSYS if it is too new."""
    listed = {*seccomp.ALWAYS.values(), *seccomp.checked_calls(()), *seccomp.DEADLY.values(), *PROBES}
    for number in sorted(set(range(600)) - listed):  # the first, stat, already tells whether there is a filter
        expected = errno.EPERM if number <= seccomp.NEWEST else errno.ENOSYS
        try:
            libc_call("syscall", number, 0, 0, 0, 0, 0, 0)
        except OSError as error:
            if error.errno == expected:
                continue
        return number
    raise PermissionError(errno.EPERM, "all of them")


def deadly_acts() -> dict[str, Act]:
    """Every call that ends the process, by its number."""

    def calling(number: int) -> Act:
        return lambda scene: libc_call("syscall", number, 0, 0, 0, 0, 0, 0)

    return {f"call {name}": calling(number) for name, number in seccomp.DEADLY.items()}


# How much of the sandbox stands when the attempt is made.


def free(scene: Scene, attempt: Callable[[], None]) -> None:
    attempt()


def whole(scene: Scene, attempt: Callable[[], None]) -> None:
    layers.enter(config(scene), lambda: None)
    attempt()


def without_filter(scene: Scene, attempt: Callable[[], None]) -> None:
    layers.enter(config(scene), attempt)


def thread(scene: Scene, attempt: Callable[[], None]) -> None:
    """From the thread that `start` made."""
    entered = threading.Event()

    def when_entered() -> None:
        entered.wait()
        attempt()

    def start() -> threading.Thread:
        made = threading.Thread(target=when_entered)
        made.start()
        return made

    _, made = layers.enter(config(scene), start)
    entered.set()
    made.join()


def landlock(scene: Scene, attempt: Callable[[], None]) -> None:
    layers.no_new_privileges()
    layers.deny_files()
    attempt()


def capabilities(scene: Scene, attempt: Callable[[], None]) -> None:
    layers.drop_capabilities()
    attempt()


def processes(scene: Scene, attempt: Callable[[], None]) -> None:
    layers.no_more_processes(layers.Config(), own_user=False)
    attempt()


MODES = {f.__name__: f for f in (free, whole, without_filter, thread, landlock, capabilities, processes)}


def config(scene: Scene) -> layers.Config:
    return layers.Config(keep=tuple(scene.keep), kvm=scene.kvm)


def outcome(scene: Scene, mode: str, name: str, what: Act) -> str:
    """Make one attempt in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        with contextlib.suppress(OSError):  # should a mount succeed, nobody else is to see it
            libc_call("unshare", CLONE_NEWNS)
            libc_call("mount", None, b"/", None, layers.MS_PRIVATE_BELOW, None)

        def attempt() -> None:
            try:
                what(scene)
                result = "done"
            except OSError as error:
                result = errno.errorcode[error.errno or 0]
            except ValueError:  # from `setrlimit`, for a limit that may not be raised
                result = "EPERM"
            os.write(1, result.encode())

        try:
            MODES[mode](scene, attempt)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        said = file.read().strip()
    status = os.waitpid(child, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else said


def neighbour(scene: Scene) -> Iterator[Scene]:
    """Another worker in its sandbox, with a tenant's memfd."""
    ready_reader, ready = os.pipe()
    memfd = os.memfd_create("tenant")
    os.write(memfd, b"x")
    child = os.fork()
    if child == 0:
        try:
            layers.enter(layers.Config(keep=(memfd, ready)), lambda: None)
            os.write(ready, b"x")
            libc_call("poll", None, 0, -1)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    for fd in (ready, memfd):
        os.close(fd)
    if not os.read(ready_reader, 1):
        raise RuntimeError("the neighbour could not enter its sandbox")
    os.close(ready_reader)
    scene.neighbour, scene.memfd = child, memfd
    try:
        yield scene
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def main() -> None:
    """`intruder MODE USER DIRECTORY`: all attempts, as user USER, who may use DIRECTORY."""
    mode, user, directory = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    names = (f"\0nunatak-test-{os.getpid()}", str(directory / "socket"))
    listeners = [socket.socket(socket.AF_UNIX) for _ in names]
    for listener, name in zip(listeners, names, strict=True):
        listener.bind(name)
        listener.listen()
    os.chmod(names[1], 0o777)
    scene = Scene(tcp.getsockname(), udp.getsockname(), *names, directory, os.getpid())
    try:
        scene.kvm = kvm_api.open_kvm()
    except OperatorError:
        acts.pop("make_a_virtual_machine")
        acts.pop("make_an_interrupt_chip")
    os.set_inheritable(os.open(directory / "secret", os.O_RDONLY), True)  # for the sandbox to close
    layers.load_early()  # the ordinary user may not be allowed to
    if user != os.geteuid():
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    attempts = {**acts, **(deadly_acts() if mode == "whole" else {})}
    for ready in neighbour(scene):
        outcomes = {name: outcome(ready, mode, name, what) for name, what in attempts.items()}
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
