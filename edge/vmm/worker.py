"""A worker: the process that holds shells and machines. It decides nothing but whose turn it is; see `edge.vmm.frames`.

A plain blocking loop: receive what there is, let each machine that has something to do work for a slice, send what they
made, sleep when nobody has anything. It knows no network and no files: frames come over one Unix socket, images as
sealed memfds over another. Nothing a guest does ends a worker; only a frame that the supervisor could not have sent
does.
"""

import argparse
import contextlib
import functools
import gc
import json
import logging
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from edge.vmm import frames, host, sandbox
from edge.vmm.devices.ring import Record
from edge.vmm.drives import Drives
from edge.vmm.frames import Frame
from edge.vmm.held_images import HeldImages
from edge.vmm.machine import Idle, Machine, Ready, Runnable
from edge.vmm.resident import Resident
from edge.vmm.scheduler import Entity, Quota, Scheduler
from edge.vmm.shell import EngineName, Shell, of_thread
from edge.vmm.shell_pool import ShellPool
from edge.vmm.sleepers import Sleepers
from edge.vmm.tiering import Tiering, kvm_device, measured
from edge.vmm.watchdog import TICK_NS, watchdog
from vmimage import abi, snapshot
from vmimage.errors import GuestError, GuestFault, NunatakError, OperatorError
from vmimage.manifest import Limits

RECEIVE_BYTES: Final = 1 << 20
# How long the watchdog may wait for the interpreter while a guest makes one hypercall after the other: by default 5 ms,
# which were the p99 of a machine beside one that spins.
THREAD_SWITCH_S: Final = 0.0002
LINGER_S: Final = 0.02  # ticks go on for so long after the last run: setting the timer costs more than a few of them
PARKS_WAITING: Final = 2  # machines that wait to be parked, each with a shell that another could have
PARK_WAITS_NS: Final = 2_000_000  # for as long as others have work
NS_PER_PERCENT: Final = 10_000_000  # of a processor's second

log = logging.getLogger("nunatak.worker")


