"""What can go wrong, by who is at fault. Caller mistakes inside the program stay `ValueError` and `TypeError`.

Every class carries the HTTP status a client gets and the name its counter has in the metrics. A message says what was
expected and what was found, in one line; it goes to logs and to the CLI, never into a response body.
"""

from typing import Any, ClassVar


class NunatakError(Exception):
    """Root of every error that this project raises on purpose."""

    http_status: ClassVar[int] = 500
    counter: ClassVar[str] = "internal"
    limit: ClassVar[str] = ""  # of `vmimage.terms.Limits`, where one was hit
    limit_value: str = ""  # that limit with its value, once it is known: "cpu_ms=200"


class PublisherError(NunatakError):
    """The publisher's source, image or command cannot be used."""

    counter = "publisher"


class ImageTooLarge(PublisherError):
    """The image, or a part of it, needs more memory than this edge has for one: nothing of it was fetched."""

    http_status = 507
    counter = "image_too_large"


class OriginError(NunatakError):
    """The origin (or a mirror in its place) gave no answer or a wrong one."""

    http_status = 502
    counter = "origin"


class OriginUnreachable(OriginError):
    """No connection, or the connection broke."""

    counter = "origin_unreachable"


class OriginTimeout(OriginError):
    """No complete answer in time."""

    http_status = 504
    counter = "origin_timeout"


class VerificationError(OriginError):
    """Bytes are not what the signed catalogue promises. Nothing of them is kept or run."""

    counter = "unverifiable"


class FormatError(VerificationError):
    """Bytes whose digest is right, or not yet checked, do not parse within the limits."""

    counter = "malformed"


class OperatorError(NunatakError):
    """The configuration or the machine cannot do what is asked."""

    counter = "operator"


class GuestError(NunatakError):
    """The guest did what it may not, or more than it may. The machine ends; the worker and its neighbours go on."""

    http_status = 502
    counter = "guest"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.report: dict[str, Any] = {}  # what a publisher needs to find the cause: plain data for JSON


class GuestFault(GuestError):
    """A processor exception: vector, error code, RIP, CR2."""

    counter = "guest_fault"


class GuestViolation(GuestError):
    """A malformed hypercall, ring index or record."""

    counter = "guest_violation"


class GuestExited(GuestError):
    """The guest called EXIT, with this code, or idled for ever with requests open."""

    counter = "guest_exited"

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class OutOfTime(GuestError):
    """A request took more CPU time than its limit."""

    http_status = 504
    counter = "out_of_time"
    limit = "cpu_ms"


class OutOfMemory(GuestError):
    """The guest wanted more memory than its limit."""

    http_status = 507
    counter = "out_of_memory"
    limit = "memory_bytes"


class OutputTooLarge(GuestError):
    """A response body passed its limit."""

    counter = "output_too_large"
    limit = "output_bytes"


class RecordTooLarge(GuestError):
    """The machine changed more memory than a record may hold, so it cannot be parked."""

    http_status = 507
    counter = "record_too_large"


class MemoryPressure(GuestError):
    """All machines of a worker or an edge together took more memory than there is, and this one's tenant the most."""

    http_status = 507
    counter = "memory_pressure"


class OutOfBackgroundTime(GuestError):
    """The machine took more CPU time than its share while no request was open in it."""

    http_status = 504
    counter = "out_of_background_time"


class OverBudget(NunatakError):
    """A machine needs more memory than this edge has for machines, or its record more than it has for records."""

    http_status = 507
    counter = "over_budget"


class UnknownService(NunatakError):
    """No service has this host or name (RFC 9110 section 15.5.20)."""

    http_status = 421
    counter = "unknown_service"


class Unavailable(NunatakError):
    """Cannot serve now: draining, backing off after crashes, or no worker. The client may retry."""

    http_status = 503
    counter = "unavailable"


class WorkerFull(Unavailable):
    """A worker has no descriptors, memory or mappings left for one more machine."""

    counter = "worker_full"


class Unmovable(Unavailable):
    """A machine cannot be captured with its requests now: it waits for what only its own worker can bring it."""

    counter = "unmovable"


class Throttled(Unavailable):
    """The service has had its share of CPU time, and its requests have waited for more for too long."""

    counter = "throttled"
    limit = "cpu_percent"
