"""Requests to an origin and their answers, as values: publishing decides on them, its `client` sends them."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from vmimage import oci
from vmimage.errors import OriginError, PublisherError
from vmimage.manifest import REPOSITORY
from vmimage.urls import is_guarded

TIMESTAMP_FILE: Final = "timestamp.json"  # of the catalogue: the one role whose name has no version


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to the origin."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/octet-stream"
    silence_s: float | None = None  # that its answer may take to begin; None: as long as any
    here: bool = False  # to the origin itself, also where another registry stands in for its repository


@dataclass(frozen=True, slots=True)
class Response:
    """Its answer."""

    status: int
    body: bytes


def refuse_plain_http(url: str, allowed: bool) -> None:
    """Let a token not be sent so that anybody on the way can read it.

    :param allowed: whether it is wanted all the same.
    :raises PublisherError: another URL than https:// or of this machine itself.
    """
    if not allowed and not is_guarded(url):
        raise PublisherError(
            f"--origin: https:// or an address of this machine expected, got {url!r}: everybody on the way can read a "
            "token that is sent by http; use https, or send it all the same with --plain-http"
        )


def at_origin(
    exchange: Generator[Sequence[Request], Sequence[Response], None],
) -> Generator[Sequence[Request], Sequence[Response], None]:
    """The same exchange, with the origin itself: for what is small, and looked for there."""
    responses: Sequence[Response] | None = None
    while True:
        try:
            group = exchange.send(responses) if responses is not None else next(exchange)
        except StopIteration:
            return
        responses = yield [replace(request, here=True) for request in group]


def upload_request(digest: str, data: bytes) -> Request:
    """A blob in one request (OCI distribution-spec 1.1, "Single POST")."""
    return Request("POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={quote(digest)}", data)


def is_present(response: Response) -> bool:
    """What the answer to a HEAD says.

    :raises OriginError, PublisherError: neither yes nor no.
    """
    if response.status not in (200, 404):
        expect(response, 200, "question")
    return response.status == 200


def expect(response: Response, status: int, what: str) -> None:
    """:raises PublisherError, OriginError: another status, with the origin's own words."""
    if response.status == status:
        return
    said = oci.reason(response.body) or "no reason given"
    text = f"{what}: status {status} of the origin expected, got {response.status}: {said}"
    raise (PublisherError if response.status in (400, 401, 403, 413) else OriginError)(text)