class Worker:
    """All of one worker process but its two sockets' other ends."""

    def __init__(self, make: Callable[[], Tiering], frames_socket: socket.socket, images_socket: socket.socket) -> None:
        self._socket = frames_socket
        self._buffer = bytearray()
        self._out = bytearray()
        self._images = HeldImages(images_socket)
        self._residents: dict[int, Resident] = {}
        self._scheduler = Scheduler()
        self._by_entity: dict[Entity, Resident] = {}
        self._sleepers = Sleepers()  # by resident's number
        self._to_park: deque[Resident] = deque()
        self._rests = 0  # times it slept because nobody had work
        self._shells = ShellPool()
        self._watchdog = watchdog()
        self._watchdog.listen(frames_socket.fileno())
        self._tiering = make()
        self._stopping = False
        self._drives = Drives(self._out.extend, self._wake)
        self._handlers: dict[int, Callable[[Frame], None]] = {
            frames.HEAD: self._on_record,
            frames.BODY: self._on_record,
            frames.CREDIT: self._on_record,
            frames.RESET: self._on_record,
            frames.IMAGE: self._images.take,
            frames.DROP_IMAGE: self._on_drop_image,
            frames.OPEN: self._on_open,
            frames.PARK: self._on_park,
            frames.CLOSE: self._on_close,
            frames.PING: self._on_ping,
            frames.STOP: self._on_stop,
            **self._drives.handlers,
        }

    def serve(self) -> None:
        """Until STOP, or until the supervisor is gone."""
        if self._tiering.fixed == "kvm" and not self._tiering.kvm:
            raise OperatorError(f"engine kvm: {self._tiering.calibration.kvm_missing}")
        engines = ["unicorn", "kvm"] if self._tiering.kvm else ["unicorn"]
        about = {"pid": os.getpid(), "engines": engines, "calibration": asdict(self._tiering.calibration)}
        self._send(frames.HELLO, 0, 0, json.dumps(about).encode())
        self._flush()
        while not self._stopping and self._receive():
            turn = self._scheduler.next(time.monotonic_ns())
            if turn is not None:
                self._run(self._by_entity[turn[0]], turn[1])
            if self._to_park and (turn is None or time.monotonic_ns() >= self._to_park[0].park_by_ns):
                self._park_next()
            self._flush()
        self._watchdog.rest()

    # Input

    def _receive(self) -> bool:
        """Take what has come; wait only when no machine can go on. False when the supervisor is gone."""
        idle = not self._scheduler.runnable
        rests = idle and self._shells.short_of is None and not self._to_park
        self._rests += rests
        self._socket.settimeout(self._seconds_to_wake() if rests else 0)
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, TimeoutError):
            if idle and not self._to_park:
                self._prepare_shell()
                self._watchdog.rest()
            self._wake_sleepers()
            return True
        if not data:
            return False
        self._buffer += data
        for frame in frames.parse(self._buffer):
            self._handlers[frame.type](frame)
        self._wake_sleepers()
        return True

    def _seconds_to_wake(self) -> float | None:
        """Until a timer or a quota lets some machine go on; not long after a run, so that the ticks end soon."""
        some_day = (self._sleepers.next_ns(), self._scheduler.next_release_ns())
        deadlines = [deadline_ns for deadline_ns in some_day if deadline_ns is not None]
        wait = max(0.0, (min(deadlines) - time.monotonic_ns()) / 1e9) + 1e-4 if deadlines else None
        return min(wait or LINGER_S, LINGER_S) if self._watchdog.ticking else wait

    def _wake_sleepers(self) -> None:
        now_ns = time.monotonic_ns()
        for number in self._sleepers.due(now_ns):
            self._scheduler.wake(self._residents[number].entity, now_ns)

    def _wake(self, number: int) -> None:
        """A machine's disk has something for it."""
        resident = self._residents.get(number)
        if resident is not None:
            self._make_runnable(resident)

    def _make_runnable(self, resident: Resident) -> None:
        self._scheduler.wake(resident.entity, time.monotonic_ns())

    # Frames

    def _on_record(self, frame: Frame) -> None:
        resident = self._residents.get(frame.machine)
        if resident is not None:  # else it died or was closed while the frame was under way
            resident.machine.offer(Record(frame.type, frame.flags, frame.stream, frame.payload))
            self._make_runnable(resident)

    def _on_drop_image(self, frame: Frame) -> None:
        if frame.flags & frames.FLAG_END:
            self._tiering.forget(frame.machine)
        image = self._images.drop(frame.machine)
        if image is not None and image.is_base:
            self._shells.drop(image)

    def _on_open(self, frame: Frame) -> None:
        head, parked = frames.split_json(frame.payload)
        about: dict[str, Any] = json.loads(head)
        started_ns = time.perf_counter_ns()
        image = self._images[about["image"]]
        limits = Limits(**about["limits"])
        if self._to_park and not self._shells.has_free(image):
            self._park_next()
        shell = self._shells.take(image)
        try:
            self._choose_engine(shell, self._tiering.engine_for(about["image"], id(image.base)))
            record, disks = self._drives.open(frame.machine, shell.memory, about["disks"], parked or None)
            machine = Machine(shell, image, limits, fresh=about["fresh"], disks=disks)
            machine.restore(record)
        except NunatakError as error:
            self._drives.forget(frame.machine)
            self._shells.release(shell, image)
            self._report_death(frame.machine, error, {}, [])
            return
        quota = Quota(limits.cpu_percent * NS_PER_PERCENT) if limits.cpu_percent else None
        entity = self._scheduler.add(about["tenant"], tenant_weight=about["weight"], quota=quota)
        resident = self._residents[frame.machine] = Resident(frame.machine, about["image"], machine, entity)
        resident.growth_bytes = about["growth_bytes"]
        self._by_entity[entity] = resident
        resident.restore_us = (time.perf_counter_ns() - started_ns) // 1000
        resident.reported_ns = machine.virtual_ns

    def _on_park(self, frame: Frame) -> None:
        """It makes room for another, whose request need not wait for that: parked when nobody has work, or soon."""
        resident = self._residents.get(frame.machine)
        if resident is not None:
            resident.parking, resident.park_by_ns = True, time.monotonic_ns() + PARK_WAITS_NS
            self._to_park.append(resident)
            if len(self._to_park) > PARKS_WAITING:
                self._park_next()

    def _park_next(self) -> None:
        resident = self._to_park.popleft()
        if self._residents.get(resident.number) is resident:  # else it ended meanwhile
            self._park_if_idle(resident)

    def _park_if_idle(self, resident: Resident) -> None:
        """Once it has nothing left to do: a RESET may still be on its way into the guest."""
        machine = resident.machine
        try:
            if machine.busy or machine.used:  # used: it is reset first, what served one request is never kept
                return
            state = machine.capture()
        except GuestError as error:  # it left ring positions that cannot be, and has not run since
            self._die(resident, error, {})
            return
        machine.guest_log.end()
        self._emit(resident)
        record = self._drives.park(resident.number, snapshot.encode(state, level=1, zstd=of_thread.zstd))
        self._forget(resident)
        self._send(frames.PARKED, resident.number, 0, record)

    def _on_close(self, frame: Frame) -> None:
        resident = self._residents.get(frame.machine)
        if resident is not None:
            self._forget(resident)

    def _on_ping(self, frame: Frame) -> None:
        statistics = {
            "ping": frame.payload.decode(),
            "machines": len(self._residents),
            "free_shells": len(self._shells),
            "images": len(self._images),
            "resident_bytes": sum(r.machine.resident_bytes() for r in self._residents.values()),
            "cpu_ns": time.process_time_ns(),
            "rests": self._rests,
            "wakeups": self._sleepers.wakeups,
            "slices_stopped": self._watchdog.stopped,
            "kvm_machines": sum(r.machine.shell.engine_name == "kvm" for r in self._residents.values()),
            "promotions": self._tiering.promotions,
            "demotions": self._tiering.demotions,
            "throttled": [r.number for r in self._residents.values() if r.entity.hold],
            "grown": [r.number for r in self._residents.values() if r.has_grown()],
            **self._drives.statistics(),
        }
        self._send(frames.PONG, 0, 0, json.dumps(statistics).encode())

    def _on_stop(self, frame: Frame) -> None:
        self._stopping = True

    # Machines

    def _choose_engine(self, shell: Shell, name: EngineName, *, move: bool = False) -> None:
        """Put the next machine, or with `move` the one that is there, into an engine; on Unicorn where KVM fails."""
        if name == shell.engine_name:
            return
        try:
            if move:
                shell.use(name)
                self._tiering.moved(name)
            else:
                shell.choose(name)
        except OperatorError as error:
            log.warning("event=kvm_lost reason=%s", error)
            self._tiering.without_kvm(str(error))

    def _prepare_shell(self) -> None:
        """Make a spare one, with the engine that machines of its base mostly want and the pages that they write."""
        image = self._shells.short_of
        made = self._shells.prepare()
        if image is None or made is None:
            return
        self._choose_engine(made, self._tiering.engine_of_kin(id(image.base)))
        others = (r.machine for r in reversed(self._residents.values()) if r.has_run)
        like = next((machine.shell for machine in others if machine.image.base is image.base), None)
        with contextlib.suppress(NunatakError):  # an image that cannot be bound ended the machine that wanted it
            made.warm_up(image, like)

    def _forget(self, resident: Resident) -> None:
        del self._residents[resident.number], self._by_entity[resident.entity]
        self._sleepers.discard(resident.number)
        self._scheduler.remove(resident.entity, time.monotonic_ns())
        self._drives.forget(resident.number)
        self._shells.release(resident.machine.shell, resident.machine.image)

    def _run(self, resident: Resident, slice_ns: int) -> None:
        machine = resident.machine
        self._sleepers.discard(resident.number)
        slice_ns = min(slice_ns, max(machine.clock.until_timer_ns(), TICK_NS))
        mark_ns = time.thread_time_ns()
        error: NunatakError | None = None
        try:
            with self._watchdog.watching(machine.shell.engine, slice_ns):
                outcome = machine.run(slice_ns)
        except GuestError as caught:
            error, report = caught, caught.report
        except Exception as caught:
            log.exception("event=machine_failed machine=%d", resident.number)
            error, report = GuestFault(f"the machine could not go on: {type(caught).__name__}"), {}
            machine.shell.broken = True
        io_bytes = self._emit(resident)
        if machine.disks is not None:
            io_bytes, machine.disks.moved_bytes = io_bytes + machine.disks.moved_bytes, 0
        now_ns = time.monotonic_ns()
        self._scheduler.charge(resident.entity, time.thread_time_ns() - mark_ns, now_ns, io_bytes)
        if error is not None:
            self._die(resident, error, report)
            return
        shell = machine.shell
        entries = machine.last_entries if shell.warm else 0  # else most of it was the translation of code
        place = self._tiering.observe(
            resident.image, shell.engine_name, machine.last_cpu_ns, entries, comes=not resident.has_run
        )
        shell.warm = resident.has_run = True
        self._choose_engine(shell, place, move=True)
        match outcome:
            case Idle(until_ns):
                self._scheduler.sleep(resident.entity, now_ns)
                if until_ns is not None:
                    self._sleepers.add(resident.number, until_ns)
                if machine.used:
                    machine.reset()
                    resident.reported_ns = machine.virtual_ns
                    self._make_runnable(resident)
                elif resident.parking:
                    self._park_if_idle(resident)
            case Runnable() | Ready():
                pass  # it stays in the queue

    def _emit(self, resident: Resident) -> int:
        """Pass on what the guest sent; how many bytes that was."""
        machine, before = resident.machine, len(self._out)
        for record in machine.records:
            payload = record.payload
            if record.type == abi.RECORD_HEAD:
                guest_us = (machine.virtual_ns - resident.reported_ns) // 1000
                engine = frames.ENGINES.index(machine.shell.engine_name)
                times = resident.restore_us & 0xFFFFFFFF, guest_us & 0xFFFFFFFF
                payload = frames.TIMING.pack(*times, engine) + payload
                resident.restore_us = 0
            self._out += frames.HEADER.pack(len(payload), record.type, record.flags, 0, resident.number, record.stream)
            self._out += payload
        if machine.records:
            resident.reported_ns = machine.virtual_ns
            machine.records.clear()
        if machine.log:
            self._send(frames.LOG, resident.number, 0, b"".join(machine.log))
            machine.log.clear()
        return len(self._out) - before

    def _die(self, resident: Resident, error: NunatakError, report: dict[str, Any]) -> None:
        never_seen = resident.machine.never_seen()
        self._forget(resident)
        self._report_death(resident.number, error, report, never_seen)

    def _report_death(self, number: int, error: NunatakError, report: dict[str, Any], retry: list[int]) -> None:
        about = {"error": type(error).__name__, "message": str(error), "report": report, "retry": retry}
        self._send(frames.DIED, number, 0, json.dumps(about).encode())

    # Output

    def _send(self, type_: int, machine: int, stream: int, payload: bytes) -> None:
        self._out += frames.pack(type_, 0, machine, stream, payload)

    def _flush(self) -> None:
        if self._out:
            self._socket.settimeout(None)
            self._socket.sendall(self._out)
            self._out.clear()


