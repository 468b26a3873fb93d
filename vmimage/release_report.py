"""What an edge tells its origin of the releases that it takes part in: counts since they began there, as plain data.

It stands in an edge's heart-beat under "releases", a list of at most REPORTS_MAX:

    {"service": NAME, "release": NAME, "stopped": CAUSE or "", "candidate": COUNTS, "stable": COUNTS}
    COUNTS: {"requests": 812, "failed": 3, "crashes": 1, "p99_ms": 41}

An edge may lie in it; `origin.model.release_sums` says how much one edge's word can do.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from vmimage.canonical import is_name, require_integer, require_object
from vmimage.errors import FormatError

REPORTS_MAX: Final = 32  # of one edge; 12 KB, of the 16 that a heart-beat has for them
WORD_MAX: Final = 120  # characters of a release's name, or of a cause
COUNT_MAX: Final = 1 << 48

_KEYS: Final = {"candidate", "release", "service", "stable", "stopped"}
_COUNTS: Final = {"crashes", "failed", "p99_ms", "requests"}


@dataclass(frozen=True, slots=True)
class Counts:
    """What one version did on one edge since the release began there."""

    requests: int = 0  # that a guest was to answer
    failed: int = 0  # of these, by the version's fault as far as can be seen
    crashes: int = 0  # of its machines
    p99_ms: int = 0  # within which 99 of 100 answers began; 0 where there was none

    def plus(self, other: "Counts") -> "Counts":
        """Both together; of the times the longer."""
        return Counts(
            self.requests + other.requests,
            self.failed + other.failed,
            self.crashes + other.crashes,
            max(self.p99_ms, other.p99_ms),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """One release on one edge."""

    service: str
    release: str  # its name, see `vmimage.release.Candidate.release`
    stopped: str  # why the edge sends nobody to the candidate; "" where it does
    candidate: Counts
    stable: Counts


@dataclass(frozen=True, slots=True)
class Freeze:
    """What an origin's `release` event says: a release that no edge sends visitors to any more."""

    service: str
    release: str
    cause: str

    def to_json(self) -> dict[str, str]:
        """As an event has it."""
        return asdict(self)


def parse_freeze(value: object) -> Freeze:
    """The body of an event.

    :raises FormatError: malformed.
    """
    fields = require_object("freeze", value, {"cause", "release", "service"})
    service, release, cause = fields["service"], fields["release"], fields["cause"]
    if not isinstance(service, str) or not is_name(service) or not all(map(_is_word, (release, cause))):
        raise FormatError(f"freeze: a service, a release and a cause of at most {WORD_MAX} characters expected")
    return Freeze(service, release, cause)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= WORD_MAX and value.isascii() and value.isprintable()


def reports_value(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """Reports as a heart-beat has them, as many as it may have."""
    return [asdict(report) for report in list(reports)[:REPORTS_MAX]]


def parse_reports(value: object) -> tuple[Report, ...]:
    """The reports in a heart-beat.

    :raises FormatError: malformed, or more than there may be.
    """
    if not isinstance(value, list) or len(value) > REPORTS_MAX:
        raise FormatError(f"releases: a list of at most {REPORTS_MAX} expected")
    return tuple(map(_report, value))


def _report(value: object) -> Report:
    fields = require_object("release", value, _KEYS)
    service, release, stopped = fields["service"], fields["release"], fields["stopped"]
    if not isinstance(service, str) or not is_name(service):
        raise FormatError("release service: a service's name expected")
    if not _is_word(release) or (stopped != "" and not _is_word(stopped)):
        raise FormatError(f"release: its name and a cause of at most {WORD_MAX} characters expected")
    return Report(service, release, stopped, parse_counts(fields["candidate"]), parse_counts(fields["stable"]))


def parse_counts(value: object) -> Counts:
    """What one side did.

    :raises FormatError: malformed.
    """
    fields = require_object("release counts", value, _COUNTS)
    return Counts(**{name: require_integer(f"release {name}", fields[name], 0, COUNT_MAX) for name in _COUNTS})
