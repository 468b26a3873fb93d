"""What a worker says: frames gathered until its turn is over, and the bill for those that guests cause."""

import contextlib
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from edge.vmm.devices.log import in_parts
from edge.vmm.machine.resident import Resident
from edge.vmm.turns.charges import LOG_LINE_NS
from edge.vmm.wire.frames import CREDIT_AMOUNT
from edge.vmm.wire.machines import MESSAGE_MAX, RETRY_MAX, Died, Log, Report
from edge.vmm.wire.messages import FromWorker
from edge.vmm.wire.streams import ENGINES, Answer, Body, Credit, Piece, Reset, Subrequest
from vmimage import abi
from vmimage.errors import GuestError, NunatakError


class Outbox:
    """Frames on their way to the supervisor."""

    def __init__(self, frames_socket: socket.socket) -> None:
        self._socket = frames_socket
        self._out = bytearray()
        self.append = self._out.extend  # a frame that is made already

    def send(self, message: FromWorker) -> None:
        """:raises ValueError: it is larger than a frame."""
        self._out += message.to_bytes()

    def flush(self) -> None:
        """Write all of it.

        :raises OSError: the supervisor is gone.
        """
        if self._out:
            self._socket.sendall(self._out)
            self._out.clear()

    def emit(self, resident: Resident) -> int:
        """Pass on what a guest sent; how many bytes that was."""
        machine, out = resident.machine, self._out
        before = len(out)
        for kind, flags, stream, payload in machine.records:
            end = flags & abi.FLAG_END != 0
            if kind == abi.RECORD_HEAD:
                guest_us = (machine.virtual_ns - resident.reported_ns) // 1000
                engine = ENGINES.index(machine.shell.engine_name)
                out += Answer.encode(resident.number, stream, end, resident.restore_us, guest_us, engine, payload)
                resident.restore_us = 0
            elif kind == abi.RECORD_BODY:
                out += Body.encode(resident.number, stream, end, payload)
            else:
                out += _OTHERS[kind](resident.number, stream, end, payload)
        if machine.records:
            resident.reported_ns = machine.virtual_ns
            machine.records.clear()
        if machine.log or machine.guest_log.ended:
            text, lines = machine.guest_log.take()
            machine.account.add(lines * LOG_LINE_NS)
            for part in in_parts(text):
                self.send(Log(resident.number, part))
        return len(out) - before

    def died(self, machine: int, error: NunatakError, retry: Iterable[int]) -> None:
        """A machine ended, or did not begin."""
        message, report = str(error)[:MESSAGE_MAX], None
        if isinstance(error, GuestError) and error.report:
            with contextlib.suppress(Exception):  # it is worth something, but not that the end goes unsaid
                report = Report.parse({**error.report, "message": message})
        self.send(Died(machine, type(error).__name__, message, report, tuple(retry)[:RETRY_MAX]))


def _credit(machine: int, stream: int, _: bool, payload: bytes) -> bytes:
    return Credit.encode(machine, stream, *CREDIT_AMOUNT.unpack(payload))


def _reset(machine: int, stream: int, _end: bool, _payload: bytes) -> bytes:
    return Reset(machine, stream).to_bytes()


def _subrequest(machine: int, stream: int, end: bool, payload: bytes) -> bytes:
    return Subrequest(machine, stream, end, payload).to_bytes()


def _piece(machine: int, socket: int, end: bool, payload: bytes) -> bytes:
    return Piece(machine, socket, end, payload).to_bytes()


# What a guest says beside answers: flags and payloads that a record may have and means nothing by are left out.
_OTHERS: Final[Mapping[int, Callable[[int, int, bool, bytes], bytes]]] = {
    abi.RECORD_CREDIT: _credit,
    abi.RECORD_RESET: _reset,
    abi.RECORD_SUBREQUEST: _subrequest,
    abi.RECORD_SOCKET: _piece,
}
