"""Requests that are over are told here, once each: to whoever counts, logs or follows them.

While nobody listens, nothing is made of them.
"""

import time
from collections.abc import Callable

from edge.common.tasks import Tasks
from edge.front.marks import Marks
from edge.front.request import Request
from edge.model.finished import Cache, Finished, Run
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
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have each request told from now on, those under way excepted; what is returned ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def begin(self, request: Request) -> None:
        """A request has come; one that nobody waits for is not told."""
        if self._listeners and not request.refreshes:
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
        if not began or not self._listeners:
            return
        try:
            finished = self._finished(request, stream, began, whole and not request.cut)
            for listener in list(self._listeners):
                listener(finished)
        except Exception as error:  # nothing of it is the client's
            self._tasks.note("finished", error)

    def _finished(self, request: Request, stream: Stream | None, began: float, whole: bool) -> Finished:
        duration_s = time.monotonic() - began
        release = request.service.release if request.service is not None else None
        answered = stream is not None and stream.cost is not None
        fields = (
            time.time() - duration_s,
            duration_s,
            request.id.decode(),
            self._marks.known_trace_of(request),
            self._marks.sender_of(request).address.decode("latin-1"),
            request.method,
            request.host or "",
            request.target,
            request.version,
            request.status,
            whole,
            request.sent,
            request.sent - request.head_sent,
            release.service if release is not None else "",
            release.tenant if release is not None else "",
            release.version if release is not None else 0,
            stream.tier if stream is not None and answered else "",
            _cache(request, answered=answered),
            request.refused,
            request.limit,
            None if stream is None or stream.cost is None else _run(request, stream, stream.cost, began),
        )
        return _new(Finished, fields)  # as `Finished(*fields)`, in a third of its time


def _cache(request: Request, *, answered: bool) -> Cache:
    if request.cache or not answered or request.refused:
        return request.cache
    return "bypass" if request.forward in ("bypass", "method") else "miss"


def _run(request: Request, stream: Stream, cost: tuple[int, int, int], began: float) -> Run:
    restore_us, guest_us, engine = cost
    load, asked = stream.load, request.asked_at
    times = asked - began, (stream.given_at or asked) - began, request.answered_at - began
    loaded = (0.0, 0.0) if load is None else (load.fetch_s, load.verify_s)
    return _new(Run, (ENGINES[engine], *times, *loaded, restore_us, guest_us))
