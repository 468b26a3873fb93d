"""Why a request itself cannot be taken, a client's or an operator's at the other door: a row for each reason.

What goes wrong with services is the classes of `vmimage.errors` and `edge.model.flow`; `edge.model.reasons` puts both
into one table.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Whose = Literal["client", "publisher", "guest", "origin", "operator", "edge"]


class Reason(NamedTuple):
    """Why the edge answers in place of a service."""

    status: int
    whose: Whose  # at fault
    cause: str  # what happened, a sentence
    remedy: str  # what to do about it, a sentence
    limit: str = ""  # of an image, where one was hit


def _client(status: int, cause: str, remedy: str) -> Reason:
    return Reason(status, "client", cause, remedy)


CLIENTS: Final[Mapping[str, Reason]] = {
    # Heads and bodies.
    "bad_request": _client(
        400, "The head is not HTTP, or its Host or target is malformed.", "Send a request as RFC 9112 says."
    ),
    "bad_body": _client(
        400, "The body breaks off, or its chunks are not what RFC 9112 says.", "Send the body whole, with its length."
    ),
    "method_refused": _client(405, "CONNECT and TRACE are for proxies; an edge is none.", "Use another method."),
    "client_silent": _client(
        408,
        "The request's body did not come within request_timeout, or its answer was not read for as long and cut.",
        "Send the body and read the answer without such pauses.",
    ),
    "body_too_large": _client(
        413, "The body is larger than the edge takes.", "Send less, or have the edge's operator raise max_body."
    ),
    "target_too_long": _client(
        414,
        "The request target is longer than the edge takes; X-Nunatak-Limit names the limit.",
        "Send what is long in a body.",
    ),
    "expectation_failed": _client(417, "Expect asks for more than 100-continue.", "Send the request without it."),
    "head_too_large": _client(
        431,
        "The head has more or longer fields than the edge takes; X-Nunatak-Limit names the limit.",
        "Send fewer and shorter fields; often it is cookies that have grown.",
    ),
    "unknown_coding": _client(
        501, "The body has a transfer coding other than chunked.", "Send it chunked or with its length."
    ),
    "unknown_method": _client(501, "The method is none that the edge knows.", "Use another method."),
    "unknown_version": _client(
        505, "The request is in another version of HTTP than 1.0 and 1.1.", "Send it as HTTP/1.1."
    ),
    "loop": _client(
        508,
        "The request went through this edge before.",
        "Look at the upstreams of the services it went through: one of them leads back here.",
    ),
    # WebSockets.
    "bad_handshake": _client(
        400, "A request for a WebSocket is not what RFC 6455 section 4.2 says.", "Use a library for WebSockets."
    ),
    "unknown_socket_version": _client(
        426,
        "A request for a WebSocket is in another version than 13.",
        "Use a library that speaks the version that Sec-WebSocket-Version names.",
    ),
    # Operators' pages.
    "unauthorized": _client(
        401, "Operators' pages on an address ask for the token.", "Send `Authorization: Bearer TOKEN`."
    ),
    "foreign_host": _client(403, "Host is none that operators' pages have.", "Add the name to admin_hosts."),
    "from_a_web_page": _client(
        403,
        "The request to operators' pages comes from a web page that is not their own.",
        "Open `/-/console` itself; for a Unix socket there is `nunatak console`.",
    ),
    "no_such_page": _client(404, "Operators have no such page.", "`nunatak admin --help` lists the pages."),
    "no_such_service": _client(404, "The edge has met no service of that name.", "See `nunatak admin services`."),
    "method_not_allowed": _client(405, "A page is asked for with GET, an action with POST.", "Use the other method."),
    "feeds_full": _client(
        503, "As many consoles follow the edge as may.", "Close one of them; `nunatak top` needs no such place."
    ),
    "bad_query": _client(
        400,
        "The query of an operators' page is none that it has.",
        "`nunatak top --help` and `nunatak tail --help` have the choices; docs/operators.md has the bounds.",
    ),
    "being_opened": _client(
        409,
        "The service's machine is being opened, and has been for five seconds.",
        "Give the order again; if it lasts, look at the edge's log.",
    ),
    "not_held": _client(404, "The service is not on hold.", "See `nunatak ps --only held`."),
    "not_kept": _client(
        507,
        "The disk does not take the list of services on hold; nothing has changed.",
        "Make room in the cache folder and give the order again.",
    ),
    "too_many_held": _client(
        409, "As many services are on hold as may be: 1000.", "Release some, or have them withdrawn."
    ),
    "edge_away": _client(
        502,
        "The edge that `nunatak console` shows does not answer.",
        "See whether it runs; the console finds it again.",
    ),
    "bad_purge": _client(
        400,
        "A purge names nothing, or what cannot be purged, or too much at once.",
        "See docs/how-to/purge-answers.md.",
    ),
    "purge_not_kept": _client(
        507,
        "The disk takes neither a purge nor the end of the answers that are on it: they may be served again after a"
        " restart. What is in memory is void.",
        "See that the cache folder can be written, and purge again.",
    ),
    "no_body_expected": _client(413, "This page of operators takes no body.", "Send none."),
    "not_cached": _client(
        504, "The request is only for a kept answer, and there is none.", "Ask without `only-if-cached`."
    ),
}
