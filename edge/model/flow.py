"""What may follow from what: the states of requests and services, refusals, replay, and blame.

Tables and small functions without I/O, clock or state. Which event happens to whom, and when, is decided in
`supervisor.life`, which keeps to these tables. They are the documentation of a request's and a service's life;
`drawing()` renders them for `docs/flow.md`, and a test keeps that file true.
"""

import math
from collections.abc import Container, Mapping
from typing import Final, Literal, NamedTuple, TypeVar

from edge.model.clients import CLIENTS
from vmimage import errors
from vmimage.terms import Rejuvenation

# A request: from the moment its service is known until the client has its answer.
RequestState = Literal["waiting", "asked", "answering", "done", "refused", "cut"]
RequestEvent = Literal["dispatch", "head", "end", "replay", "fail", "client_gone"]
REQUEST_FLOW: Final[Mapping[RequestState, Mapping[RequestEvent, RequestState]]] = {
    # for the image, for a machine, or for a place among the machine's streams
    "waiting": {"dispatch": "asked", "fail": "refused", "client_gone": "done"},
    # the machine has it; nothing was sent to the client yet
    "asked": {"head": "answering", "end": "done", "replay": "waiting", "fail": "refused", "client_gone": "done"},
    # the head of the answer is with the client, so no error answer is possible any more
    "answering": {"end": "done", "fail": "cut", "client_gone": "done"},
    "done": {},
    "refused": {},
    "cut": {},
}

# A service: where the machine that answers for it is now.
ServiceState = Literal["cold", "opening", "resident", "parking", "parked", "backoff"]
ServiceEvent = Literal[
    "request",
    "opened",
    "failed",
    "park",
    "parked",
    "crashed",
    "worker_lost",
    "blamed",
    "rejuvenate",
    "restart",
    "pause_over",
    "replaced",
]
SERVICE_FLOW: Final[Mapping[ServiceState, Mapping[ServiceEvent, ServiceState]]] = {
    # no machine and no record of one: the next starts from the image
    # restart: an operator orders that, wherever the service is but on its way to a worker
    "cold": {"request": "opening", "restart": "cold", "replaced": "cold"},
    # its image or record is on the way to a worker; requests queue
    "opening": {"opened": "resident", "failed": "cold", "replaced": "opening"},
    # rejuvenate: it has served for long enough, the next one starts from the image
    # worker_lost: it goes back to its last record; blamed: its worker ended while it ran, so that record is not trusted
    "resident": {
        "park": "parking",
        "crashed": "backoff",
        "worker_lost": "parked",
        "blamed": "backoff",
        "rejuvenate": "cold",
        "restart": "cold",
        "replaced": "cold",
    },
    # a worker writes the record; requests queue
    "parking": {
        "parked": "parked",
        "crashed": "backoff",
        "worker_lost": "parked",
        "blamed": "backoff",
        "restart": "cold",
        "replaced": "cold",
    },
    # held as a record, in memory or on disk; if that was evicted the next machine starts from the image
    "parked": {"request": "opening", "restart": "cold", "replaced": "cold"},
    # it crashed and is not restarted yet; requests are refused with Retry-After
    "backoff": {"pause_over": "cold", "restart": "cold", "replaced": "cold"},
}

# A service that was blamed for the end of a worker: whether its machines may be in one with those of others.
Standing = Literal["trusted", "quarantined", "released", "held"]
StandingEvent = Literal["blamed", "new_version", "healthy"]
QUARANTINE_FLOW: Final[Mapping[Standing, Mapping[StandingEvent, Standing]]] = {
    "trusted": {"blamed": "quarantined"},
    # in a worker of its own, with a pause before each start; another version is another program
    "quarantined": {"blamed": "quarantined", "new_version": "released", "healthy": "released"},
    # among others again, but not forgotten
    "released": {"blamed": "held", "new_version": "released"},
    # blamed again after its release: only time lets it out, or a version a minute would end a worker a minute
    "held": {"blamed": "held", "new_version": "held", "healthy": "released"},
}

# Where an answer's machine came from, or that an owner in the POP had the request: the detail of Cache-Status
# (RFC 9211), beside why a guest had it.
Tier = Literal["resident", "parked", "disk", "blob", "peer", "origin", "owner"]

State = TypeVar("State", bound=str)
Event = TypeVar("Event", bound=str)


