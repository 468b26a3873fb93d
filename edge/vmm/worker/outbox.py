"""What a worker says: frames gathered until its turn is over, and the bill for those that guests cause."""

import contextlib
import json
import socket
from typing import Any, Final

from edge.vmm.devices.log import in_parts
from edge.vmm.machine.resident import Resident
from edge.vmm.turns.charges import LOG_LINE_NS
from edge.vmm.wire import frames
from vmimage import abi
from vmimage.errors import NunatakError

MESSAGE_MAX: Final = 1000  # characters of what an error says


class Outbox:
    """Frames on their way to the supervisor."""

    def __init__(self, frames_socket: socket.socket) -> None:
        self._socket = frames_socket
        self._out = bytearray()
        self.append = self._out.extend  # a frame that is made already

    def send(self, type_: int, machine: int, payload: bytes) -> None:
        """:raises ValueError: a payload that no frame may have."""
        self._out += frames.pack(type_, 0, machine, 0, payload)

    def flush(self) -> None:
        """Write all of it.

        :raises OSError: the supervisor is gone.
        """
        if self._out:
            self._socket.settimeout(None)
            self._socket.sendall(self._out)
            self._out.clear()

    def emit(self, resident: Resident) -> int:
        """Pass on what a guest sent; how many bytes that was."""
        machine, out = resident.machine, self._out
        before = len(out)
        for record in machine.records:
            payload = record.payload
            if record.type == abi.RECORD_HEAD:
                guest_us = (machine.virtual_ns - resident.reported_ns) // 1000
                engine = frames.ENGINES.index(machine.shell.engine_name)
                times = resident.restore_us & 0xFFFFFFFF, guest_us & 0xFFFFFFFF
                payload = frames.TIMING.pack(*times, engine) + payload
                resident.restore_us = 0
            out += frames.HEADER.pack(len(payload), record.type, record.flags, 0, resident.number, record.stream)
            out += payload
        if machine.records:
            resident.reported_ns = machine.virtual_ns
            machine.records.clear()
        if machine.log or machine.guest_log.ended:
            text, lines = machine.guest_log.take()
            machine.account.add(lines * LOG_LINE_NS)
            for part in in_parts(text):
                self.send(frames.LOG, resident.number, part)
        return len(out) - before

    def died(self, machine: int, error: NunatakError, report: dict[str, Any], retry: list[int]) -> None:
        """A machine ended, or did not begin."""
        about = {"error": type(error).__name__, "message": str(error)[:MESSAGE_MAX], "report": report, "retry": retry}
        payload = b""
        with contextlib.suppress(Exception):  # a report is worth something, but not that the end goes unsaid
            payload = json.dumps(about).encode()
        self.send(frames.DIED, machine, payload or json.dumps(about | {"report": {}}).encode())
