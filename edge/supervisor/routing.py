"""Frames from workers to events: each to the one whom it concerns, by its type. Those for what is gone are dropped."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

from edge.devices.disks import Disks
from edge.devices.upstreams import Upstreams
from edge.model import flow
from edge.model.flow import NOBODY
from edge.model.services import Machine
from edge.supervisor.driver import Driver
from edge.supervisor.life import Life
from edge.vmm.wire import frames
from edge.vmm.wire.frames import Frame
from edge.workers.process import Worker, json_object
from vmimage import abi

_OF_STREAMS: Final = frozenset({frames.HEAD, frames.BODY, frames.CREDIT, frames.RESET})
_OF_NO_MACHINE: Final = frozenset({frames.PONG, frames.BLOCK_WANT})


class Routing:
    """Which method a frame is for."""

    def __init__(
        self, life: Life, driver: Driver, disks: Disks, upstreams: Upstreams, on_log: Callable[[Machine, bytes], None]
    ) -> None:
        self._life, self._carry_out, self._out = life, driver.carry_out, life.out
        self._upstreams = upstreams
        self._loop = asyncio.get_running_loop()
        self._of_workers: dict[int, Callable[[Worker, Frame], None]] = {
            frames.PONG: self._on_pong,
            frames.BLOCK_WANT: disks.on_want,
        }
        self._of_machines: dict[int, Callable[[Machine, Frame], None]] = {
            frames.PARKED: self._on_parked,
            frames.DIED: self._on_died,
            frames.LOG: lambda machine, frame: on_log(machine, frame.payload),
        }
        self._with_tokens: dict[int, Callable[[Machine, Frame], None]] = {  # their streams are no streams
            frames.KEEP: disks.on_write,
            frames.APPEND: disks.on_write,
        }

    def on_frames(self, worker: Worker, batch: Sequence[Frame]) -> None:
        """Frames from a worker.

        :raises ValueError: what a worker cannot say.
        """
        machines, now, over, out = worker.machines, self._loop.time(), self._life.over, self._out
        number = type_ = NOBODY
        try:
            for frame in batch:
                type_, _, number, stream_number, _ = frame
                if type_ in _OF_STREAMS and not stream_number & abi.EXCHANGE_BIT:
                    machine = machines.get(number)
                    stream = machine.streams.get(stream_number) if machine is not None else None
                    if machine is not None and stream is not None and stream.receive(frame, now):
                        over(machine, stream, now)
                        stream.wake()
                        if out:
                            self._carry_out()
                else:
                    self._route(worker, frame)
                    self._carry_out()
        except ValueError:
            if type_ not in _OF_NO_MACHINE:
                worker.frame = number
            raise
        finally:
            if out:
                self._carry_out()

    def _route(self, worker: Worker, frame: Frame) -> None:
        of_worker = self._of_workers.get(frame.type)
        if of_worker is not None:
            of_worker(worker, frame)
            return
        machine = worker.machines.get(frame.machine)
        if machine is None:
            return
        if (with_token := self._with_tokens.get(frame.type)) is not None:
            with_token(machine, frame)
        elif frame.stream & abi.EXCHANGE_BIT:
            self._upstreams.on_frame(machine, frame)
        elif (of_machine := self._of_machines.get(frame.type)) is not None:
            of_machine(machine, frame)
        else:
            raise ValueError(f"a frame type from a worker expected, got {frame.type} with flags {frame.flags:#x}")

    def _on_parked(self, machine: Machine, frame: Frame) -> None:
        self._life.parked(machine, frame.payload, self._loop.time())

    def _on_died(self, machine: Machine, frame: Frame) -> None:
        about = json_object(frame.payload)
        error = flow.died_error(str(about.get("error")), str(about.get("message")))
        self._life.died(machine, error, numbers(about.get("retry")), about.get("report"), self._loop.time())

    def _on_pong(self, worker: Worker, frame: Frame) -> None:
        worker.on_pong(frame.payload)
        self._on_statistics(worker)

    def _on_statistics(self, worker: Worker) -> None:
        """What a worker says of its machines once a second."""
        now = self._loop.time()
        throttled = numbers(worker.statistics.get("throttled"))
        for number, machine in worker.machines.items():
            machine.throttled = number in throttled
        for number in numbers(worker.statistics.get("grown")):
            if number in worker.machines:
                self._life.worn(worker.machines[number], "growth_bytes", now)
        self._life.measured(worker.machines, _sizes(worker.statistics.pop("resident", ())), now)


def numbers(value: object) -> Collection[int]:
    """Numbers of machines or streams that a worker names.

    :raises ValueError: it says something else.
    """
    if value is None:
        return ()
    if not isinstance(value, list) or not all(type(number) is int for number in value):
        raise ValueError(f"a list of numbers expected, got {str(value)[:100]}")
    return set(value)


def _sizes(value: Any) -> Iterable[tuple[int, int]]:
    """Machines and their measured bytes in a worker's statistics.

    :raises ValueError: it says something else.
    """
    found = []
    for pair in value if isinstance(value, list | tuple) else [value]:
        match pair:
            case [int(number), int(size)] if size >= 0:
                found.append((number, size))
            case _:
                raise ValueError(f"pairs of a machine and its bytes expected, got {str(pair)[:100]}")
    return found
