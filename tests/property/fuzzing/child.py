"""A worker process as an edge starts it, driven from here over its two sockets without an event loop."""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

from edge.content.image import Image
from edge.vmm.kernel import host
from edge.vmm.sandbox import layers
from edge.vmm.wire import frames
from edge.vmm.wire.frames import Frame
from vmimage.canonical import canonical_json
from vmimage.manifest import Limits

COMMAND: Final = (sys.executable, "-m", "edge.vmm.worker")
HELLO_S: Final = 60.0  # an interpreter with its engines calibrated, on a machine that is busy with other tests
SOCKET_BYTES: Final = 1 << 20
RECEIVE_BYTES: Final = 1 << 20


class WorkerEnded(Exception):
    """The process is gone; `status` is as `subprocess` has it, `said` the end of its stderr."""

    def __init__(self, status: int | None, said: str) -> None:
        super().__init__(f"the worker ended with status {status}")
        self.status, self.said = status, said


class Child:
    """One worker process. Leaving the `with` block kills it if it is still there."""

    def __init__(self, *options: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._images, their_images = host.message_pair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        descriptors = theirs.fileno(), their_images.fileno()
        with theirs, their_images:
            self.process = subprocess.Popen(
                [*COMMAND, "--frames-fd", str(descriptors[0]), "--images-fd", str(descriptors[1]), *options],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stderr=self._stderr,
                env=layers.environment(),
            )
        ours.setblocking(False)
        self._socket = ours
        self._in = bytearray()
        self.last_said = ""  # the end of its stderr, once it is closed
        self.hello: dict[str, Any] = {}
        first = self.receive(HELLO_S, until=1)
        if not first or first[0].type != frames.HELLO:
            self.close()
            raise RuntimeError(f"HELLO expected, got {first}: {self.said()}")
        self.hello = json.loads(first[0].payload)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def said(self) -> str:
        """The end of its stderr."""
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - 4000))
        return self._stderr.read().decode(errors="replace")

    def send(self, data: bytes, *, patience_s: float = 60.0) -> list[Frame]:
        """Send frames; what came meanwhile.

        :raises WorkerEnded: it is gone.
        :raises TimeoutError: it does not read.
        """
        view, came = memoryview(data), []
        until = time.monotonic() + patience_s
        while view:
            readable, writable, _ = select.select([self._socket], [self._socket], [], until - time.monotonic())
            if not (readable or writable):
                raise TimeoutError("the worker does not read")
            if readable:
                came += self._take()
            if writable:
                try:
                    view = view[self._socket.send(view) :]
                except BlockingIOError:
                    continue
                except OSError:
                    self._ended()
        return came

    def receive(self, patience_s: float, *, until: int = 1) -> list[Frame]:
        """At least so many frames, or what came in that time.

        :raises WorkerEnded: it is gone.
        """
        came: list[Frame] = []
        deadline = time.monotonic() + patience_s
        while len(came) < until and (left := deadline - time.monotonic()) > 0:
            if select.select([self._socket], [], [], left)[0]:
                came += self._take()
        return came

    def give(self, image: Image) -> bytes:
        """Send an image's memfd if it has one; the frame that announces it, still to be sent."""
        if not image.inline:
            fd = image.memfd()
            try:
                socket.send_fds(self._images, [image.number.to_bytes(4, "little")], [fd])
            finally:
                os.close(fd)
        return image.announcement()

    def resident_bytes(self) -> int:
        """The most memory that it had; 0 when it is gone."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0
        return sum(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))

    def close(self) -> int | None:
        """End it; its status."""
        self._socket.close()
        self._images.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if not self._stderr.closed:
            self.last_said = self.said()
            self._stderr.close()
        return self.process.returncode

    def _take(self) -> list[Frame]:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self._ended()
        self._in += data
        return frames.parse(self._in)

    def _ended(self) -> None:
        try:
            status: int | None = self.process.wait(10)
        except subprocess.TimeoutExpired:
            status = None
        raise WorkerEnded(status, self.said())


def open_frame(
    machine: int,
    image: int,
    record: bytes = b"",
    *,
    limits: Limits,
    record_bytes: int = frames.RECORD_BYTES_MAX,
    fresh: bool = False,
    tenant: str = "fuzz",
    disks: Sequence[object] = (),
) -> bytes:
    """OPEN as `edge.supervisor.driver` sends it."""
    about = {
        "image": image,
        "tenant": tenant,
        "weight": 1,
        "limits": asdict(limits),
        "growth_bytes": 0,
        "record_bytes": record_bytes,
        "fresh": fresh,
        "disks": list(disks),
    }
    return frames.pack(frames.OPEN, 0, machine, 0, frames.with_json(canonical_json(about), record))
