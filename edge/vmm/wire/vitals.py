"""Frames of the worker as a whole: its greeting, its signs of life, its end. They have no numbers."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from edge.vmm.wire import frames
from edge.vmm.wire.fields import (
    dump,
    load_object,
    require_bool,
    require_integers,
    require_plain,
    require_text,
    strict,
)
from edge.vmm.wire.frames import NUMBER_MAX
from vmimage.canonical import refuse, require_integer, require_object

# Machines in one list of a PONG. Those that are left out of `resident` are told the next time.
LISTED_MAX: Final = 700
TOKEN_MAX: Final = 64  # characters of what a PING carries
COUNT_MAX: Final = (1 << 63) - 1
ENGINES_MAX: Final = 8
ENGINE_NAME_MAX: Final = 32
PID_MAX: Final = 1 << 22  # Linux: PID_MAX_LIMIT
REASON_MAX: Final = 4096  # characters


def _cost(what: str, value: object) -> float:
    """Nanoseconds, or a factor; infinite where an engine is not there. An integer would be another spelling."""
    if not isinstance(value, float) or not value >= 0:
        refuse(what, "a number from 0 with a point", value)
    return value


def _kvm(what: str, value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    known = require_object(what, value, {"cpuid_is_ours", "guards", "ring"})
    guards = known["guards"]
    if not isinstance(guards, list) or len(guards) > 8:
        refuse(f"{what} guards", "a list of at most 8", guards)
    return {
        "ring": require_integer(f"{what} ring", known["ring"], 0, 3),
        "guards": [require_text(f"{what} guard", guard, ENGINE_NAME_MAX) for guard in guards],
        "cpuid_is_ours": require_bool(f"{what} cpuid_is_ours", known["cpuid_is_ours"]),
    }


# The fields of `edge.vmm.shells.tiering.Calibration`, which lies above this room.
CALIBRATION: Final[Mapping[str, Callable[[str, object], object]]] = {
    "unicorn_exit_ns": _cost,
    "kvm_exit_ns": _cost,
    "unicorn_switch_ns": _cost,
    "kvm_switch_ns": _cost,
    "unicorn_entry_ns": _cost,
    "kvm_entry_ns": _cost,
    "kvm_work_ns": _cost,
    "speedup": _cost,
    "kvm_missing": lambda what, value: require_text(what, value, REASON_MAX),
    "kvm": _kvm,
}


@dataclass(frozen=True, slots=True)
class Hello:
    """From the worker, once and first: it takes work."""

    pid: int  # as the worker sees it
    engines: tuple[str, ...]
    calibration: Mapping[str, object]  # what its engines cost: keys and values of CALIBRATION

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.HELLO, 0, 0, 0, dump(self.fields()))

    def fields(self) -> dict[str, Any]:
        """Plain data. Costs are as floats are spelled, also those that were counted."""
        costs = {name: float(cost) if type(cost) is int else cost for name, cost in self.calibration.items()}
        return {"pid": self.pid, "engines": list(self.engines), "calibration": costs}

    @staticmethod
    @strict
    def parse(flags: int, first: int, second: int, payload: bytes) -> "Hello":
        """:raises ValueError: no such frame."""
        require_plain("HELLO", flags, first, second)
        about = load_object("HELLO", payload, {"pid", "engines", "calibration"})
        engines = about["engines"]
        if not isinstance(engines, list) or not 0 < len(engines) <= ENGINES_MAX:
            refuse("HELLO engines", f"1 to {ENGINES_MAX} names", engines)
        costs = require_object("HELLO calibration", about["calibration"], set(CALIBRATION))
        return Hello(
            pid=require_integer("HELLO pid", about["pid"], 0, PID_MAX),
            engines=tuple(require_text("HELLO engine", name, ENGINE_NAME_MAX) for name in engines),
            calibration={name: check(f"HELLO {name}", costs[name]) for name, check in CALIBRATION.items()},
        )


@dataclass(frozen=True, slots=True)
class Ping:
    """To the worker: answered by PONG with the token."""

    token: str  # ASCII

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.PING, 0, 0, 0, self.token.encode("ascii"))

    @staticmethod
    def parse(flags: int, first: int, second: int, payload: bytes) -> "Ping":
        """:raises ValueError: no such frame."""
        require_plain("PING", flags, first, second)
        if not 0 < len(payload) <= TOKEN_MAX or not payload.isascii():
            raise ValueError(f"PING: 1 to {TOKEN_MAX} characters of ASCII expected, got {payload[:TOKEN_MAX]!r}")
        return Ping(payload.decode("ascii"))


@dataclass(frozen=True, slots=True)
class Stop:
    """To the worker: finish and leave."""

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.STOP, 0, 0, 0)

    @staticmethod
    def parse(flags: int, first: int, second: int, payload: bytes) -> "Stop":
        """:raises ValueError: no such frame."""
        require_plain("STOP", flags, first, second, payload=payload)
        return Stop()


@dataclass(frozen=True, slots=True)
class Pong:
    """From the worker: it lives, and this is how. Counts are since its start."""

    token: str  # the PING's
    resident: tuple[tuple[int, int], ...]  # (machine, bytes) of those whose size changed since that was last told
    throttled: tuple[int, ...]  # machines that wait for their share of CPU time
    grown: tuple[int, ...]  # machines that wrote so much that they are to start anew
    machines: int
    resident_bytes: int
    kvm_machines: int
    free_shells: int
    images: int
    cpu_ns: int
    wakeups: int
    rests: int  # times it slept because nobody had work
    slices_stopped: int
    promotions: int
    demotions: int
    kept_off_kvm: int
    failures: int
    refused_frames: int
    ended_for_memory: int
    blocks: int
    block_hits: int
    block_misses: int

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.PONG, 0, 0, 0, dump(asdict(self)))

    def counts(self) -> dict[str, Any]:
        """Plain data for those who look at a worker: all but the token, and sizes that others were told before."""
        return {name: value for name, value in asdict(self).items() if name not in ("token", "resident")}

    @staticmethod
    @strict
    def parse(flags: int, first: int, second: int, payload: bytes) -> "Pong":
        """:raises ValueError: no such frame."""
        require_plain("PONG", flags, first, second)
        about = load_object("PONG", payload, set(_PONG))
        found: dict[str, Any] = {
            "token": require_text("PONG token", about["token"], TOKEN_MAX),
            "resident": _parse_sizes(about["resident"]),
        }
        for name in ("throttled", "grown"):
            found[name] = require_integers(f"PONG {name}", about[name], 1, NUMBER_MAX, LISTED_MAX)
        for name in _PONG:
            if name not in found:
                found[name] = require_integer(f"PONG {name}", about[name], 0, COUNT_MAX)
        return Pong(**found)


_PONG: Final = tuple(field.name for field in fields(Pong))


def _parse_sizes(value: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list) or len(value) > LISTED_MAX:
        refuse("PONG resident", f"a list of at most {LISTED_MAX}", value)
    sizes = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2:
            refuse("PONG resident", "pairs of a machine and its bytes", pair)
        number = require_integer("PONG resident machine", pair[0], 1, NUMBER_MAX)
        sizes.append((number, require_integer("PONG resident bytes", pair[1], 0, COUNT_MAX)))
    return tuple(sizes)
