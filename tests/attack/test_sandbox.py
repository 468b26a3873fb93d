"""Code that took over a worker: whatever it tries fails, by the filter and by a second layer where there is one.

`intruder` makes the attempts. It is run once as root, if the tests are, and once as an ordinary user, whose workers get
their namespaces another way and share their user with each other.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from functools import cache
from pathlib import Path

import pytest

from edge.vmm.kernel import kvm_api
from edge.vmm.sandbox import layers, seccomp
from tests.attack import intruder

ROOT = Path(__file__).parents[2]
ORDINARY = 61999  # any user that is not root
USERS = [0, ORDINARY] if os.geteuid() == 0 else [os.geteuid()]
KVM_TYPE = 0xAE  # linux/kvm.h

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
def test_a_system_call_of_no_use_to_a_worker_is_refused(name: str, user: int) -> None:
    assert outcomes("whole", user)[name] == "EPERM"


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("name", DEADLY)
def test_a_system_call_of_an_intruder_ends_the_worker(name: str, user: int) -> None:
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
