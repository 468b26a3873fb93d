"""An upgrade that was offered, and what comes behind its head all the same: a body, and requests in HTTP/1.1.

llhttp through httptools gives up after the head of a request that offers an upgrade, as if the offer were taken, and
tells of no body (RFC 9110 section 7.8 lets a server ignore the offer, and then there is one). So what follows goes to a
second parser, which is given how the body ends and not the offer.

Where an offer is taken is `Connection`'s business, once 101 (Switching Protocols) is on its way: until then a client
may send nothing but HTTP/1.1.
"""

from typing import Protocol

import httptools

from edge.front.request import Request


class Events(Protocol):
    """What a parser calls."""

    def on_message_begin(self) -> None: ...
    def on_url(self, part: bytes) -> None: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, data: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


class _AfterHead:
    """Passes on all events but those of the first head, of which the receiver knows already."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._begun = False  # the first head is over
        self.on_body = events.on_body
        self.on_message_complete = events.on_message_complete

    def on_message_begin(self) -> None:
        if self._begun:
            self._events.on_message_begin()

    def on_url(self, part: bytes) -> None:
        if self._begun:
            self._events.on_url(part)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._begun:
            self._events.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._begun:
            self._events.on_headers_complete()
        self._begun = True


def parser_behind(request: Request, events: Events) -> httptools.HttpRequestParser:
    """A parser for what follows the head of a request: its body, if it has one, and then the next request."""
    if not request.has_body:
        return httptools.HttpRequestParser(events)
    parser = httptools.HttpRequestParser(_AfterHead(events))
    length = b"" if request.chunked else b"%d" % (request.content_length or 0)
    framing = b"Content-Length: %b" % length if length else b"Transfer-Encoding: chunked"
    connection = b"" if request.keep_alive else b"Connection: close\r\n"
    parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n%b\r\n" % (framing, connection))
    return parser
