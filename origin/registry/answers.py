"""Answers of an origin: content that never changes, and refusals in the words of the OCI distribution specification.

What is a file of this machine is opened in the loop, or sent by the kernel; what is in a bucket comes from there by
threads (`origin/registry/streaming.py`).
"""

import asyncio
import contextlib
import errno
from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec, TypeVar

from aiohttp import web

from origin.registry.refusal import CODES, OciError
from origin.registry.store import BlobMissing, Store
from origin.registry.streaming import ObjectResponse
from origin.storage.blobs import FOR_EVER
from origin.storage.place import Place
from vmimage.errors import FormatError, NunatakError, VerificationError

CHUNK_BYTES: Final = 256 << 10
SMALL_FILE: Final = 64 << 10  # bytes, up to which a file is read at once
_CONDITIONS: Final = ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
_CODES: Final = {404: "NAME_UNKNOWN", 405: "UNSUPPORTED", 413: "SIZE_INVALID"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
P = ParamSpec("P")
T = TypeVar("T")


async def ask(store: Store, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a store says: at once where that is a system call or two, in a thread where it is a round trip."""
    return await asyncio.to_thread(question, *args, **kwargs) if store.shared else question(*args, **kwargs)


def file(request: web.Request, path: Place, size: int, content_type: str, digest: str) -> web.StreamResponse:
    """Content that is named by its digest."""
    headers = {"Content-Type": content_type, "Docker-Content-Digest": digest, "Cache-Control": FOR_EVER}
    if request.method == "HEAD":  # publishers ask thousands of these; FileResponse would open the file in a thread
        return web.Response(headers=headers | {"Content-Length": str(size), "Accept-Ranges": "bytes"})
    return contents(request, path, size, headers)


def contents(request: web.Request, path: Place, size: int, headers: dict[str, str]) -> web.StreamResponse:
    """An object that never changes. A small file at once: a thread for its opening takes as long as all else."""
    local = path.local
    if local is None:
        return ObjectResponse(path, size, headers)
    if size <= SMALL_FILE and not any(name in request.headers for name in _CONDITIONS):
        with contextlib.suppress(OSError):  # gone meanwhile
            return web.Response(body=local.read_bytes(), headers=headers | {"Accept-Ranges": "bytes"})
    return web.FileResponse(local, chunk_size=CHUNK_BYTES, headers=headers)


async def fresh(request: web.Request, path: Place, headers: dict[str, str]) -> web.StreamResponse | None:
    """An object that changes, in the state that it has now, or that it is the one that is known; None: there is none.

    From a bucket its bytes and its tag come together: between two requests it may be another.
    """
    if (local := path.local) is not None:
        return web.FileResponse(local, headers=headers) if local.is_file() else None
    found = await asyncio.to_thread(path.blobs.read, path.key)
    if found is None:
        return None
    data, tag = found[0], found[1].strip('"')
    had = any(each.value in (tag, "*") for each in request.if_none_match or ())
    answer = web.Response(status=304, headers=headers) if had else web.Response(body=data, headers=headers)
    answer.etag = tag
    return answer


def created(location: str, digest: str, **fields: str) -> web.Response:
    """What was uploaded is kept."""
    return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest, **fields})


def refusal(status: int, code: str, message: str, **fields: str) -> web.Response:
    """An error body ("Error Codes"), with what to do as its detail.

    With 401 it says what opens the door: a token, as the password of any user.
    """
    if status == 401:
        fields["WWW-Authenticate"] = 'Basic realm="nunatak", charset="UTF-8"'
    error = {"code": code, "message": message, "detail": CODES[code].remedy}
    return web.json_response({"errors": [error]}, status=status, headers=fields)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what a handler raises into a refusal."""
    try:
        return await handler(request)
    except OciError as error:
        return refusal(error.status, error.code, str(error))
    except BlobMissing as error:
        return refusal(400, "MANIFEST_BLOB_UNKNOWN", str(error))
    except FormatError as error:
        return refusal(400, "DIGEST_INVALID" if "blob" in request.path else "MANIFEST_INVALID", str(error))
    except VerificationError as error:
        return refusal(409 if error.http_status == 409 else 400, "MANIFEST_INVALID", str(error))
    except NunatakError as error:
        return refusal(error.http_status, "UNKNOWN", str(error))
    except OSError as error:  # a full or broken disk: nothing of it is kept, and it may be tried again
        return refusal(
            507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 500, "UNKNOWN", f"store: {error.strerror or error}"
        )
    except web.HTTPException as error:
        if error.status < 400:
            raise
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return refusal(error.status, _CODES.get(error.status, "UNKNOWN"), error.reason, **allowed)
