"""The way to an origin's TUF files: python-tuf's client over a folder that may take nothing, and its HTTP.

What is believed of them is `edge.catalogue.catalogue`'s business. Limits on length are python-tuf's, limits on time are
set here.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

import urllib3
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, Root, Snapshot, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from edge.common import fetching, log
from vmimage.errors import OperatorError, OriginError, OriginTimeout, OriginUnreachable, VerificationError
from vmimage.signed import NOT_OURS
from vmimage.trust import ROOT_MAX, SNAPSHOT_MAX, TARGETS_MAX, TIMESTAMP_MAX

CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 5.0  # between two reads
FILE_TIMEOUT_S: Final = 15.0  # for a whole file: a mirror that drips bytes is as good as none
CONNECTIONS: Final = 4  # as many bins are fetched at once
CHUNK_BYTES: Final = 64 << 10
LIMITS: Final = UpdaterConfig(
    root_max_length=ROOT_MAX,
    timestamp_max_length=TIMESTAMP_MAX,
    snapshot_max_length=SNAPSHOT_MAX,
    targets_max_length=TARGETS_MAX,
)

_logger: Final = log.logger("metadata")


class CatalogueExpired(VerificationError):
    """What the origin has is past its date: it renews no more, or somebody keeps its newer word from us."""


class FollowingUpdater(Updater):
    """python-tuf's client over a folder that may take nothing: what it cannot write is kept in memory for the next."""

    def __init__(
        self,
        unkept: dict[str, bytes],
        note: Callable[[OSError], None],
        held: tuple[bytes, bytes] | None,
        folder: str,
        url: str,
        fetcher: FetcherInterface,
        config: UpdaterConfig,
        bootstrap: bytes,
    ) -> None:
        """:param held: timestamp and snapshot that are believed; None: whatever the folder has."""
        self._unkept, self._note, self._held = unkept, note, held
        super().__init__(folder, url, fetcher=fetcher, config=config, bootstrap=bootstrap)

    @property
    def root_version(self) -> int:
        """Of the newest root that was verified."""
        return self._trusted_set.root.version

    @property
    def snapshot(self) -> Snapshot:
        """As it was verified: with many tenants it is the file that takes longest."""
        return self._trusted_set.snapshot

    def _load_root(self) -> None:
        super()._load_root()
        names = [os.path.join(self._dir, f"{role}.json") for role in (Timestamp.type, Snapshot.type)]
        try:
            held = self._held or (self._load_local_metadata(Timestamp.type), self._load_local_metadata(Snapshot.type))
        except OSError:
            return
        if not still_signed(self._trusted_set.root, *held):  # TUF specification 5.3.11
            _logger.warning(log.line("online_keys_changed", root=self.root_version))
            for name in names:
                self._unkept.pop(name, None)
                with suppress(FileNotFoundError):
                    os.unlink(name)

    def _load_local_metadata(self, rolename: str) -> bytes:
        unkept = self._unkept.get(os.path.join(self._dir, f"{rolename}.json"))
        return super()._load_local_metadata(rolename) if unkept is None else unkept

    def _persist_file(self, filename: str, data: bytes) -> None:
        try:
            super()._persist_file(filename, data)
            self._unkept.pop(filename, None)
        except OSError as error:
            self._unkept[filename] = data
            self._note(error)

    def _update_root_symlink(self) -> None:
        try:
            super()._update_root_symlink()
        except OSError as error:  # nothing reads it
            self._note(error)


