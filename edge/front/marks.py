"""What a request is known by: its identifier, who it is from, and its place in a trace.

An identifier, and the word that a trace is to be recorded, are taken from proxies that the operator trusts
(`trusted_proxies`), and from nobody else; a trace is gone on with whoever names it, since that is all a client gets by
it. What a request does not bring is made: the identifier at once, the trace when somebody needs it.
"""

import os
import re
from itertools import count
from random import Random
from typing import Final

from edge.config.options import EdgeConfig
from edge.front.request import Request
from edge.front.senders import Sender, Senders
from edge.model import tracing
from edge.model.flow import ClientError
from edge.model.tracing import Trace

ID_MAX: Final = 64  # characters of an identifier

_ID: Final = re.compile(rb"[0-9A-Za-z._-]{1,%d}" % ID_MAX)


class Marks:
    """Those of all requests of one front."""

    def __init__(self, config: EdgeConfig) -> None:
        self._prefix, self._half = os.urandom(6).hex().encode(), os.urandom(8).hex().encode()
        self._ids = count(1)
        self._bits: Final = Random(os.urandom(32)).getrandbits  # names, not secrets
        self.reconfigure(config)

    def reconfigure(self, config: EdgeConfig) -> None:
        """Go by other options from the next request on."""
        self.senders = Senders(config.proxy_networks, unix=config.trusts_unix)
        # What is added to Via of a request in HTTP/1.0 and HTTP/1.1.
        self.via = tuple(f"1.{minor} {config.via}".encode() if config.via else b"" for minor in (0, 1))
        self._recorded = bool(config.traces)  # somebody takes what is sampled
        self._bound = round(config.trace_ratio * tracing.ALL) if config.traces else 0

    def id_of(self, request: Request) -> bytes:
        """A name for one request: a peer's or a proxy's, or a new one, unique among edges."""
        if request.id:
            return request.id  # see `adopt`
        said = request.said_id
        if said and _ID.fullmatch(said) and self._believes(request):
            return said
        return b"%b-%x" % (self._prefix, next(self._ids))

    def sender_of(self, request: Request) -> Sender:
        """Who a request is from."""
        if request.sender is None:
            reached = request.connection.reached
            try:
                request.sender = self.senders.of(request.remote, request.headers, reached)
            except ClientError:  # for which it is refused
                request.sender = self.senders.of(request.remote, (), reached)
        return request.sender

    def adopt(self, request: Request, id: bytes) -> None:
        """Let a request keep the name and the trace that another edge of the POP has given it."""
        request.id = id
        parent = tracing.parent_of(request.said_parent) if request.said_parent else None
        if parent is not None:
            states = [value for name, value in request.headers if name.lower() == b"tracestate"]
            state = tracing.state_of(states)
            request.trace = tracing.continued(parent, state, self._bits(64), self._bound, trusted=True)

    def _believes(self, request: Request) -> bool:
        return self.senders.believes(request.remote, request.connection.reached)

    def trace_of(self, request: Request) -> Trace:
        """A request's place in a trace, which begins with it if it names none."""
        trace = request.trace
        if trace is None:
            trace = request.trace = self._trace(request)
        return trace

    def known_trace_of(self, request: Request) -> Trace | None:
        """The same, where anybody else knows of it, or is to; else None."""
        return self.trace_of(request) if request.said_parent or self._recorded else request.trace

    def _trace(self, request: Request) -> Trace:
        parent = tracing.parent_of(request.said_parent) if request.said_parent else None
        if parent is None:
            return tracing.begun(self._half, self._bits(64), self._bound)
        states = [value for name, value in request.headers if name.lower() == b"tracestate"]
        trusted = self._believes(request)
        return tracing.continued(parent, tracing.state_of(states), self._bits(64), self._bound, trusted=trusted)

    def variables(self, request: Request) -> bytes:
        """What a guest is told of the trace: whole names and values, each ended by NUL."""
        trace = request.trace
        if trace is None:
            named = request.said_parent
            trace = self._trace(request) if named else tracing.begun(self._half, self._bits(64), self._bound)
            request.trace = trace
        said, _, state = trace
        if state:
            return b"HTTP_TRACEPARENT\0%b\0HTTP_TRACESTATE\0%b\0" % (said, state)
        return b"HTTP_TRACEPARENT\0%b\0" % said
