"""One virtual machine: a shell's CPU and memory, the devices, and the life of the guest in it.

Read `run` first: it enters the guest, looks at why it came back, and goes on or returns. Whatever the guest does wrong
ends as a `GuestError` with a report, never as another exception. Parking and baking take the same `capture`.
"""

import contextlib
import os
import time
from typing import Final

from edge.vmm.devices import environment, info_page
from edge.vmm.devices.clock import Clock
from edge.vmm.devices.disk import Disks
from edge.vmm.devices.gate import Gate
from edge.vmm.devices.log import GuestLog
from edge.vmm.devices.ring import Record, RingConsumer
from edge.vmm.devices.shared_pages import SharedPages
from edge.vmm.engines import interrupts
from edge.vmm.engines.engine import SLICE_OVER, Engine, EngineFailure, Fault, Hypercall, SliceOver
from edge.vmm.machine import hypercalls
from edge.vmm.machine.background import RUN_NS, Background, rested
from edge.vmm.machine.phases import RUNNABLE, TRANSITIONS
from edge.vmm.machine.phases import Idle as Idle
from edge.vmm.machine.phases import Outcome as Outcome
from edge.vmm.machine.phases import Phase as Phase
from edge.vmm.machine.phases import Ready as Ready
from edge.vmm.machine.phases import Runnable as Runnable
from edge.vmm.machine.report import fault_error, machine_report
from edge.vmm.shells.shell import Image, Shell, decode
from edge.vmm.turns.charges import Account
from edge.vmm.turns.watchdog import SLICE_NS, Watchdog
from vmimage import abi
from vmimage.errors import (
    GuestError,
    GuestExited,
    GuestFault,
    OutOfTime,
    Unmovable,
)
from vmimage.limit_errors import out_of_time, record_too_large
from vmimage.manifest import Limits
from vmimage.snapshot import DeviceState, ProgramPlace, Registers, Snapshot

# After the last answer, for work that was promised (`waitUntil` of JavaScript): less than all parking may take when an
# edge ends, `supervisor.PARK_S`, and more than most such work does.
OWED_NS: Final = 8_000_000_000
# CPU time beyond a request's, for guests that want it to say where they were: writing a stack takes some 1 ms on the
# emulator; the rest is for an engine that looks at the interrupt only now and then.
LAST_WORDS_NS: Final = 20_000_000


