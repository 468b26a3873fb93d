"""A request that is over as spans, under the names of OpenTelemetry's semantic conventions for HTTP (1.23). Pure.

The edge's own span has children for the time that the request waited for a machine, and for the guest's run; a guest's
request to an upstream is a span beside these. Queries are left out, since they may hold secrets, and so are clients'
addresses, which a collector needs no more than a log has to.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from edge.model.finished import Fetched, Finished, Run
from edge.model.routes import host_name
from edge.model.tracing import Trace

Kind = Literal["server", "client", "internal"]
Attributes = Mapping[str, str | int | float | bool]

# Those that the conventions know, RFC 9110's and PATCH; others become one, since a collector keeps them apart.
METHODS: Final = frozenset("CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT TRACE".split())
OTHER: Final = "_OTHER"


class Span(NamedTuple):
    """A part of a trace."""

    name: str
    kind: Kind
    trace_id: bytes  # as `tracing` writes it, like the others
    span_id: bytes
    parent_id: bytes  # empty where the trace begins
    is_remote: bool  # that parent is somebody else's
    began: float  # seconds since 1970
    ended: float
    attributes: Attributes
    failed: bool


def spans_of(finished: Finished, bits: Callable[[], int]) -> list[Span]:
    """The spans of a request; none where its trace is not recorded.

    :param bits: gives 64 random bits.
    """
    trace = finished.trace
    if trace is None or not trace.sampled:
        return []
    ended = finished.began + finished.duration_s
    attributes: dict[str, str | int | float | bool] = {
        **_method(finished.method),
        "url.scheme": "http",
        "url.path": finished.target.partition("?")[0],
        "network.protocol.version": "{}.{}".format(*finished.version),
        "nunatak.request_id": finished.id,
        "nunatak.sent_bytes": finished.sent_bytes,
    }
    known: dict[str, str | int] = {
        "http.response.status_code": finished.status,
        "server.address": host_name(finished.host) or "",
        "error.type": finished.error or (str(finished.status) if finished.status >= 500 else ""),
        "nunatak.service": finished.service,
        "nunatak.tenant": finished.tenant,
        "nunatak.release": finished.release,
        "nunatak.tier": finished.tier,
        "nunatak.cache": finished.cache,
    }
    attributes.update({name: value for name, value in known.items() if value})
    if not finished.whole:
        attributes["nunatak.cut"] = True
    failed = finished.status >= 500
    names = trace.trace_id, trace.span_id, trace.parent_id, bool(trace.parent_id)
    server = Span(_name(finished.method), "server", *names, finished.began, ended, attributes, failed)
    inner = [] if finished.run is None else _of_run(finished.run, trace, finished, bits)
    return [server, *inner]


def _of_run(run: Run, trace: Trace, finished: Finished, bits: Callable[[], int]) -> list[Span]:
    began = finished.began
    found = []
    if run.given_s > run.asked_s:
        opened = finished.tier != "resident"
        attributes: dict[str, str | int | float | bool] = {"nunatak.tier": finished.tier}
        if run.fetch_s or run.verify_s:
            attributes |= {"nunatak.fetch_ms": run.fetch_s * 1e3, "nunatak.verify_ms": run.verify_s * 1e3}
        name = "open machine" if opened else "wait for machine"
        found.append(_within(trace, name, bits(), began + run.asked_s, began + run.given_s, attributes))
    cost: Attributes = {
        "nunatak.engine": run.engine,
        "nunatak.restore_us": run.restore_us,
        "nunatak.guest_cpu_us": run.guest_us,
    }
    return [*found, _within(trace, "run guest", bits(), began + run.given_s, began + run.answered_s, cost)]


def _within(trace: Trace, name: str, bits: int, began: float, ended: float, attributes: Attributes) -> Span:
    span_id = b"%016x" % (bits or 1)
    return Span(name, "internal", trace.trace_id, span_id, trace.span_id, False, began, ended, attributes, False)


def span_of(fetched: Fetched) -> Span | None:
    """The span of a guest's request to an upstream; None where its trace is not recorded."""
    trace = fetched.trace
    if trace is None or not trace.sampled:
        return None
    parts = urlsplit(fetched.url)  # it has been asked for, so it is one
    attributes: dict[str, str | int | float | bool] = {
        **_method(fetched.method),
        "url.full": fetched.url,
        "server.address": parts.hostname or "",
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        "nunatak.service": fetched.service,
    }
    failed = fetched.outcome != "answered" or fetched.status >= 400
    if fetched.status:
        attributes["http.response.status_code"] = fetched.status
    if failed:
        attributes["error.type"] = str(fetched.status) if fetched.outcome == "answered" else fetched.outcome
    names = trace.trace_id, trace.span_id, trace.parent_id, False
    ended = fetched.began + fetched.duration_s
    return Span(_name(fetched.method), "client", *names, fetched.began, ended, attributes, failed)


def _name(method: str) -> str:
    return method if method in METHODS else "HTTP"


def _method(method: str) -> Mapping[str, str]:
    if method in METHODS:
        return {"http.request.method": method}
    return {"http.request.method": OTHER, **({"http.request.method_original": method} if method else {})}
