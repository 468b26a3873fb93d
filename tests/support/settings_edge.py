"""An edge that follows fleet settings, by a clock that stands still until it is put forward.

Its parts are real but for workers, catalogue and what its options do; what it remembers is on disk.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from edge.config.options import EdgeConfig
from edge.model.finished import Finished
from edge.model.services import Service
from edge.releases.gates import KNOWN, WINDOW_S
from edge.settings.comparison import PROVEN_S
from edge.settings.following import TICK_S, Following
from edge.settings.memory import Memory
from edge.supervisor.supervisor import Supervisor
from tests.support.connections import Loop, later
from tests.support.idle_edge import Nobody, idle_edge
from tests.support.requests_over import RUN, over
from vmimage.errors import OperatorError
from vmimage.fleet_settings import FleetSettings, Version, settings_value
from vmimage.holds import Holds
from vmimage.release import Gates
from vmimage.trust import ServiceRecord

GATES = Gates()  # of the candidates that it is given


class Clock(Loop):
    """It stands still until it is put forward, however busy the machine is."""

    def time(self) -> float:
        return self.ahead_s


class Layer:
    """What the edge goes by, in order; `unusable` versions are refused."""

    def __init__(self, unusable: Sequence[Version]) -> None:
        self.taken: list[str] = []
        self.on_take: Callable[[Version], None] = lambda _: None
        self._unusable = unusable

    def check_fleet(self, version: Version) -> None:
        if version in self._unusable:
            raise OperatorError(f"version {version.number} cannot be used")

    def take_fleet(self, version: Version) -> None:
        self.check_fleet(version)
        self.taken.append(version.name)
        self.on_take(version)


class Edge:
    """One run of an edge."""

    def __init__(self, supervisor: Supervisor, catalogue: Nobody, path: Path, unusable: Sequence[Version]) -> None:
        self.supervisor, self._catalogue, self.memory = supervisor, catalogue, Memory(path)
        ended = self.memory.trying
        self.memory.settle_start(1.0)
        self.layer, self._listeners, self.news = Layer(unusable), list[Callable[[Finished], None]](), 0
        self.following = Following(supervisor, self.memory, self.layer, self._listen, ended)
        self.following.on_news = self._told

    def _told(self) -> None:
        self.news += 1

    def _listen(self, told: Callable[[Finished], None]) -> Callable[[], None]:
        self._listeners.append(told)
        return partial(self._listeners.remove, told)

    def sign(self, said: FleetSettings | object) -> None:
        """The catalogue has this from now on, and the edge has looked."""
        value = settings_value(said) if isinstance(said, FleetSettings) else said
        self._catalogue.held = Holds(settings=value)
        self.supervisor.directory.on_look()

    def serve(self, count: int, *, every: int = 0, ms: float = 20.0, **said: Any) -> None:
        """So many requests, of which one in `every` fails; 0: none. :param said: of all of them, beside that."""
        ran = RUN._replace(asked_s=0.0, answered_s=ms / 1e3)
        for number in range(1, count + 1):
            failed = bool(every) and number % every == 0
            self.tell(over(**{"status": 500 if failed else 200, "run": ran, **said}))

    def tell(self, told: Finished) -> None:
        """One request is over."""
        for listener in list(self._listeners):
            listener(told)

    def crash(self, times: int, tenant: str = "acme") -> None:
        """So many machines of a tenant's service crash."""
        record = ServiceRecord(f"{tenant}.shop", (), f"sha256:{'aa' * 32}", 1000, 1, tenant)
        self.supervisor.directory.by_name.setdefault(record.service, Service(record)).crashes += times

    async def measure(self) -> None:
        """Until it knows how it is without the candidate, and has taken it up."""
        self.serve(KNOWN)
        await later(WINDOW_S + TICK_S)

    async def prove(self) -> None:
        """Until what it tries has been looked at for long enough."""
        for _ in range(GATES.windows):
            self.serve(GATES.requests)
            await later(PROVEN_S / GATES.windows + TICK_S)
        await later(TICK_S)

    @property
    def counted(self) -> dict[str, int]:
        return dict(self.supervisor.counters.fleet_settings)

    @property
    def is_listening(self) -> bool:
        return bool(self._listeners)

    @property
    def state(self) -> tuple[int, str, str]:
        """What the origin is told: the number in force, the state, and why it goes by another."""
        report = self.following.report()
        return report.number, report.state, report.cause


@asynccontextmanager
async def started(folder: Path, *unusable: Version, config: Callable[[EdgeConfig], EdgeConfig]) -> AsyncIterator[Edge]:
    catalogue = Nobody()
    async with idle_edge(folder, catalogue=catalogue) as supervisor:
        supervisor.config = config(supervisor.config)
        yield Edge(supervisor, catalogue, folder / "fleet_settings.json", unusable)


def played(
    folder: Path, play: Callable[[Edge], Awaitable[None]], *unusable: Version, off: bool = False, name: str = "edge-1"
) -> None:
    """One run of an edge in this folder, which ends without a word to it, as at a kill."""

    async def whole() -> None:
        config = partial(replace, edge_name=name, pop="fra", fleet_settings="off" if off else "on")
        async with started(folder, *unusable, config=config) as edge:
            await play(edge)

    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(whole())
