"""A worker process as an edge starts it, driven from here over its two sockets without an event loop."""

import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, Self

from edge.content.image import Image
from edge.vmm.kernel import host
from edge.vmm.sandbox import layers
from edge.vmm.wire import frames, messages
from edge.vmm.wire.machines import Open, OpenDisk
from edge.vmm.wire.messages import FromWorker
from edge.vmm.wire.vitals import Hello
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


class WorkerLied(Exception):
    """The worker said what its supervisor would end it for."""


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
        self._in = frames.Splitter()
        self.last_said = ""  # the end of its stderr, once it is closed
        first = self.receive(HELLO_S, until=1)
        if not first or not isinstance(first[0], Hello):
            self.close()
            raise RuntimeError(f"HELLO expected, got {first}: {self.last_said}")
        self.hello = first[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def said(self) -> str:
        """The end of its stderr."""
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - 4000))
        return self._stderr.read().decode(errors="replace")

    def send(self, data: bytes, *, patience_s: float = 60.0) -> list[FromWorker]:
        """Send frames; what came meanwhile.

        :raises WorkerEnded: it is gone.
        :raises WorkerLied: it said what no worker says.
        :raises TimeoutError: it does not read.
        """
        view, came = memoryview(data), []
        until = time.monotonic() + patience_s
        while view:
            events = self._wait(select.POLLIN | select.POLLOUT, until - time.monotonic())
            readable, writable = events & ~select.POLLOUT, events & select.POLLOUT
            if not events:
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

    def receive(self, patience_s: float, *, until: int = 1) -> list[FromWorker]:
        """At least so many frames, or what came in that time.

        :raises WorkerEnded: it is gone.
        """
        came: list[FromWorker] = []
        deadline = time.monotonic() + patience_s
        while len(came) < until and (left := deadline - time.monotonic()) > 0:
            if self._wait(select.POLLIN, left):
                came += self._take()
        return came

    def _wait(self, events: int, patience_s: float) -> int:
        """Those of `select.POLLIN` and so on that come first; 0: none did. A descriptor may be above 1023."""
        poll = select.poll()
        poll.register(self._socket, events)
        ready = poll.poll(max(0.0, patience_s) * 1000)
        return ready[0][1] if ready else 0

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

    def _take(self) -> list[FromWorker]:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self._ended()
        try:
            return [messages.from_worker(frame) for frame in self._in.feed(data)]
        except ValueError as error:
            raise WorkerLied(str(error)) from None

    def _ended(self) -> None:
        try:
            status: int | None = self.process.wait(10)
        except subprocess.TimeoutExpired:
            status = None
        raise WorkerEnded(status, self.said())


def open_frame(
    machine: int,
    image: int,
    state: bytes = b"",
    scratch: bytes = b"",
    *,
    limits: Limits,
    record_bytes: int = frames.RECORD_BYTES_MAX,
    fresh: bool = False,
    tenant: str = "fuzz",
    disks: tuple[OpenDisk, ...] = (),
) -> bytes:
    """OPEN as `edge.supervisor.driver` sends it."""
    return Open(machine, image, tenant, 1, limits, 0, record_bytes, fresh, disks, state, scratch).to_bytes()
