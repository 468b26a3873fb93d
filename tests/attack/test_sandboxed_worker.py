"""A worker inside its sandbox: machines start, serve, park and end there, and it ends with none of them."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.vmm.wire.images import DropImage
from edge.vmm.wire.machines import Died, Park, Parked
from edge.vmm.wire.streams import Answer
from edge.vmm.wire.vitals import Ping, Pong
from tests.attack.worker_process import TIMEOUT_S, SandboxedWorker
from tests.support.guests import EXAMPLES, PROGRAMS, Guest, image_of
from vmimage import snapshot


@pytest.fixture(params=["unicorn", pytest.param("kvm", marks=pytest.mark.kvm)])
def worker(request: pytest.FixtureRequest) -> Iterator[SandboxedWorker]:
    made = SandboxedWorker(request.param)
    yield made
    made.close()


def test_a_worker_takes_no_huge_pages(worker: SandboxedWorker) -> None:
    """Unicorn asks for them for translated code: 2 MiB a machine that it does not use."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    assert "THP_enabled:\t0" in status


def test_a_worker_serves_inside_the_sandbox(worker: SandboxedWorker) -> None:
    worker.open(1, 2, "hello.c")
    for stream in range(1, 4):
        worker.request(1, stream)
        assert worker.response().status == 200
    worker.send(Park(1))
    record = worker.expect(Parked)
    worker.send(DropImage(2, False))
    worker.open(2, 3, "hello.c", record)
    worker.request(2, 1)
    assert worker.response().status == 200
    worker.send(Ping("machines"))
    assert worker.expect(Pong).machines == 1
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
    assert worker.expect(Died).error == "OutOfTime"
    worker.open(2, 3, "crash.c")
    worker.request(2, 1, "/null")
    assert worker.expect(Died).error == "GuestFault"
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
    worker.send(Park(1))
    record = worker.expect(Parked)
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
        worker.send(Park(machine - 1))
        worker.open(machine, 10 + machine, "hello.c")
        worker.request(machine, 1)
        worker.process.send_signal(signal.SIGCONT)
        assert [worker.expect(Answer).machine, worker.expect(Parked).machine] == [machine, machine - 1]
    worker.stop()


def test_an_image_that_is_none_ends_its_machine_and_no_spare_shell(worker: SandboxedWorker) -> None:
    worker.open(1, 10, "hello.c", snapshot=b"no record")
    assert worker.expect(Died).error == "FormatError"
    worker.open(2, 11, "hello.c")
    worker.request(2, 1)
    assert worker.response().status == 200
    worker.stop()


def test_a_machine_is_parked_though_another_never_rests(worker: SandboxedWorker) -> None:
    worker.open(1, 10, "hello.c")
    worker.open(2, 11, "spin.c")
    worker.request(2, 1, "/spin")
    worker.send(Park(1))
    assert worker.expect(Parked).machine == 1
    assert worker.expect(Died).machine == 2
    worker.stop()


@pytest.mark.parametrize("asks", [Park, Ping])
def test_a_look_at_spoilt_rings_between_two_turns_ends_one_machine(worker: SandboxedWorker, asks: type) -> None:
    """Positions are checked where they are used, also when it is the worker that looks: at whatever time it does."""
    worker.open(1, 10, "hello.c")
    for attempt in range(2, 14):
        worker.open(attempt, 10 + attempt, "lingers.c", growth_bytes=1, folder=PROGRAMS)
        worker.request(attempt, 1, "/?stream=1&spoil=1")
        time.sleep(0.001 * attempt)  # for the question to come in the middle of a turn, some time
        worker.send(Park(attempt) if asks is Park else Ping("look"))
        said = [type(worker.next()) for _ in range(3 if asks is Ping else 2)]
        assert set(said) == {Answer, Died, *([Pong] if asks is Ping else [])}
    worker.request(1, 1)
    assert bytes(worker.response().body) == b"hello from /, request 1\n"
    worker.stop()


def test_a_record_with_open_requests_ends_its_machine_alone(worker: SandboxedWorker) -> None:
    """Nobody would take the answers: what comes from a store holds none, whoever wrote it."""
    guest = Guest(image_of(EXAMPLES / "echo.c"))
    guest.send("/", method="POST", body=None)
    guest.run()
    worker.open(1, 10, "echo.c", Parked(1, snapshot.encode(guest.machine.capture(live=True))))
    died = worker.expect(Died)
    assert (died.error, "no open requests expected" in died.message) == ("FormatError", True)
    worker.open(2, 11, "hello.c")
    worker.request(2, 1)
    assert bytes(worker.response().body) == b"hello from /, request 1\n"
    worker.stop()


def test_worker_leaves_with_its_supervisor(worker: SandboxedWorker) -> None:
    worker.channel.shutdown(socket.SHUT_RDWR)
    assert worker.process.wait(TIMEOUT_S) == 0