def step(table: Mapping[State, Mapping[Event, State]], state: State, event: Event) -> State:
    """The state after `event`.

    :raises RuntimeError: the event cannot happen in this state; a defect of the edge, never of what it talks to.
    """
    try:
        return table[state][event]
    except KeyError:
        raise RuntimeError(f"event {event!r} in state {state!r}, one of {sorted(table[state])} expected") from None


class _After(dict[RequestState, RequestState]):
    """States after one event, by the state before."""

    def __init__(self, event: RequestEvent) -> None:
        super().__init__({state: row[event] for state, row in REQUEST_FLOW.items() if event in row})
        self._event = event

    def __missing__(self, state: RequestState) -> RequestState:
        return step(REQUEST_FLOW, state, self._event)  # which says what is wrong


def after(event: RequestEvent) -> Mapping[RequestState, RequestState]:
    """`step` of a request for one event, as a table for where each request passes: `after("dispatch")["waiting"]`.

    It raises what `step` raises.
    """
    return _After(event)


def drawing() -> str:
    """All tables as Mermaid state diagrams in Markdown, for `docs/flow.md`."""
    parts = ["# Flow\n\nMade by `python -m edge.model.flow > docs/flow.md` from its tables; a test compares.\n"]
    for title, first, edges in (
        ("A request", "waiting", _edges(REQUEST_FLOW)),
        ("A service", "cold", _edges(SERVICE_FLOW)),
        ("A service that a worker's end was blamed on", "trusted", _edges(QUARANTINE_FLOW)),
    ):
        lines = "\n".join(f"    {a} --> {b}: {event}" for a, event, b in edges)
        parts.append(f"\n## {title}\n\n```mermaid\nstateDiagram-v2\n    [*] --> {first}\n{lines}\n```\n")
    return "".join(parts)


def _edges(table: Mapping[State, Mapping[Event, State]]) -> list[tuple[str, str, str]]:
    return [(state, event, after) for state, row in table.items() for event, after in row.items()]


# Errors to answers.


class Refusal(NamedTuple):
    """The edge's own answer. `reason` is a key of `reasons.REASONS`, all that a client learns about the cause."""

    status: int
    reason: str
    retry_after_s: int = 0
    limit: str = ""  # that was hit, of the image or of a request's head, with its value


class ClientError(Exception):
    """The client's request cannot be passed on.

    :param reason: a key of `clients.CLIENTS`, which has its status.
    :param limit: that it goes beyond, with its value.
    """

    def __init__(self, reason: str, limit: str = "") -> None:
        super().__init__(reason)
        self.refusal = Refusal(CLIENTS[reason].status, reason, 0, limit)


class BackingOff(errors.Unavailable):
    """The service crashed and is not restarted yet."""

    counter = "backing_off"
    remedy = "Ask again after Retry-After; read the crash report and publish a version that does not crash."

    def __init__(self, pause_s: float) -> None:
        super().__init__(f"back-off for another {pause_s:.1f} s")
        self.pause_s = pause_s


class GuestSilent(errors.GuestError):
    """No answer began within the configured time, or nothing came within one for too long."""

    http_status = 504
    counter = "guest_silent"
    remedy = "Find out what the handler waits for, or raise request_timeout, or stream_timeout where an answer was cut."


class QuarantineFull(BackingOff):
    """The service may run only in a worker of its own, and there are as many of those as there may be."""

    counter = "quarantine_full"
    remedy = "Publish versions of the quarantined services that do not end their worker."


class QueueFull(errors.Unavailable):
    """The tenant's waiting requests hold as much memory as they may."""

    counter = "queue_full"
    remedy = "Answer faster, allow more machines with --pool, or spread the load over more edges."


class OnHold(errors.Unavailable):
    """An operator, of this edge or of the origin, has put the service on hold: it does not run until it is released."""

    counter = "on_hold"
    remedy = (
        "Ask the operators why; what held it lets it run again: `nunatak ctl release NAME` at the edge, or "
        "`nunatak hold release` at the origin."
    )


class SocketsFull(errors.Unavailable):
    """The service, or the edge, has as many WebSockets open as it may."""

    counter = "sockets_full"
    remedy = "Raise service_sockets or sockets, or have clients close what they do not use."


class Patience(NamedTuple):
    """How long a request may be without progress, in seconds."""

    answer_s: float  # before the first byte of the answer, and whenever it is the client that is waited for
    stream_s: float  # within an answer of which the client has all that there is