class Machine:
    """A guest in a shell."""

    def __init__(
        self,
        shell: Shell,
        image: Image,
        limits: Limits,
        *,
        baking: bool = False,
        fresh: bool = False,
        disks: Disks | None = None,
        secrets: bytes = b"",
    ) -> None:
        """:param baking: READY ends a run; clocks stand still and there is no entropy.
        :param fresh: every request gets a machine that has served none: the caller resets it when it is `used`.
        :param secrets: for its environment, see `environment.give`.
        """
        self.shell = shell
        self.image = image
        self.limits = limits
        self.phase = Phase.EMPTY
        self.records: list[Record] = []  # from the guest, for the caller to take
        self.guest_log = GuestLog(limits.log_bytes)
        self.log = self.guest_log.parts  # log lines and console output, for the caller to take
        self.disks = disks
        self.baking = baking
        self._secrets = secrets
        self._memory = shell.memory
        self._ram = memoryview(self._memory.ram)
        self.account = Account(limited=not baking)  # of the supervisor's time
        if disks is not None:
            disks.account = self.account
        self._gate = Gate(
            self._ram,
            max_streams=limits.streams,
            output_limit=limits.output_bytes,
            single_use=fresh,
            account=self.account,
        )
        console = self._ram[abi.CONSOLE_ADDRESS : abi.CONSOLE_ADDRESS + abi.CONSOLE_SIZE]
        self._console = RingConsumer(console, "console")
        self._shared = SharedPages(self._ram, self._gate, self._console, secrets=bool(secrets))
        self.clock = Clock(DeviceState())
        self.last_cpu_ns = 0  # CPU time and entries of the last run
        self.last_entries = 0
        self._over_time = False  # and has its last moment
        self._charged_ns = self._completed = 0  # CPU time since a request was last completed; how many were
        self._slept_from_ns = time.monotonic_ns()  # when it last went to sleep
        self._answered_ns = 0  # time.monotonic_ns() when a request was last completed
        self._background = Background(limits.cpu_ms)
        self._idle_until_ns = 0
        self._program = ProgramPlace()

    def _enter_phase(self, event: str) -> None:
        self.phase = TRANSITIONS[self.phase][event]

    # Life

    def boot(self, registers: Registers) -> None:
        """Start in memory that a loader has filled."""
        self.shell.engine.load(registers)
        self._restore_devices(DeviceState())
        self._enter_phase("boot")

    def set_program(self, program: ProgramPlace) -> None:
        """Tell the libOS of the program that a loader has put into memory."""
        self._program = program
        self._write_info_page()

    def restore(self, parked: bytes | None = None, *, live: bool = False, bytes_max: int | None = None) -> None:
        """Continue from the image, or from a record against it.

        :param live: the record may hold open requests; whoever began them is told of their answers by this machine.
        :param bytes_max: of changed pages, as for `capture`.
        :raises FormatError: the record does not parse, or this machine cannot hold it. Nothing was restored.
        """
        state, requests = None, None
        if parked is not None:
            state = decode(parked, self.image.memory_bytes, live=live, bytes_max=bytes_max)
            requests = state.requests
        if requests is not None:
            self._gate.check(requests)
        devices = self.shell.bind(self.image, state)
        if requests is not None:
            self._gate.restore(requests)
            self._charged_ns = requests.charged_ns
        self._restore_devices(devices)
        self._enter_phase("restore idle" if devices.idle_until_ns else "restore runnable")

    def reset(self) -> None:
        """Be a fresh machine of the image, in the same shell. Requests that the old one was not told of stay queued.

        :raises ValueError: requests are open, or the guest is not idle.
        """
        if self._gate.streams or self.phase is not Phase.IDLE:
            raise ValueError("an idle machine without open requests expected")
        self.records += self._gate.renew()
        if self.disks is not None:
            self.disks.discard()
        self._restore_devices(self.shell.reset())
        self._enter_phase("reset")

    def _restore_devices(self, devices: DeviceState) -> None:
        self._gate.set_positions(devices.in_head, devices.out_tail)
        self._console.tail = devices.console_tail
        self.clock = Clock(devices)
        self._idle_until_ns = devices.idle_until_ns
        self._program = ProgramPlace.of(devices)
        self._write_info_page()

    def _write_info_page(self) -> None:
        size = info_page.FRESH_BYTES  # the same source must give the same image: no entropy while baking
        fresh = bytes(size) if self.baking else os.urandom(size)
        info_page.write_facts(self._ram, self.image.memory_bytes, self.limits, self._program, fresh)
        if self._secrets:
            environment.give(self._memory, self._secrets)
        if self.disks is not None:
            self.disks.restore()

    def capture(self, *, live: bool = False, bytes_max: int | None = None) -> Snapshot:
        """The state as a difference from the image.

        :param live: open requests go with it, for another machine that takes this one's place at once.
        :param bytes_max: of changed pages, before compression.
        :raises RecordTooLarge: it changed more; no copy of that was made.
        :raises ValueError: requests are open without `live`, or what the guest sent has not been taken.
        :raises Unmovable: it waits for an upstream or a disk, whose answers would come here.
        """
        if not live and (self.busy or self.used):
            raise ValueError(f"{len(self._gate.streams)} requests are open in the machine, or it is used")
        if live and self.records:
            raise ValueError(f"no records expected that nobody has taken, got {len(self.records)}")
        if self.disks is not None and self.disks.outstanding:
            raise Unmovable(f"no disk requests under way expected, got {self.disks.outstanding}")
        requests = self._gate.save(self._charged_ns) if live else None
        devices = DeviceState(
            in_head=self._gate.in_head,
            out_tail=self._gate.out_tail,
            console_tail=self._console.tail,
            idle_until_ns=self._idle_until_ns if self.phase is Phase.IDLE else 0,
            **self._program.fields(),
        )
        if not self.baking:
            self.clock.save(devices)
        pages_max = None if bytes_max is None else bytes_max // abi.PAGE_SIZE
        page_nos, pages = self.shell.changed_pages(self.image, self._shared.stateless(), pages_max)
        if pages_max is not None and len(page_nos) > pages_max:
            raise record_too_large(pages_max * abi.PAGE_SIZE)
        return Snapshot(self.shell.engine.save(), devices, page_nos, pages, requests)

    def has_grown(self, limit_bytes: int) -> bool:
        """Whether more memory than this differs from the image's; costs what a capture of so much does."""
        return self.shell.changes_more(self.image, self._shared.stateless(), limit_bytes // abi.PAGE_SIZE)

    def resident_bytes(self) -> int:
        """Host memory it takes: its shell's, and what it wrote to its disks."""
        return self.shell.resident_bytes() + (self.disks.written_bytes if self.disks is not None else 0)

    # Work

    def offer(self, record: Record) -> None:
        """Queue a record for the guest."""
        self._gate.offer(record)

    @property
    def busy(self) -> bool:
        """Whether requests are open or queued, of clients or its own, or it sent what was not taken."""
        gate = self._gate
        return gate.busy or (self.disks is not None and self.disks.busy)

    def owes_until_ns(self) -> int:
        """Until when (time.monotonic_ns()) it is better not parked, for what it has promised to do; 0: it may be."""
        return self._answered_ns + OWED_NS if self._shared.owes else 0

    def never_seen(self) -> list[int]:
        """Streams that the guest has not been told of."""
        return self._gate.never_seen()

    @property
    def used(self) -> bool:
        """Whether it has served its one request and must be reset before the next."""
        idle = self._gate.used and (self.disks is None or not self.disks.busy)
        return idle and self.owes_until_ns() <= time.monotonic_ns()

    @property
    def engine(self) -> Engine:
        """Of the shell that it is in, which may move it to another."""
        return self.shell.engine

    @property
    def memory_bytes(self) -> int:
        """Guest memory."""
        return self.image.memory_bytes

    @property
    def virtual_ns(self) -> int:
        """CPU time the guest has had."""
        return self.clock.virtual_ns

    def run(self, slice_ns: int = SLICE_NS, watchdog: Watchdog | None = None) -> Outcome:
        """Let the guest work until it idles or its slice is over; `records` and `log` then hold what it sent.

        :param slice_ns: CPU time after which it gives way, or earlier where the engine is stopped.
        :param watchdog: that stops it: one that makes a hypercall just then gives way too.

        :raises GuestError: it did what ends it; the error carries `report`.
        """
        try:
            return self._run(slice_ns, watchdog)
        except GuestError as error:
            self._enter_phase("die")
            with contextlib.suppress(GuestError):  # what it finished and logged before still counts
                self._drain()
            self.guest_log.end()
            registers = self.shell.engine.save()
            error.report.update(machine_report(error, self._memory, registers, stack=not self._secrets))
            raise

    def _run(self, slice_ns: int, watchdog: Watchdog | None) -> Outcome:
        engine, clock = self.shell.engine, self.clock
        self.last_cpu_ns = self.last_entries = 0
        self.account.begin_turn()
        started_ns = mark_ns = time.thread_time_ns()
        if self._backlog:
            self._drain()
            if self._backlog:
                return RUNNABLE
        while True:
            in_tail = self._shared.positions()[0]
            self._gate.fill(in_tail)
            serves = self.baking or bool(self._gate.streams)
            pending = self._pending(in_tail)
            if self.phase is Phase.IDLE:
                if not pending and clock.mono_ns() < self._idle_until_ns:
                    return self._idle()
                self._charged_ns = rested(self._charged_ns, time.monotonic_ns() - self._slept_from_ns)
                self._enter_phase("wake")
            if pending:
                interrupts.deliver(self.shell.engine, self._memory, pending)
            self._write_info(pending)
            entered_ns = time.thread_time_ns()
            reason = engine.run()
            now_ns = time.thread_time_ns()
            spent_ns, mark_ns = now_ns - mark_ns, now_ns
            clock.virtual_ns += spent_ns
            self._charged_ns += spent_ns
            self.last_cpu_ns += now_ns - entered_ns
            self.last_entries += 1
            if not serves:
                self._background.spend(spent_ns if self.last_entries > 1 else spent_ns + RUN_NS)
            match reason:
                case Hypercall(port):
                    if hypercalls.carry_out(self, port):
                        self._drain()  # an image holds no log, whenever the guest was stopped on its way here
                        return Ready()
                case Fault():
                    raise fault_error(reason, self.image.memory_bytes)
                case EngineFailure(message):
                    self.shell.broken = True
                    raise GuestFault(message)
                case SliceOver():
                    pass
            self._drain()
            self._check_time()
            cut = watchdog is not None and watchdog.cut
            if cut or now_ns - started_ns >= slice_ns or reason is SLICE_OVER or self._backlog:
                return RUNNABLE

    @property
    def _backlog(self) -> bool:
        """Whether the guest sent more than the supervisor is to do for it in one turn: told of before it goes on."""
        return self._gate.backlog or (self.disks is not None and self.disks.backlog)

    def _idle(self) -> Idle:
        deadline_ns = self.clock.host_deadline_ns(self._idle_until_ns)
        waits = self._gate.expects_more() or (self.disks is not None and self.disks.outstanding > 0)
        if self._gate.streams and deadline_ns is None and not waits:
            raise GuestExited(f"idle for ever with {len(self._gate.streams)} requests unanswered")
        if not self._gate.streams:
            self._charged_ns = 0
        return Idle(deadline_ns)

    def _check_time(self) -> None:
        """CPU time counts from the last completed request on: those that ride together do not pay for each other.

        What it does after an answer, up to a request's limit, is still that request's. Sleep gives some of it back, see
        `background.rested`.
        """
        if self._gate.completed != self._completed:
            self._completed = self._gate.completed
            self._answered_ns = time.monotonic_ns()
            self._charged_ns = 0
            self._over_time = False
            self._background.renew()
        elif self._charged_ns > self.limits.cpu_ms * 1_000_000 + (LAST_WORDS_NS if self._over_time else 0):
            if self._over_time or not interrupts.wanted(self._memory, abi.IRQ_TIME):
                raise self._out_of_time()
            self._over_time = True

    def _out_of_time(self) -> OutOfTime:
        return out_of_time(self._charged_ns, self.limits.cpu_ms)

    # What hypercalls do, see `hypercalls`.

    def sleep_until(self, deadline_ns: int) -> None:
        """The guest idles until then (monotonic), or until something comes; 0: until something comes."""
        self._idle_until_ns, self._slept_from_ns = deadline_ns, time.monotonic_ns()
        self._enter_phase("idle")

    def ready(self) -> bool:
        """The guest has prepared all that it can; whether a run ends with that, as it does while an image is made."""
        if self.baking:
            self._charged_ns = 0
        return self.baking

    def over_time(self) -> OutOfTime | None:
        """That a request has used up its CPU time, where the guest has its last moment."""
        return self._out_of_time() if self._over_time else None

    # Pages shared with the guest

    def _pending(self, in_tail: int) -> int:
        gate = abi.IRQ_GATE if self._gate.pending(in_tail) else 0
        disk = abi.IRQ_DISK if self.disks is not None and self.disks.pending() else 0
        time_up = abi.IRQ_TIME if self._over_time else 0
        return gate | disk | time_up | (abi.IRQ_TIMER if self.clock.timer_pending() else 0)

    def _write_info(self, pending: int) -> None:
        clock = self.clock
        times = (0, 0, 0) if self.baking else (time.time_ns(), clock.mono_ns(), clock.virtual_ns)
        info_page.write_state(self._ram, pending, times, (self._gate.in_head, self._gate.out_tail, self._console.tail))

    def _drain(self) -> None:
        _, out_head, console_head = self._shared.positions()
        for record in self._gate.drain(out_head):
            if record.type == abi.RECORD_LOG:
                self.guest_log.append(record.payload + b"\n")
            else:
                self.records.append(record)
        if console_head != self._console.tail:
            self.guest_log.append(self._console.take(console_head))
        if self.disks is not None:
            self.disks.drain()
