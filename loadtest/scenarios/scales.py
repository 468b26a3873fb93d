"""How much `nunatak bench` measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from loadtest.report.rows import Row
from loadtest.scenarios.scale import Population
from loadtest.scenarios.zipf_scale import Curve

Samples = Mapping[Row, Sequence[float]]  # from which the report takes median and spread


@dataclass(frozen=True)
class Scale:
    """How much is measured; `FULL` is what may be quoted."""

    rounds: int  # of an A/B comparison
    seconds: float  # of one side in a round
    requests: int  # on one connection, of one side in a round
    restores: int  # parked -> first byte
    fresh_services: int  # not on the edge -> first byte
    services: int  # distinct ones that go round robin, each with an image of its own
    memory: str  # budget of the edge they are on
    population: Population  # parked services, ever more of them
    multitude: Population  # more than anybody has asked for yet
    visits: int  # of a victim beside each of its neighbours, in a round
    crowd: int  # services that visitors choose from by Zipf's law
    crowd_s: float  # how long they do
    curve: Curve  # throughput against number of services


FULL: Final = Scale(
    rounds=5,
    seconds=4,
    requests=400,
    restores=200,
    fresh_services=40,
    services=2_000,
    memory="256MiB",
    population=Population((100, 1_000, 10_000), asked=2_000, images=10_000, memory_mib=512),
    multitude=Population((100_000,), asked=2_000, images=10_000, memory_mib=4096),
    visits=400,
    crowd=1_000,
    crowd_s=30,
    curve=Curve((10, 30, 100, 300, 1_000, 10_000), (0.7, 0.9, 1.1), seconds=4, images=2_000),
)
QUICK: Final = Scale(
    rounds=2,
    seconds=1,
    requests=50,
    restores=20,
    fresh_services=4,
    services=60,
    memory="32MiB",
    population=Population((20, 60), asked=40, images=60, memory_mib=64),
    multitude=Population((100,), asked=20, images=10, memory_mib=64),
    visits=40,
    crowd=150,
    crowd_s=6,
    curve=Curve((10, 100), (0.9,), seconds=1, images=100),
)
