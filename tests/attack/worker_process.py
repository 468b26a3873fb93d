"""A real worker process in its sandbox, told by frames what its supervisor would tell it."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

from edge.vmm.devices.ring import Record
from edge.vmm.memory.image_memory import base_memfd, sealed_memfd
from edge.vmm.sandbox import layers
from edge.vmm.wire import frames, messages
from edge.vmm.wire.images import Layout, NewImage
from edge.vmm.wire.machines import Open, Parked
from edge.vmm.wire.messages import FromWorker, ToWorker
from edge.vmm.wire.streams import Answer, Head
from edge.vmm.wire.vitals import Hello, Ping, Pong, Stop
from tests.support.edges import eventually
from tests.support.guests import EXAMPLES, Response, bake, baker, head_block
from vmimage import abi, snapshot
from vmimage.archive import ImageBundle
from vmimage.manifest import Limits

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
TIMEOUT_S = 20


class SandboxedWorker:
    """The real worker as its supervisor sees it."""

    def __init__(
        self,
        *arguments: str,
        program: str = "tests.attack.sandboxed_worker",
        pass_fds: tuple[int, ...] = (),
        descriptors: int = 0,
    ) -> None:
        """:param arguments: of the program: the engine first. :param pass_fds: that it keeps.
        :param descriptors: that it may have; 0: as many as a worker takes.
        """
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._images, their_images = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(TIMEOUT_S)
        fds = (theirs.fileno(), their_images.fileno())
        limited = ["prlimit", f"--nofile={descriptors}"] if descriptors else []
        command = [*limited, sys.executable, "-m", program, *arguments]
        with theirs, their_images:
            self.process = subprocess.Popen(
                [*command, "--frames-fd", str(fds[0]), "--images-fd", str(fds[1])],
                cwd=ROOT,
                env=layers.environment(),
                pass_fds=(*fds, *pass_fds),
                stderr=subprocess.PIPE,
                text=True,
            )
        self._in = frames.Splitter()
        self._waiting: list[FromWorker] = []
        self.expect(Hello)
        bundle = baker().base
        state = snapshot.decode(
            bundle.blobs[bundle.manifest.snapshot.digest], memory_bytes=bundle.manifest.memory_bytes
        )
        self._image(1, None, bundle, base_memfd(state.page_nos, state.rows))

    def _image(self, number: int, base: int | None, bundle: ImageBundle, memfd: int) -> None:
        manifest, size = bundle.manifest, os.fstat(memfd).st_size
        layout = Layout(manifest.kind, base, manifest.memory_bytes, manifest.regions, size)
        socket.send_fds(self._images, [number.to_bytes(4, "little")], [memfd])
        os.close(memfd)
        self.send(NewImage(number, layout))

    def open(
        self,
        machine: int,
        image: int,
        example: str,
        parked: Parked | None = None,
        *,
        growth_bytes: int = 0,
        fresh: bool = False,
        folder: Path = EXAMPLES,
        snapshot: bytes = b"",
        cpu_ms: int = 300,
        log_bytes: int = 64 << 10,
        tenant: str = "t",
        record_bytes: int = frames.RECORD_BYTES_MAX,
    ) -> None:
        bundle = bake(folder / example)
        record = snapshot or bundle.blobs[bundle.manifest.snapshot.digest]
        self._image(image, 1, bundle, sealed_memfd("image", record))
        limits = Limits(cpu_ms=cpu_ms, output_bytes=1 << 20, streams=8, log_bytes=log_bytes)
        terms = (tenant, 1, limits, growth_bytes, record_bytes, fresh)
        state = (parked.state, parked.scratch) if parked is not None else ()
        self.send(Open(machine, image, *terms, (), *state))

    def send(self, *said: ToWorker) -> None:
        self.channel.sendall(b"".join(message.to_bytes() for message in said))

    def send_raw(self, type_: int, first: int = 0, second: int = 0, payload: bytes = b"", flags: int = 0) -> None:
        """A frame that a supervisor may not send."""
        self.channel.sendall(frames.pack(type_, flags, first, second, payload))

    def request(self, machine: int, stream: int, path: str = "/") -> None:
        path, _, query = path.partition("?")
        pairs = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "SERVER_PROTOCOL": "HTTP/1.1"}
        head = head_block(pairs | {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "guest.test"})
        self.send(Head(machine, stream, True, head))

    def await_free_shell(self) -> None:
        """A spare one is made when there is nothing else to do."""

        def has_one() -> bool:
            self.send(Ping("shells"))
            return bool(self.expect(Pong).free_shells)

        eventually(has_one, "a spare shell")

    def next(self) -> FromWorker:
        """The next message."""
        while not self._waiting:
            try:
                data = self.channel.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            assert data, f"the worker ended: {self.process.communicate()}"
            self._waiting = [messages.from_worker(frame) for frame in self._in.feed(data)]
        return self._waiting.pop(0)

    def expect(self, kind: type[T]) -> T:
        """The next message, which is of this kind."""
        message = self.next()
        assert isinstance(message, kind), message
        return message

    def response(self) -> Response:
        said = self.expect(Answer)
        answer = Response()
        answer.feed(Record(abi.RECORD_HEAD, abi.FLAG_END if said.end else 0, said.stream, said.payload))
        return answer

    def stop(self) -> None:
        """It leaves by itself, having looked for nothing that is gone."""
        self.send(Stop())
        said = self.process.communicate(timeout=TIMEOUT_S)[1]
        assert self.process.returncode == 0, said
        assert "late import" not in said

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self.channel.close()
        self._images.close()