def main() -> int:
    """Entry point of the worker process: `python -m edge.vmm.worker --frames-fd N --images-fd M`."""
    parser = argparse.ArgumentParser(prog="edge.vmm.worker")
    parser.add_argument("--frames-fd", type=int, required=True)
    parser.add_argument("--images-fd", type=int, required=True)
    parser.add_argument("--engine", choices=("auto", "unicorn", "kvm"), default="auto", help="what machines run on")
    parser.add_argument("--kvm-ring0", choices=("on", "off"), default="off", help="use KVM where calls land in ring 0")
    arguments = parser.parse_args()
    engine = None if arguments.engine == "auto" else arguments.engine
    tiering = functools.partial(measured, engine, ring_0=arguments.kvm_ring0 == "on")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    host.small_pages()
    config = sandbox.Config(keep=(arguments.frames_fd, arguments.images_fd), kvm=kvm_device(engine))
    ends = (socket.socket(fileno=arguments.frames_fd), socket.socket(fileno=arguments.images_fd))
    report, worker = sandbox.enter(config, functools.partial(Worker, tiering, *ends))
    for layer in report.layers:
        if not layer.stands:
            log.warning('event=sandbox_layer_missing layer=%s reason="%s"', layer.name, layer.detail)
    sys.setswitchinterval(THREAD_SWITCH_S)
    gc.freeze()  # modules live for ever: collections need not look at them
    try:
        worker.serve()
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the supervisor is gone, and so is the reason to be
    return 0


if __name__ == "__main__":
    sys.exit(main())
