"""A worker: what holds shells and machines, and gives each its turn; `edge.vmm.wire` is how it is told.

A plain blocking loop: receive what there is, let each machine that has something to do work for a slice, send what they
made, sleep when nobody has anything. It knows no network and no files: frames come over one Unix socket, images as
sealed memfds over another. Nothing that a guest or its image does ends a worker, see `guard`; it ends when the
supervisor says so or is gone, and when frames are out of step, which only a defect of the supervisor brings about.
"""

import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from edge.vmm.devices.drives import Drives
from edge.vmm.machine.machine import Idle, Ready, Runnable
from edge.vmm.machine.resident import Resident
from edge.vmm.shells.held_images import HeldImages
from edge.vmm.shells.shell import Image, Shell
from edge.vmm.shells.shell_pool import ShellPool
from edge.vmm.shells.tiering import Tiering
from edge.vmm.turns.scheduler import Entity, Scheduler
from edge.vmm.turns.sleepers import Sleepers, seconds_until
from edge.vmm.turns.watchdog import TICK_NS, watchdog
from edge.vmm.wire.attribution import NOBODY, Attribution
from edge.vmm.wire.frames import Splitter
from edge.vmm.wire.vitals import Hello
from edge.vmm.worker.duties import OF_MACHINES, Duties
from edge.vmm.worker.guard import Guard
from edge.vmm.worker.memory_limit import MemoryLimit, own_bytes
from edge.vmm.worker.outbox import Outbox
from edge.vmm.worker.parking import Parking
from edge.vmm.worker.placement import Placement
from edge.vmm.worker.rehearsal import SLICE_NS, rehearse, worth_it
from edge.vmm.worker.vitals import Vitals
from vmimage.errors import NunatakError, OperatorError

RECEIVE_BYTES: Final = 1 << 20


