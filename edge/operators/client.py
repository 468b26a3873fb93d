"""Asks an edge on this machine for its operators' pages, over its Unix socket."""

import http.client
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from edge.common import unix_socket
from edge.operators.pages import PREFIX
from vmimage.errors import OperatorError

TIMEOUT_S: Final = 60.0  # for an edge to park everything; see `supervisor.PARK_S`


def ask(
    socket: Path, page: str, query: Mapping[str, str] | Sequence[tuple[str, str]] | None = None, method: str = "GET"
) -> tuple[int, bytes]:
    """Status and body of one page.

    :param page: as "services"; whatever a user typed.
    :raises OperatorError: no edge answers there.
    """
    target = PREFIX + quote(page) + (f"?{urlencode(query)}" if query else "")
    connection = http.client.HTTPConnection("localhost")
    connection.sock = unix_socket.connect(socket, TIMEOUT_S)
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise OperatorError(f"{socket}: an answer expected: {error}: see whether the edge still runs") from None
    finally:
        connection.close()


def ask_list(socket: Path, page: str) -> list[dict[str, Any]]:
    """The entries of a page that is a list, as services or workers.

    :raises OperatorError: no edge answers there, or not with such a page.
    """
    status, body = ask(socket, page)
    try:
        entries = json.loads(body)[page]
        if status != 200 or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError
    except (ValueError, TypeError, KeyError):
        raise OperatorError(
            f"{socket}: the page {page} expected, got status {status}: {body[:200]!r}: ask an edge of this version"
        ) from None
    return list(entries)
