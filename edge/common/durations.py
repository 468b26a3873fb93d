"""How long requests took, as histograms for Prometheus: by service, by what answered, by tier and by class of status.

Name and bounds are those of OpenTelemetry's conventions for HTTP servers (`http.server.request.duration`), with finer
bounds below theirs, since an answer that is kept takes a tenth of a millisecond. The services that are asked most are
named, the others share the name `OTHER` (`named` says who). Each request is counted once, under the name that its
service has at that moment, and no count ever moves: so what a monitor makes of the increases is the truth, whoever
comes and goes. The lines of a service that is no longer named stay as they are for `LEAVING_S`, for every monitor to
see the last of them, and then go; if it is named again within that time they go on.

Pure: times are given. One thread, the event loop's, calls it.
"""

from bisect import bisect_left
from itertools import accumulate
from typing import Final

from edge.common.frequent import Frequent
from edge.common.named import exchanges

NAME: Final = "http_server_request_duration_seconds"
HELP: Final = "Time from a request's head to the last byte of its answer."
LABELS: Final = ("service", "result", "tier", "status")
OTHER: Final = "_other"  # no service has this name: they begin with a letter or a digit
# The convention's advice from 5 ms on: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
BOUNDS_S: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025),
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
NAMED_MAX: Final = 50  # services with lines of their own; as many again that have just left
CANDIDATES: Final = 16 * NAMED_MAX  # services that are counted, of those without
PERIOD_S: Final = 60.0  # between two decisions who is named
LEAVING_S: Final = 600.0  # ten times the longest interval at which anybody lets Prometheus look
_CLASSES: Final = ("", "1xx", "2xx", "3xx", "4xx", "5xx")  # of status by its first digit; 0: no answer began

Key = tuple[str, str, int]  # result, tier, first digit of the status


class Histogram:
    """Times of one kind.

    :param labels: in the form of Prometheus, without braces.
    """

    __slots__ = ("_counts", "_labels", "_lines", "_seen", "_sum_s")

    def __init__(self, labels: str) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0
        self._labels = labels
        self._lines: tuple[str, ...] = ()  # up to their values; made when they are first asked for
        self._seen: dict[int, tuple[bytes, float]] = {}  # by bucket: the last trace in it, and its time

    @property
    def count(self) -> int:
        """How many times there are."""
        return sum(self._counts)

    def add(self, seconds: float, trace_id: bytes = b"") -> None:
        """One time more.

        :param trace_id: of a trace that is recorded, in hexadecimal digits; empty for none.
        """
        bucket = bisect_left(BOUNDS_S, seconds)
        self._counts[bucket] += 1
        self._sum_s += seconds
        if trace_id:
            self._seen[bucket] = trace_id, seconds

    def lines(self, *, exemplars: bool) -> list[str]:
        """In Prometheus' text: a line for each bucket, the sum, the count.

        :param exemplars: with the last trace of each bucket, as OpenMetrics has it.
        """
        if not self._lines:
            bounds = (*map(repr, BOUNDS_S), "+Inf")
            self._lines = (
                *(f'{NAME}_bucket{{{self._labels},le="{bound}"}} ' for bound in bounds),
                f"{NAME}_sum{{{self._labels}}} ",
                f"{NAME}_count{{{self._labels}}} ",
            )
        values: list[int | float] = list(accumulate(self._counts))
        lines = [f"{line}{value}" for line, value in zip(self._lines, (*values, self._sum_s, values[-1]), strict=True)]
        if exemplars:
            for bucket, (trace_id, seconds) in self._seen.items():
                lines[bucket] += f' # {{trace_id="{trace_id.decode()}"}} {seconds}'
        return lines


class _Lines:
    """What one name has."""

    __slots__ = ("by_key", "counted", "name", "until", "weight")

    def __init__(self, name: str) -> None:
        self.name = name
        self.by_key: dict[Key, Histogram] = {}
        self.weight = 0  # how often it was asked lately
        self.counted = 0  # of its requests, at the decision before
        self.until = 0.0  # when its lines go; once it has left

    def begin(self, key: Key) -> Histogram:
        """The first of its kind."""
        result, tier, digit = key
        values = zip(LABELS, (self.name, result, tier, _CLASSES[digit]), strict=True)
        histogram = self.by_key[key] = Histogram(",".join(f'{label}="{_escaped(value)}"' for label, value in values))
        return histogram

    def weigh(self) -> int:
        """How often it was asked lately: half of what was so at the decision before, and all since."""
        count = sum(histogram.count for histogram in self.by_key.values())
        self.weight, self.counted = self.weight // 2 + count - self.counted, count
        return self.weight


class Durations:
    """Times of all requests.

    :param named_max: services with lines of their own.
    """

    def __init__(self, named_max: int = NAMED_MAX) -> None:
        self._named_max = named_max
        self._named: dict[str, _Lines] = {}
        self._leaving: dict[str, _Lines] = {}
        self._other, self._nobody = _Lines(OTHER), _Lines("")  # the latter: requests for no service
        self._candidates = Frequent(CANDIDATES)
        self._decide_at: float | None = None

    def add(
        self, service: str, result: str, tier: str, status: int, seconds: float, now: float, trace_id: bytes = b""
    ) -> None:
        """A request is over.

        :param service: its name; empty where none was found. :param result: one of a few words, what answered.
        :param tier: where the machine came from; empty where none was asked. :param status: 0 where no answer began.
        :param now: loop time. :param trace_id: of a trace that is recorded.
        """
        if self._decide_at is None or now >= self._decide_at:
            self._decide(now)
        lines = self._named.get(service) or self._lines_of(service)
        key = (result, tier, status // 100 if 100 <= status < 600 else 0)
        (lines.by_key.get(key) or lines.begin(key)).add(seconds, trace_id)

    def text(self, *, exemplars: bool = False) -> str:
        """In Prometheus' text; the line with the unit is OpenMetrics', and a comment to who reads nothing else.

        :param exemplars: which only OpenMetrics has.
        """
        parts = [f"# HELP {NAME} {HELP}", f"# TYPE {NAME} histogram", f"# UNIT {NAME} seconds"]
        everyone = {**self._leaving, **self._named}
        for lines in (self._nobody, self._other, *(everyone[name] for name in sorted(everyone))):
            for key in sorted(lines.by_key):
                parts += lines.by_key[key].lines(exemplars=exemplars)
        return "\n".join((*parts, ""))

    def _lines_of(self, service: str) -> _Lines:
        """Where a request is counted whose service has no name here yet."""
        if not service:
            return self._nobody
        if len(self._named) < self._named_max:
            self._named[service] = lines = _Lines(service)
            return lines
        self._candidates.add(service)
        return self._other

    def _decide(self, now: float) -> None:
        """Who is named until the next decision."""
        self._decide_at = now + PERIOD_S
        self._leaving = {name: lines for name, lines in self._leaving.items() if now < lines.until}
        weights = {name: lines.weigh() for name, lines in self._named.items()}
        for leaves, enters in exchanges(weights, self._candidates.counts, self._named_max):
            came = self._leaving.pop(enters, None)
            if came is None and len(self._leaving) >= self._named_max:
                continue  # it would be one name too many until somebody's lines go
            came = self._named[enters] = came or _Lines(enters)
            gone = self._leaving[leaves] = self._named.pop(leaves)
            gone.until = now + LEAVING_S
            came.weight = self._candidates.take(enters)
            self._candidates.add(leaves, weights[leaves])
        self._candidates.halve()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