class Worker:
    """All of one worker process but its two sockets' other ends."""

    def __init__(
        self,
        make: Callable[[], Tiering],
        frames_socket: socket.socket,
        images_socket: socket.socket,
        attribution_fd: int = -1,
        statm: int = -1,
        memory_bytes: int = 0,
    ) -> None:
        """The last three: see `attribution` (-1: nobody reads) and `memory_limit` (0 bytes: no limit)."""
        self._socket = frames_socket
        self._readable = select.poll()
        self._readable.register(frames_socket, select.POLLIN)
        self._in = Splitter()
        self._outbox = Outbox(frames_socket)
        self._guard = Guard(Attribution(attribution_fd), self._fail)
        self._images = HeldImages(images_socket)
        self._residents: dict[int, Resident] = {}
        self._scheduler = Scheduler()
        self._by_entity: dict[Entity, Resident] = {}
        self._sleepers = Sleepers()  # by resident's number
        self._sleeps = 0  # times it slept because nobody had work
        self._shells = ShellPool()
        self._watchdog = watchdog()
        self._watchdog.listen(frames_socket.fileno())
        self._tiering = make()
        self._placement = Placement(self._tiering, self._shells)
        self._drives = Drives(self._outbox.append, self._wake, self._guard.for_machine)
        self._parking = Parking(
            self._residents, self._outbox, self._drives, self._guard.for_machine, self._forget, self._wake_by
        )
        self._statm = statm
        self._memory = MemoryLimit(memory_bytes, self._own_bytes) if memory_bytes else None
        parts = (self._sleepers, self._watchdog, self._tiering, self._placement, self._guard, self._memory)
        self._vitals = Vitals(self._residents, self._shells, self._images, self._drives, *parts)
        self._duties = Duties(
            images=self._images,
            shells=self._shells,
            tiering=self._tiering,
            placement=self._placement,
            drives=self._drives,
            parking=self._parking,
            scheduler=self._scheduler,
            residents=self._residents,
            enter=self._enter,
            forget=self._forget,
            wake=self._make_runnable,
            pong=self._pong,
        )

    def serve(self) -> None:
        """Until STOP, or until the supervisor is gone.

        :raises OSError: it is gone. :raises ValueError: its frames are out of step.
        """
        if self._tiering.fixed == "kvm" and not self._tiering.kvm:
            raise OperatorError(f"engine kvm: {self._tiering.calibration.kvm_missing}")
        engines = ["unicorn", "kvm"] if self._tiering.kvm else ["unicorn"]
        self._outbox.send(Hello(os.getpid(), tuple(engines), asdict(self._tiering.calibration)))
        self._outbox.flush()
        while not self._duties.stopping and self._receive():
            turn = self._scheduler.next(time.monotonic_ns())
            if turn is not None:
                resident = self._by_entity[turn[0]]
                self._guard.for_machine(resident.number, self._run, resident, turn[1])
                if self._memory is not None and time.monotonic_ns() >= self._memory.look_at_ns:
                    self._guard.for_nobody(self._hold_to_memory, self._memory)
            if self._parking and (turn is None or self._parking.is_due()):
                self._parking.next()
            self._outbox.flush()

    # Input

    def _receive(self) -> bool:
        """Take what has come; wait only when no machine can go on. False when the supervisor is gone."""
        idle = not self._scheduler.runnable
        rests = idle and self._shells.short_of is None and not self._parking
        self._sleeps += rests
        data = self._read(self._seconds_to_wake() if rests else 0)
        if data is None:
            if idle and not self._parking:
                self._prepare_shell()
            self._wake_sleepers()
            return True
        if not data:
            return False
        for frame in self._in.feed(data):
            if frame[0] in OF_MACHINES and frame[2] != NOBODY:
                self._guard.for_machine(frame[2], self._duties.take, frame)
            else:
                self._guard.for_nobody(self._duties.take, frame)
        self._wake_sleepers()
        return True

    def _read(self, wait_s: float | None) -> bytes | None:
        """What has come, or comes within this time (None: whenever it does); None for nothing, b"" for the end.

        The socket itself always blocks: to change that would be a system call for each request, or two.
        """
        if wait_s is None:
            return self._socket.recv(RECEIVE_BYTES)
        if wait_s and not self._readable.poll(wait_s * 1e3):
            return None
        try:
            return self._socket.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def _seconds_to_wake(self) -> float | None:
        """Until a timer or a quota lets some machine go on."""
        return seconds_until((self._sleepers.next_ns(), self._scheduler.next_release_ns()), time.monotonic_ns())

    def _wake_sleepers(self) -> None:
        for number in self._sleepers.due(time.monotonic_ns()):
            self._guard.for_machine(number, self._wake, number)

    def _wake(self, number: int) -> None:
        """A machine has something to do: its deadline came, or its disk has something for it."""
        resident = self._residents.get(number)
        if resident is not None:
            self._make_runnable(resident)

    def _wake_by(self, number: int, at_ns: int) -> None:
        """Wake a machine then, unless it is to be woken before."""
        before_ns = self._sleepers.of(number)
        self._sleepers.add(number, at_ns if before_ns is None else min(at_ns, before_ns))

    def _make_runnable(self, resident: Resident) -> None:
        self._scheduler.wake(resident.entity, time.monotonic_ns())

    def _pong(self, token: str) -> None:
        self._measure()
        self._outbox.send(self._vitals.pong(token, self._sleeps))

    # Machines

    def _enter(self, resident: Resident) -> None:
        self._residents[resident.number] = self._by_entity[resident.entity] = resident

    def _prepare_shell(self) -> None:
        """Make a spare one, with the engine that machines of its base mostly want and the pages that they write."""
        image = self._shells.short_of
        if image is None:
            return
        made: list[Shell] = []
        fine = self._guard.for_shell(self._duties.spare_for, self._make_spare, image, made)
        for shell in made:
            if not fine or shell.broken:  # by a guest that was rehearsed in it
                self._shells.discard(shell, image)

    def _make_spare(self, image: Image, made: list[Shell]) -> None:
        shell = self._shells.prepare()
        if shell is None:
            return
        made.append(shell)
        self._placement.choose(shell, self._tiering.engine_of_base(id(image.base)))
        others = [r.machine for r in self._residents.values() if r.has_run and r.machine.image.base is image.base]
        shell.warm_up(image, others[-1].shell if others else None)
        resident = self._residents.get(self._duties.spare_for)  # who needed one: pays for the next, and is to blame
        if resident is not None and worth_it(shell, image, (machine.image for machine in others)):
            slice_ns = SLICE_NS if self._memory is None else self._memory.slice_ns(SLICE_NS)
            cpu_ns = rehearse(shell, image, self._watchdog, slice_ns)
            self._scheduler.charge(resident.entity, cpu_ns, time.monotonic_ns())

    def _forget(self, resident: Resident) -> None:
        self._residents.pop(resident.number, None)
        self._by_entity.pop(resident.entity, None)
        self._sleepers.discard(resident.number)
        self._scheduler.remove(resident.entity, time.monotonic_ns())
        self._drives.forget(resident.number)
        self._shells.release(resident.machine.shell, resident.machine.image)

    def _run(self, resident: Resident, slice_ns: int) -> None:
        machine = resident.machine
        self._sleepers.discard(resident.number)
        slice_ns = min(slice_ns, max(machine.clock.until_timer_ns(), TICK_NS))
        if self._memory is not None:
            slice_ns = self._memory.slice_ns(slice_ns)
        mark_ns = time.thread_time_ns()
        failure: Exception | None = None
        try:
            with self._watchdog.watching(machine.shell.engine, slice_ns):
                outcome = machine.run(slice_ns, self._watchdog)
        except Exception as error:
            failure = error
        resident.ran = True
        io_bytes = self._outbox.emit(resident)
        if machine.disks is not None:
            io_bytes, machine.disks.moved_bytes = io_bytes + machine.disks.moved_bytes, 0
        now_ns = time.monotonic_ns()
        cpu_ns = time.thread_time_ns() - mark_ns
        self._scheduler.charge(resident.entity, cpu_ns, now_ns, io_bytes, machine.account.take())
        if failure is not None:
            raise failure
        shell = machine.shell
        entries = machine.last_entries if shell.warm else 0  # else most of it was the translation of code
        place = self._tiering.observe(
            resident.image, shell.engine_name, machine.last_cpu_ns, entries, first_run=not resident.has_run
        )
        shell.warm = resident.has_run = True
        self._placement.choose(shell, place, move=True)
        match outcome:
            case Idle(until_ns):
                self._scheduler.sleep(resident.entity, now_ns)
                if until_ns is not None:
                    self._sleepers.add(resident.number, until_ns)
                owes_until_ns = machine.owes_until_ns()
                if owes_until_ns > now_ns:
                    self._wake_by(resident.number, owes_until_ns)
                if machine.used:
                    machine.reset()
                    resident.reported_ns = machine.virtual_ns
                    self._make_runnable(resident)
                elif resident.parking:
                    self._parking.if_idle(resident)
            case Runnable() | Ready():
                pass  # it stays in the queue

    def _own_bytes(self) -> int:
        """Without blocks and images, which have budgets of their own."""
        return own_bytes(self._statm) - self._drives.held_bytes() - self._images.held_bytes()

    def _hold_to_memory(self, memory: MemoryLimit) -> None:
        if memory.make_room(self._shells):
            self._measure()
            memory.end_greedy(self._residents.values(), self._end_for_memory)

    def _measure(self) -> None:
        """What each machine takes, if it has run."""
        for resident in [resident for resident in self._residents.values() if resident.ran]:
            self._guard.for_machine(resident.number, resident.measure)

    def _end_for_memory(self, resident: Resident, error: NunatakError) -> None:
        self._fail(resident.number, error, spoilt=True)  # a free shell would keep what it took

    def _fail(self, machine: int, error: NunatakError, *, spoilt: bool) -> None:
        """The end of a machine, or of one that was to be opened: see `guard`."""
        resident = self._residents.get(machine)
        if resident is None:
            self._drives.forget(machine)
            self._outbox.died(machine, error, ())
            return
        resident.machine.shell.broken |= spoilt
        try:
            resident.machine.guest_log.end()
            self._outbox.emit(resident)
        finally:
            never_seen = resident.machine.never_seen()
            self._outbox.died(machine, error, never_seen)
            self._forget(resident)
