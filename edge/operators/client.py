"""Asks an edge for its operators' pages: over its Unix socket, or at an address with the token."""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from edge.common import unix_socket
from edge.operators.pages import PREFIX
from vmimage.errors import OperatorError

TIMEOUT_S: Final = 60.0  # for an edge to park everything; see `supervisor.PARK_S`
TOKEN_MAX: Final = 1024  # bytes of a file with one
REFUSAL_MAX: Final = 4096  # bytes of an edge's refusal that are shown


@dataclass(frozen=True)
class Door:
    """Where operators' pages are: a Unix socket, or a URL and the token for it."""

    socket: Path | None = None
    url: str = ""  # http://HOST:PORT, or https:// where a proxy ends TLS
    token: str = ""

    @staticmethod
    def of(cache: Path | None, socket: Path | None, url: str, token: Path | None, *, option: str = "--url") -> "Door":
        """From what a command was given.

        :param option: by which this command is given `url`.
        :raises OperatorError: none of them, or too many.
        """
        if url:
            if cache or socket or not token:
                raise OperatorError(f"{option} goes with --token, and without --cache and --socket")
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or "@" in url:
                raise OperatorError(f"{option}: http://HOST:PORT expected, got {url!r}: write it so")
            return Door(url=url, token=_token(token))
        if token:
            raise OperatorError(f"--token goes with {option}: a Unix socket needs none")
        path = socket or (cache / "admin.sock" if cache else None)
        if path is None:
            raise OperatorError(f"--cache, --socket or {option} must be given")
        return Door(path)

    def __str__(self) -> str:
        return self.url or str(self.socket)

    def connect(self) -> http.client.HTTPConnection:
        """:raises OperatorError: no edge is there, or not for this user."""
        if self.socket is not None:
            connection = http.client.HTTPConnection("localhost")
            try:
                connection.sock = unix_socket.connect(self.socket, TIMEOUT_S)
            except OperatorError as error:
                raise OperatorError(
                    f"an edge expected at {error}: see whether it runs, and name its cache folder with --cache or its "
                    "admin_socket with --socket, as the user that it runs as"
                ) from None
            return connection
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)


def _why(error: Exception) -> str:
    """What a system says of an error, without its number."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _token(file: Path) -> str:
    try:
        with file.expanduser().open("rb") as opened:
            token = opened.read(TOKEN_MAX).decode("ascii").strip()
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"--token: a file with a token expected at {file}: {error}: "
            "check the path, and whether this user may read it"
        ) from None
    if not token or not token.isprintable():
        raise OperatorError(f"--token: one word expected in {file}")
    return token


def ask(
    door: Door, page: str, query: Mapping[str, str] | Sequence[tuple[str, str]] | None = None, method: str = "GET"
) -> tuple[int, bytes]:
    """Status and body of one page.

    :param page: as "services"; whatever a user typed.
    :raises OperatorError: no edge answers there.
    """
    target = PREFIX + quote(page) + (f"?{urlencode(query)}" if query else "")
    connection = door.connect()
    try:
        connection.request(method, target, headers={"Authorization": f"Bearer {door.token}"} if door.token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise OperatorError(f"{door}: an answer expected: {_why(error)}: see whether the edge still runs") from None
    finally:
        connection.close()


def ask_object(door: Door, page: str, query: dict[str, str] | None = None) -> dict[str, Any]:
    """A page that is an object in JSON.

    :raises OperatorError: no edge answers there, or not with such a page.
    """
    status, body = ask(door, page, query)
    try:
        found = json.loads(body)
        if status != 200 or not isinstance(found, dict):
            raise ValueError
    except ValueError:
        raise OperatorError(
            f"{door}: the page {page} expected, got status {status}: {body[:200]!r}: ask an edge of this version"
        ) from None
    return found


def follow(door: Door, page: str, query: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Events of a page that goes on, each with its data, until the edge ends it.

    :raises OperatorError: no edge answers there, or not with such a page.
    """
    connection = door.connect()
    try:
        headers = {"Authorization": f"Bearer {door.token}"} if door.token else {}
        connection.request("GET", f"{PREFIX}{quote(page)}?{urlencode(query)}", headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise OperatorError(f"{door}: {answer.read(REFUSAL_MAX).decode('utf-8', 'replace').rstrip()}")
        event = ""
        while line := answer.readline():
            name, _, value = line.rstrip(b"\n").partition(b": ")
            if name == b"event":
                event = value.decode()
            elif name == b"data":
                yield event, json.loads(value)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise OperatorError(f"{door}: events expected: {_why(error)}: see whether the edge still runs") from None
    finally:
        connection.close()
