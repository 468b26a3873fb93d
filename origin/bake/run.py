"""Run a static Linux program in a machine here and now: its output becomes ours, its exit code is handed back.

The program is one request: its input is the request's body, its output the response, in pieces that say which of output
and error they are. With a trace every system call is told with its arguments and its result.
"""

import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from edge.vmm.devices.ring import Record
from edge.vmm.machine.machine import Idle, Machine
from edge.vmm.machine.report import unknown_calls
from edge.vmm.shells.shell import EngineName, Shell
from edge.vmm.turns.watchdog import watchdog
from origin.bake.bake import Baker
from origin.bake.elf import Program
from vmimage import abi
from vmimage.errors import GuestExited
from vmimage.linux_calls import name_of
from vmimage.manifest import DEFAULT_TERMS, Limits

INPUT_PIECE: Final = 8 << 10
_PIECE: Final = struct.Struct("<BI")
_TRACE: Final = struct.Struct("<7Qq")
_CREDIT: Final = struct.Struct("<I")
_NO_RESULT: Final = frozenset((15, 60, 231))  # rt_sigreturn, exit, exit_group: told before, since they do not come back
_LAST_ERRNO: Final = 4095

Sink = Callable[[bytes], object]


@dataclass
class Result:
    """How a run ended."""

    code: int
    calls: Counter[str] = field(default_factory=Counter)  # with a trace: how often each was made
    unknown: dict[str, int] = field(default_factory=dict)  # those that returned ENOSYS for want of an implementation


class Run:
    """One program in a machine of its own."""

    def __init__(
        self,
        program: Program,
        *,
        arguments: Sequence[str],
        env: Mapping[str, str],
        files: bytes = b"",
        engine: EngineName = "unicorn",
        memory_bytes: int = abi.MEMORY_DEFAULT,
        limits: Limits,
        trace: bool = False,
        baker: Baker | None = None,
    ) -> None:
        """:raises PublisherError: the program does not fit. :raises OperatorError: the engine cannot be had."""
        baker = baker or Baker(memory_bytes)
        settings = {**env, "NUNATAK_STRACE": "1"} if trace else env
        bundle = baker.bake(
            program,
            name="run",
            env=settings,
            terms=replace(DEFAULT_TERMS, instance="request", limits=limits),
            progress=lambda _: None,
            kind=abi.PROGRAM_RUN,
            arguments=arguments,
            files=files,
        )
        image = baker.image(bundle)
        self._machine = Machine(Shell(image.base, image.memory_bytes, engine), image, limits)
        self._machine.restore()
        self._pieces = bytearray()
        self._head_seen = False
        self._calls: Counter[str] = Counter()

    def __call__(self, stdin: bytes, out: Sink, err: Sink, trace: Sink = lambda _: None) -> Result:
        """Run to the end.

        :raises GuestError: it faulted, or took more than its limits.
        """
        machine, dog = self._machine, watchdog()
        sinks = {abi.RUN_OUTPUT: out, abi.RUN_ERROR: err, abi.RUN_TRACE: lambda piece: trace(self._traced(piece))}
        self._input, self._credit = memoryview(stdin), abi.STREAM_WINDOW
        machine.offer(Record(abi.RECORD_HEAD, 0 if stdin else abi.FLAG_END, 1, b"\0"))
        while True:
            self._feed()
            try:
                with dog.watching(machine.shell.engine):
                    outcome = machine.run()
            except GuestExited as exited:
                self._take(sinks)
                if exited.code is None or not exited.code & abi.RUN_EXIT:
                    raise
                return Result(exited.code & 0xFF, self._calls, unknown_calls(machine.shell.memory))
            finally:
                dog.rest()
            given = self._take(sinks)
            if isinstance(outcome, Idle) and outcome.until_ns is not None and not given:
                time.sleep(max(0, outcome.until_ns - time.monotonic_ns()) / 1e9)

    def _feed(self) -> None:
        """As much of the input as the guest has room for."""
        while self._input and self._credit > 0:
            piece = bytes(self._input[: min(self._credit, INPUT_PIECE)])
            self._input, self._credit = self._input[len(piece) :], self._credit - len(piece)
            self._machine.offer(Record(abi.RECORD_BODY, 0 if self._input else abi.FLAG_END, 1, piece))

    def _take(self, sinks: Mapping[int, Sink]) -> bool:
        """Hand on what the guest sent; whether it may now go on sending."""
        given = False
        for record in self._machine.records:
            if record.type == abi.RECORD_CREDIT:
                self._credit += _CREDIT.unpack(record.payload)[0]
                given = True
            elif record.type == abi.RECORD_HEAD:
                name, _, rest = record.payload.partition(b"\0")
                while name:
                    name, _, rest = rest.partition(b"\0")[2].partition(b"\0")
                self._pieces += rest
            elif record.type == abi.RECORD_BODY:
                self._pieces += record.payload
                self._machine.offer(Record(abi.RECORD_CREDIT, 0, 1, _CREDIT.pack(len(record.payload))))
                given = True
        self._machine.records.clear()
        for text in self._machine.log:
            sinks[abi.RUN_ERROR](text)
        self._machine.log.clear()
        self._hand_out(sinks)
        return given

    def _hand_out(self, sinks: Mapping[int, Sink]) -> None:
        at = 0
        while at + _PIECE.size <= len(self._pieces):
            channel, size = _PIECE.unpack_from(self._pieces, at)
            if at + _PIECE.size + size > len(self._pieces):
                break
            at += _PIECE.size
            if channel in sinks:
                sinks[channel](bytes(self._pieces[at : at + size]))
            at += size
        del self._pieces[:at]

    def _traced(self, piece: bytes) -> bytes:
        if len(piece) != _TRACE.size:
            return piece
        number, *arguments, result = _TRACE.unpack(piece)
        name = name_of(number)
        self._calls[name] += 1
        said = ", ".join(f"{argument:#x}" if argument > 9 else str(argument) for argument in arguments)
        if number in _NO_RESULT:
            return f"{name}({said})\n".encode()
        value = f"{result:#x}" if result > 0xFFFF else str(result)
        return f"{name}({said}) = {value}{' ' + _errno(-result) if -_LAST_ERRNO <= result < 0 else ''}\n".encode()


def _errno(number: int) -> str:
    import errno

    return errno.errorcode.get(number, "")
