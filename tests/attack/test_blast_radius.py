"""Whatever goes wrong in a worker on behalf of one machine ends that machine: neighbours keep their state and serve."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge.vmm.shells.shell import DESCRIPTORS
from edge.vmm.wire import attribution, frames
from edge.vmm.wire.attribution import NOBODY
from edge.vmm.wire.images import Layout, NewImage
from edge.vmm.wire.machines import Close, Died, Log, Open, Park, Parked
from edge.vmm.wire.streams import Answer, Head, Subrequest
from edge.vmm.wire.vitals import Ping, Pong, Stop
from tests.attack.failing_worker import ERRORS, MARKED, PLACES, SHORTAGES
from tests.attack.worker_process import SandboxedWorker
from tests.support.edges import eventually
from tests.support.guests import EXAMPLES, PROGRAMS, Guest, bake, head_block, image_of
from vmimage import abi, snapshot
from vmimage.manifest import Limits, Region
from vmimage.pages import pack
from vmimage.snapshot import Snapshot

VICTIM, EVIL = 1, 100  # machines
ENGINES = ["unicorn", pytest.param("kvm", marks=pytest.mark.kvm)]


@contextmanager
def running(
    *arguments: str,
    program: str = "tests.attack.sandboxed_worker",
    pass_fds: tuple[int, ...] = (),
    descriptors: int = 0,
) -> Iterator[SandboxedWorker]:
    """A worker with a machine of the victim's.

    :param descriptors: that the process may have; 0: as many as a worker takes.
    """
    worker = SandboxedWorker(*arguments, program=program, pass_fds=pass_fds, descriptors=descriptors)
    try:
        worker.open(VICTIM, 10, "hello.c", tenant="victim")
        yield worker
    finally:
        worker.close()


class Victim:
    """A neighbour that counts its requests: one that lost its state would begin anew."""

    def __init__(self, worker: SandboxedWorker) -> None:
        self._worker, self._served = worker, 0

    def serves(self) -> None:
        self._served += 1
        self._worker.request(VICTIM, self._served)
        answer = self._worker.expect(Answer)
        assert answer.payload.endswith(b"hello from /, request %d\n" % self._served)


def statistics(worker: SandboxedWorker) -> Pong:
    worker.send(Ping("statistics"))
    return worker.expect(Pong)


def await_count(worker: SandboxedWorker, name: str, least: int) -> None:
    eventually(lambda: getattr(statistics(worker), name) >= least, f"{name}: {least}")


def died(worker: SandboxedWorker, machine: int) -> str:
    died = worker.expect(Died)
    assert died.machine == machine
    return died.error


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("place", [place for place in PLACES if place != "spare"])
def test_whatever_is_raised_for_a_machine_ends_that_machine(place: str, engine: str) -> None:
    with running(engine, place, program="tests.attack.failing_worker") as worker:
        victim = Victim(worker)
        victim.serves()
        for number in range(len(ERRORS)):
            machine, fresh = EVIL + number, place == "reset"
            worker.open(machine, machine, "hello.c", cpu_ms=MARKED, log_bytes=number, fresh=fresh)
            if place in ("run", "frame", "reset"):
                worker.request(machine, 1)
            if place == "reset":
                worker.expect(Answer)
            if place == "park":
                worker.send(Park(machine))
            if place == "ping":
                worker.send(Ping("look"))
            assert died(worker, machine) == ("WorkerFull" if number in SHORTAGES else "GuestFault")
            if place == "ping":
                worker.expect(Pong)
            victim.serves()
        said = statistics(worker)
        assert (said.machines, said.failures) == (1, len(ERRORS))
        worker.stop()


def test_whatever_is_raised_for_a_spare_shell_ends_that_shell() -> None:
    with running("unicorn", "spare", program="tests.attack.failing_worker") as worker:
        victim = Victim(worker)
        victim.serves()
        for number in range(len(ERRORS)):
            await_count(worker, "failures", number + 1)  # the last shell was taken: one more is made
            assert statistics(worker).failures == number + 1
            victim.serves()
            worker.open(EVIL + number, EVIL + number, "hello.c")
        worker.await_free_shell()
        victim.serves()
        assert statistics(worker).machines == len(ERRORS) + 1
        worker.stop()


def test_frames_that_cannot_be_understood_end_nothing_else() -> None:
    """A machine's end that machine, and the others are counted; then all goes on, descriptors included."""
    with running("unicorn") as worker:
        victim = Victim(worker)
        victim.serves()
        for type_, payload in (
            (99, b""),
            (frames.IMAGE, b"\xff"),
            (frames.IMAGE, frames.with_head(b"{")),
            (frames.IMAGE, frames.with_head(b'{"kind": "base", "bytes": 1, "regions": [], "memory_bytes": 4194304}')),
            (frames.IMAGE, NewImage(77, Layout("base", None, 4194304, (), 1)).to_bytes()[frames.HEADER.size :]),
            (frames.DROP_IMAGE, b"more"),
            (frames.DISK, b"[]"),
            (frames.BLOCK, b"short"),
            (frames.PING, b"\xff"),
        ):
            worker.send_raw(type_, 77, payload=payload)
        assert statistics(worker).refused_frames == 9
        for number, (type_, stream, payload) in enumerate(
            (
                (frames.OPEN, 0, b""),
                (frames.OPEN, 0, frames.with_head(b"{")),
                (frames.OPEN, 0, frames.with_head(b'{"image": 12345}')),
                (frames.OPEN, 0, frames.with_head(b'{"image": 1, "limits": {}}')),
                (frames.PARK, 1, b""),
            )
        ):
            worker.send_raw(type_, 50 + number, stream, payload)
            assert died(worker, 50 + number) == "GuestFault"
        worker.open(EVIL, EVIL, "hello.c")
        worker.request(EVIL, 1)
        worker.response()
        head = Head(EVIL, 2, False, head_block({"REQUEST_METHOD": "GET", "PATH_INFO": "/"})).to_bytes()
        worker.channel.sendall(head + frames.pack(frames.CREDIT, 0, EVIL, 2, b"x"))  # at once: before it is answered
        assert died(worker, EVIL) == "GuestFault"
        worker.open(EVIL, EVIL + 1, "hello.c")
        worker.open(EVIL, EVIL + 2, "hello.c")  # it is there already
        assert died(worker, EVIL) == "GuestFault"
        victim.serves()
        assert statistics(worker).machines == 1
        worker.stop()


