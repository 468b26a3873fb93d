"""Requests of one service as they end, for operators who follow them: those that were answered without a guest too.

While nobody follows, no request costs anything. Each that somebody might follow costs a look at what is wanted; it is
described when it is sent, so who does not read costs the edge no more than what waits.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from edge.common.following import Follower
from edge.front.heads import METHODS, REFUSED_METHODS
from edge.front.telling import Telling
from edge.model.finished import CLIENT_GONE, Finished
from edge.model.flow import ClientError
from vmimage.manifest import is_name

TEXT_MAX: Final = 500  # characters of a target or host: with `WAITING_MAX`, half a megabyte for one who does not read
QUERY_MAX: Final = 1024  # characters of a query, and so of what is decoded
CHOICES_MAX: Final = 16  # statuses, and methods
GONE: Final = "gone"  # in place of a status: the client left before there was one

_STATUS: Final = re.compile(r"([1-5])xx|([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")  # RFC 9110 section 15
_METHODS: Final = METHODS - REFUSED_METHODS  # what any other request is refused with belongs to no service


class Wanted(NamedTuple):
    """What is followed."""

    service: str
    statuses: tuple[tuple[int, int], ...] = ()  # ranges, both ends in it; all
    methods: frozenset[str] = frozenset()  # all
    client: bool = False  # clients' addresses are told too

    @staticmethod
    def parse(query: str) -> "Wanted":
        """A query as it stands in a URL: `service`, `status` (404, 5xx, 400-499, gone), `method`, and `client=1`.

        :raises ClientError: no such query.
        """
        try:
            if len(query) > QUERY_MAX:
                raise ValueError
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=4)
            given = dict(pairs)
            if len(given) != len(pairs) or not given.keys() <= {"service", "status", "method", "client"}:
                raise ValueError
            service, client = given["service"], given.get("client", "0")
            if not is_name(service) or client not in ("0", "1"):
                raise ValueError
            wanted = methods(given.get("method", ""))
            return Wanted(service, statuses(given.get("status", "")), wanted, client == "1")
        except (ValueError, KeyError):
            raise ClientError("bad_query") from None

    def wants(self, finished: Finished) -> bool:
        """Whether a request of the service is one of those."""
        if self.methods and finished.method not in self.methods:
            return False
        return not self.statuses or any(low <= finished.status <= high for low, high in self.statuses)


def statuses(text: str) -> tuple[tuple[int, int], ...]:
    """Ranges of statuses as people write them, both ends in them; none for all.

    :raises ValueError: one that no answer has, told in words.
    """
    return tuple(map(_range, _choices(text)))


def methods(text: str) -> frozenset[str]:
    """Methods as people write them; none for all.

    :raises ValueError: one that no service is asked with, told in words.
    """
    choices = frozenset(_choices(text))
    if unknown := sorted(choices - _METHODS):
        raise ValueError(f"methods that services are asked with, in capitals, expected, got {unknown[0]!r}")
    return choices


def _choices(text: str) -> list[str]:
    choices = [choice.strip() for choice in text.split(",")] if text else []
    if len(choices) > CHOICES_MAX:
        raise ValueError(f"at most {CHOICES_MAX} expected, got {len(choices)}")
    return choices


def _range(text: str) -> tuple[int, int]:
    if text == GONE:
        return CLIENT_GONE, CLIENT_GONE
    match = _STATUS.fullmatch(text)
    hundred, low, high = match.groups() if match is not None else (None, None, None)
    if hundred:
        return int(hundred) * 100, int(hundred) * 100 + 99
    if low is None or int(high or low) < int(low):
        raise ValueError(f"404, 5xx, 400-499 (100 to 599, the lower first) or {GONE} expected, got {text!r}")
    return int(low), int(high or low)


class Requests:
    """Who follows requests on one edge."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._stop: Callable[[], None] | None = None  # listening, while somebody follows
        self._followers: dict[str, list[tuple[Wanted, Follower[Finished]]]] = {}  # by service

    @contextmanager
    def follow(self, wanted: Wanted) -> Iterator[Follower[Finished]]:
        """Follow the requests of a service, whether it exists or not, from the next on."""
        entry = wanted, Follower[Finished]()
        self._followers.setdefault(wanted.service, []).append(entry)
        if self._stop is None:
            self._stop = self._telling.listen(self._hear)
        try:
            yield entry[1]
        finally:
            entries = self._followers[wanted.service]
            entries.remove(entry)
            if not entries:
                del self._followers[wanted.service]
            if not self._followers and self._stop is not None:
                self._stop()
                self._stop = None

    def _hear(self, finished: Finished) -> None:
        for wanted, follower in self._followers.get(finished.service, ()):
            if wanted.wants(finished):
                follower.add([_bounded(finished)])


def _bounded(finished: Finished) -> Finished:
    """Without the head that it came with, of which nothing is told but these."""
    target, host = finished.target[:TEXT_MAX], finished.host[:TEXT_MAX]
    return finished._replace(target=target, host=host, fields=(), head_bytes=0)


def described(finished: Finished, *, client: bool) -> dict[str, Any]:
    """A request for those who read JSON. Times are in milliseconds; None stands for what there is not."""
    run = finished.run
    fields = {
        "time": datetime.fromtimestamp(finished.began, UTC).isoformat(timespec="milliseconds"),
        "service": finished.service,
        "release": finished.release,
        "id": finished.id,
        "trace_id": None if finished.trace is None else finished.trace.trace_id.decode(),
        "method": finished.method,
        "host": finished.host,
        "target": finished.target,
        "version": "{}.{}".format(*finished.version),
        "status": finished.status,
        "whole": finished.whole,
        "ms": round(finished.duration_s * 1e3, 3),
        "sent_bytes": finished.sent_bytes,
        "body_bytes": finished.body_bytes,
        "tier": finished.tier or None,
        "cache": finished.cache or None,
        "error": finished.error or None,
        "limit": finished.limit or None,
        "engine": None if run is None else run.engine,
        "waited_ms": None if run is None else round((run.given_s - run.asked_s) * 1e3, 3),
        "restore_ms": None if run is None else run.restore_us / 1e3,
        "guest_ms": None if run is None else run.guest_us / 1e3,
    }
    return {**fields, "client": finished.client} if client else fields
