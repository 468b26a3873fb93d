"""A service, and the machine that answers for it: state only, changed through `flow.SERVICE_FLOW`."""

import math
from collections import deque
from typing import TYPE_CHECKING

from edge.content.image import Image
from edge.content.records import record_key
from edge.model import flow
from edge.model.streams import Stream
from vmimage import abi
from vmimage.errors import NunatakError
from vmimage.trust import ServiceRecord

if TYPE_CHECKING:
    from edge.devices.upstreams import Exchange
    from edge.workers.process import Worker


class Machine:
    """A machine in a worker."""

    def __init__(self, number: int, service: "Service", image: Image, worker: "Worker", now: float) -> None:
        self.number = number
        self.service = service
        self.image = image
        self.worker = worker
        self.opened = now
        self.streams: dict[int, Stream] = {}
        self.exchanges: dict[int, Exchange] = {}  # its own requests to upstreams
        manifest = image.manifest
        self.limit = manifest.limits.streams
        self.pool = manifest.pool  # machines that the service may have
        self.used = now  # loop time of the last request
        self.began = now  # loop time at which it started from its image
        self.served = 0  # requests since then
        self.kept = 0  # of these, requests that the record it came from has seen: all others are lost with its worker
        self.throttled = False  # waits for its share of CPU time, by the worker's last word
        self._worn_at = manifest.rejuvenate.requests or math.inf
        self._worn_after_s = manifest.rejuvenate.seconds or math.inf
        self.retiring = False  # another version serves now; closes with its last stream
        self.log_lines = 0  # since the last tick
        self._next_stream = 0

    def add(self, stream: Stream) -> int:
        """Enter a request; its number."""
        self._next_stream = number = (self._next_stream + 1) % abi.EXCHANGE_BIT
        stream.machine, stream.number = self, number
        self.streams[number] = stream
        self.worker.open_streams += 1
        self.served += 1
        self.used = stream.since
        return number

    def remove(self, stream: Stream) -> None:
        """A request is over; a no-op for one that is not here."""
        if self.streams.pop(stream.number, None) is not None:
            self.worker.open_streams -= 1

    def take_streams(self) -> dict[int, Stream]:
        """All requests, of which the machine has none any more."""
        streams, self.streams = self.streams, {}
        self.worker.open_streams -= len(streams)
        return streams

    @property
    def worn(self) -> bool:
        """Whether it has been in use for long enough, as its image says; see `flow.worn` for the cause."""
        return self.served >= self._worn_at or self.used - self.began >= self._worn_after_s


class Service:
    """A service as the catalogue names it now, and what this edge has of it."""

    def __init__(self, release: ServiceRecord) -> None:
        self.release = release
        self.state: flow.ServiceState = "cold"
        self.machine: Machine | None = None  # the first: the one that is parked
        self.others: list[Machine] = []  # of a pool
        self.growing = False
        self.queue: deque[Stream] = deque()
        self.withdrawn = False  # the catalogue knows it no longer
        self.requests = 0
        self.crashes = 0  # ever
        self.crashes_in_row = 0
        self.pause_until = 0.0  # loop time
        self.unfit: NunatakError | None = None  # why no machine of this version can be here

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self.release.tenant

    @property
    def name(self) -> str:
        """The service's own name."""
        return self.release.service

    @property
    def key(self) -> str:
        """Name of its parked record."""
        return record_key(self.release.service, self.release.manifest_digest, self.release.tenant)

    def step(self, event: flow.ServiceEvent) -> None:
        """Move along the table."""
        self.state = flow.step(flow.SERVICE_FLOW, self.state, event)