class Fetcher(FetcherInterface):
    """HTTP for the Updater, with limits on time; limits on length are the caller's. Raises our own errors."""

    def __init__(self, read_timeout_s: float, file_timeout_s: float) -> None:
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s)
        self._pool = urllib3.PoolManager(maxsize=CONNECTIONS, timeout=timeout, retries=False)
        self._file_timeout_s = file_timeout_s
        self.anew: set[str] = set()  # folders whose files are asked for past all caches
        self.primed: dict[str, bytes] = {}  # a body by URL that was fetched already; used once

    def poll(self, url: str, etag: str | None) -> tuple[bytes | None, str | None]:
        """The file and its entity tag; None for the file when it still has `etag`."""
        body = bytearray()
        with self._open(url, {"If-None-Match": etag} if etag else {}) as response:
            if response.status == 304 and etag:
                response.release_conn()  # has no body: closed, each look would begin with a handshake
                return None, etag
            for chunk in self._read(url, response):
                body += chunk
                if len(body) > TIMESTAMP_MAX:
                    raise VerificationError(f"{url}: at most {TIMESTAMP_MAX} bytes expected, got more")
            return bytes(body), response.headers.get("ETag")

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """As the library's own, which goes through a file on disk: nothing here is larger than a few megabytes.

        :raises DownloadLengthMismatchError: more than `max_length` bytes.
        """
        body = bytearray()
        for chunk in self.fetch(url):
            body += chunk
            if len(body) > max_length:
                raise DownloadLengthMismatchError(f"{url}: at most {max_length} bytes expected, got more")
        return bytes(body)

    def _fetch(self, url: str) -> Iterator[bytes]:
        # A generator, so that errors reach the caller as they are: FetcherInterface wraps only what the call raises.
        if url in self.primed:
            yield self.primed.pop(url)
            return
        with self._open(url, {}) as response:
            yield from self._read(url, response)

    @contextmanager
    def _open(self, url: str, headers: dict[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer at the end of all redirects.

        :raises OriginError: there are too many, or to where none may lead; or the origin is busy (OriginBusy).
        """
        hops = 0
        if url.rpartition("/")[0] + "/" in self.anew:
            headers = {**headers, "Cache-Control": "no-cache"}
        while True:
            with _http_errors(url):
                response = self._pool.request("GET", url, headers=headers, preload_content=False, redirect=False)
            try:
                match fetching.meaning(url, response.status, response.headers, hops, time.time()):
                    case fetching.Moved(target):
                        url, hops = target, hops + 1
                        continue
                    case fetching.Later(wait_s):
                        raise fetching.busy(url, response.status, wait_s)
                yield response
                return
            finally:
                response.close()

    def _read(self, url: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        if response.status != 200:
            with _http_errors(url):
                said = response.read1(fetching.REASON_BYTES)
            refusal = fetching.refusal(url, response.status, response.headers, said)
            raise DownloadHTTPError(str(refusal), response.status)
        deadline = time.monotonic() + self._file_timeout_s
        while True:
            with _http_errors(url):
                chunk = response.read1(CHUNK_BYTES)
            if not chunk:
                response.release_conn()
                return
            if time.monotonic() > deadline:
                raise OriginTimeout(f"{url}: a whole file within {self._file_timeout_s} s expected")
            yield chunk


def still_signed(root: Root, timestamp: bytes, snapshot: bytes) -> bool:
    """Whether both are signed by keys that `root` names for them. One that is not takes the other's word away too.

    A key that comes to those that are there changes nothing: what they have signed is as good as before.
    """
    for data in (timestamp, snapshot):
        try:
            metadata: Metadata[Any] = Metadata.from_bytes(data)
            root.verify_delegate(metadata.signed.type, metadata.signed_bytes, metadata.signatures)
        except UnsignedMetadataError:
            return False
        except (RepositoryError, ValueError):  # damaged: says nothing of keys
            continue
    return True


@contextmanager
def _http_errors(url: str) -> Iterator[None]:
    try:
        yield
    except urllib3.exceptions.NewConnectionError as error:  # to urllib3 a kind of timeout
        raise OriginUnreachable(f"{url}: an answer expected: {error}") from None
    except urllib3.exceptions.TimeoutError:
        raise OriginTimeout(f"{url}: an answer expected, none in time") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise OriginUnreachable(f"{url}: an answer expected: {error}") from None


@contextmanager
def translated() -> Iterator[None]:
    """Turns python-tuf's errors into ours; ours pass."""
    try:
        yield
    except DownloadLengthMismatchError as error:
        raise VerificationError(str(error)) from error
    except DownloadError as error:
        is_missing = isinstance(error, DownloadHTTPError) and error.status_code == 404
        raise (fetching.Missing if is_missing else OriginError)(str(error)) from error
    except BadVersionNumberError as error:
        raise fetching.Behind(f"catalogue: {error}") from error
    except UnsignedMetadataError as error:
        raise VerificationError(f"catalogue: {NOT_OURS}: {error}") from error
    except ExpiredMetadataError as error:
        now = datetime.now(UTC)
        clock = f"by this machine's clock, {now:%Y-%m-%d %H:%M} UTC"
        raise CatalogueExpired(f"catalogue: {error} {clock}: is it right, does the origin renew?") from error
    except (RepositoryError, ValueError) as error:
        raise VerificationError(f"catalogue: {str(error) or type(error).__name__}") from error
    except OSError as error:
        raise OperatorError(
            f"a writable metadata folder expected: {error}: make room, or name another --cache"
        ) from error
