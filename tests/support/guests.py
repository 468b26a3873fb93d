"""Guests without an edge around them: bake a program, put it into a machine, talk to its gate."""

import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack

from edge.vmm.devices.disk import Disks
from edge.vmm.devices.ring import Record
from edge.vmm.machine.machine import Idle, Machine
from edge.vmm.memory.guest_memory import BaseMemory, GuestMemory, page_template
from edge.vmm.memory.image_memory import base_memfd
from edge.vmm.shells.shell import EngineName, Image, Shell
from libos.toolchain.build import compile_guest
from origin.bake.bake import Baker
from origin.bake.disks import LocalDrive
from origin.bake.elf import parse_program
from vmimage import abi, snapshot
from vmimage.archive import ImageBundle
from vmimage.manifest import Limits, Terms

PROGRAMS = Path(__file__).parents[1] / "guest" / "programs"
EXAMPLES = Path(__file__).parents[2] / "libos" / "examples"
ENGINE: ContextVar[EngineName] = ContextVar("ENGINE", default="unicorn")  # of shells that tests do not make themselves
RUNS_MAX = 2000  # entries a test's guest may need; a hang becomes a failure
LIMITS: Final = Limits(cpu_ms=5000)  # of a guest whose test says nothing else


@cache
def baker() -> Baker:
    """One for the whole test process: it holds the base image."""
    return Baker()


@cache
def base_memory() -> BaseMemory:
    """The base image as a worker maps it."""
    bundle = baker().base
    record = bundle.blobs[bundle.manifest.snapshot.digest]
    state = snapshot.decode(record, memory_bytes=bundle.manifest.memory_bytes)
    return BaseMemory(base_memfd(state.page_nos, state.rows))


@cache
def elf(source: Path) -> bytes:
    """A compiled program."""
    return compile_guest(source)


def bake(
    source: Path,
    env: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    disks: Sequence[LocalDrive] = (),
) -> ImageBundle:
    """The image of a program."""
    program = parse_program(elf(source))
    terms = Terms(limits=limits or Limits())
    return baker().bake(program, name=source.stem, env=env or {}, terms=terms, disks=disks, progress=print)


@cache
def image_of(source: Path) -> Image:
    """The image of a program as a worker holds it."""
    return load(bake(source))


def load(bundle: ImageBundle) -> Image:
    """An image as a worker holds it."""
    manifest = bundle.manifest
    record = bundle.blobs[manifest.snapshot.digest]
    return Image(base_memory(), page_template(manifest.regions, manifest.memory_bytes), record)


def wait_until(deadline_ns: int) -> None:
    """Sleep until the deadline for which a machine is idle, as a worker would."""
    time.sleep(max(0, deadline_ns - time.monotonic_ns()) / 1e9)


def head_block(pairs: Mapping[str, str]) -> bytes:
    """A key-value block."""
    return b"".join(f"{name}\0{value}\0".encode() for name, value in pairs.items()) + b"\0"


@dataclass
class Response:
    """What a guest answered on one stream."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: bool = False

    def feed(self, record: Record) -> None:
        """Take one record from the guest."""
        if record.type == abi.RECORD_RESET:
            self.reset = True
        elif record.type == abi.RECORD_BODY:
            self.body += record.payload
        elif record.type == abi.RECORD_HEAD:
            rest = record.payload
            pairs = []
            while not rest.startswith(b"\0"):
                name, value, rest = rest.split(b"\0", 2)
                pairs.append((name.decode().lower(), value.decode()))
            self.body += rest[1:]
            self.status = int(dict(pairs)["status"])
            self.headers = dict(pairs)
        self.ended = self.ended or bool(record.flags & abi.FLAG_END)


class Bounds(TypedDict, total=False):
    """Limits that a test gives its guest, by their names in a manifest."""

    cpu_ms: int
    output_bytes: int
    streams: int


class Guest:
    """A machine in a shell of its own, and an edge's side of its gate."""

    def __init__(
        self,
        image: Image,
        *,
        parked: bytes | None = None,
        live: bool = False,
        shell: Shell | None = None,
        fresh: bool = False,
        disks: Callable[[GuestMemory], Disks] | None = None,
        secrets: bytes = b"",
        **limits: Unpack[Bounds],
    ) -> None:
        self.shell = shell or Shell(image.base, image.memory_bytes, ENGINE.get())
        device = disks(self.shell.memory) if disks is not None else None
        bounds = replace(LIMITS, **limits)
        self.machine = Machine(self.shell, image, bounds, fresh=fresh, disks=device, secrets=secrets)
        self.machine.restore(parked, live=live)
        self.exchanges: list[Record] = []  # what it says of its own requests
        self.responses: dict[int, Response] = {}
        self.credit: dict[int, int] = {}  # request bytes that the guest has asked for, by stream
        self.log = b""
        self.last_stream = 0

    def send(self, path: str = "/", *, method: str = "GET", body: bytes | None = b"", **variables: str) -> int:
        """Offer a request and return its stream; with `body=None` the request stays open for `push`."""
        path, _, query = path.partition("?")
        self.last_stream += 1
        pairs = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "guest.test",
            **variables,
        }
        flags = 0 if body is None else abi.FLAG_END
        self.machine.offer(Record(abi.RECORD_HEAD, flags, self.last_stream, head_block(pairs) + (body or b"")))
        self.responses[self.last_stream] = Response()
        self.credit[self.last_stream] = abi.STREAM_WINDOW
        return self.last_stream

    def push(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Offer a piece of a request's body."""
        self.credit[stream] -= len(data)
        self.machine.offer(Record(abi.RECORD_BODY, abi.FLAG_END if end else 0, stream, data))

    def run(self, *, credit: bool = True) -> None:
        """Run until the guest idles; return credit for what it sends when `credit` says so."""
        for _ in range(RUNS_MAX):
            outcome = self.machine.run()
            given = self.collect(credit)
            if isinstance(outcome, Idle) and not given:
                return
        raise AssertionError("the guest does not come to rest")

    def collect(self, credit: bool) -> bool:
        """Take what the guest has said; whether it was given credit for some of it."""
        given = False
        for record in self.machine.records:
            if record.stream & abi.EXCHANGE_BIT:
                self.exchanges.append(record)
                continue
            if record.type == abi.RECORD_CREDIT:
                self.credit[record.stream] += struct.unpack("<I", record.payload)[0]
                continue
            response = self.responses[record.stream]
            response.feed(record)
            if credit and record.type == abi.RECORD_BODY and not response.ended:
                amount = struct.pack("<I", len(record.payload))
                self.machine.offer(Record(abi.RECORD_CREDIT, 0, record.stream, amount))
                given = True
        self.machine.records.clear()
        self.log += b"".join(self.machine.log)
        self.machine.log.clear()
        return given

    def get(self, path: str = "/", **options: Any) -> Response:
        """One request, answered."""
        stream = self.send(path, **options)
        self.run()
        return self.responses[stream]

    def move(self, engine: EngineName | None = None, **limits: Unpack[Bounds]) -> "Guest":
        """Go on in another machine, in a shell of its own, with what is open: the edge's side stays as it is."""
        record = snapshot.encode(self.machine.capture(live=True))
        image, name = self.machine.image, engine or self.shell.engine_name
        shell = Shell(image.base, image.memory_bytes, name)
        there = type(self)(image, parked=record, live=True, shell=shell, **limits)
        there.responses, there.credit, there.log = self.responses, self.credit, self.log
        there.last_stream = self.last_stream
        return there

    def park(self) -> bytes:
        """The machine's record."""
        return snapshot.encode(self.machine.capture())
