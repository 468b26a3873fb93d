"""Requests that are over are told here, once each: to whoever counts, logs or follows them.

While nobody listens, nothing is made of them.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from edge.common.tasks import Tasks
from edge.front.marks import Marks
from edge.front.request import Request
from edge.model.finished import Cache, Finished, Run
from edge.model.streams import Stream
from edge.vmm.wire.streams import ENGINES

Listener = Callable[[Finished], None]


class Telling:
    """Who listens to one front.

    Listeners are called in the event loop, as a part of each request: they take microseconds and wait for nothing.
    """

    def __init__(self, marks: Marks, tasks: Tasks) -> None:
        self._marks, self._tasks = marks, tasks
        self._listeners: list[Listener] = []
        self._loop: Final = asyncio.get_running_loop()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have each request told from now on, those under way excepted; what is returned ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def begin(self, request: Request) -> None:
        """A request has come; one that nobody waits for is not told."""
        if self._listeners and not request.refreshes:
            request.began = self._loop.time()

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
        duration_s = self._loop.time() - began
        service, head = request.service, request.head_sent
        answered = stream is not None and stream.answered_at > 0
        return Finished(
            began=time.time() - duration_s,
            duration_s=duration_s,
            id=request.id.decode(),
            trace=self._marks.known_trace_of(request),
            client=self._marks.sender_of(request).address.decode("latin-1"),
            method=request.method,
            host=request.host or "",
            target=request.target,
            version=request.version,
            status=request.status,
            whole=whole,
            sent_bytes=request.sent,
            body_bytes=request.sent - head,
            service=service.name if service is not None else "",
            tenant=service.tenant if service is not None else "",
            release=service.release.version if service is not None else 0,
            tier=stream.tier if stream is not None and answered else "",
            cache=_cache(request, answered=answered),
            error=request.refused,
            limit=request.limit,
            run=_run(stream, began) if stream is not None and answered else None,
        )


def _cache(request: Request, *, answered: bool) -> Cache:
    if request.cache or not answered or request.refused:
        return request.cache
    return "bypass" if request.forward in ("bypass", "method") else "miss"


def _run(stream: Stream, began: float) -> Run:
    restore_us, guest_us, engine = stream.cost
    load, asked = stream.load, stream.began
    return Run(
        ENGINES[engine],
        asked - began,
        (stream.given_at or asked) - began,
        stream.answered_at - began,
        load.fetch_s if load is not None else 0.0,
        load.verify_s if load is not None else 0.0,
        restore_us,
        guest_us,
    )
