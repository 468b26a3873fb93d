"""A small HTTP client that measures: one request at a time on one kept connection.

Blocking on purpose: the time to the first byte is taken where it arrives, not where a loop gets to it.
"""

import http.client
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

TIMEOUT_S: Final = 30.0  # far above every limit of an edge: whoever waits this long has found a bug

_METRIC = re.compile(r"([\w-]+)\s*;\s*dur=([0-9.]+)")
_DETAIL = re.compile(r"detail=\"?([\w-]+)")


@dataclass(frozen=True)
class Answer:
    """One response; header names are lower case, times in milliseconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    first_byte_ms: float
    total_ms: float

    @property
    def timing_ms(self) -> dict[str, float]:
        """The Server-Timing header's metrics by name."""
        return {name: float(value) for name, value in _METRIC.findall(self.headers.get("server-timing", ""))}

    @property
    def tier(self) -> str:
        """Which tier of the edge a guest answered from, by the Cache-Status header; empty when it does not say."""
        found = None if self.error else _DETAIL.search(self.headers.get("cache-status", ""))
        return found.group(1) if found else ""

    @property
    def error(self) -> str:
        """The edge's name for what went wrong; empty when nothing did."""
        return self.headers.get("x-nunatak-error", "")


class Client:
    """A kept connection to one server; opened when first used and again after the server has closed it."""

    def __init__(self, url: str) -> None:
        """:param url: http://HOST:PORT, or unix:PATH for a server on a Unix socket."""
        if url.startswith("unix:"):
            self._connection: http.client.HTTPConnection = _UnixConnection(url.removeprefix("unix:"))
            return
        parts = urlsplit(url)
        if parts.hostname is None:
            raise ValueError(f"URL with a host expected, got {url!r}")
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def get(self, path: str, *, host: str | None = None) -> Answer:
        """GET `path`, as `host` when given."""
        return self.request("GET", path, host=host)

    def request(
        self,
        method: str,
        path: str,
        *,
        host: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and read its whole response.

        :raises OSError: no connection, or it broke.
        :raises http.client.HTTPException: what came is not HTTP.
        """
        fields = dict(headers or {})
        if host is not None:
            fields["Host"] = host
        if self._connection.sock is None:  # connecting is no part of what is measured
            self._connection.connect()
        try:
            start = time.perf_counter()
            self._connection.request(method, path, body, fields)
            self._connection.sock.recv(1, socket.MSG_PEEK)
            first_byte = time.perf_counter()
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        return Answer(
            status=response.status,
            headers={name.lower(): value for name, value in response.getheaders()},
            body=content,
            first_byte_ms=(first_byte - start) * 1e3,
            total_ms=(time.perf_counter() - start) * 1e3,
        )


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Through a descriptor of its folder: the kernel takes 107 octets of path, and folders of tests lie deep."""
        folder, name = os.path.split(self._path)
        descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(TIMEOUT_S)
            connection.connect(f"/proc/self/fd/{descriptor}/{name}")
        except OSError:
            connection.close()
            raise
        finally:
            os.close(descriptor)
        self.sock = connection


def fetch(url: str) -> Answer:
    """GET one absolute URL on a connection of its own."""
    parts = urlsplit(url)
    with Client(url) as client:
        return client.get((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
