"""What an edge says of itself in a heart-beat."""

import asyncio
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final

from edge.supervisor.supervisor import Supervisor
from vmimage.heartbeat import TIERS_MAX, Heartbeat

RATE_S: Final = 2.0  # over which requests in a second are counted, at least


class Facts:
    """Looks at a running edge."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._before = supervisor.counters.requests, asyncio.get_running_loop().time()
        self._rate = 0.0
        self._version = version("nunatak")
        self.peer: Callable[[], tuple[str, str]] = lambda: (
            "",
            "",
        )  # its listener for peers, and its certificate's hash
        self.certificate_ends: Callable[[], float | None] = lambda: None  # seconds since 1970; None: it has none
        self.measured: Callable[[], Mapping[str, Any]] = dict  # of releases under way

    def heartbeat(self) -> Heartbeat:
        """How it is now."""
        supervisor, config = self._supervisor, self._supervisor.config
        peer, peer_sha256 = self.peer()
        looked = supervisor.directory.looked_ago_s
        ends = self.certificate_ends()
        tiers = sorted(supervisor.counters.answers.items())[:TIERS_MAX]
        budget = supervisor.life.budget.tier
        return Heartbeat(
            edge=config.edge_name,
            pop=config.pop,
            version=self._version,
            peer=peer,
            peer_sha256=peer_sha256,
            requests_s=self._requests_s(),
            machines=sum(len(worker.machines) for worker in supervisor.workers),
            free_bytes=max(0, config.resident_bytes - budget.used_bytes),
            tiers=dict(tiers),
            certificate_s=-1 if ends is None else max(0, int(ends - time.time())),
            catalogue_s=-1.0 if looked is None else round(looked, 1),
            applied=supervisor.heard.applied,
            measured=self.measured(),
        )

    def _requests_s(self) -> float:
        requests, now = self._supervisor.counters.requests, asyncio.get_running_loop().time()
        before, then = self._before
        if now - then >= RATE_S:
            self._rate = round((requests - before) / (now - then), 1)
            self._before = requests, now
        return self._rate