def test_only_frames_out_of_step_end_a_worker() -> None:
    with running("unicorn") as worker:
        Victim(worker).serves()
        worker.channel.sendall(frames.HEADER.pack(frames.PAYLOAD_MAX + 1, frames.PING, 0, 0, 0, 0))
        said = worker.process.communicate(timeout=20)[1]
        assert worker.process.returncode == 1
        assert "frame of" in said


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("path", ["/sleep", "/timer", "/virtual"])
def test_a_deadline_at_the_end_of_time_wakes_nobody_and_harms_nobody(path: str, engine: str) -> None:
    """Asked for without a request, so that nothing else ends the machine: the worker sleeps on it and goes on."""
    deadlines = (2**63 - 1, 2**63, 2**63 + 1, 9 * 10**18, 2**64 - 16, 10**19, 10**16)
    with running(engine) as worker:
        victim = Victim(worker)
        for number, deadline in enumerate(deadlines):
            machine = EVIL + number
            worker.open(machine, machine, "hostile.c", folder=PROGRAMS)
            worker.request(machine, 1, f"{path}?stream=1&n={deadline}")
            worker.expect(Answer)
            await_count(worker, "rests", statistics(worker).rests + 1)  # with but that deadline to wake for
            victim.serves()
        said = statistics(worker)
        assert said.machines == len(deadlines) + 1
        assert said.wakeups == 0
        worker.stop()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("path", ["/spin?", "/nap?n=20000&", "/nap?n=0&", "/rearm?", "/notify?"])
def test_work_without_a_request_has_a_limit_of_its_own(path: str, engine: str) -> None:
    """Also for one that says READY, naps between its turns, or only ever wakes."""
    with running(engine) as worker:
        victim = Victim(worker)
        victim.serves()
        worker.open(EVIL, EVIL, "hostile.c", folder=PROGRAMS, cpu_ms=30)
        worker.request(EVIL, 1, f"{path}stream=1")
        worker.expect(Answer)
        naps = path.startswith("/nap")  # which begins the time of what came before anew
        assert died(worker, EVIL) in (("OutOfBackgroundTime",) if naps else ("OutOfBackgroundTime", "OutOfTime"))
        victim.serves()
        worker.stop()


def test_ready_does_not_restart_the_time_limit_of_a_request() -> None:
    with running("unicorn") as worker:
        worker.open(EVIL, EVIL, "hostile.c", folder=PROGRAMS, cpu_ms=50)
        worker.request(EVIL, 1, "/spin")
        assert died(worker, EVIL) == "OutOfTime"
        Victim(worker).serves()
        worker.stop()


