"""Objects in a bucket of S3, or of a store that speaks its protocol, through obstore. Several origins may share one.

Credentials, region and endpoint come from the usual variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION,
AWS_ENDPOINT_URL, AWS_ALLOW_HTTP, a role of the machine). Writes that have one winner are conditional (If-None-Match,
If-Match on the entity tag); whether the store really compares, `origin/storage/probe.py` finds out at the start.
"""

import errno
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from obstore.store import S3Store

from origin.storage.blobs import (
    Changed,
    Data,
    Head,
    Listed,
    NoAnswer,
    cache_control_of,
    checked,
    content_type_of,
    require_size,
    size_of,
)
from origin.storage.bucket_errors import explained, is_missing_bucket, name_of
from vmimage.errors import OperatorError

if TYPE_CHECKING:
    from obstore import PutMode

PART_BYTES: Final = 8 << 20  # above it a file is sent in parts
PAGE: Final = 1000  # what S3 lists at once
RETRIES: Final = 3
RETRY_S: Final = 15.0  # in all, so that a request of a publisher ends with an answer
TIMEOUT: Final = "30s"  # of one request; a part is some seconds on a slow line
CONNECT_TIMEOUT: Final = "5s"
_LOG: Final = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())  # a command without a log shows the error that it ends with, once
_MISSING: Final = (NotFoundError, FileNotFoundError)  # what obstore says in one version and another
_CLOCK: Final = "clock"  # the object whose time of change says what time the store has


