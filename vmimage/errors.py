"""What can go wrong, by who is at fault. Caller mistakes inside the program stay `ValueError` and `TypeError`.

Every class carries the HTTP status a client gets, the name its counter has in the metrics, and what can be done about
it; its first paragraph is the cause. `edge.model.reasons` makes a table of them, for pages, headers, docs. A message
says in one line what happened, with the values that were found and allowed, and what to do next: "used 212 ms of CPU
time, the image allows 200: build with --cpu-ms 400". It goes to logs and to the CLI, never into a response body.
"""

from typing import Any, ClassVar


class NunatakError(Exception):
    """The edge made a mistake, or met an error that it does not know.

    The root of all errors that this project raises on purpose; one of no other class is a defect of the edge.
    """

    http_status: ClassVar[int] = 500
    counter: ClassVar[str] = "internal"
    limit: ClassVar[str] = ""  # of `vmimage.terms.Limits`, where one was hit
    limit_value: str = ""  # that limit with its value, once it is known: "cpu_ms=200"
    remedy: ClassVar[str] = (
        "Read the edge's log at the request's identifier, and report it: it is a defect of the edge."
    )


class PublisherError(NunatakError):
    """The publisher's source, image or command cannot be used."""

    counter = "publisher"
    remedy = "Follow the message: it names the source, option or file and what was expected."


class ImageTooLarge(PublisherError):
    """The image, or a part of it, needs more memory than this edge has for one: nothing of it was fetched."""

    http_status = 507
    counter = "image_too_large"
    remedy = "Give the edge more memory or image_memory, or build a smaller image."


class OriginError(NunatakError):
    """The origin (or a mirror in its place) gave no answer or a wrong one."""

    http_status = 502
    counter = "origin"
    remedy = "Look at the origin's log, and whether `origin` (`--origin`) is its address."


class OriginUnreachable(OriginError):
    """There is no connection to the origin, or it broke."""

    counter = "origin_unreachable"
    remedy = "Check that the origin runs, and that its address is right and can be reached from here."


class OriginTimeout(OriginError):
    """The origin gave no complete answer in time."""

    http_status = 504
    counter = "origin_timeout"
    remedy = "Check the network to the origin, or raise origin_timeout."


class OriginBusy(OriginError):
    """The origin has too much to do, and says when it wants to be asked again."""

    http_status = 503
    counter = "origin_busy"
    remedy = "Ask again after Retry-After; if it lasts, raise the registry's limits, or put a mirror before it."

    def __init__(self, message: str, wait_s: float = 1.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class VerificationError(OriginError):
    """What the origin gave is not what the signed catalogue promises. Nothing of it is kept or run."""

    counter = "unverifiable"
    remedy = "Publish the image again; compare the origin with its backup, and look for a mirror that lies."


class CatalogueStale(OriginError):
    """The signed catalogue is past its date for longer than this edge's operator lets services go on.

    No source has a newer one, or none is reached.
    """

    http_status = 503
    counter = "catalogue_stale"
    remedy = "See why the origin renews no more, or is not reached; raise catalogue_stale if services are to go on."


class FormatError(VerificationError):
    """What the origin gave has another format than is expected, or goes beyond its limits."""

    counter = "malformed"
    remedy = "Build and publish the image with the version of nunatak that the edge has."


class OperatorError(NunatakError):
    """The configuration or the machine cannot do what is asked."""

    counter = "operator"
    remedy = "Follow the message: it names the option or the part of the machine and what was expected."


class GuestError(NunatakError):
    """The guest did what it may not, or more than it may. The machine ends; the worker and its neighbours go on."""

    http_status = 502
    counter = "guest"
    remedy = "Read the crash report: `nunatak admin reports`, or `nunatak dev` with the same program."

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.report: dict[str, Any] = {}  # what a publisher needs to find the cause: plain data for JSON


class GuestFault(GuestError):
    """The program broke off at a processor exception: a wild pointer, an overflow of its stack, a trap."""

    counter = "guest_fault"
    remedy = "Fix the program where the trace in the service's log (`nunatak logs`) says."


class GuestViolation(GuestError):
    """The program, or its answer, breaks the rules between machine and edge: a malformed head, record or hypercall."""

    counter = "guest_violation"
    remedy = (
        "Read the message in the log of the service: it names the field or record that is wrong, and what it must be."
    )


class GuestExited(GuestError):
    """The program ended before it had answered, or waits for something that cannot come."""

    counter = "guest_exited"
    remedy = (
        "Let the handler return, or answer an error, in place of an exit; the log of the service has the exit code."
    )

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class OutOfTime(GuestError):
    """A request took more CPU time than its limit."""

    http_status = 504
    counter = "out_of_time"
    limit = "cpu_ms"
    remedy = "Make the handler faster, or build with a larger --cpu-ms."


class OutOfMemory(GuestError):
    """The machine wanted more memory than its limit."""

    http_status = 507
    counter = "out_of_memory"
    limit = "memory_bytes"
    remedy = "Free memory, build with a larger --memory, or with --rejuvenate growth=SIZE."


class OutputTooLarge(GuestError):
    """A response body passed its limit."""

    counter = "output_too_large"
    limit = "output_bytes"
    remedy = "Answer less, or build with a larger --response."


class RecordTooLarge(GuestError):
    """The machine changed more memory than a record may hold, so it cannot be parked."""

    http_status = 507
    counter = "record_too_large"
    remedy = "Change less memory after the start, or keep large tables on a disk."


class MemoryPressure(GuestError):
    """All machines together took more memory than there is, and this one's tenant the most."""

    http_status = 507
    counter = "memory_pressure"
    remedy = "Give the edge more memory, or ask the tenant to run fewer or smaller machines."


class OutOfBackgroundTime(GuestError):
    """The machine took more CPU time than its share while no request was open in it."""

    http_status = 504
    counter = "out_of_background_time"
    remedy = "Let the program work while a request is open and idle otherwise, or build with a larger --cpu-ms."


class OverBudget(NunatakError):
    """A machine needs more memory than this edge has for machines, or its record more than it has for records."""

    http_status = 507
    counter = "over_budget"
    remedy = "Give the edge more memory, or build with a smaller --memory."


class UnknownService(NunatakError):
    """No service has this host or name."""

    http_status = 421  # RFC 9110 section 15.5.20
    counter = "unknown_service"
    remedy = "Ask with a Host that a service has, or publish it with this one (`--host`); edges look every `refresh`."


class PeerFailed(NunatakError):
    """Another edge of the POP had the request, and its answer did not come; it may have been acted upon."""

    http_status = 502
    counter = "peer_failed"
    remedy = "Ask again; if it lasts, look at the logs of this edge and of its peers."


class Unavailable(NunatakError):
    """The edge cannot serve this now: it drains, has no worker, or too many requests wait."""

    http_status = 503
    counter = "unavailable"
    remedy = "Ask again after Retry-After; if it lasts, look at `nunatak admin health` and the edge's log."


class WorkerFull(Unavailable):
    """A worker has no descriptors, memory or mappings left for one more machine."""

    counter = "worker_full"
    remedy = "Raise the limit of open files (LimitNOFILE=) and the memory, or run more workers."


class Unmovable(Unavailable):
    """A machine cannot be captured with its requests now: it waits for what only its own worker can bring it."""

    counter = "unmovable"
    remedy = "Ask again: the machine is captured when its disk or upstream has answered."


class Throttled(Unavailable):
    """The service has had its share of CPU time, and its requests have waited for more for too long."""

    counter = "throttled"
    limit = "cpu_percent"
    remedy = "Build with a larger --cpu-percent, or ask less often."
