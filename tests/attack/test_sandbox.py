"""Code that took over a worker: whatever it tries fails, by the filter and by a second layer where there is one.

`intruder` makes the attempts. It is run once as root, if the tests are, and once as an ordinary user, whose workers get
their namespaces another way and share their user with each other.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pytest

from edge.vmm.devices.ring import Record
from edge.vmm.kernel import kvm_api
from edge.vmm.memory.image_memory import base_memfd, sealed_memfd
from edge.vmm.sandbox import layers, seccomp
from edge.vmm.wire import frames
from edge.vmm.wire.frames import Frame
from tests.attack import intruder
from tests.support.guests import EXAMPLES, PROGRAMS, Guest, Response, bake, baker, head_block, image_of
from vmimage import abi, snapshot
from vmimage.archive import ImageBundle
from vmimage.manifest import Limits

ROOT = Path(__file__).parents[2]
ORDINARY = 61999  # any user that is not root
USERS = [0, ORDINARY] if os.geteuid() == 0 else [os.geteuid()]
KVM_TYPE = 0xAE  # linux/kvm.h
TIMEOUT_S = 20

DEADLY = """
    run_a_program trace_the_supervisor trace_a_neighbour read_a_neighbours_memory take_a_neighbours_descriptor
    mount make_a_namespace be_root_again set_up_io_uring load_bpf count_events handle_page_faults
    call_by_the_x32_table call_by_the_32_bit_table
""".split()
REFUSED = """
    read_a_file write_a_file list_a_directory remove_a_file look_at_a_path connect_tcp send_udp
    connect_to_an_abstract_socket connect_to_a_named_socket use_a_raw_socket fork start_a_thread
    open_a_neighbours_memfd signal_the_supervisor signal_a_neighbour signal_a_neighbours_thread make_a_memfd
    raise_a_limit be_dumpable_again ask_a_terminal make_any_other_call
""".split()
# What another layer refuses too.
REFUSED_TWICE = """
    read_a_file write_a_file list_a_directory remove_a_file connect_tcp run_a_program trace_the_supervisor
    trace_a_neighbour read_a_neighbours_memory take_a_neighbours_descriptor open_a_neighbours_memfd
    signal_the_supervisor signal_a_neighbour signal_a_neighbours_thread connect_to_an_abstract_socket mount
    be_root_again raise_a_limit use_a_raw_socket
""".split()
BY_LANDLOCK = """
    read_a_file write_a_file list_a_directory remove_a_file connect_tcp connect_to_an_abstract_socket run_a_program
    trace_a_neighbour open_a_neighbours_memfd signal_the_supervisor signal_a_neighbour
""".split()


@cache
def standing() -> str:
    """What `nunatak doctor` would say here."""
    return "\n".join(layers.probe())


@cache
def outcomes(mode: str, user: int) -> dict[str, str]:
    """All attempts with so much of the sandbox."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o777)
        for file in (directory / "secret", directory / "kept"):
            file.write_text("x")
        command = [sys.executable, "-m", "tests.attack.intruder", mode, str(user), name]
        done = subprocess.run(
            command, cwd=ROOT, env=layers.environment(), stdin=subprocess.DEVNULL, capture_output=True
        )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name: str, user: int) -> None:
    assert outcomes("whole", user)[name] == "EPERM"


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("name", DEADLY)
def test_ends_the_worker(name: str, user: int) -> None:
    assert outcomes("whole", user)[name] == "SIGSYS"


@pytest.mark.parametrize("user", USERS)
def test_every_deadly_call_ends_the_worker(user: int) -> None:
    alive = {f"call {name}" for name in seccomp.DEADLY}
    assert {name for name, result in outcomes("whole", user).items() if result == "SIGSYS"} >= alive


@pytest.mark.parametrize("user", USERS)
def test_threads_are_inside(user: int) -> None:
    ours = {name: result for name, result in outcomes("whole", user).items() if not name.startswith("call ")}
    assert outcomes("thread", user) == ours


