"""The supervisor's nouns: a service, the machine that answers for it, and the requests it has. State only.

Every change of `state` goes through a table in `flow`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge import flow
from edge.images import Image, Trip
from edge.records import record_key
from edge.vmm.frames import Frame
from vmimage import abi
from vmimage.trust import ServiceRecord

if TYPE_CHECKING:
    from edge.workers import Worker


class Stream:
    """One request on its way through the edge. Attributes that most never set are class attributes until they are."""

    state: flow.RequestState = "waiting"
    machine: "Machine | None" = None
    number = 0  # names it among the machine's streams
    tier: flow.Tier = "resident"
    trip: Trip | None = None  # of the image load it waited for
    collapsed = False
    replayed = False
    abort: Callable[[], None] | None = None  # breaks the client's connection; set once the answer has begun

    # The request's body, when it is not in the head's frame.
    credit = abi.STREAM_WINDOW  # bytes that may be sent to the worker
    credit_waiter: "asyncio.Future[None] | None" = None

    # The answer's body after its head.
    parts: "deque[bytes] | None" = None
    part_waiter: "asyncio.Future[None] | None" = None
    ended = False
    under_way = 0  # bytes received and not yet credited
    to_credit = 0  # bytes the client took, not yet told to the worker

    def __init__(self, service: "Service", method: str, payload: bytes, whole: bool, now: float) -> None:
        self.service = service
        self.method = method
        self.payload = payload  # of the HEAD frame
        self.whole = whole  # the payload is the entire request
        self.since = now  # loop time of the last progress
        self.answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()

    def step(self, event: flow.RequestEvent) -> None:
        """Move along the table."""
        self.state = flow.step(flow.REQUEST_FLOW, self.state, event)


class Machine:
    """A machine in a worker."""

    def __init__(self, number: int, service: "Service", image: Image, worker: "Worker", now: float) -> None:
        self.number = number
        self.service = service
        self.image = image
        self.worker = worker
        self.opened = now
        self.streams: dict[int, Stream] = {}
        self.limit = image.manifest.limits.streams
        self.retiring = False  # another version serves now; closes with its last stream
        self.log_lines = 0  # since the last tick
        self.reset_at = 0.0  # loop time of the last RESET sent
        self._next_stream = 0

    def add(self, stream: Stream) -> int:
        """Enter a request; its number."""
        self._next_stream = number = (self._next_stream + 1) & 0xFFFFFFFF
        stream.machine, stream.number = self, number
        self.streams[number] = stream
        return number


class Service:
    """A service as the catalogue names it now, and what this edge has of it."""

    def __init__(self, release: ServiceRecord) -> None:
        self.release = release
        self.state: flow.ServiceState = "cold"
        self.machine: Machine | None = None
        self.queue: deque[Stream] = deque()
        self.opening: asyncio.Task[None] | None = None
        self.requests = 0
        self.crashes = 0  # ever
        self.crashes_in_row = 0
        self.pause_until = 0.0  # loop time

    @property
    def name(self) -> str:
        """The service's own name."""
        return self.release.service

    @property
    def key(self) -> str:
        """Name of its parked record."""
        return record_key(self.release.service, self.release.manifest_digest)

    def step(self, event: flow.ServiceEvent) -> None:
        """Move along the table."""
        self.state = flow.step(flow.SERVICE_FLOW, self.state, event)
