"""The connection to one worker process: spawn, frames both ways, image memfds, pings, and its end.

When it has ended, `cause`, `page` and `frame` are the evidence for whose behalf it was on; `flow.blame` weighs it.

Frames are gathered until the event loop's turn is over and leave in one write. What a worker sends is bounds-checked;
one that breaks the protocol or stops answering is killed, alone. What frames mean is the owner's business.
However much it sends, one turn of the event loop takes little of it: see `edge.workers.intake`.
"""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, cast

from edge.common import log
from edge.common.slices import Slices
from edge.content.image import Image
from edge.model.flow import NOBODY, SHARED, Cause, Place, WorkerLost
from edge.model.services import Machine
from edge.model.streams import wake
from edge.vmm.kernel import host
from edge.vmm.sandbox import layers
from edge.vmm.wire import attribution, messages
from edge.vmm.wire.frames import RawFrame
from edge.vmm.wire.images import DropImage
from edge.vmm.wire.vitals import Hello, Ping, Pong, Stop
from edge.workers.given_images import GivenImages
from edge.workers.intake import Intake
from vmimage.errors import OperatorError

HELLO_S: Final = 20.0  # an interpreter with its engines calibrated; about 1 s here
TAKES_IMAGES_S: Final = 20.0  # it takes one with each IMAGE frame, and a whole queue of them is before that one
STOP_S: Final = 5.0  # a worker told to stop that did not is killed
SOCKET_BYTES: Final = 1 << 20  # of send buffer asked for: several turns' worth of frames
BUSY_STREAMS: Final = 4  # requests in a worker from which on the edge polls for its answers
POLL_S: Final = 200e-6  # after the last request went there
# Of a worker in quarantine, above the edge's own, and what nice(1) adds: its start comes after what others want.
QUARANTINE_NICE: Final = 10
COMMAND: Final = (sys.executable, "-m", "edge.vmm.worker")

_logger: Final = log.logger("workers")


class Owner(Protocol):
    """Who a worker reports to."""

    def on_frame(self, worker: "Worker", frame: RawFrame) -> None:
        """The next frame, to be decoded and acted on, so that what came before a broken one counts.

        :raises ValueError: the worker broke the protocol.
        """

    def on_defect(self, worker: "Worker", error: Exception) -> None:
        """Frames of the worker made us stumble, and it is killed for that."""

    def on_lost(self, worker: "Worker") -> None:
        """The worker is gone; called once, and not for a worker that was asked to stop."""