@pytest.mark.parametrize("user", USERS)
def test_nothing_is_inherited(user: int) -> None:
    assert outcomes("whole", user)["use_descriptors_of_the_supervisor"] == "EBADF"
    assert outcomes("whole", user)["write_to_standard_input"] == "EBADF"


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("name", REFUSED_TWICE)
def test_is_refused_without_the_filter_too(name: str, user: int) -> None:
    if "MISSING" in standing() and outcomes("without_filter", user)[name] == "done":
        pytest.skip(standing())
    assert outcomes("without_filter", user)[name] != "done"


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("name", BY_LANDLOCK)
def test_is_refused_by_landlock_alone(name: str, user: int) -> None:
    if "landlock: MISSING" in standing():
        pytest.skip(standing())
    assert outcomes("landlock", user)[name] in ("EACCES", "EPERM")


def test_is_refused_by_the_limit_alone() -> None:
    """Root has no such limit."""
    assert outcomes("processes", USERS[-1])["fork"] == "EAGAIN"


@pytest.mark.skipif(os.geteuid() != 0, reason="much of it needs root to succeed at all")
def test_attempts_succeed_where_there_is_no_sandbox() -> None:
    unlikely = {"call_by_the_x32_table", "ask_a_terminal", "write_to_standard_input"}  # fail on most machines
    failed = {name for name, result in outcomes("free", 0).items() if result != "done"}
    assert failed <= unlikely


@pytest.mark.kvm
@pytest.mark.parametrize("user", USERS)
def test_kvm_is_there_but_for_requests_of_no_use(user: int) -> None:
    assert outcomes("whole", user)["make_a_virtual_machine"] == "done"
    assert outcomes("whole", user)["make_an_interrupt_chip"] == "EPERM"
    assert outcomes("free", user)["make_an_interrupt_chip"] == "done"


def test_requests_of_the_kvm_engine_are_all_listed() -> None:
    """A number that `kvm_api` gains must be put into `layers.KVM_REQUESTS`, or the engine fails in a worker."""
    numbers = {n for n in vars(kvm_api).values() if isinstance(n, int) and n >> 8 & 0xFF == KVM_TYPE}
    assert numbers == set(layers.KVM_REQUESTS)


def test_lists_do_not_overlap() -> None:
    always, checked, deadly = set(seccomp.ALWAYS.values()), set(seccomp.checked_calls(())), set(seccomp.DEADLY.values())
    assert not always & checked
    assert not (always | checked) & deadly
    assert len(always) + len(deadly) == len(seccomp.ALWAYS) + len(seccomp.DEADLY)


def test_attempts_are_all_expected() -> None:
    elsewhere = {
        "use_descriptors_of_the_supervisor",
        "write_to_standard_input",
        "make_a_virtual_machine",
        "make_an_interrupt_chip",
    }
    assert set(intruder.acts) == {*REFUSED, *DEADLY} | elsewhere


def run(code: str) -> subprocess.CompletedProcess[str]:
    """A program that can import from the repository."""
    command = [sys.executable, "-c", "from edge.vmm.sandbox import layers\n" + textwrap.dedent(code)]
    return subprocess.run(command, cwd=ROOT, env=layers.environment(), capture_output=True, text=True)


def test_a_second_thread_is_not_let_in() -> None:
    done = run("""
        import threading
        stop = threading.Event()
        threading.Thread(target=stop.wait, daemon=True).start()
        layers.enter(layers.Config(), print)
    """)
    assert "a process of one thread expected" in done.stderr


@cache
def report_of(user: int) -> str:
    """Missing layers by name, then the lines, of a worker that such a user starts."""
    done = run(f"""
        import os
        layers.load_early()
        if os.geteuid() != {user}:
            os.setresuid({user}, {user}, {user})
        report, _ = layers.enter(layers.Config(), int)
        print(*report.missing, *report.lines(), sep="\\n")
    """)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_layer_that_the_platform_refuses_is_said() -> None:
    report = report_of(USERS[-1])
    assert "user" in report.splitlines()
    assert "user: MISSING, user" in report
    assert "start the edge as root" in report


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("name", ["look_at_a_path", "send_udp", "connect_to_a_named_socket"])
def test_is_refused_by_namespaces_alone(name: str, user: int) -> None:
    """Landlock knows nothing of these, before ABI 9."""
    possible = run(f"""
        import os
        layers.load_early()
        os.setresuid({user}, {user}, {user})
        layers.libc_call("unshare", layers.NAMESPACES | layers.CLONE_NEWUSER)
        layers.libc_call("mount", None, b"/", None, layers.MS_PRIVATE_BELOW, None)
    """)
    if possible.returncode:
        pytest.skip(f"user {user} may not have namespaces here: {possible.stderr.splitlines()[-1]}")
    assert outcomes("without_filter", user)[name] in ("ENOENT", "ENETUNREACH")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_gives_each_worker_a_user_of_its_own() -> None:
    code = "report, _ = layers.enter(layers.Config(), int); print(*report.lines(), sep='\\n')"
    users = {line for _ in range(2) for line in run(code).stdout.splitlines() if line.startswith("user: ")}
    assert len(users) == 2 or users == {f"user: {layers.NOBODY}"}
    assert "user: 0" not in users


