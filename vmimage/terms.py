"""Terms: how a publisher wants an image run, and what it may use. Each manifest carries them; an edge enforces them."""

from dataclasses import dataclass, field
from typing import Final, Literal

from vmimage import abi
from vmimage.canonical import refuse, require_integer, require_object

# "service": one machine is kept and serves requests as they come. "request": every request finds a machine fresh from
# the image, reset after the one before, and up to `Terms.pool` of them serve one request each at once. "pool": as
# "service", by up to `Terms.pool` machines when one is not enough; they share nothing, so what one remembers the others
# do not know.
InstanceMode = Literal["service", "request", "pool"]
INSTANCE_MODES: Final = ("service", "request", "pool")

POOL_MAX: Final = 64
FRESH_POOL: Final = 16  # fresh machines at once, where a publisher does not say
CPU_MS_MAX: Final = 60_000
OUTPUT_MAX: Final = 1 << 30
LOG_MAX: Final = 16 << 20
COUNT_MAX: Final = (1 << 53) - 1  # integers that every JSON reader holds exactly


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request, or a machine in a second, may use."""

    cpu_ms: int = 200  # 1 to 60,000; CPU time of the guest for one request
    output_bytes: int = 64 << 20  # 1 to 1 GiB; body of one response
    streams: int = abi.MAX_STREAMS  # 1 to abi.MAX_STREAMS; requests open at once in a machine
    cpu_percent: int = 0  # 0 to 100; of one processor, over time; 0: what is left when others have had theirs
    log_bytes: int = 64 << 10  # 0 to 16 MiB; log and console output of a machine in a second


@dataclass(frozen=True, slots=True)
class Rejuvenation:
    """When a machine has been in use for long enough and starts anew from its image; 0: never for that reason."""

    requests: int = 0  # served since it started
    seconds: int = 0  # since it started, resident and parked
    growth_bytes: int = 0  # memory that differs from the image's


@dataclass(frozen=True, slots=True)
class Terms:
    """What a publisher says of how an image is to be run."""

    instance: InstanceMode = "service"
    limits: Limits = field(default_factory=Limits)
    upstreams: tuple[str, ...] = ()
    pool: int = 1  # machines at most; 1 with instance "service", above 1 with "pool"
    rejuvenate: Rejuvenation = field(default_factory=Rejuvenation)


DEFAULT_TERMS: Final = Terms()


def parse_instance(value: object, pool: object) -> tuple[InstanceMode, int]:
    """:raises FormatError: an unknown mode, or a number of machines that does not fit it."""
    if value not in INSTANCE_MODES:
        refuse("config instance", " or ".join(map(repr, INSTANCE_MODES)), value)
    low, high = {"service": (1, 1), "request": (1, POOL_MAX), "pool": (2, POOL_MAX)}[value]
    return value, require_integer("config pool", pool, low, high)


def parse_limits(value: object) -> Limits:
    """:raises FormatError: unknown or missing limits, or one out of its range."""
    fields = require_object("config limits", value, set(Limits.__slots__))
    return Limits(
        cpu_ms=require_integer("limit cpu_ms", fields["cpu_ms"], 1, CPU_MS_MAX),
        output_bytes=require_integer("limit output_bytes", fields["output_bytes"], 1, OUTPUT_MAX),
        streams=require_integer("limit streams", fields["streams"], 1, abi.MAX_STREAMS),
        cpu_percent=require_integer("limit cpu_percent", fields["cpu_percent"], 0, 100),
        log_bytes=require_integer("limit log_bytes", fields["log_bytes"], 0, LOG_MAX),
    )


def parse_rejuvenation(value: object) -> Rejuvenation:
    """:raises FormatError: unknown or missing causes, or a number out of range."""
    names = Rejuvenation.__slots__
    fields = require_object("config rejuvenate", value, set(names))
    return Rejuvenation(*(require_integer(f"rejuvenate {name}", fields[name], 0, COUNT_MAX) for name in names))