class Worker(asyncio.BufferedProtocol):
    """One worker process and the machines in it."""

    def __init__(
        self,
        index: int,
        owner: Owner,
        command: Sequence[str] = COMMAND,
        place: Place = SHARED,
        slices: Slices | None = None,
    ) -> None:
        """:param place: whose machines alone it takes. :param slices: that it shares with other workers."""
        self.index = index
        self.place = place
        self.machines: dict[int, Machine] = {}
        self.open_streams = 0  # requests that its machines have
        self.facts: dict[str, Any] = {}  # of HELLO
        self.statistics: dict[str, Any] = {}  # of the last PONG
        self.alive = False
        self.was_busy = False  # a tick ago
        self.unused_since = 0.0  # loop time
        self.leaving = False  # takes no more machines
        self.started = 0.0  # loop time
        self.fault = ""  # why it was killed
        self.cause: Cause = "died"  # of its end
        self.page = NOBODY  # whom it worked for when it ended, by its page of attribution
        self.frame = NOBODY  # the machine of the frame at which the protocol was broken
        self.failures = 0  # in a row before this one, of workers of this index
        self._owner = owner
        self._command = command
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._process: subprocess.Popen[bytes] | None = None
        self._attribution_fd = -1
        self._transport: asyncio.Transport | None = None
        self._image_socket: socket.socket | None = None
        self._image_turn = asyncio.Lock()
        self._given = GivenImages()
        self.disks: set[int] = set()  # disks it knows, by number
        self._intake = Intake(Slices() if slices is None else slices, self._take)
        self._out: list[bytes] = []
        self._sent = 0.0  # time.perf_counter() of the last frames to it
        self._answers_soon = self._polling = False
        self._stopping = False
        self._pinged = 0.0  # loop time of the ping that is not answered yet
        self._ping = ""  # what it carried, which nobody can say who has not read it

    @property
    def pid(self) -> int:
        """Process id; 0 before the start."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Spawn and wait until it takes work.

        :raises OperatorError: it ended or said nothing.
        """
        try:
            ours = self._spawn()
        except OSError as error:
            self._read_page()
            raise OperatorError(
                f"worker {self.index}: a process expected: {error}: raise the limits of processes and memory"
            ) from error
        self.started = self._loop.time()
        await self._loop.create_unix_connection(lambda: self, sock=ours)
        try:
            await asyncio.wait_for(asyncio.shield(self._hello), HELLO_S)
        except (TimeoutError, WorkerLost) as error:
            self._stopping = True
            self.kill("no HELLO", "died")
            raise OperatorError(
                f"worker {self.index}: HELLO expected, got {error or 'nothing'}: run `nunatak doctor`"
            ) from None
        self.alive = True
        missing = self.facts.get("kvm_missing")
        why = {"no_kvm": missing} if missing else {}
        _logger.info(
            log.line("worker_started", worker=self.index, pid=self.pid, engines=self.facts.get("engines"), **why)
        )

    def _spawn(self) -> socket.socket:
        """Start the process; our end of the connection for frames."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        our_images, their_images = host.message_pair()
        self._attribution_fd = attribution.new_page()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        ours.setblocking(False)
        our_images.setblocking(False)
        self._image_socket = our_images
        fds = {"--frames-fd": theirs.fileno(), "--images-fd": their_images.fileno()}
        fds["--attribution-fd"] = self._attribution_fd
        with theirs, their_images:
            self._process = subprocess.Popen(  # a fork and exec, about 1 ms, at start and after a loss
                [*self._command, *(part for name, fd in fds.items() for part in (name, str(fd)))],
                pass_fds=tuple(fds.values()),
                stdin=subprocess.DEVNULL,
                env=layers.environment(),
                start_new_session=True,  # a Ctrl-C for the edge must not end it before it is drained
            )
        if self.place.kind == "quarantine":
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self.pid, os.getpriority(os.PRIO_PROCESS, 0) + QUARANTINE_NICE)
        return ours

    # Sending.

    def send(self, frame: bytes) -> None:
        """Queue one frame; it leaves at the end of this turn of the event loop."""
        out = self._out
        if not out:
            self._loop.call_soon(self._flush)
        out.append(frame)

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._out))
        self._out.clear()
        self._sent = time.perf_counter()
        if self._answers_soon and not self._polling and self.open_streams >= BUSY_STREAMS:
            self._polling = True
            self._loop.call_soon(self._poll)

    def _poll(self) -> None:
        """Keep the event loop from sleeping: the next answer will be here sooner than a process wakes up."""
        self._polling = time.perf_counter() < self._sent + POLL_S
        if self._polling:
            self._loop.call_soon(self._poll)

    async def give(self, image: Image) -> None:
        """Make sure the worker has an image, and its base before it.

        :raises WorkerLost: it ended meanwhile.
        """
        if image.base is not None:
            await self.give(image.base)
        async with self._image_turn:
            if image in self._given:
                return
            if not image.inline:
                fd = image.memfd()
                try:
                    while not self._send_fd(image.number, fd):
                        await self._image_socket_writable()
                finally:
                    os.close(fd)
            self._given.add(image)
            self.send(image.announcement())

    def give_at_once(self, image: Image) -> bool:
        """As `give`, where that needs no waiting: the worker has the image, or it fits into a frame; else False."""
        if image not in self._given:
            if not image.inline or (image.base is not None and image.base not in self._given):
                return False
            self._given.add(image)
            self.send(image.announcement())
        return True

    def _send_fd(self, number: int, fd: int) -> bool:
        if self._image_socket is None:
            raise WorkerLost(f"worker {self.index} ended")
        try:
            socket.send_fds(self._image_socket, [number.to_bytes(4, "little")], [fd])
        except BlockingIOError:
            return False
        except OSError as error:
            raise WorkerLost(f"worker {self.index}: {error}") from error
        return True

    async def _image_socket_writable(self) -> None:
        assert self._image_socket is not None
        writable: asyncio.Future[None] = self._loop.create_future()
        fd = self._image_socket.fileno()
        self._loop.add_writer(fd, wake, writable)
        try:
            done, _ = await asyncio.wait(
                [writable, self._ended], timeout=TAKES_IMAGES_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            self._loop.remove_writer(fd)
        if not done:  # all that would be opened here would wait for ever
            self.kill(f"no image taken in {TAKES_IMAGES_S} s", "wedged")
            raise WorkerLost(f"worker {self.index}: no images taken")

    def enter(self, machine: Machine) -> None:
        """A machine is in this worker from now on."""
        self.machines[machine.number] = machine
        self._given.enter(machine.image)

    def leave(self, machine: Machine) -> bool:
        """It is gone, and small images that have had no machine for the longest time.

        :return: whether it was here.
        """
        if self.machines.pop(machine.number, None) is None:
            return False
        for image in self._given.leave(machine.image):
            self.drop(image)
        return True

    def drop(self, image: Image, *, for_good: bool = False) -> None:
        """Tell the worker to forget an image, and `for_good` what it has learned of it."""
        if self._given.discard(image) or for_good:
            self.send(DropImage(image.number, for_good).to_bytes())

    def ping(self, wedged_s: float) -> None:
        """Called every second or so: ask for a sign of life, or act on its absence."""
        now = self._loop.time()
        if self._pinged and now - self._pinged > wedged_s:
            self.kill(f"no PONG in {wedged_s} s", "wedged")
        elif not self._pinged:
            self._pinged, self._ping = now, secrets.token_hex(8)
            self.send(Ping(self._ping).to_bytes())

    # Receiving.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.BufferedProtocol."""
        self._transport = cast(asyncio.Transport, transport)
        self._intake.connected(self._transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """asyncio.BufferedProtocol."""
        return self._intake.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio.BufferedProtocol."""
        self._answers_soon = time.perf_counter() < self._sent + POLL_S
        try:
            self._intake.updated(nbytes)
        except ValueError as error:
            self.kill(f"protocol: {error}", "protocol")

    def _take(self, frame: RawFrame) -> None:
        try:
            if self.alive:
                self._owner.on_frame(self, frame)
            else:
                self._greet(frame)
        except ValueError as error:
            self.kill(f"protocol: {error}", "protocol")
        except Exception as error:  # whatever made us stumble ends the worker it came from, and no other
            self._owner.on_defect(self, error)
            self.kill(f"defect: {error!r}", "defect")

    def _greet(self, frame: RawFrame) -> None:
        hello = messages.from_worker(frame)
        if not isinstance(hello, Hello):
            raise ValueError(f"HELLO expected, got {type(hello).__name__}")
        self.facts = hello.fields()
        if not self._hello.done():
            self._hello.set_result(None)

    def on_pong(self, pong: Pong) -> None:
        """A sign of life.

        :raises ValueError: it answers no PING, so whoever sent it need not have read what it was sent.
        """
        if not self._pinged or pong.token != self._ping:
            raise ValueError("PONG: one for each PING, with what it carried, expected")
        self._pinged = 0.0
        self.statistics = pong.counts()

    # The end.

    def kill(self, reason: str, cause: Cause) -> None:
        """End the process now; `on_lost` follows."""
        self._intake.drop()
        if self._process is not None and self._process.poll() is None:
            self.fault, self.cause = reason, cause
            _logger.error(log.line("worker_killed", worker=self.index, pid=self.pid, reason=reason))
            self._process.kill()
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio.BufferedProtocol."""
        self._intake.end()
        was_alive, self.alive, self._transport = self.alive, False, None
        self._out.clear()
        self._read_page()
        if self._image_socket is not None:
            self._image_socket.close()
            self._image_socket = None
        if not self._hello.done():
            self._hello.set_exception(WorkerLost("its end"))
        self._ended.set_result(None)
        if was_alive and not self._stopping:
            if self._process is not None:
                self._process.kill()  # one that closed its socket and lives on
            self._owner.on_lost(self)

    def _read_page(self) -> None:
        """The last look at the page of attribution, which nobody writes any more."""
        if self._attribution_fd >= 0:
            self.page = attribution.read(self._attribution_fd)
            os.close(self._attribution_fd)
            self._attribution_fd = -1

    async def reap(self) -> int:
        """Wait for the process to be gone, killing it after a moment; its exit status."""
        if self._process is None:
            return 0
        try:
            return await asyncio.to_thread(self._process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return await asyncio.to_thread(self._process.wait)

    async def stop(self) -> None:
        """Ask it to leave, and see that it does."""
        self._stopping = True
        if self._transport is not None:
            self.send(Stop().to_bytes())
            await asyncio.wait([self._ended], timeout=STOP_S)
        await self.reap()