def test_the_supervisor_sees_how_an_intruder_ended() -> None:
    done = run("""
        import os
        layers.enter(layers.Config(), int)
        os.execv("x", ["x"])
    """)
    assert done.returncode == -signal.SIGSYS


def test_secrets_of_the_supervisor_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORIGIN_TOKEN", "secret")
    assert "secret" not in run("import os; print(os.environ)").stdout


def test_doctor_is_told_every_layer() -> None:
    names = [line.split(":")[0] for line in standing().splitlines()]
    assert sorted(names) == sorted(
        "descriptors limits namespaces user capabilities privileges landlock processes seccomp".split()
    )
    always = ("descriptors", "limits", "capabilities", "privileges", "seccomp")
    assert not [name for name in always if f"{name}: MISSING" in standing()]


class SandboxedWorker:
    """The real worker as its supervisor sees it."""

    def __init__(
        self,
        *arguments: str,
        program: str = "tests.attack.sandboxed_worker",
        pass_fds: tuple[int, ...] = (),
        descriptors: int = 0,
    ) -> None:
        """:param arguments: of the program: the engine first. :param pass_fds: that it keeps.
        :param descriptors: that it may have; 0: as many as a worker takes.
        """
        self._frames, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._images, their_images = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._frames.settimeout(TIMEOUT_S)
        fds = (theirs.fileno(), their_images.fileno())
        limited = ["prlimit", f"--nofile={descriptors}"] if descriptors else []
        command = [*limited, sys.executable, "-m", program, *arguments]
        with theirs, their_images:
            self.process = subprocess.Popen(
                [*command, "--frames-fd", str(fds[0]), "--images-fd", str(fds[1])],
                cwd=ROOT,
                env=layers.environment(),
                pass_fds=(*fds, *pass_fds),
                stderr=subprocess.PIPE,
                text=True,
            )
        self._received = bytearray()
        self._waiting: list[Frame] = []
        self.expect(frames.HELLO)
        bundle = baker().base
        state = snapshot.decode(
            bundle.blobs[bundle.manifest.snapshot.digest], memory_bytes=bundle.manifest.memory_bytes
        )
        self._image(1, None, bundle, base_memfd(state.page_nos, state.pages))

    def _image(self, number: int, base: int | None, bundle: ImageBundle, memfd: int) -> None:
        about = {
            "kind": "base" if base is None else "derived",
            "base": base,
            "memory_bytes": bundle.manifest.memory_bytes,
            "regions": [[r.start, r.end, r.access] for r in bundle.manifest.regions],
            "bytes": os.fstat(memfd).st_size,
        }
        socket.send_fds(self._images, [number.to_bytes(4, "little")], [memfd])
        os.close(memfd)
        self.send(frames.IMAGE, number, payload=frames.with_json(json.dumps(about).encode(), b""))

    def open(
        self,
        machine: int,
        image: int,
        example: str,
        parked: bytes = b"",
        *,
        growth_bytes: int = 0,
        fresh: bool = False,
        folder: Path = EXAMPLES,
        snapshot: bytes = b"",
        cpu_ms: int = 300,
        log_bytes: int = 64 << 10,
        tenant: str = "t",
        **more: object,
    ) -> None:
        """:param more: beside these, in OPEN's JSON."""
        bundle = bake(folder / example)
        record = snapshot or bundle.blobs[bundle.manifest.snapshot.digest]
        self._image(image, 1, bundle, sealed_memfd("image", record))
        about = {
            "limits": asdict(Limits(cpu_ms=cpu_ms, output_bytes=1 << 20, streams=8, log_bytes=log_bytes)),
            "fresh": fresh,
        }
        about |= {"tenant": tenant, "weight": 1, "growth_bytes": growth_bytes, "disks": [], **more}
        data = json.dumps({"image": image} | about).encode()
        self.send(frames.OPEN, machine, payload=struct.pack("<I", len(data)) + data + parked)

    def send(self, type_: int, machine: int = 0, stream: int = 0, payload: bytes = b"", flags: int = 0) -> None:
        self._frames.sendall(frames.pack(type_, flags, machine, stream, payload))

    def request(self, machine: int, stream: int, path: str = "/") -> None:
        path, _, query = path.partition("?")
        pairs = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "SERVER_PROTOCOL": "HTTP/1.1"}
        head = head_block(pairs | {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "guest.test"})
        self.send(frames.HEAD, machine, stream, head, abi.FLAG_END)

    def await_free_shell(self) -> None:
        """A spare one is made when there is nothing else to do."""
        for _ in range(100):
            self.send(frames.PING)
            if json.loads(self.expect(frames.PONG).payload)["free_shells"]:
                return
            time.sleep(0.05)
        raise AssertionError("no spare shell")

    def next(self) -> Frame:
        """The next frame."""
        while not self._waiting:
            try:
                data = self._frames.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            assert data, f"the worker ended with {self.process.wait()}: {self.process.stderr.read()}"  # type: ignore[union-attr]
            self._received += data
            self._waiting = frames.parse(self._received)
        return self._waiting.pop(0)

    def expect(self, type_: int) -> Frame:
        """The next frame, which is of this type."""
        frame = self.next()
        assert frame.type == type_, frame
        return frame

    def response(self) -> Response:
        frame = self.expect(frames.HEAD)
        answer = Response()
        answer.feed(Record(frame.type, frame.flags, frame.stream, frame.payload[frames.TIMING.size :]))
        return answer

    def stop(self) -> None:
        """It leaves by itself, having looked for nothing that is gone."""
        self.send(frames.STOP)
        said = self.process.communicate(timeout=TIMEOUT_S)[1]
        assert self.process.returncode == 0, said
        assert "late import" not in said

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self._frames.close()
        self._images.close()