class S3:
    """A bucket, or what is under a prefix of one."""

    shared = True

    def __init__(self, bucket: str, prefix: str = "") -> None:
        """:raises OperatorError: variables that cannot be used, or an endpoint by plain HTTP on another machine."""
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        if endpoint and not _is_url(endpoint):  # the library panics, once it is to connect there
            raise OperatorError(f"AWS_ENDPOINT_URL: an https URL with a host expected, got {endpoint!r}: write it so")
        self._name = name_of(bucket, prefix, endpoint)
        plain = endpoint.lower().startswith("http:")
        if plain and not _is_loopback(endpoint) and os.environ.get("AWS_ALLOW_HTTP", "").lower() not in ("1", "true"):
            raise OperatorError(
                f"AWS_ENDPOINT_URL: https expected, got {endpoint}: on another machine plain HTTP shows what is "
                "stored to all on the way; set AWS_ALLOW_HTTP=true if the network is yours"
            )
        try:
            self._bucket = S3Store(
                bucket,
                prefix=prefix or None,
                endpoint=endpoint or None,
                client_options={"timeout": TIMEOUT, "connect_timeout": CONNECT_TIMEOUT, "allow_http": plain},
                retry_config={
                    "max_retries": RETRIES,
                    "retry_timeout": timedelta(seconds=RETRY_S),
                    "backoff": {
                        "init_backoff": timedelta(seconds=0.05),
                        "max_backoff": timedelta(seconds=1),
                        "base": 2,
                    },
                },
            )
        except (BaseError, ValueError) as error:
            raise OperatorError(f"s3://{bucket}: {error}: set the AWS_ variables that it names") from None
        self._scratch = tempfile.TemporaryDirectory(prefix="nunatak-")
        self.scratch = Path(self._scratch.name)

    def close(self) -> None:
        """Remove what was on its way."""
        self._scratch.cleanup()

    def local(self, key: str) -> None:
        """As `BlobStore.local`."""

    def get(self, key: str, first: int = 0, last: int | None = None) -> bytes:
        """As `BlobStore.get`."""
        with self._errors(key):
            end = last + 1 if last is not None else None
            options: Any = {"range": (first, end)} if end is not None else {"range": {"offset": first}} if first else {}
            if end is not None and end <= first:
                return b""
            try:
                found = obstore.get(self._bucket, checked(key), options=options)
                if end is None:
                    require_size(key, found.meta["size"] - first)
                return bytes(found.bytes())
            except _MISSING:
                raise
            except BaseError:
                head = self.head(key)
                if head is not None and head.size <= first:  # 416: nothing of it is there
                    return b""
                raise

    def read(self, key: str) -> tuple[bytes, str] | None:
        """As `BlobStore.read`."""
        try:
            with self._errors(key):
                found = obstore.get(self._bucket, checked(key))
                require_size(key, found.meta["size"], _tag(found.meta))
                return bytes(found.bytes()), _tag(found.meta)
        except FileNotFoundError:
            return None

    def put_if_absent(self, key: str, data: Data, content_type: str = "") -> bool:
        """As `BlobStore.put_if_absent`."""
        try:
            self._put(key, data, "create", content_type)
        except Changed:
            return False
        return True

    def put(self, key: str, data: Data, content_type: str = "") -> None:
        """As `BlobStore.put`."""
        self._put(key, data, "overwrite", content_type)

    def swap(self, key: str, old: str | None, data: bytes) -> str:
        """As `BlobStore.swap`."""
        return self._put(key, data, {"e_tag": old} if old is not None else "create", "")

    def _put(self, key: str, data: Data, mode: "PutMode", content_type: str) -> str:
        """:raises Changed: the condition did not hold."""
        attributes: Any = {
            "Content-Type": content_type or content_type_of(key),
            "Cache-Control": cache_control_of(key),
        }
        with self._errors(key):
            try:
                done = obstore.put(
                    self._bucket,
                    checked(key),
                    data,
                    attributes=attributes,
                    mode=mode,
                    use_multipart=mode == "overwrite" and size_of(data) > PART_BYTES,
                    chunk_size=PART_BYTES,
                )
            except (AlreadyExistsError, PreconditionError, *_MISSING) as error:
                if is_missing_bucket(str(error)):
                    raise
                if isinstance(error, _MISSING) and not isinstance(mode, dict):
                    raise
                raise Changed(f"{key}: it was changed or removed meanwhile") from None
        return _tag(done)

    def head(self, key: str) -> Head | None:
        """As `BlobStore.head`."""
        try:
            with self._errors(key):
                meta = obstore.head(self._bucket, checked(key))
        except FileNotFoundError:
            return None
        return Head(meta["size"], _tag(meta), meta["last_modified"].timestamp())

    def delete(self, key: str) -> None:
        """As `BlobStore.delete`."""
        try:
            with self._errors(key):
                obstore.delete(self._bucket, checked(key))
        except FileNotFoundError:
            return

    def list(self, prefix: str) -> Iterator[Listed]:
        """As `BlobStore.list`."""
        with self._errors(prefix):
            for page in obstore.list(self._bucket, prefix.rstrip("/") or None, chunk_size=PAGE):
                for meta in page:
                    yield Listed(meta["path"], meta["size"], meta["last_modified"].timestamp())

    def now_s(self) -> float:
        """As `BlobStore.now_s`: an object is written, and its time asked for."""
        self.put(_CLOCK, b"")
        head = self.head(_CLOCK)
        if head is None:
            raise OSError(errno.EIO, f"{_CLOCK} expected in the bucket a moment after it was written")
        return head.changed_s

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """As a store's: FileNotFoundError, and OSError for all that may be tried again."""
        try:
            yield
        except _MISSING as error:
            if is_missing_bucket(str(error)):
                raise self._no_answer(key, error) from None
            raise FileNotFoundError(errno.ENOENT, f"no object {key}") from None
        except (BaseError, TimeoutError) as error:
            raise self._no_answer(key, error) from None

    def _no_answer(self, key: str, error: Exception) -> NoAnswer:
        detail = explained(self._name, key, str(error))
        _LOG.warning("%s", detail)
        _LOG.debug("%s", error)
        return NoAnswer(detail)


def _tag(meta: Any) -> str:
    tag = meta["e_tag"]
    if not isinstance(tag, str):
        raise OSError(errno.EIO, "an entity tag of each object expected from the store, got none")
    return tag


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
