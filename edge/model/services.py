"""A service, its machines and their requests: state only, changed through the tables of `flow`. No I/O, no clock.

What a request is to the client that waits for it, with futures and flow control, is `streams.Stream`'s business.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from mypy_extensions import mypyc_attr

from edge.config.secrets import NONE, Secrets
from edge.content.blobs import Load
from edge.content.image import Image
from edge.content.records import record_key
from edge.model import flow
from edge.model.tracing import Trace
from edge.vmm.wire.streams import Answer, Body, Credit, Piece
from vmimage import abi
from vmimage.errors import NunatakError
from vmimage.trust import ServiceRecord

_DISPATCHED: Final = flow.after("dispatch")

# What is told of a request to who compares versions of a service: whether it failed, until when its answer began in
# milliseconds, None where that says nothing of the version, and the client's address, "" where nobody knows it.
Observe = Callable[[bool, float | None, bytes], None]


class Link(Protocol):
    """What a machine needs of the worker that it is in."""

    index: int
    place: flow.Place  # whose machines it takes
    alive: bool
    leaving: bool  # takes no more machines
    open_streams: int  # requests that its machines have
    disks: set[int]  # disks it knows, by number

    def send(self, frame: bytes) -> None:
        """Queue one frame."""

    def enter(self, machine: "Machine") -> None:
        """A machine is in this worker from now on."""

    def leave(self, machine: "Machine") -> bool:
        """It is gone; whether it was here."""


@mypyc_attr(allow_interpreted_subclasses=True)
class StreamState(ABC):
    """A request as decisions see it. Attributes that most requests never set are class attributes until they are."""

    service: "Service"
    method: str
    payload: bytes  # of the HEAD frame
    whole: bool  # that is the entire request
    since: float  # loop time of the last progress
    asked_at = 0.0  # seconds of the monotonic clock when the client sent of it what was sent last

    state: flow.RequestState = "waiting"
    machine: "Machine | None" = None
    number = 0  # names it among the machine's streams
    replayed = False
    charged = ""  # the tenant that pays for the memory it takes while it waits
    body_sent = False  # where the request's body is not in the head's frame
    reads = True  # the client has all that there is of the answer

    # How it came to its machine, for the client to read.
    loops = ""  # networks that the request has passed through before: its CDN-Loop
    trace: Trace | None = None  # its place in a trace, of which the guest knows
    tier: flow.Tier = "resident"
    load: Load | None = None  # the image load it waited for
    collapsed = False  # that another request had begun
    given_at = 0.0  # seconds of the monotonic clock when a machine was given it, where it had to wait for that
    cost: tuple[int, int, int] | None = None  # of its answer, once that began: `restore_us`, `guest_us` and `engine`

    def step(self, event: flow.RequestEvent) -> None:
        """Move along the table."""
        self.state = flow.step(flow.REQUEST_FLOW, self.state, event)

    @property
    def over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return not flow.REQUEST_FLOW[self.state]

    @abstractmethod
    def tell(self, error: BaseException) -> None:
        """Let the client know, after the step that says so, that no (further) answer will come."""

    @abstractmethod
    def wake(self) -> None:
        """Something has changed for those who send or read a body."""

    # What its worker says of it; a ValueError is what a worker cannot say now.

    @abstractmethod
    def on_answer(self, answer: Answer, now: float) -> None:
        """The answer begins."""

    @abstractmethod
    def hand_over(self, answer: Answer) -> None:
        """Give it to the one who waits for it, after all that follows from it for others."""

    @abstractmethod
    def on_body(self, body: Body) -> None:
        """More of the answer."""

    @abstractmethod
    def on_credit(self, credit: Credit, now: float) -> None:
        """The guest has taken some of the request's body."""

    @abstractmethod
    def on_abort(self) -> None:
        """The guest gave the request up."""


class SocketState(Protocol):
    """A WebSocket of a client as decisions see it: it is its service's first machine's, resident or parked."""

    def on_piece(self, piece: Piece) -> None:
        """The guest sends its client something."""

    def end(self, code: int) -> None:
        """The machine that knows it is no more: close it, and say nothing of that to a guest."""


class Early:
    """What a guest sends to a socket that it has taken, before the one who asked for it knows; that is a moment."""

    MOST: Final = 4 * abi.STREAM_WINDOW  # bytes; beyond what its window allows it, in the smallest messages

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.size = 0

    def add(self, piece: Piece) -> None:
        """Keep it; not beyond MOST, which `size` tells."""
        self.size += len(piece.payload) + 16
        if self.size <= self.MOST:
            self.pieces.append(piece)