@pytest.fixture(params=["unicorn", pytest.param("kvm", marks=pytest.mark.kvm)])
def worker(request: pytest.FixtureRequest) -> Iterator[SandboxedWorker]:
    made = SandboxedWorker(request.param)
    yield made
    made.close()


def test_a_worker_takes_no_huge_pages(worker: SandboxedWorker) -> None:
    """Unicorn asks for them for translated code: 2 MiB a machine that it does not use."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    assert "THP_enabled:\t0" in status


def test_worker_serves(worker: SandboxedWorker) -> None:
    worker.open(1, 2, "hello.c")
    for stream in range(1, 4):
        worker.request(1, stream)
        assert worker.response().status == 200
    worker.send(frames.PARK, 1)
    record = worker.expect(frames.PARKED).payload
    worker.send(frames.DROP_IMAGE, 2)
    worker.open(2, 3, "hello.c", record)
    worker.request(2, 1)
    assert worker.response().status == 200
    worker.send(frames.PING)
    assert json.loads(worker.expect(frames.PONG).payload)["machines"] == 1
    for thread in Path(f"/proc/{worker.process.pid}/task").iterdir():
        status = dict(line.split(":\t") for line in (thread / "status").read_text().splitlines())
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status["Name"]
        assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb")} == {0}, status["Name"]
        if os.geteuid() == 0:
            assert "0" not in status["Uid"].split() + status["Gid"].split()
            assert int(status["CapBnd"], 16) == 0
    worker.stop()


def test_guests_end_but_not_the_worker(worker: SandboxedWorker) -> None:
    """The watchdog's timer, signals and thread work inside, and so does the report of a crash."""
    worker.open(1, 2, "spin.c")
    worker.request(1, 1, "/spin")
    assert json.loads(worker.expect(frames.DIED).payload)["error"] == "OutOfTime"
    worker.open(2, 3, "crash.c")
    worker.request(2, 1, "/null")
    assert json.loads(worker.expect(frames.DIED).payload)["error"] == "GuestFault"
    for machine in range(3, 9):
        worker.open(machine, 1 + machine, "hello.c")
        worker.request(machine, 1)
        assert worker.response().status == 200
    worker.stop()