def test_a_machine_with_too_much_for_a_record_ends_when_it_is_parked() -> None:
    with running("unicorn") as worker:
        victim = Victim(worker)
        victim.serves()
        for machine, kib in ((EVIL, 800), (EVIL + 1, 1200)):
            worker.open(machine, machine, "hostile.c", folder=PROGRAMS, cpu_ms=5000, record_bytes=1 << 20)
            worker.request(machine, 1, f"/fill?n={kib}")
            worker.response()
            worker.send(Park(machine))
            if machine == EVIL:
                assert len(worker.expect(Parked).state) > 800 << 10
            else:
                assert died(worker, machine) == "RecordTooLarge"
        victim.serves()
        worker.stop()


def test_a_record_of_pages_that_no_guest_may_write_ends_its_machine_alone() -> None:
    """As a worker that was taken over would send: code of the base, and data that are read-only."""
    guest = Guest(image_of(EXAMPLES / "hello.c"))
    guest.get()
    good = guest.machine.capture()
    with running("unicorn") as worker:
        victim = Victim(worker)
        victim.serves()
        for number, address in enumerate(
            (abi.INFO_ADDRESS, abi.ENV_ADDRESS, abi.LIBOS_ADDRESS, abi.STACK_GUARD_ADDRESS)
        ):
            pages = np.full((1, 512), 0x11E6, dtype=np.uint64)
            page_nos = np.array([address // abi.PAGE_SIZE], dtype=np.uint32)
            record = Parked(1, snapshot.encode(Snapshot(good.registers, good.devices, page_nos, pages)))
            worker.open(EVIL + number, EVIL + number, "hello.c", record)
            assert died(worker, EVIL + number) == "FormatError"
        worker.open(EVIL, 99, "hello.c", Parked(1, snapshot.encode(good)))
        worker.request(EVIL, 1)
        assert worker.response().status == 200
        victim.serves()
        worker.stop()


def test_a_record_of_more_pages_than_any_machine_is_parked_with_is_refused_before_it_is_unpacked() -> None:
    """A machine may have a GiB. One that changed more than 32 MiB is not parked, so nobody else's record has more."""
    bundle = bake(EXAMPLES / "hello.c")
    manifest, blob = bundle.manifest, bundle.blobs[bundle.manifest.snapshot.digest]
    regions = (*manifest.regions, Region(manifest.memory_bytes, abi.MEMORY_MAX, "rw"))
    first = manifest.memory_bytes // abi.PAGE_SIZE
    most = frames.RECORD_BYTES_MAX // abi.PAGE_SIZE
    with running("unicorn") as worker:
        victim = Victim(worker)
        victim.serves()
        worker.send(NewImage(EVIL, Layout("derived", 1, abi.MEMORY_MAX, regions, 0), blob))
        state = snapshot.decode(blob, memory_bytes=manifest.memory_bytes)
        for number, (count, filled) in enumerate(((most + 1, 0), (most + 1, 1), (most, 1))):
            page_nos = np.arange(first, first + count, dtype=np.uint32)
            pages = pack(np.full((count, 512), filled, dtype=np.uint64))
            parked = snapshot.encode(Snapshot(state.registers, state.devices, page_nos, pages))
            terms = "t", 1, Limits(cpu_ms=300), 0, frames.RECORD_BYTES_MAX, False
            worker.send(Open(EVIL + number, EVIL, *terms, (), parked))
            if count > most:
                refused = worker.expect(Died)
                assert (refused.machine, refused.error) == (EVIL + number, "FormatError")
                assert f"at most {most} pages" in refused.message or "the frame says" in refused.message
            victim.serves()
        worker.stop()


def test_it_says_for_whom_it_works_and_for_nobody_when_it_rests() -> None:
    page = attribution.new_page()
    try:
        with running("unicorn", "--attribution-fd", str(page), pass_fds=(page,)) as worker:
            Victim(worker).serves()
            eventually(lambda: attribution.read(page) == NOBODY, "it rests")
            worker.open(EVIL, EVIL, "spin.c", cpu_ms=60_000)
            worker.request(EVIL, 1, "/spin")
            seen: list[int] = []

            def works_for_evil() -> bool:
                seen.append(attribution.read(page))
                return seen[-1] == EVIL

            eventually(works_for_evil, "it works for the one that spins")
            assert set(seen) <= {EVIL, NOBODY}
            worker.process.send_signal(signal.SIGSTOP)
            os.waitpid(worker.process.pid, os.WUNTRACED)
            worker.process.kill()
            assert attribution.read(page) in (EVIL, NOBODY), "it can be read when the worker is gone"
    finally:
        os.close(page)


def test_a_flood_of_lines_leaves_a_worker_as_few_and_a_word_of_the_rest() -> None:
    with running("unicorn") as worker:
        victim = Victim(worker)
        worker.open(EVIL, EVIL, "hostile.c", folder=PROGRAMS, cpu_ms=5000, log_bytes=16 << 20, tenant="evil")
        worker.request(EVIL, 1, "/lines?n=1000")  # 8 million lines
        lines = 0
        while isinstance(message := worker.next(), Log):
            lines += message.text.count(b"\n")
        assert isinstance(message, Answer)
        assert 100 <= lines < 1000
        victim.serves()
        worker.send(Park(EVIL))
        said = worker.expect(Log).text
        assert b"lines dropped" in said
        worker.expect(Parked)
        worker.stop()


def test_a_flood_of_exchanges_slows_its_tenant_alone() -> None:
    """The bucket of the supervisor's time holds some 300 of them: the rest waits for it, and a neighbour does not."""
    with running("unicorn") as worker:
        worker.open(EVIL, EVIL, "hostile.c", folder=PROGRAMS, cpu_ms=5000, tenant="evil")
        worker.request(EVIL, 1, "/exchanges?n=100000")
        begun, served, throttled = 0, 0, False
        while not throttled or served < 20:  # until it waits for its bucket, and the neighbour is served meanwhile
            worker.request(VICTIM, served := served + 1)
            worker.send(Ping("look"))
            pong: Pong | None = None
            answered = False
            while pong is None or not answered:
                message = worker.next()
                begun += isinstance(message, Subrequest)
                answered |= isinstance(message, Answer) and message.machine == VICTIM
                pong = message if isinstance(message, Pong) else pong
            throttled = EVIL in pong.throttled
            assert begun < 1000
        assert begun > 100
        worker.send(Close(EVIL), Stop())
        assert worker.process.wait(20) == 0


MEMORY_BYTES = 48 << 20
OVERSHOOT_BYTES = 16 << 20  # what a guest may take between two looks, and what the process takes for itself meanwhile


def own_memory(worker: SandboxedWorker) -> int:
    fields = Path(f"/proc/{worker.process.pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * abi.PAGE_SIZE


@pytest.mark.parametrize("engine", ENGINES)
def test_a_worker_beyond_its_memory_ends_the_greediest(engine: str) -> None:
    with running(engine, "--memory-bytes", str(MEMORY_BYTES)) as worker:
        victim = Victim(worker)
        victim.serves()
        before, most = own_memory(worker), 0
        ended = []
        for number in range(6):
            machine = EVIL + number
            worker.open(machine, machine, "hostile.c", folder=PROGRAMS, cpu_ms=20_000)
            worker.request(machine, 1, f"/fill?n={(16 + number) << 10}")
            while isinstance(message := worker.next(), Died):
                ended.append(message.error)
                assert message.machine != VICTIM
                if message.machine == machine:
                    break
            most = max(most, own_memory(worker) - before)
            victim.serves()
        assert set(ended) == {"MemoryPressure"}
        assert len(ended) == 4, "two of them fit"
        assert most < MEMORY_BYTES + OVERSHOOT_BYTES
        said = statistics(worker)
        assert said.ended_for_memory == 4
        assert own_memory(worker) - before < MEMORY_BYTES
        worker.stop()


def test_sizes_are_told_when_they_change() -> None:
    with running("unicorn") as worker:
        victim = Victim(worker)
        victim.serves()
        told = dict(statistics(worker).resident)
        assert set(told) == {VICTIM}
        assert statistics(worker).resident == ()
        worker.open(EVIL, EVIL, "hostile.c", folder=PROGRAMS, cpu_ms=5000)
        worker.request(EVIL, 1, "/fill?n=8192")
        worker.response()
        victim.serves()
        told = dict(statistics(worker).resident)
        assert set(told) == {EVIL}
        assert 8 << 20 < told[EVIL] < 11 << 20
        worker.stop()


@pytest.mark.kvm
def test_machines_beyond_the_descriptors_are_served_without_kvm() -> None:
    """Each takes three on KVM: where they are used up the next machine stays on Unicorn, and none ends."""
    limit = 64 + 2 + 5 * DESCRIPTORS["kvm"]  # RESERVE, the base, five machines
    with running("kvm", descriptors=limit) as worker:
        victim = Victim(worker)
        victim.serves()
        for machine in range(EVIL, EVIL + 12):
            worker.open(machine, machine, "hello.c")
            for stream in (1, 2):
                worker.request(machine, stream)
                assert worker.response().status == 200
        victim.serves()
        said = statistics(worker)
        assert (said.machines, said.kvm_machines) == (13, 5)
        assert said.kept_off_kvm > 0
        for machine in range(EVIL, EVIL + 12):
            worker.send(Close(machine))
        worker.open(EVIL + 50, 99, "hello.c")
        for stream in (1, 2):
            worker.request(EVIL + 50, stream)
            assert worker.response().status == 200
        assert statistics(worker).kvm_machines == 2, "KVM is not lost for good"
        worker.stop()
