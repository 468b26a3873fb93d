"""Every reason for which an edge answers in place of a service: status, whose fault, what happened, what to do.

This is the one table: answers, and docs/reference/errors.md, are made from it, and metrics and `X-Nunatak-Error` have
its names. A reason of its own is an error class that says its `counter`, or a row of `clients`.
"""

import inspect
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Final

from edge.model import flow
from edge.model.clients import CLIENTS, Reason, Whose
from vmimage import errors
from vmimage.errors import NunatakError

_ROOTS: Final[Mapping[type[NunatakError], Whose]] = {
    errors.PublisherError: "publisher",
    errors.OriginError: "origin",
    errors.OperatorError: "operator",
    errors.GuestError: "guest",
}


def error_classes() -> Iterator[type[NunatakError]]:
    """Every error that has a reason of its own, the root first."""
    yield NunatakError
    for module in (errors, flow):
        for value in vars(module).values():
            ours = isinstance(value, type) and issubclass(value, NunatakError) and value.__module__ == module.__name__
            if ours and value is not NunatakError and "counter" in vars(value):
                yield value


def _row(error: type[NunatakError]) -> Reason:
    whose: Whose = next((name for root, name in _ROOTS.items() if issubclass(error, root)), "edge")
    cause = (inspect.getdoc(error) or "").partition("\n\n")[0].replace("\n", " ")
    return Reason(error.http_status, whose, cause, error.remedy, error.limit)


SERVICES: Final[Mapping[str, Reason]] = {error.counter: _row(error) for error in error_classes()}
# What says nothing of a version of a service: clients' doing, operators', and that of others' machines, in whose worker
# it was, or which had to have room.
OTHERS: Final = frozenset(
    {flow.OnHold.counter, flow.SocketsFull.counter, flow.WorkerLost.counter, errors.MemoryPressure.counter, *CLIENTS}
)
REASONS: Final[Mapping[str, Reason]] = {**SERVICES, **CLIENTS}


def page(refusal: flow.Refusal, request_id: bytes) -> bytes:
    """What the edge says in place of an answer: what happened and what to do, as the table has it, and no details."""
    row = REASONS[refusal.reason]
    status = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
    limit = f" (limit: {refusal.limit})" if refusal.limit else ""
    told = f"{refusal.reason}: {row.cause}{limit}\nWhat to do: {row.remedy}\n"
    return b"%b, request %b\n%b" % (status.encode(), request_id, told.encode())
