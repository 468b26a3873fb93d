"""Which service a request is for, when visitors' choices follow Zipf's law: seeded, without clock or I/O.

A service's share of the requests is 1 / rank^alpha. On that lie, each with a share of its own:

- **drift**: the ranking moves; so many times a minute a popular service and any other exchange their places;
- **flash crowd**: for a while, a service of the coldest tenth takes that share of all requests;
- **scan**: a robot asks for every service once, in order, and is gone;
- **one-hit wonders**: half of the services stand outside of the ranking; each is asked for once and never again.

Generators of one load share `Shape.seed`, so at any moment they mean the same ranking and the same crowd; each has a
part of the scan and of the wonders.
"""

import random
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple

ALPHA: Final = 0.8  # of web requests: 0.64 to 0.83 in six traces (Breslau et al., INFOCOM 1999, section III)
COLD_TENTH: Final = 0.9  # a crowd's service comes from the ranks behind this share of them
WONDER_SERVICES: Final = 0.5  # of all services stand aside for wonders, if there are to be any
DECILES: Final = tuple(f"d{number:02d}" for number in range(1, 11))  # d01: the tenth of services that is asked for most
GROUPS: Final = (*DECILES, "flash", "scan", "wonder")


@dataclass(frozen=True)
class Shape:
    """What the traffic is like.

    :raises ValueError: a field is out of range, or the shares are more than the whole.
    """

    services: int
    alpha: float = ALPHA  # 0: all alike
    drift: float = 0.0  # exchanges of places a minute
    flash: float = 0.0  # share of requests that a crowd has while it lasts
    flash_every_s: float = 60.0  # from crowd to crowd; the first comes after half of that
    flash_for_s: float = 10.0
    scan: float = 0.0  # share of requests until all services were met
    wonders: float = 0.0  # share of requests until there are no more
    seed: int = 1

    def __post_init__(self) -> None:
        if self.services < 1:
            raise ValueError(f"services: at least 1 expected, got {self.services}")
        for name in ("alpha", "drift"):
            if not 0 <= (value := getattr(self, name)) <= 1e6:
                raise ValueError(f"{name}: 0 to 1000000 expected, got {value}")
        shares = (self.flash, self.scan, self.wonders)
        if not all(share >= 0 for share in shares) or sum(shares) > 1:
            raise ValueError(f"shares of flash, scan and wonders: 0 or more, together at most 1 expected, got {shares}")
        if not 0 < self.flash_for_s <= self.flash_every_s / 2:
            half = self.flash_every_s / 2
            raise ValueError(f"flash_for_s: more than 0, at most {half:g} expected, got {self.flash_for_s:g}")


class Pick(NamedTuple):
    """One request's service, by number, and which of `GROUPS` the request belongs to."""

    service: int
    group: str


class Traffic:
    """One generator's requests.

    :param part: this generator's number among `parts` that make one load together.
    """

    def __init__(self, shape: Shape, part: int = 0, parts: int = 1) -> None:
        if not 0 <= part < parts:
            raise ValueError(f"part: 0 to {parts - 1} expected, got {part}")
        self.shape = shape
        everyone = random.Random(f"{shape.seed} ranking")
        services = list(range(shape.services))
        everyone.shuffle(services)
        aside = int(shape.services * WONDER_SERVICES) if shape.wonders else 0
        self.ranking = services[aside:]  # services by rank, the most popular first
        self._wonders = iter(services[:aside][part::parts])
        self._scan = iter(range(part, shape.services, parts)) if shape.scan else iter(())
        self._cumulated = list(accumulate((rank + 1) ** -shape.alpha for rank in range(len(self.ranking))))
        self._dice = random.Random(f"{shape.seed} part {part}")
        self._drift_dice = random.Random(f"{shape.seed} drift")
        self._exchanges = 0
        self._crowd = -1  # the number of the last crowd that had its service chosen
        self._crowd_service = 0

    def pick(self, at_s: float) -> Pick:
        """The next request.

        :param at_s: since the load began; not before the last call's.
        """
        shape, roll = self.shape, self._dice.random()
        hot = self._advance(at_s)
        if roll < shape.scan:
            if (service := next(self._scan, None)) is not None:
                return Pick(service, "scan")
        elif roll < shape.scan + shape.wonders:
            if (service := next(self._wonders, None)) is not None:
                return Pick(service, "wonder")
        elif roll < shape.scan + shape.wonders + shape.flash and hot:
            return Pick(self._crowd_service, "flash")
        rank = self._rank(self._dice)
        return Pick(self.ranking[rank], DECILES[rank * 10 // len(self.ranking)])

    def _rank(self, dice: random.Random) -> int:
        weights = self._cumulated
        return min(bisect_right(weights, dice.random() * weights[-1]), len(weights) - 1)

    def _advance(self, at_s: float) -> bool:
        """Bring ranking and crowd to this moment; whether there is a crowd."""
        shape = self.shape
        crowd, since_s = divmod(at_s - shape.flash_every_s / 2, shape.flash_every_s)
        if shape.flash and crowd > self._crowd and crowd >= 0:
            self._crowd = int(crowd)
            self._drift_to(at_s - since_s)  # all generators choose from the same ranking, whenever they get here
            cold = range(int(len(self.ranking) * COLD_TENTH), len(self.ranking))
            self._crowd_service = self.ranking[random.Random(f"{shape.seed} crowd {self._crowd}").choice(cold)]
        self._drift_to(at_s)
        return bool(shape.flash) and crowd >= 0 and since_s < shape.flash_for_s

    def _drift_to(self, at_s: float) -> None:
        ranking = self.ranking
        while self._exchanges < int(at_s * self.shape.drift / 60):
            self._exchanges += 1
            a, b = self._rank(self._drift_dice), self._drift_dice.randrange(len(ranking))
            ranking[a], ranking[b] = ranking[b], ranking[a]
