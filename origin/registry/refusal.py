"""How an origin refuses: in the words of the OCI distribution specification, from one table that has all of them.

A row says with which statuses a code is answered, what happened and what to do. Answers carry the last as their
`detail`, and docs/reference/errors.md is made of the rows.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Code(NamedTuple):
    """One of the specification's error codes, as this origin uses it."""

    statuses: tuple[int, ...]
    cause: str
    remedy: str


CODES: Final[Mapping[str, Code]] = {
    "UNAUTHORIZED": Code(
        (401,),
        "No token was shown, or one that does not count here; the message says what is wrong with one of an issuer.",
        "Name the key folder of this origin with --keys, or the file of a tenant's token with --token-file or"
        " NUNATAK_TOKEN; edges that send logs need its log-token.",
    ),
    "DENIED": Code(
        (403, 409),
        "The token is good, and not for this: it is a tenant's and the thing is not, there is too much already, or the"
        " origin takes no uploads; 409: it is being done already.",
        "Ask the operator of the origin for a token that may do it (`nunatak token add`); after 409 wait a while.",
    ),
    "BLOB_UNKNOWN": Code((404,), "The origin has no such blob.", "Publish the image or disk that it belongs to again."),
    "BLOB_UPLOAD_INVALID": Code(
        (416,), "A chunk does not begin where the upload stands.", "Ask with GET how far it got, and go on from there."
    ),
    "BLOB_UPLOAD_UNKNOWN": Code(
        (404,), "The upload is over, or was given up for being idle.", "Begin it again: run the command again."
    ),
    "DIGEST_INVALID": Code(
        (400,),
        "A digest is none, or is not that of the bytes that came.",
        "Run the command again; if it lasts, build the image again, and look for a proxy that changes bodies.",
    ),
    "MANIFEST_BLOB_UNKNOWN": Code(
        (400,), "A manifest names a blob that is not here.", "Send its blobs first, as `nunatak publish` does."
    ),
    "MANIFEST_INVALID": Code(
        (400, 409),
        "A manifest, or signed metadata, is not what the origin takes; 409: the catalogue has changed meanwhile.",
        "Follow the message: it says what was expected. After 409 run the command again.",
    ),
    "MANIFEST_UNKNOWN": Code(
        (404,), "The origin has no such manifest or tag.", "Publish the image again, or name a version that is there."
    ),
    "NAME_INVALID": Code(
        (400,),
        "The name of a repository or service is malformed.",
        "Use a name of a-z, 0-9, dots, underscores and hyphens.",
    ),
    "NAME_UNKNOWN": Code(
        (404,),
        "The origin has no such path, repository or file of metadata.",
        "Check the address: it is the origin's own, without a path behind it.",
    ),
    "PAGINATION_NUMBER_INVALID": Code((400,), "`n` of a list is no number.", "Ask with n=NUMBER."),
    "SIZE_INVALID": Code(
        (400, 413),
        "More came than the origin takes, or not as much as was said.",
        "Send less: build a smaller image, or split the batch. At 400 run the command again.",
    ),
    "UNSUPPORTED": Code(
        (400, 404, 405),
        "The origin does not do that with that path, or the request is not as it must be.",
        "Use a client of the OCI distribution specification 1.1, or `nunatak`.",
    ),
    "UNKNOWN": Code(
        (400, 500, 507),
        "Something that has no code: 400 a malformed request, 500 an error of the origin, 507 its disk is full.",
        "Look at the origin's log; make room on its disk. Then run the command again: what has arrived is kept.",
    ),
}


class OciError(Exception):
    """An answer that refuses, in the words of the distribution specification.

    :param code: a key of `CODES`. :param status: one that the code has there.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        if status not in CODES[code].statuses:
            raise ValueError(f"a status of {code} in {CODES[code].statuses} expected, got {status}")
        self.status, self.code = status, code
