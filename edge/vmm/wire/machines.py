"""Frames of machines: opened, parked, closed, and what becomes of them. The first number is the machine's."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeAlias

from edge.vmm.wire import frames
from edge.vmm.wire.fields import (
    dump,
    load_object,
    require_bool,
    require_integers,
    require_number,
    require_plain,
    require_text,
    strict,
)
from edge.vmm.wire.frames import RECORD_BYTES_MAX, split_head, with_head
from vmimage import abi
from vmimage.canonical import refuse, require_integer, require_object
from vmimage.drives import DriveRef, parse_drives
from vmimage.terms import COUNT_MAX, Limits, parse_limits

TENANT_MAX: Final = 253  # characters: a tenant is a service's name where its publisher names none
WEIGHT_MAX: Final = 10_000  # `edge.config.options`
ERROR_MAX: Final = 64  # characters of a class name in `vmimage.errors`
MESSAGE_MAX: Final = 1000  # characters of what an error says
RETRY_MAX: Final = 4096  # streams; a machine has 64 open, and no more wait than were asked for in one breath
KEPT_ABOUTS: Final = 256  # descriptions of machines that are kept, encoded and decoded
REPORT_FRAMES_MAX: Final = 33  # addresses: where it stopped, and 32 return addresses
REPORT_HEX_MAX: Final = 1024  # characters of code or stack
REPORT_NAMES_MAX: Final = 64  # characters in a name of a register or a call
_SECRETS: Final = re.compile(rb"(?:[A-Za-z_][A-Za-z0-9_]*=[^\0]+\0)+")
_U64: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class OpenDisk:
    """A disk of a machine."""

    number: int | None  # of the disk that lies under it; None: nothing does
    ref: DriveRef


@dataclass(frozen=True, slots=True)
class Open:
    """To the worker: bring up a machine; frames for it may follow at once."""

    machine: int
    image: int  # given before
    tenant: str
    weight: int  # the tenant's, in the sharing of CPU time
    limits: Limits
    growth_bytes: int  # of memory beyond its image's from which it has grown; 0: never
    record_bytes: int  # of changed memory with which it may be parked: one with more ends
    fresh: bool  # each request finds it as its image is
    disks: tuple[OpenDisk, ...]
    state: bytes = b""  # what PARKED carried; empty: it starts from its image
    scratch: bytes = b""  # the same
    secrets: bytes = field(repr=False, default=b"")  # for its environment: "NAME=VALUE\\0" repeated

    def to_bytes(self) -> bytes:
        """The frame.

        :raises ValueError: state and scratch pages are larger than a frame.
        """
        about = self.weight, self.limits, self.growth_bytes, self.record_bytes, self.fresh, self.disks
        parts = with_head(self.tenant.encode(), with_head(self.secrets, with_head(self.state, self.scratch)))
        return frames.pack(frames.OPEN, 0, self.machine, self.image, with_head(_encode_about(*about), parts))

    @staticmethod
    @strict
    def parse(flags: int, machine: int, image: int, payload: bytes) -> "Open":
        """:raises ValueError: no such frame."""
        require_plain("OPEN", flags)
        head, parts = split_head(payload)
        tenant, parts = split_head(parts)
        secrets, parts = split_head(parts)
        state, scratch = split_head(parts)
        if scratch and not state:
            raise ValueError("OPEN: scratch pages with a state expected, got them alone")
        if len(secrets) > abi.SECRETS_SIZE or (secrets and not _SECRETS.fullmatch(secrets)):
            raise ValueError(
                f"OPEN: secrets of at most {abi.SECRETS_SIZE} bytes expected, each with a name and its end"
            )
        return Open(
            require_number("OPEN machine", machine),
            require_number("OPEN image", image),
            require_text("OPEN tenant", tenant.decode(), TENANT_MAX),
            *_decode_about(head),
            state,
            scratch,
            secrets,
        )


# What OPEN says of a machine beside whose it is and what it holds. That of most machines is the same.
_About: TypeAlias = tuple[int, Limits, int, int, bool, tuple[OpenDisk, ...]]


@lru_cache(maxsize=KEPT_ABOUTS)
def _encode_about(
    weight: int, limits: Limits, growth_bytes: int, record_bytes: int, fresh: bool, disks: tuple[OpenDisk, ...]
) -> bytes:
    return dump(
        {
            "disks": [asdict(disk.ref) | {"number": disk.number} for disk in disks],
            "fresh": fresh,
            "growth_bytes": growth_bytes,
            "limits": asdict(limits),
            "record_bytes": record_bytes,
            "weight": weight,
        }
    )


@lru_cache(maxsize=KEPT_ABOUTS)
def _decode_about(head: bytes) -> _About:
    keys = {"disks", "fresh", "growth_bytes", "limits", "record_bytes", "weight"}
    about = load_object("OPEN", head, keys)
    return (
        require_integer("OPEN weight", about["weight"], 1, WEIGHT_MAX),
        parse_limits(about["limits"]),
        require_integer("OPEN growth_bytes", about["growth_bytes"], 0, COUNT_MAX),
        require_integer("OPEN record_bytes", about["record_bytes"], 0, RECORD_BYTES_MAX),
        require_bool("OPEN fresh", about["fresh"]),
        _parse_disks(about["disks"]),
    )


def _parse_disks(value: object) -> tuple[OpenDisk, ...]:
    if not isinstance(value, list) or len(value) > abi.DISKS_MAX:
        refuse("OPEN disks", f"a list of at most {abi.DISKS_MAX}", value)
    keys = {"bytes", "digest", "kind", "name", "number"}
    numbers, named = [], []
    for item in value:
        fields = dict(require_object("OPEN disk", item, keys))
        number = fields.pop("number")
        if (number is None) != (fields["digest"] is None):
            refuse("OPEN disk", "a number where it has a digest", item)
        numbers.append(None if number is None else require_number("OPEN disk", number))
        named.append(fields)
    return tuple(OpenDisk(number, ref) for number, ref in zip(numbers, parse_drives(named), strict=True))


@dataclass(frozen=True, slots=True)
class Park:
    """To the worker: as soon as the machine is idle; answered by PARKED, or by DIED."""

    machine: int

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.PARK, 0, self.machine, 0)

    @staticmethod
    def parse(flags: int, machine: int, second: int, payload: bytes) -> "Park":
        """:raises ValueError: no such frame."""
        require_plain("PARK", flags, second, payload=payload)
        return Park(require_number("PARK machine", machine))


@dataclass(frozen=True, slots=True)
class Close:
    """To the worker: forget the machine."""

    machine: int

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.CLOSE, 0, self.machine, 0)

    @staticmethod
    def parse(flags: int, machine: int, second: int, payload: bytes) -> "Close":
        """:raises ValueError: no such frame."""
        require_plain("CLOSE", flags, second, payload=payload)
        return Close(require_number("CLOSE machine", machine))


@dataclass(frozen=True, slots=True)
class Parked:
    """From the worker: a machine is gone, and this is what it was. Parts of `vmimage.parked`."""

    machine: int
    state: bytes
    scratch: bytes = b""

    def to_bytes(self) -> bytes:
        """The frame.

        :raises ValueError: it is larger than a frame.
        """
        return frames.pack(frames.PARKED, 0, self.machine, 0, with_head(self.state, self.scratch))

    @staticmethod
    def parse(flags: int, machine: int, second: int, payload: bytes) -> "Parked":
        """:raises ValueError: no such frame."""
        require_plain("PARKED", flags, second)
        state, scratch = split_head(payload)
        if not state:
            raise ValueError("PARKED: a machine's state expected, got none")
        return Parked(require_number("PARKED machine", machine), state, scratch)


@dataclass(frozen=True, slots=True)
class Report:
    """What a publisher gets when a guest dies; `edge.vmm.machine.report` makes it."""

    error: str
    message: str
    registers: Mapping[str, int]
    frames: tuple[int, ...]  # addresses, innermost first
    unknown_calls: Mapping[str, int]  # how often, by name: the guest's own word
    code: str  # hexadecimal, at RIP
    stack: str  # hexadecimal, at RSP

    def fields(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "error": self.error,
            "message": self.message,
            "registers": dict(self.registers),
            "frames": list(self.frames),
            "unknown_calls": dict(self.unknown_calls),
            "code": self.code,
            "stack": self.stack,
        }

    @staticmethod
    @strict
    def parse(value: object) -> "Report":
        """:raises ValueError: no report, or more than one holds."""
        keys = {"error", "message", "registers", "frames", "unknown_calls", "code", "stack"}
        fields = require_object("report", value, keys)
        return Report(
            error=require_text("report error", fields["error"], ERROR_MAX),
            message=require_text("report message", fields["message"], MESSAGE_MAX),
            registers=_parse_counts("report registers", fields["registers"], 18),
            frames=require_integers("report frames", fields["frames"], 0, _U64, REPORT_FRAMES_MAX),
            unknown_calls=_parse_counts("report unknown_calls", fields["unknown_calls"], abi.UNKNOWN_CALLS_MAX),
            code=_parse_hex("report code", fields["code"]),
            stack=_parse_hex("report stack", fields["stack"]),
        )


def _parse_counts(what: str, value: object, most: int) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > most or any(len(name) > REPORT_NAMES_MAX for name in value):
        refuse(what, f"at most {most} numbers by name", value)
    return {name: require_integer(what, number, 0, _U64) for name, number in value.items()}


def _parse_hex(what: str, value: object) -> str:
    text = require_text(what, value, REPORT_HEX_MAX)
    if not all(character in "0123456789abcdef" for character in text):
        refuse(what, "hexadecimal digits in lower case", text)
    return text


@dataclass(frozen=True, slots=True)
class Died:
    """From the worker: a machine ended, or could not be brought up."""

    machine: int
    error: str  # a class name of `vmimage.errors`
    message: str
    report: Report | None
    retry: tuple[int, ...]  # streams that it was asked for and has not seen

    def to_bytes(self) -> bytes:
        """The frame."""
        about = {
            "error": self.error,
            "message": self.message,
            "report": None if self.report is None else self.report.fields(),
            "retry": list(self.retry),
        }
        return frames.pack(frames.DIED, 0, self.machine, 0, dump(about))

    @staticmethod
    @strict
    def parse(flags: int, machine: int, second: int, payload: bytes) -> "Died":
        """:raises ValueError: no such frame."""
        require_plain("DIED", flags, second)
        about = load_object("DIED", payload, {"error", "message", "report", "retry"})
        error = require_text("DIED error", about["error"], ERROR_MAX)
        if not error.isidentifier():
            refuse("DIED error", "a class name", error)
        return Died(
            machine=require_number("DIED machine", machine),
            error=error,
            message=require_text("DIED message", about["message"], MESSAGE_MAX),
            report=None if about["report"] is None else Report.parse(about["report"]),
            retry=require_integers("DIED retry", about["retry"], 0, abi.EXCHANGE_BIT - 1, RETRY_MAX),
        )


@dataclass(frozen=True, slots=True)
class Log:
    """From the worker: what a guest said, on its console or for its log."""

    machine: int
    text: bytes  # lines, meant to be UTF-8

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.LOG, 0, self.machine, 0, self.text)

    @staticmethod
    def parse(flags: int, machine: int, second: int, payload: bytes) -> "Log":
        """:raises ValueError: no such frame."""
        require_plain("LOG", flags, second)
        return Log(require_number("LOG machine", machine), payload)
