"""A release in stages: a candidate of a service beside the version that is served, inside what the publisher signs.

The candidate stands in the entry of its service beside "custom" and not in it, so that an edge of an earlier version,
which takes no field of "custom" that it does not know, serves the stable version and sees nothing of this. One
signature covers the stable version, the candidate and the gates. Shares are integers, since signed JSON has no others.

    "candidate": {"digest": DIGEST, "size": BYTES, "snapshot": {"digest": DIGEST, "size": BYTES}, "since": TIME,
                  "share": 100, "pops": ["fra"], "sticky": "cookie", "choose": false,
                  "gates": {"errors": 100, "p99_ms": 2000, "crashes": 3, "requests": 50, "windows": 2}}

Nothing here reads a clock or a file; what edges measure and decide is `edge.releases`' business.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from vmimage.canonical import Blob, is_digest, is_name, require_integer
from vmimage.errors import FormatError, VerificationError
from vmimage.manifest import MANIFEST_MAX, SNAPSHOT_MAX, SNAPSHOT_TYPE

ALL: Final = 10_000  # of a share: it is in hundredths of a percent
SHARE_MIN: Final = 1  # 0.01 %
STEPS: Final = (100, 500, 2500, ALL)  # what `widen` takes next: 1, 5, 25, 100 %
POPS_MAX: Final = 32

Sticky = Literal["cookie", "address"]
STICKY: Final[tuple[Sticky, ...]] = ("cookie", "address")

# Bounds of gates: a publisher may set them closer than the defaults, and wider only so far. None can be left out.
BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    "errors": (1, 2000),
    "p99_ms": (1, 60_000),
    "crashes": (1, 10),
    "requests": (10, 1000),
    "windows": (1, 6),
}

_TIME: Final = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z", re.ASCII)
_KEYS: Final = {"choose", "digest", "gates", "pops", "share", "since", "size", "sticky"}


@dataclass(frozen=True, slots=True)
class Gates:
    """What a candidate may do before an edge stops sending visitors to it."""

    errors: int = 100  # hundredths of a percent of answers that may fail, more than of the stable version
    p99_ms: int = 2000  # milliseconds within which 99 of 100 answers begin, whatever the stable version takes
    crashes: int = 3  # of its machines on one edge, from which on it goes if the stable version crashes less
    requests: int = 50  # of visitors, in all windows together, before errors and times are judged
    windows: int = 2  # in a row that must all be bad


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that a part of a service's visitors get."""

    digest: str  # of its manifest
    size: int  # of that in bytes
    snapshot: Blob | None
    since: str  # when the release was started, "YYYY-MM-DDTHH:MM:SSZ": with the digest it names the release
    share: int  # of visitors, in hundredths of a percent
    pops: tuple[str, ...] = ()  # where; none: everywhere
    gates: Gates = field(default_factory=Gates)
    sticky: Sticky = "cookie"
    choose: bool = False  # whether visitors may say which version they want

    @property
    def release(self) -> str:
        """Name of the release: the same image that is released again later is another."""
        return f"{self.digest}@{self.since}"

    def meant_for(self, pop: str) -> bool:
        """Whether edges of a POP take part."""
        return not self.pops or pop in self.pops


def place_of(key: bytes, service: str, release: str, who: bytes) -> int:
    """The place of a visitor, or of an edge, in a release: 0 to ALL - 1, evenly spread.

    :param key: of the hash; without it nobody can find a name for himself that leads to a place. Empty for none.
    """
    name = f"{service}\0{release}\0".encode() + who
    return int.from_bytes(hashlib.blake2b(name, digest_size=8, key=key).digest()) % ALL


def percent_text(share: int) -> str:
    """A share as people write it, such as "1 %" or "0.25 %"."""
    return f"{share / 100:g} %"


