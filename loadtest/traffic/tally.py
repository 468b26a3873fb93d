"""What came of many requests, by group: times, where the answers came from, errors by class. Tallies can be added up.

Plain values without I/O: load generators in other processes send theirs as JSON.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

BUCKET_RATIO: Final = 1.05  # of a bucket's upper end to its lower: so exact is a quantile
BUCKET_MIN_MS: Final = 0.01
P99_REQUESTS: Final = 100  # in a group; of fewer, the longest time is no p99
_LOG_RATIO: Final = math.log(BUCKET_RATIO)

_DETAIL = re.compile(r"detail=\"?([\w-]+)")

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

    def record(self, group: str, ms: float, fields: Fields, error: str) -> str:
        """Count one request; the tier that answered, empty when none did.

        :param fields: of its answer, of which Cache-Status names the tier; empty when none came.
        :param error: its class; empty when there is none.
        """
        if group not in self.groups:
            self.groups[group] = Times()
        self.groups[group].add(ms)
        if error:
            self.errors[error] += 1
            return ""
        found = _DETAIL.search(fields.get("cache-status", ""))
        tier = found[1] if found else ""
        if tier:
            self.tiers[tier] += 1
        return tier

    def merge(self, other: "Tally") -> None:
        """Add another's."""
        for group, times in other.groups.items():
            self.groups.setdefault(group, Times()).merge(times)
        self.tiers.update(other.tiers)
        self.errors.update(other.errors)

    def summary(self) -> dict[str, Any]:
        """The figures for a reader; times in milliseconds."""
        groups = {
            name: {
                "requests": len(times),
                "p50_ms": round(times.quantile(0.5), 3),
                "p99_ms": round(times.quantile(0.99), 3),
            }
            for name, times in sorted(self.groups.items())
        }
        return {"requests": self.requests, "failures": self.failures, "tiers": dict(self.tiers), "groups": groups}

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


def complaints(tally: Tally, max_failure_ratio: float, max_p99_ms: float) -> list[str]:
    """What of the bounds was not met; `max_p99_ms` 0 is none, and groups of few requests have no p99."""
    if not tally.requests:
        return ["requests: at least 1 expected, got none"]
    found = []
    ratio = tally.failures / tally.requests
    if ratio > max_failure_ratio:
        classes = ", ".join(f"{name}: {count}" for name, count in tally.errors.most_common(5))
        found.append(f"failures: at most {max_failure_ratio:.3%} of requests expected, got {ratio:.3%} ({classes})")
    for group, times in sorted(tally.groups.items()):
        if max_p99_ms and len(times) >= P99_REQUESTS and (p99 := times.quantile(0.99)) > max_p99_ms:
            found.append(f"p99 of {group}: at most {max_p99_ms:g} ms expected, got {p99:.1f} ms")
    return found


def table(tally: Tally) -> str:
    """Everything for a terminal."""
    lines = [f"{'group':<8}{'requests':>10}{'p50 ms':>10}{'p99 ms':>10}"]
    for group, times in [*sorted(tally.groups.items()), ("all", tally.times)]:
        lines.append(f"{group:<8}{len(times):>10}{times.quantile(0.5):>10.2f}{times.quantile(0.99):>10.2f}")
    for title, counts in (("answered by tier", tally.tiers), ("errors", tally.errors)):
        lines.append(f"{title}: {', '.join(f'{name} {count}' for name, count in counts.most_common()) or 'none'}")
    return "\n".join(lines)
