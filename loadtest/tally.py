"""What came of many requests, by group: times, where the answers came from, errors by class. Tallies can be added up.

Plain values without I/O: load generators in other processes send theirs as JSON.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

BUCKET_RATIO: Final = 1.05  # of a bucket's upper end to its lower: so exact is a quantile
BUCKET_MIN_MS: Final = 0.01
_LOG_RATIO: Final = math.log(BUCKET_RATIO)

Fields = Mapping[str, str]  # an answer's header fields, their names in lower case


def error_class(status: int, fields: Fields, service: str) -> str:
    """What was wrong with an answer, "502 guest_fault"; empty when nothing was.

    Services of `nunatak world` say their name (X-World): an answer of another's machine is an error too.
    """
    if not 200 <= status < 400:
        return f"{status} {fields.get('x-nunatak-limit') or fields.get('x-nunatak-error') or 'of the service'}"
    return "another service answered" if fields.get("x-world", service) != service else ""


class Times:
    """Durations in milliseconds, as counts in buckets that grow by a twentieth."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._buckets.total()

    def add(self, ms: float) -> None:
        """Count one."""
        self._buckets[max(0, math.ceil(math.log(max(ms, BUCKET_MIN_MS) / BUCKET_MIN_MS) / _LOG_RATIO))] += 1

    def quantile(self, part: float) -> float:
        """The time that this part of all stays below, rounded up to the end of its bucket; 0 when there are none."""
        wanted = math.ceil(part * len(self))
        for bucket in sorted(self._buckets):
            wanted -= self._buckets[bucket]
            if wanted <= 0:
                return float(BUCKET_MIN_MS * BUCKET_RATIO**bucket)
        return 0.0

    def merge(self, other: "Times") -> None:
        """Add another's."""
        self._buckets.update(other._buckets)

    def to_json(self) -> dict[str, int]:
        """For `from_json`."""
        return {str(bucket): count for bucket, count in self._buckets.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, int]) -> "Times":
        """What `to_json` gave."""
        times = cls()
        times._buckets.update({int(bucket): count for bucket, count in value.items()})
        return times


class Tally:
    """Requests by group, answers by tier, errors by class."""

    def __init__(self) -> None:
        self.groups: dict[str, Times] = {}
        self.tiers: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    @property
    def requests(self) -> int:
        """All of them, errors too."""
        return sum(map(len, self.groups.values()))

    @property
    def failures(self) -> int:
        """Those with an error."""
        return self.errors.total()

    @property
    def times(self) -> Times:
        """All groups together."""
        together = Times()
        for times in self.groups.values():
            together.merge(times)
        return together

    def record(self, group: str, ms: float, tier: str, error: str) -> None:
        """Count one request; `tier` and `error` empty when there is none."""
        if group not in self.groups:
            self.groups[group] = Times()
        self.groups[group].add(ms)
        if tier:
            self.tiers[tier] += 1
        if error:
            self.errors[error] += 1

    def merge(self, other: "Tally") -> None:
        """Add another's."""
        for group, times in other.groups.items():
            self.groups.setdefault(group, Times()).merge(times)
        self.tiers.update(other.tiers)
        self.errors.update(other.errors)

    def to_json(self) -> dict[str, Any]:
        """For `from_json`."""
        groups = {group: times.to_json() for group, times in self.groups.items()}
        return {"groups": groups, "tiers": dict(self.tiers), "errors": dict(self.errors)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Tally":
        """What `to_json` gave."""
        tally = cls()
        tally.groups = {group: Times.from_json(times) for group, times in value["groups"].items()}
        tally.tiers.update(value["tiers"])
        tally.errors.update(value["errors"])
        return tally