class Machine:
    """A machine in a worker."""

    def __init__(self, number: int, service: "Service", image: Image, worker: Link, now: float) -> None:
        self.number = number
        self.service = service
        self.tenant, self.version = service.tenant, service.release.manifest_digest  # when it was opened
        self.image = image
        self.worker = worker
        self.opened = now
        self.streams: dict[int, StreamState] = {}
        manifest = image.manifest
        self.limit = 1 if manifest.instance == "request" else manifest.limits.streams
        self.pool = manifest.pool  # machines that the service may have
        self.used = now  # loop time of the last request
        self.began = now  # loop time at which it started from its image
        self.served = 0  # requests since then
        self.kept = 0  # of these, requests that the record it came from has seen: all others are lost with its worker
        self.throttled = False  # waits for its share of CPU time, by the worker's last word
        self._rejuvenate_at = manifest.rejuvenate.requests or math.inf
        self._rejuvenate_after_s = manifest.rejuvenate.seconds or math.inf
        self.retiring = False  # takes no more requests; closes with its last stream
        self.log_lines = 0  # since the last tick
        self._next_stream = 0

    def add(self, stream: StreamState) -> bool:
        """Give it a request; whether it has been in use for long enough now (`flow.rejuvenation_cause` says why)."""
        stream.state = _DISPATCHED[stream.state]
        self._next_stream = number = (self._next_stream + 1) % abi.EXCHANGE_BIT
        stream.machine, stream.number = self, number
        self.streams[number] = stream
        self.worker.open_streams += 1
        self.served += 1
        self.used = used = stream.since
        return self.served >= self._rejuvenate_at or used - self.began >= self._rejuvenate_after_s

    @property
    def did_its_work(self) -> bool:
        """Whether a request of it has ended before now, or it was for one request only."""
        return (self.limit == 1 and self.image.manifest.instance == "request") or self.served > len(self.streams)

    def remove(self, stream: StreamState) -> None:
        """A request is over; a no-op for one that is not here."""
        if self.streams.pop(stream.number, None) is not None:
            self.worker.open_streams -= 1

    def take_streams(self) -> dict[int, StreamState]:
        """All requests, of which the machine has none any more."""
        streams, self.streams = self.streams, {}
        self.worker.open_streams -= len(streams)
        return streams


class Service:
    """A service as the catalogue names it now, and what this edge has of it."""

    def __init__(self, release: ServiceRecord) -> None:
        self.release = release
        self.secrets: Secrets = NONE  # that its next machine starts with
        self.state: flow.ServiceState = "cold"
        self.machine: Machine | None = None  # the first: the one that is parked
        self.others: list[Machine] = []  # of a pool
        self.growing = False  # another is being opened, or was refused a moment ago
        self.queue: Sequence[StreamState] = ()  # requests that wait for a machine; see `edge.supervisor.waiting`
        self.sockets: dict[int, SocketState] = {}  # by number
        self.offered: dict[int, Early] = {}  # by number: requests that may become sockets
        self.lineage = 0  # of machines that went on from one another, each knowing the sockets of the one before
        self.withdrawn = False  # the catalogue knows it no longer
        self.requests = 0
        self.crashes = 0  # ever
        self.made_room = 0  # of these, machines that were ended since others needed the memory
        self.crashes_in_row = 0
        self.pause_until = 0.0  # loop time
        self.unfit: NunatakError | None = None  # why no machine of this version can be here
        # Of a version that cannot be brought up here (`edge.supervisor.fallback`).
        self.works = False  # a machine of this version was opened here
        self.last_good: ServiceRecord | None = None  # that goes on if this one does not come up
        self.refused: ServiceRecord | None = None  # what the catalogue says in place of what is served
        # A release in stages (`edge.releases`): the version beside this one, with machines of its own.
        self.candidate: Service | None = None  # that a part of the visitors get now
        self.is_candidate = False
        self.observe: Observe | None = None  # told what came of each request

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self.release.tenant

    @property
    def name(self) -> str:
        """The service's own name."""
        return self.release.service

    @property
    def slot(self) -> str:
        """What tells it from the other version of the same name, where both may be here; no service is called so."""
        return f"{self.release.service}~candidate" if self.is_candidate else self.release.service

    @property
    def key(self) -> str:
        """Name of its parked record, which is of a machine with these secrets."""
        return record_key(self.release.service, self.release.manifest_digest, self.owner)

    @property
    def owner(self) -> str:
        """Whose its machines are, and what secrets they have."""
        return f"{self.release.tenant} {self.secrets.mark}" if self.secrets.mark else self.release.tenant

    def step(self, event: flow.ServiceEvent) -> None:
        """Move along the table."""
        self.state = flow.step(flow.SERVICE_FLOW, self.state, event)