def silence(
    state: RequestState, request_sent: bool, reads: bool, waited_s: float, *, throttled: bool = False
) -> Exception:
    """Who is to blame for a request without progress: the guest, its quota, or the client that neither sends nor reads.

    :param request_sent: the guest has all of the request, or all of it is on its way there.
    :param reads: the client has all that there is of the answer.
    """
    if state == "answering" and not reads:
        return ClientError("client_silent")
    if throttled:
        return errors.Throttled(f"out of its share of CPU time for {waited_s:g} s")
    if not request_sent:
        return ClientError("client_silent")
    if state == "answering":
        return GuestSilent(f"nothing came within the answer for {waited_s:g} s (stream_timeout)")
    return GuestSilent(f"no answer began in {waited_s:g} s (request_timeout)")


class WorkerLost(errors.NunatakError):
    """The worker process ended with the request in it."""

    http_status = 502
    counter = "worker_lost"
    remedy = "Ask again; if a service is blamed, read its report and the edge's log."


def refusal(error: BaseException) -> Refusal:
    """Any error to what the client is told."""
    match error:
        case ClientError():
            return error.refusal
        case BackingOff():
            return Refusal(error.http_status, error.counter, max(1, math.ceil(error.pause_s)))
        case errors.OriginBusy():
            return Refusal(error.http_status, error.counter, max(1, math.ceil(error.wait_s)))
        case errors.Unavailable():
            return Refusal(error.http_status, error.counter, 1, error.limit_value)
        case errors.NunatakError():
            return Refusal(error.http_status, error.counter, 0, error.limit_value)
        case _:
            return Refusal(errors.NunatakError.http_status, errors.NunatakError.counter)


def died_error(class_name: str, message: str) -> errors.NunatakError:
    """The error a worker names in DIED. An unknown or unfit name is a plain GuestError."""
    class_ = getattr(errors, class_name, None)
    if isinstance(class_, type) and issubclass(class_, errors.NunatakError):
        return class_(message)
    return errors.GuestError(f"{class_name}: {message}")


# Rejuvenation.


def rejuvenation_cause(after: Rejuvenation, served: int, lived_s: float) -> str:
    """Why a machine has been in use for long enough: a name of `Rejuvenation`, empty if it has not."""
    if 0 < after.requests <= served:
        return "requests"
    if 0 < after.seconds <= lived_s:
        return "seconds"
    return ""


# Retry and back-off.

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110 section 9.2.2


def may_replay(
    *,
    state: RequestState,
    method: str,
    whole: bool,
    replayed: bool,
    seen: bool,
    guest_fault: bool,
    blamed: bool = False,
) -> bool:
    """Whether a request whose machine is gone may be given to a fresh one.

    :param whole: the edge still holds all of it, body included.
    :param seen: the guest took it out of its ring, or may have.
    :param guest_fault: the guest ended the machine itself; a request it saw may be the cause, so it is not repeated.
    :param blamed: its worker ended while the machine ran; each of its requests may be the cause, none is repeated.
    """
    if state != "asked" or replayed or not whole or blamed:
        return False
    return not seen or (not guest_fault and method in IDEMPOTENT)


# The end of a worker: whose it was, and what that means for a service.

Cause = Literal["died", "wedged", "protocol", "defect"]
NOBODY: Final = 0  # machine numbers begin with 1

# What says on whose behalf a worker worked. The page is true while the worker stands still, or is dead; one that breaks
# the protocol has gone on meanwhile, but its frame names a machine. Where this edge stumbled, the mistake is its own.
EVIDENCE: Final[Mapping[Cause, Literal["page", "frame", "none"]]] = {
    "died": "page",
    "wedged": "page",
    "protocol": "frame",
    "defect": "none",
}


def blame(cause: Cause, *, page: int, frame: int, machines: Container[int]) -> int:
    """The machine that a worker's end is blamed on, `NOBODY` for none. A worker that lies can name only its own.

    :param page: the machine that the worker's page of attribution names.
    :param frame: the machine of the frame at which the protocol was broken.
    :param machines: numbers of those that were in the worker.
    """
    number = {"page": page, "frame": frame, "none": NOBODY}[EVIDENCE[cause]]
    return number if number in machines else NOBODY


class Place(NamedTuple):
    """Which workers a machine may be in. `name` is whose they are, empty for those of all."""

    kind: Literal["shared", "tenant", "quarantine"]
    name: str = ""


SHARED: Final = Place("shared")
QUARANTINE_RETRY_S: Final = 10.0  # told to clients while there is no place; a machine there is parked when idle so long


if __name__ == "__main__":
    print(drawing(), end="")
