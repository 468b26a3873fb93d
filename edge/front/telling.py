"""Requests that are over are told here, once each: their time is counted, and whoever logs or follows them hears of it.

While nobody listens, nothing more is made of them than that count.
"""

import time
from collections.abc import Callable
from typing import Final

from edge.common.durations import Durations
from edge.common.tasks import Tasks
from edge.front.marks import Marks
from edge.front.request import Request
from edge.model.finished import Cache, Finished, Run, result_of
from edge.model.reasons import OTHERS
from edge.model.services import Observe
from edge.model.streams import Stream
from edge.vmm.wire.streams import ENGINES

Listener = Callable[[Finished], None]

_new = tuple.__new__  # what a NamedTuple's own constructor calls, in half of its time


class Telling:
    """Who listens to one front.

    Listeners are called in the event loop, as a part of each request: they take microseconds and wait for nothing.
    """

    def __init__(self, marks: Marks, tasks: Tasks) -> None:
        self._marks, self._tasks = marks, tasks
        self.durations: Final = Durations()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have each request told that is over from now on; what is returned ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def begin(self, request: Request) -> None:
        """A request has come; one that nobody waits for is not told."""
        if not request.refreshes:
            request.began = time.monotonic()  # and no loop's time, which may stand still for a millisecond

    def asked(self, request: Request) -> None:
        """Its service is asked."""
        if request.began:
            request.asked_at = time.monotonic()

    def tell(self, request: Request, *, whole: bool = True) -> None:
        """A request is over; a no-op but for the first time.

        :param whole: all of its answer was passed on, unless that was `cut`.
        """
        began, request.began = request.began, 0.0
        stream, request.last = request.last, None  # which may have the request itself
        if not began:
            return
        try:
            whole, now = whole and not request.cut, time.monotonic()
            service, asked = request.service, stream is not None
            if stream is not None and stream.cost is None:
                stream = None  # no guest answered
            cache = _cache(request, stream)
            cut = request.cut or ("" if stream is None or whole else stream.cut_by)
            name, tier = "" if service is None else service.name, "" if stream is None else stream.tier
            result = result_of(request.status, cache, whole=whole)
            heard = self._finished(request, stream, cache, cut, began, now - began, whole) if self._listeners else None
            trace = request.trace  # if anybody knows of it
            trace_id = trace.trace_id if trace is not None and trace.sampled else b""
            self.durations.add(name, result, tier, request.status, now - began, now, trace_id)
            if service is not None and service.observe is not None and asked:
                _observe(service.observe, request, cut, answered=stream is not None)
            if heard is not None:
                for listener in tuple(self._listeners):
                    listener(heard)
        except Exception as error:  # nothing of it is the client's
            self._tasks.note("finished", error)

    def _finished(
        self,
        request: Request,
        stream: Stream | None,
        cache: Cache,
        cut: str,
        began: float,
        duration_s: float,
        whole: bool,
    ) -> Finished:
        """:param stream: by which a guest answered. :param cut: why its answer broke off."""
        sent = request.sent
        release = request.service.release if request.service is not None else None
        sender = request.sender or self._marks.sender_of(request)
        fields = (
            time.time() - duration_s,
            duration_s,
            request.id.decode(),
            self._marks.known_trace_of(request),
            sender.address.decode("latin-1"),
            request.method,
            request.host or "",
            request.target,
            request.version,
            request.status,
            whole,
            sent,
            sent - request.head_sent,
            release.service if release is not None else "",
            release.tenant if release is not None else "",
            release.version if release is not None else 0,
            stream.tier if stream is not None else "",
            cache,
            request.refused,
            request.limit,
            None if stream is None or stream.cost is None else _run(request, stream, stream.cost, began),
            request.headers,
            request.head_bytes,
            cut,
        )
        return _new(Finished, fields)  # as `Finished(*fields)`, in a third of its time


def _observe(observe: Observe, request: Request, cut: str, *, answered: bool) -> None:
    """Say what came of a request to who compares versions of its service; what is nobody's or a client's, is not said.

    :param cut: why the answer broke off. :param answered: a guest did, whatever it said.
    """
    if request.refused in OTHERS or cut in OTHERS:
        return
    address = request.sender.address if request.sender is not None else b""
    if answered:
        timed = not request.has_body and request.answered_at >= request.asked_at > 0
        ms = (request.answered_at - request.asked_at) * 1e3 if timed else None
        observe(request.status >= 500 or bool(cut), ms, address)
    elif request.status >= 500:
        observe(True, None, address)


def _cache(request: Request, stream: Stream | None) -> Cache:
    if request.cache or stream is None or request.refused:
        return request.cache
    return "bypass" if request.forward in ("bypass", "method") else "miss"


def _run(request: Request, stream: Stream, cost: tuple[int, int, int], began: float) -> Run:
    restore_us, guest_us, engine = cost
    load, asked = stream.load, request.asked_at
    times = asked - began, (stream.given_at or asked) - began, request.answered_at - began
    loaded = (0.0, 0.0) if load is None else (load.fetch_s, load.verify_s)
    return _new(Run, (ENGINES[engine], *times, *loaded, restore_us, guest_us))
