"""What is kept of an answer, for how long, under which tags; or why it is not kept. Pure.

An answer is kept where it says so itself: in `Nunatak-Cache-Control`, else `CDN-Cache-Control` (RFC 9213), else
`Cache-Control` and `Expires` (RFC 9111). `REFUSALS` are the reasons against, in the order in which they are asked;
Cache-Status names the first that holds. How long a kept answer serves is `reuse`'s business.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urljoin

from edge.cache import fields
from edge.cache.asked import Asked
from edge.cache.fields import Directives

TARGETS: Final = (b"nunatak-cache-control", b"cdn-cache-control")  # the first that is there and well-formed counts
VARY_MAX: Final = 8  # fields that one answer may depend on
FIELD_MAX: Final = 4096  # bytes of a field that speaks to caches, all its lines; who writes more is not understood
HEURISTIC_SHARE: Final = 10  # part of the time since Last-Modified that RFC 9111 section 4.2.2 takes for its example
HEURISTIC_MAX_S: Final = 86400
# Final statuses whose meaning for caches is that of RFC 9110, for `must-understand` (RFC 9111 section 5.2.2.3).
UNDERSTOOD: Final = frozenset(
    {200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 414, 421, 451}
    | {500, 501, 502, 503, 504}
)
HEURISTIC_STATUS: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})  # RFC 9110 section 15.1
PARTIAL: Final = 206
# Fields that a guest has from the edge, whatever the client wrote there: who the client is, and which request it is. To
# tell answers apart by what clients wrote would serve one client's to all others.
OF_ONE_CLIENT: Final = frozenset(b"x-forwarded-for x-real-ip forwarded x-request-id traceparent tracestate".split())
_OURS: Final = frozenset({b"age", b"cache-tag", b"surrogate-key", b"nunatak-cache-control"})

# What is read of an answer.
SPEAKING: Final = frozenset(
    b"cache-control cdn-cache-control nunatak-cache-control expires date age vary etag last-modified set-cookie"
    b" cache-groups cache-tag surrogate-key".split()
)

Fields = Sequence[tuple[bytes, bytes]]  # names in lower case, and values


class Kept(NamedTuple):
    """How an answer is kept. Times are seconds, those of serving stale behind the end of its freshness."""

    age_s: int  # when it came
    lifetime_s: int
    while_revalidate_s: int
    if_error_s: int
    validates_always: bool  # `no-cache`: it answers only after its guest has said that it still holds
    vary: tuple[bytes, ...]
    tags: tuple[str, ...]
    entity_tag: str
    last_modified: str
    left_out: frozenset[bytes]  # its fields that are not kept, beside those that are the edge's

    def of_part(self) -> "Kept":
        """For an answer with a part only: it depends on which part was asked for."""
        return self._replace(vary=(*self.vary, b"range"))


class Answer(NamedTuple):
    """An answer that came, as far as decisions need it."""

    status: int
    fields: Fields
    authorized: bool  # the request showed credentials
    no_store: bool  # the request asks that nothing be kept of it
    now: int  # seconds since 1970
    wish: "Wish"
    part: bool = False  # the request asks for a part: an answer with one is kept for who asks for the same
    posted: bool = False  # the request is a POST: what it says is explicit, or nothing (RFC 9110 section 9.3.3)

    @classmethod
    def to(cls, asked: Asked, status: int, said: Fields, now: int, wish: "Wish") -> "Answer":
        """To a request."""
        directives = fields.cache_control(asked.text(b"cache-control")) if b"cache-control" in asked.fields else ()
        authorized, posted = b"authorization" in asked.fields, asked.method == "POST"
        return cls(status, said, authorized, "no-store" in directives, now, wish, asked.wants_part, posted)


class Wish(NamedTuple):
    """What the operator wants where answers do not say it."""

    heuristics: bool = False  # freshness may be guessed
    if_error_s: int = 0  # for how long stale ones may stand in for a guest that fails


class _Said(NamedTuple):
    """What an answer says to caches, read once."""

    answer: Answer
    is_targeted: bool
    directives: Directives
    by_name: Mapping[bytes, list[str]]

    def first(self, name: bytes) -> str:
        values = self.by_name.get(name)
        return values[0] if values else ""

    def all(self, name: bytes) -> str:
        return ", ".join(self.by_name.get(name, ()))

    @property
    def public(self) -> bool:
        return "public" in self.directives

    @property
    def understood(self) -> bool:
        return "must-understand" in self.directives and self.answer.status in UNDERSTOOD

    @property
    def listed(self) -> frozenset[bytes]:
        """Fields that are not to be kept though the rest may be."""
        return fields.names(self.directives.get("private")) | fields.names(self.directives.get("no-cache"))


def _is_private(said: _Said) -> bool:
    return "private" in said.directives and not fields.names(said.directives["private"])


def _has_cookies(said: _Said) -> bool:
    """RFC 9111 section 7.3 lets a cache keep them; who did not say `public` did rarely mean that for all visitors."""
    return b"set-cookie" in said.by_name and not said.public and b"set-cookie" not in said.listed


def _is_authorized(said: _Said) -> bool:
    return said.answer.authorized and not said.directives.keys() & {"public", "must-revalidate", "s-maxage"}


# Why an answer is not kept (RFC 9111 section 3), in the order asked.
REFUSALS: Final[Sequence[tuple[str, str, Callable[[_Said], bool]]]] = (
    ("unsaid", "it says nothing of how long it holds", lambda said: _lifetime_s(said) is None),
    ("status", "it is an answer to a condition, or a part where not the same part was asked for alone",
     lambda said: said.answer.status in (304, 412, 416) or (said.answer.status == PARTIAL and not said.answer.part)),
    ("no-store", "it says `no-store`", lambda said: "no-store" in said.directives and not said.understood),
    ("request-no-store", "the request says `no-store`", lambda said: said.answer.no_store),
    ("private", "it says `private`", _is_private),
    ("not-understood", "it says `must-understand` with a status of which nothing is known",
     lambda said: "must-understand" in said.directives and said.answer.status not in UNDERSTOOD),
    ("authorization", "the request has Authorization, and it does not say `public`, `s-maxage` or `must-revalidate`",
     _is_authorized),
    ("set-cookie", "it sets a cookie and does not say `public`", _has_cookies),
    ("vary", f"it depends on anything (`*`), or on more than {VARY_MAX} fields",
     lambda said: b"*" in _vary(said) or len(_vary(said)) > VARY_MAX),
    ("vary-client", "it depends on a field that the edge itself writes, another for each client or request",
     lambda said: not OF_ONE_CLIENT.isdisjoint(_vary(said))),
)  # fmt: skip
_UNSAID: Final = REFUSALS[0][0]
# Those that hold whatever the request says, but for its Cache-Control: with none of the others before them that does.
_OF_THE_ANSWER: Final = frozenset({_UNSAID, "status", "no-store", "private", "not-understood"})
_REMEMBERED_FIELDS: Final = 4  # of an answer, and bytes of each: 1,024 answers are then remembered in some 2 MiB
_REMEMBERED_BYTES: Final = 256
USELESS: Final = "expired"  # the last reason: it came stale, cannot be validated, and may not be served stale
TOO_LONG: Final = "field-too-long"  # a field that speaks to caches has more than FIELD_MAX bytes in its lines


@lru_cache(maxsize=1024)
def _refused(status: int, said: tuple[tuple[bytes, bytes], ...], wish: Wish) -> str:
    why = storing(Answer(status, said, authorized=False, no_store=False, now=0, wish=wish, part=True))
    return why if isinstance(why, str) and why in _OF_THE_ANSWER else ""


def _refused_to_all(status: int, said: Fields, wish: Wish) -> str:
    """Why an answer is not kept, whoever asks without Cache-Control; "" where that depends or is not looked up."""
    if not said:
        return _UNSAID
    if len(said) > _REMEMBERED_FIELDS or status == PARTIAL:  # whether a part is kept depends on what was asked for
        return ""
    for _, value in said:
        if len(value) > _REMEMBERED_BYTES:
            return ""
    return _refused(status, tuple(said), wish)


def storing_to(asked: Asked, status: int, said: Fields, now: int, wish: Wish) -> Kept | str:
    """How the answer to a request is kept, or the name of the reason why not.

    Most guests say the same of all their pages: a reason that does not depend on the request is remembered.

    :param now: seconds since 1970.
    """
    if b"cache-control" not in asked.fields and (reason := _refused_to_all(status, said, wish)):
        return reason
    return storing(Answer.to(asked, status, said, now, wish))


def storing(answer: Answer) -> Kept | str:
    """How an answer to GET is kept, or the name of the reason why not."""
    said = _read(answer)
    if said is None:
        return TOO_LONG
    for reason, _, holds in REFUSALS:
        if holds(said):
            return reason
    kept = _kept(said)
    serves = kept.lifetime_s > kept.age_s and not kept.validates_always
    stale = kept.while_revalidate_s or kept.if_error_s
    return kept if serves or stale or kept.entity_tag or kept.last_modified else USELESS


def _read(answer: Answer) -> _Said | None:
    by_name: dict[bytes, list[str]] = {}
    for name, value in answer.fields:
        if name in SPEAKING:
            by_name.setdefault(name, []).append(value.decode("latin-1"))
    if any(sum(map(len, lines)) > FIELD_MAX for name, lines in by_name.items() if name != b"set-cookie"):
        return None
    for target in TARGETS:
        if target in by_name:
            directives = fields.targeted(", ".join(by_name[target]))
            if directives is not None:
                return _Said(answer, True, directives, by_name)
    said = _Said(answer, False, {}, by_name)
    return said._replace(directives=fields.cache_control(said.all(b"cache-control")))


def _lifetime_s(said: _Said) -> int | None:
    """For how long an answer is fresh (RFC 9111 section 4.2.1); None where it does not say."""
    for name in ("s-maxage", "max-age"):
        found = fields.seconds(said.directives, name)
        if found is not None:
            return found
    if said.is_targeted:  # it speaks instead of all others (RFC 9213 section 2.1)
        return 0
    if b"expires" in said.by_name:
        expires = [fields.date(value) for value in said.by_name[b"expires"]]
        if len(expires) != 1 or expires[0] is None:
            return 0
        return max(0, expires[0] - _date(said))
    modified = fields.date(said.first(b"last-modified"))
    if (
        modified is not None
        and not said.answer.posted
        and (said.public or (said.answer.wish.heuristics and said.answer.status in HEURISTIC_STATUS))
    ):
        return min(HEURISTIC_MAX_S, max(0, _date(said) - modified) // HEURISTIC_SHARE)
    return 0 if said.directives.keys() & {"no-cache", "no-store", "private", "stale-while-revalidate"} else None


def _date(said: _Said) -> int:
    found = fields.date(said.first(b"date"))
    return said.answer.now if found is None else found


def _if_error_s(said: _Said, *, is_fresh: bool) -> int:
    """For how long it may stand in; where it does not say so, what the operator wants of what came fresh."""
    found = fields.seconds(said.directives, "stale-if-error")
    if found is None:
        return said.answer.wish.if_error_s if is_fresh else 0
    return found


def _vary(said: _Said) -> tuple[bytes, ...]:
    return fields.vary(said.by_name.get(b"vary", ()))


def _kept(said: _Said) -> Kept:
    directives = said.directives
    always = "no-cache" in directives and not fields.names(directives["no-cache"])
    # RFC 9111 section 4.2.4: neither of these may be served stale without a word of the guest.
    strict = always or bool(directives.keys() & {"must-revalidate", "proxy-revalidate", "s-maxage"})
    age_s = max(fields.age(said.first(b"age")), said.answer.now - _date(said), 0)
    lifetime_s = _lifetime_s(said) or 0
    return Kept(
        age_s,
        lifetime_s,
        0 if strict else fields.seconds(directives, "stale-while-revalidate") or 0,
        0 if strict else _if_error_s(said, is_fresh=age_s < lifetime_s),
        always,
        _vary(said),
        fields.tags(
            said.all(b"cache-groups"), said.all(b"cache-tag"), " ".join(said.by_name.get(b"surrogate-key", ()))
        ),
        said.first(b"etag"),
        said.first(b"last-modified"),
        said.listed | _OURS,
    )


def answers_get(status: int, asked: Asked, said: Fields) -> bool:
    """Whether the answer to a POST says that it is what a GET of the same URL would get (RFC 9110 sections 8.7, 9.3.3).

    It then has to say how long it holds, as any other, before it is kept.
    """
    places = [value.decode("latin-1") for name, value in said if name == b"content-location"]
    if status != 200 or len(places) != 1 or len(places[0]) > FIELD_MAX:
        return False
    _, _, authority, target, _ = asked.key
    try:
        return any(
            urljoin(own, places[0]) == own for own in (f"http://{authority}{target}", f"https://{authority}{target}")
        )
    except ValueError:
        return False