def test_what_served_one_request_is_not_parked_for_another(worker: SandboxedWorker) -> None:
    """A guest that answers and goes on working: a PARK that comes just then waits until the machine is fresh."""
    worker.open(1, 10, "lingers.c", fresh=True, folder=PROGRAMS)
    worker.request(1, 1, "/?stream=1")
    assert bytes(worker.response().body) == b"request 1\n"
    worker.send(frames.PARK, 1)
    record = worker.expect(frames.PARKED).payload
    worker.open(2, 11, "lingers.c", record, fresh=True, folder=PROGRAMS)
    worker.request(2, 1, "/?stream=1")
    assert bytes(worker.response().body) == b"request 1\n"
    worker.stop()


def test_the_machine_that_makes_room_is_parked_after_the_answer_of_the_next(worker: SandboxedWorker) -> None:
    worker.open(1, 10, "hello.c")
    worker.request(1, 1)
    assert worker.response().status == 200
    for machine in range(2, 6):
        worker.await_free_shell()  # without one the park comes first: its shell is then needed
        worker.process.send_signal(signal.SIGSTOP)  # so that it finds all three frames at once
        os.waitpid(worker.process.pid, os.WUNTRACED)
        worker.send(frames.PARK, machine - 1)
        worker.open(machine, 10 + machine, "hello.c")
        worker.request(machine, 1)
        worker.process.send_signal(signal.SIGCONT)
        assert [worker.expect(frames.HEAD).machine, worker.expect(frames.PARKED).machine] == [machine, machine - 1]
    worker.stop()


def test_an_image_that_is_none_ends_its_machine_and_no_spare_shell(worker: SandboxedWorker) -> None:
    worker.open(1, 10, "hello.c", snapshot=b"no record")
    assert json.loads(worker.expect(frames.DIED).payload)["error"] == "FormatError"
    worker.open(2, 11, "hello.c")
    worker.request(2, 1)
    assert worker.response().status == 200
    worker.stop()


def test_a_machine_is_parked_though_another_never_rests(worker: SandboxedWorker) -> None:
    worker.open(1, 10, "hello.c")
    worker.open(2, 11, "spin.c")
    worker.request(2, 1, "/spin")
    worker.send(frames.PARK, 1)
    assert worker.expect(frames.PARKED).machine == 1
    assert worker.expect(frames.DIED).machine == 2
    worker.stop()


@pytest.mark.parametrize("asks", [frames.PARK, frames.PING])
def test_a_look_at_spoilt_rings_between_two_turns_ends_one_machine(worker: SandboxedWorker, asks: int) -> None:
    """Positions are checked where they are used, also when it is the worker that looks: at whatever time it does."""
    worker.open(1, 10, "hello.c")
    for attempt in range(2, 14):
        worker.open(attempt, 10 + attempt, "lingers.c", growth_bytes=1, folder=PROGRAMS)
        worker.request(attempt, 1, "/?stream=1&spoil=1")
        time.sleep(0.001 * attempt)  # for the question to come in the middle of a turn, some time
        worker.send(asks, attempt)
        said = [worker.next().type for _ in range(3 if asks == frames.PING else 2)]
        assert sorted(said) == [frames.HEAD, frames.DIED, *([frames.PONG] if asks == frames.PING else [])]
    worker.request(1, 1)
    assert bytes(worker.response().body) == b"hello from /, request 1\n"
    worker.stop()


def test_a_record_with_open_requests_ends_its_machine_alone(worker: SandboxedWorker) -> None:
    """Nobody would take the answers: what comes from a store holds none, whoever wrote it."""
    guest = Guest(image_of(EXAMPLES / "echo.c"))
    guest.send("/", method="POST", body=None)
    guest.run()
    worker.open(1, 10, "echo.c", snapshot.encode(guest.machine.capture(live=True)))
    died = json.loads(worker.expect(frames.DIED).payload)
    assert (died["error"], "no open requests expected" in died["message"]) == ("FormatError", True)
    worker.open(2, 11, "hello.c")
    worker.request(2, 1)
    assert bytes(worker.response().body) == b"hello from /, request 1\n"
    worker.stop()


def test_worker_leaves_with_its_supervisor(worker: SandboxedWorker) -> None:
    worker._frames.shutdown(socket.SHUT_RDWR)
    assert worker.process.wait(TIMEOUT_S) == 0
