"""What workers say, to the ones whom it concerns, by its type. What is for one that is gone is dropped."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from edge.devices.disks import Disks
from edge.devices.lines import Lines
from edge.devices.upstreams import Upstreams
from edge.model import flow
from edge.model.services import Machine, Service, StreamState
from edge.supervisor.commands import ParkedParts
from edge.supervisor.driver import Driver
from edge.supervisor.life import Life
from edge.supervisor.window import Window
from edge.vmm.wire.disks import Append, BlockWant, Keep
from edge.vmm.wire.frames import RawFrame
from edge.vmm.wire.machines import Died, Log, Parked
from edge.vmm.wire.messages import from_worker, machine_of
from edge.vmm.wire.streams import Answer, Body, Credit, Piece, Reset, Subrequest
from edge.vmm.wire.vitals import Hello, Pong
from edge.workers.process import Worker
from vmimage import abi

_EXCHANGE: Final = abi.EXCHANGE_BIT


class Routing:
    """Which method a message is for."""

    def __init__(
        self, life: Life, driver: Driver, disks: Disks, upstreams: Upstreams, lines: Lines, window: Window
    ) -> None:
        self._life, self._over, self._carry_out, self._out = life, life.over, driver.carry_out, life.out
        self._disks, self._upstreams, self._answered = disks, upstreams, window.answered
        # A guest speaks to a socket that is none (any more): set by who holds them.
        self.on_stray: Callable[[Service, int], None] = lambda service, number: None
        self._loop = asyncio.get_running_loop()
        self._handlers: Mapping[type, Callable[[Worker, Any], None]] = {
            Answer: self._on_answer,
            Body: self._on_body,
            Credit: self._on_credit,
            Reset: self._on_abort,
            Subrequest: _of_machine(upstreams.on_subrequest),
            Piece: _of_machine(self._on_piece),
            Parked: _of_machine(self._on_parked),
            Died: _of_machine(self._on_died),
            Log: _of_machine(lines.on_log),
            Keep: _of_machine(disks.on_keep),
            Append: _of_machine(disks.on_append),
            BlockWant: disks.on_want,
            Pong: self._on_pong,
            Hello: self._on_hello,
        }

    def on_frame(self, worker: Worker, frame: RawFrame) -> None:
        """A frame from a worker.

        :raises ValueError: what a worker cannot say.
        """
        try:
            message = from_worker(frame)
            self._handlers[type(message)](worker, message)
        except ValueError:
            worker.frame = machine_of(frame)
            raise
        finally:
            if self._out:
                self._carry_out()

    # Requests and exchanges.

    def _on_answer(self, worker: Worker, message: Answer) -> None:
        machine = worker.machines.get(message.machine)
        stream = machine.streams.get(message.stream) if machine is not None else None
        if machine is not None and stream is not None:
            now = self._loop.time()
            stream.on_answer(message, now)
            self._answered(machine.service, stream.tier, time.monotonic() - stream.asked_at, now)
            if message.end:
                self._ended(machine, stream, now)
            stream.hand_over(message)

    def _on_body(self, worker: Worker, message: Body) -> None:
        machine = worker.machines.get(message.machine)
        if machine is None:
            return
        if message.stream & _EXCHANGE:
            self._upstreams.on_message(machine, message)
        elif (stream := machine.streams.get(message.stream)) is not None:
            stream.on_body(message)
            if message.end:
                self._ended(machine, stream, self._loop.time())

    def _on_credit(self, worker: Worker, message: Credit) -> None:
        machine = worker.machines.get(message.machine)
        if machine is None:
            return
        if message.stream & _EXCHANGE:
            self._upstreams.on_message(machine, message)
        elif (stream := machine.streams.get(message.stream)) is not None:
            stream.on_credit(message, self._loop.time())

    def _on_abort(self, worker: Worker, message: Reset) -> None:
        machine = worker.machines.get(message.machine)
        if machine is None:
            return
        if message.stream & _EXCHANGE:
            self._upstreams.on_abort(machine, message)
        elif (stream := machine.streams.get(message.stream)) is not None:
            stream.on_abort()
            self._ended(machine, stream, self._loop.time())

    def _ended(self, machine: Machine, stream: StreamState, now: float) -> None:
        self._over(machine, stream, now)
        stream.wake()

    def _on_piece(self, machine: Machine, message: Piece) -> None:
        """A guest sends something to the client of a socket, which must be one of its own service's."""
        service = machine.service
        if service.machine is not machine:
            return  # it retires: its sockets have ended
        socket, early = service.sockets.get(message.socket), service.offered.get(message.socket)
        if socket is not None:
            socket.on_piece(message)
        elif early is not None:
            early.add(message)
        else:
            self.on_stray(service, message.socket)

    # Machines.

    def _on_parked(self, machine: Machine, message: Parked) -> None:
        """A machine is parked.

        :raises ValueError: nobody asked for that, or it is not all there.
        """
        if message.scratch and not machine.image.manifest.disks:
            raise ValueError("PARKED: scratch pages of a machine with disks expected")
        parts = ParkedParts(message.state, message.scratch, self._disks.versions_for(machine))
        self._life.parked(machine, parts, self._loop.time())

    def _on_died(self, machine: Machine, message: Died) -> None:
        error = flow.died_error(message.error, message.message)
        report = message.report.fields() if message.report is not None else {}
        self._life.died(machine, error, frozenset(message.retry), report, self._loop.time())

    # Workers.

    def _on_hello(self, worker: Worker, message: Hello) -> None:
        raise ValueError("HELLO: one for each worker expected")

    def _on_pong(self, worker: Worker, message: Pong) -> None:
        """What a worker says of its machines once a second."""
        worker.on_pong(message)
        now, throttled = self._loop.time(), frozenset(message.throttled)
        for number, machine in worker.machines.items():
            machine.throttled = number in throttled
        for number in message.grown:
            if number in worker.machines:
                self._life.rejuvenate(worker.machines[number], "growth_bytes", now)
        self._life.measured(worker.machines, message.resident, now)


def _of_machine(handle: Callable[[Machine, Any], None]) -> Callable[[Worker, Any], None]:
    """A handler of messages that name a machine; those for one that is gone are dropped."""

    def handle_if_here(worker: Worker, message: Any) -> None:
        machine = worker.machines.get(message.machine)
        if machine is not None:
            handle(machine, message)

    return handle_if_here
