"""Holds: what the operator has stopped everywhere, by image, service or tenant, as one signed entry of the catalogue.

It is the target "holds" of its bin, which every edge reads before all others and keeps. What it holds is, to an edge,
not there: nothing of it is started, its machines end, what was kept of its answers and records goes. The publisher may
go on; to release is to take it off the list. Beside it stand pins, and the fleet settings (`vmimage.fleet_settings`):
what of those cannot be read spoils no hold.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from tuf.api.metadata import TargetFile

from vmimage.canonical import is_digest, is_name
from vmimage.errors import VerificationError

HOLDS_PATH: Final = "holds"
HOLDS_MAX: Final = 1000
PIN_SIZE_MAX: Final = 64 << 10  # bytes of a manifest, as `vmimage.manifest` has it
KINDS: Final = ("image", "service", "tenant")

_TIME: Final = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z", re.ASCII)
_EMPTY: Final = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class Pin:
    """The one image that a service may run, whatever its publisher says: an earlier one, or the present one alone."""

    digest: str  # of its manifest
    size: int  # of that in bytes
    version: int  # of the service that had it, for people
    since: str


@dataclass(frozen=True)
class Holds:
    """The list: since when, by "image DIGEST", "service NAME" and "tenant NAME"."""

    since: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, Pin] = field(default_factory=dict)  # by service, all of which are pinned to one image
    settings: Any = None  # the fleet settings as they are signed, unchecked; None: there are none

    def reason(self, image: str, service: str, tenant: str) -> str:
        """The first that holds a service with this image, "" where none does."""
        for what in (f"image {image}", f"service {service}", f"tenant {tenant}"):
            if what in self.since:
                return what
        return ""


def is_hold(text: str) -> bool:
    """Whether something can be held under this name."""
    kind, _, name = text.partition(" ")
    return kind in KINDS and (is_digest(name) if kind == "image" else is_name(name))


def holds_target(holds: Holds) -> TargetFile:
    """The entry that says them."""
    pins = {service: asdict(pin) for service, pin in holds.pins.items()}
    beside: dict[str, Any] = {"pins": pins} if pins else {}  # where edges that do not know it do not look
    if holds.settings is not None:
        beside["settings"] = holds.settings
    return TargetFile(0, {"sha256": _EMPTY}, HOLDS_PATH, {"custom": {"holds": dict(holds.since)}, **beside})


def parse_holds(target: TargetFile) -> Holds:
    """What an entry says.

    :raises VerificationError: malformed.
    """
    custom = target.custom
    since = custom.get("holds") if isinstance(custom, dict) and custom.keys() == {"holds"} else None
    if not isinstance(since, dict) or len(since) > HOLDS_MAX or target.length or target.hashes != {"sha256": _EMPTY}:
        raise VerificationError(f"{HOLDS_PATH}: a list of at most {HOLDS_MAX} in a target without bytes expected")
    for what, when in since.items():
        if not is_hold(what) or not isinstance(when, str) or _TIME.fullmatch(when) is None:
            raise VerificationError(
                f"{HOLDS_PATH}: an image, service or tenant, and a time, expected, got {what[:120]!r}"
            )
    beside = target.unrecognized_fields
    return Holds(since, _pins(beside.get("pins", {})), beside.get("settings"))


def _pins(value: object) -> dict[str, Pin]:
    if not isinstance(value, dict) or len(value) > HOLDS_MAX:
        raise VerificationError(f"{HOLDS_PATH}: at most {HOLDS_MAX} services with their images expected")
    return {service: _pin(service, said) for service, said in value.items()}


def _pin(service: str, said: object) -> Pin:
    if isinstance(said, dict) and said.keys() == {"digest", "since", "size", "version"} and is_name(service):
        digest, size, version, since = said["digest"], said["size"], said["version"], said["since"]
        numbers = type(size) is int and 0 < size <= PIN_SIZE_MAX and type(version) is int and version > 0
        words = isinstance(digest, str) and is_digest(digest) and isinstance(since, str) and _TIME.fullmatch(since)
        if numbers and words:
            return Pin(digest, size, version, since)
    raise VerificationError(f"{HOLDS_PATH}: a service and its image expected, got {service[:80]!r}")
