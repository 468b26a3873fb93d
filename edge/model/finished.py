"""A request that is over, as those see it who count, log and follow requests. A value; the front makes it.

It is told once for each request of a client, whatever came of it: an answer of a guest, one that was kept, the edge's
own, or none because the client left. What an edge asks itself to make a stale answer new is not told.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from edge.model.flow import Tier
from edge.model.tracing import Trace

# What kept answers had to do with it; see docs/how-to/purge-answers.md.
Cache = Literal[
    "",  # nothing: the edge answered itself, or nobody did
    "hit",  # a fresh one was served
    "stale",  # a stale one was served, which is made anew behind the client's back
    "collapsed",  # it waited for another request's answer, and was served that
    "revalidated",  # a guest said that a stale one still holds
    "stood_in",  # a stale one was served in place of a guest that failed
    "miss",  # a guest answered, since there was none that could be served
    "bypass",  # a guest answered; for such a request none is looked for
]
CLIENT_GONE: Final = 0  # in place of a status


OWN: Final = "edge"
CUT: Final = "cut"
GONE: Final = "gone"
# What came of a request, in one word.
RESULTS: Final[Mapping[str, str]] = {
    "hit": "A kept answer that is fresh.",
    "stale": "A kept answer that is stale, and is made anew behind the client's back.",
    "collapsed": "The answer of another request's guest, for which it waited.",
    "revalidated": "A kept answer that was stale, and of which its guest said that it still holds.",
    "stood_in": "A kept answer that was stale, in place of a guest that failed.",
    "miss": "A guest; no kept answer could be served.",
    "bypass": "A guest; for such a request no kept answer is looked for.",
    OWN: "The edge itself, by an error mostly.",
    CUT: "An answer that had begun and was not passed on to its end.",
    GONE: "Nobody: the client left before an answer began.",
}


class Run(NamedTuple):
    """A guest's part in an answer. Seconds are those since the request began."""

    engine: str  # a name of `streams.ENGINES`
    asked_s: float  # when its service was asked: it waits for a machine from here on
    given_s: float  # when a machine was given it
    answered_s: float  # when the head of the answer was here
    fetch_s: float  # how long getting its image took; 0 where it was here
    verify_s: float  # how long verifying it took
    restore_us: int  # that bringing the machine up took, for its first answer
    guest_us: int  # CPU time of the guest since its last answer


class Finished(NamedTuple):
    """A request that is over. Text is as the client sent it, within the bounds of `front.heads`: to be escaped."""

    began: float  # seconds since 1970, when its turn on its connection had come and its head was here
    duration_s: float  # from then to the last byte of its answer handed to the kernel, or its client's leaving
    id: str  # its X-Request-Id; [0-9A-Za-z._-], 64 characters at most
    trace: Trace | None  # its place in a trace; None where neither it nor anybody else asked for one
    client: str  # its address as services see it, behind proxies that are trusted
    method: str  # empty for what is no request
    host: str  # by which it was routed; empty where it named none
    target: str  # as in its request line; where a program sent it elsewhere, that
    version: tuple[int, int]  # of HTTP
    status: int  # of the answer; CLIENT_GONE where none had begun
    whole: bool  # all of the answer was passed on; else it was cut, or its client left
    sent_bytes: int  # to the client, head and body with its framing
    body_bytes: int  # of these, the body with its framing
    service: str  # its name; empty where no service was found
    tenant: str  # whose it is
    release: int  # its version number in the catalogue; 0 for none
    tier: Tier | Literal[""]  # where the machine came from that answered; empty where none did
    cache: Cache
    error: str  # a key of `reasons.REASONS` where the edge answered itself; empty for none
    limit: str  # that was hit then, as X-Nunatak-Limit has it
    run: Run | None  # of the guest that answered; None where none did
    fields: Sequence[tuple[bytes, bytes]] = ()  # of its head
    head_bytes: int = 0  # of memory that the head takes
    cut: str = ""  # why the edge broke the answer off: a key of `reasons.REASONS`; empty where it did not

    def field(self, name: bytes) -> str:
        """The first value of a field; empty when it is not there.

        :param name: in lower case.
        """
        size = len(name)
        for field, value in self.fields:
            if len(field) == size and field.lower() == name:
                return value.decode("utf-8", "backslashreplace")
        return ""


class Fetched(NamedTuple):
    """A request of a guest to an upstream that is over."""

    began: float  # seconds since 1970
    duration_s: float
    trace: Trace | None  # its own span, in the request that it was sent for or in whatever its guest names
    service: str
    method: str
    url: str  # without query and fragment, which may hold secrets
    status: int  # of the upstream's answer; 0 where there was none
    outcome: str  # as `upstream_requests` is counted by


def result_of(status: int, cache: Cache, *, whole: bool) -> str:
    """What came of a request, in one word."""
    if status == CLIENT_GONE:
        return GONE
    return (cache or OWN) if whole else CUT