def share_of(text: str) -> int:
    """A share as people write it, with or without the sign.

    :raises FormatError: not from 0.01 to 100.
    """
    try:
        share = float(text.strip().removesuffix("%").strip()) * 100
    except ValueError:
        share = 0.0
    if not SHARE_MIN <= share <= ALL or abs(share - round(share)) > 1e-6:
        raise FormatError(f"a percentage from 0.01 to 100 with at most two decimals expected, got {text[:40]!r}")
    return round(share)


def next_step(share: int) -> int:
    """What a release is widened to where nothing is said."""
    return next((step for step in STEPS if step > share), ALL)


def candidate_value(candidate: Candidate) -> dict[str, Any]:
    """A candidate as it is signed."""
    value: dict[str, Any] = {
        "digest": candidate.digest,
        "size": candidate.size,
        "since": candidate.since,
        "share": candidate.share,
        "pops": list(candidate.pops),
        "gates": asdict(candidate.gates),
        "sticky": candidate.sticky,
        "choose": candidate.choose,
    }
    if candidate.snapshot is not None:
        value["snapshot"] = {"digest": candidate.snapshot.digest, "size": candidate.snapshot.size}
    return value


def parse_candidate(path: str, value: object) -> Candidate:
    """The candidate that an entry has.

    :param path: of the entry, for messages.
    :raises VerificationError: malformed, or beyond a bound.
    """
    try:
        return _candidate(path, value)
    except FormatError as error:
        raise VerificationError(f"{path[:300]}: {error}") from None


def _candidate(path: str, value: object) -> Candidate:
    if not isinstance(value, dict) or value.keys() - {"snapshot"} != _KEYS:
        raise FormatError(f"candidate: {', '.join(sorted(_KEYS))} expected, got {_short(value)}")
    digest, since, pops, sticky = value["digest"], value["since"], value["pops"], value["sticky"]
    if not isinstance(digest, str) or not is_digest(digest):
        raise FormatError(f"candidate: a manifest's digest expected, got {_short(digest)}")
    if not is_time(since):
        raise FormatError(f"candidate since: a time such as 2026-01-31T10:00:00Z expected, got {_short(since)}")
    if not isinstance(pops, list) or len(pops) > POPS_MAX or not all(isinstance(p, str) and is_name(p) for p in pops):
        raise FormatError(f"candidate pops: at most {POPS_MAX} names expected, got {_short(pops)}")
    if sticky not in STICKY or type(value["choose"]) is not bool:
        raise FormatError(f"candidate: sticky by {' or '.join(STICKY)}, and choose true or false, expected")
    return Candidate(
        digest,
        require_integer("candidate size", value["size"], 1, MANIFEST_MAX),
        parse_snapshot(path, value["snapshot"]) if "snapshot" in value else None,
        str(since),
        require_integer("candidate share", value["share"], SHARE_MIN, ALL),
        tuple(pops),
        parse_gates(value["gates"]),
        sticky,
        value["choose"],
    )


def parse_gates(value: object) -> Gates:
    """The gates of a candidate.

    :raises FormatError: malformed, or beyond a bound.
    """
    if not isinstance(value, dict) or value.keys() != BOUNDS.keys():
        raise FormatError(f"candidate gates: all of {', '.join(BOUNDS)} expected, got {_short(value)}")
    return Gates(**{name: require_integer(f"gate {name}", value[name], *BOUNDS[name]) for name in BOUNDS})


def parse_snapshot(path: str, value: object) -> Blob:
    """What an entry says of the snapshot that a manifest will name.

    :param path: of the entry, for messages.
    :raises VerificationError: malformed.
    """
    if isinstance(value, dict) and value.keys() == {"digest", "size"}:
        digest, size = value["digest"], value["size"]
        if isinstance(digest, str) and is_digest(digest) and type(size) is int and 0 < size <= SNAPSHOT_MAX:
            return Blob(SNAPSHOT_TYPE, digest, size)
    raise VerificationError(f"{path[:300]}: digest and size of the image's snapshot expected, got {_short(value)}")


def is_time(value: object) -> bool:
    """Whether it is a time as entries have it."""
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _short(value: object) -> str:
    return str(sorted(value) if isinstance(value, dict) else value)[:120]
