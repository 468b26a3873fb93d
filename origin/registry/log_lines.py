"""Where lines of services are kept, by service, in the order they came: in files of a folder, in objects of a bucket.

    logs/services/<service>/<first byte>.jsonl   the newest 8 to 16 MiB stay. In a folder one file is appended to; in a
                                                 bucket each batch is an object, whose name is the place behind the last
                                                 one: of several origins that append, one creates it
    logs/edges/<edge>                            number of the last batch that this edge sent: none is taken twice,
                                                 unless an origin ends in the middle of one

A place in a log is a count of bytes since its beginning. All methods block.
"""

import errno
import os
import re
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from origin.registry.store import Store
from origin.storage.blobs import BlobStore, Changed
from vmimage.errors import OperatorError
from vmimage.manifest import is_name

FILE_BYTES: Final = 8 << 20
READ_BYTES: Final = 1 << 20  # of one answer
POLL_S: Final = 1.0  # in which lines that another origin took are found
APPENDED_AT_ONCE: Final = 16  # services of one batch, in a bucket
BELIEVED_S: Final = 10.0  # for which others cannot have written so much that what was the end is removed
STEPS: Final = 8  # objects of others behind which the end of a log is looked for before all are listed
ENDS_MAX: Final = 100_000  # services whose ends are known without a look; some 20 MB
NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


class Lines(Protocol):
    """Lines by service."""

    poll_s: float | None  # in which to look for lines that came elsewhere; None where none can

    def keep(self, edge: str, number: int, services: Mapping[str, bytes]) -> bool:
        """Append a batch of an edge; False when it is here already."""

    def read(self, service: str, after: int) -> tuple[bytes, int]:
        """Whole lines from a place on, and the place behind them."""

    def has(self, service: str) -> bool:
        """Whether it has ever said anything that is here."""

    def forget(self, service: str) -> None:
        """Remove all that it said; what comes after that begins a new log."""


def open_lines(store: Store, folder: Path | None) -> Lines:
    """The lines in a store.

    :param folder: of the store, where it is one.
    :raises OperatorError: it cannot be written.
    """
    return FolderLines(folder / "logs") if folder is not None else BucketLines(store.blobs)


class FolderLines:
    """In files."""

    poll_s: float | None = None

    def __init__(self, folder: Path) -> None:
        """:raises OperatorError: the folder cannot be made."""
        self._folder = folder
        try:
            (folder / "edges").mkdir(parents=True, exist_ok=True)
            for path in (folder, *folder.rglob("*")):  # as an earlier origin may have left them
                if not path.is_symlink():
                    path.chmod(0o700 if path.is_dir() else 0o600)
        except OSError as error:
            raise OperatorError(
                f"a writable folder expected at {folder}: {error.strerror}: "
                "give this user the folder, or name another --store"
            ) from None

    def keep(self, edge: str, number: int, services: Mapping[str, bytes]) -> bool:
        """As `Lines.keep`."""
        mark = self._folder / "edges" / edge
        if _number_in(mark) >= number:
            return False
        for service, lines in services.items():
            folder = self._folder_of(service)
            if not folder.is_dir():
                folder.mkdir(parents=True)
            files = _files(folder)
            first = files[-1] if files else 0
            path = folder / f"{first}.jsonl"
            end = first + (path.stat().st_size if files else 0)
            if end - first >= FILE_BYTES:
                path = folder / f"{end}.jsonl"
                for old in files[:-1]:
                    (folder / f"{old}.jsonl").unlink()
            _append(path, lines)
        new = mark.with_name(f"{edge}.new")
        new.write_text(str(number))
        new.replace(mark)
        return True

    def read(self, service: str, after: int) -> tuple[bytes, int]:
        """As `Lines.read`."""
        folder = self._folder_of(service)
        for first in _files(folder):
            path = folder / f"{first}.jsonl"
            size = path.stat().st_size
            if after < first + size:
                start = max(after, first)
                with path.open("rb") as file:
                    file.seek(start - first)
                    data = file.read(READ_BYTES)
                data = data[: data.rfind(b"\n") + 1]
                return data, start + len(data)
        return b"", after

    def has(self, service: str) -> bool:
        """As `Lines.has`."""
        return self._folder_of(service).is_dir()

    def forget(self, service: str) -> None:
        """As `Lines.forget`."""
        shutil.rmtree(self._folder_of(service), ignore_errors=True)

    def _folder_of(self, service: str) -> Path:
        return self._folder / "services" / _named(service)


class BucketLines:
    """In objects."""

    poll_s: float | None = POLL_S

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._ends: dict[str, int] = {}  # as they were when they were last seen
        self._last: dict[
            str, tuple[int, float]
        ] = {}  # the first byte of the last object that was written here, and when

    def keep(self, edge: str, number: int, services: Mapping[str, bytes]) -> bool:
        """As `Lines.keep`."""
        mark = f"logs/edges/{edge}"
        if self._number(mark)[0] >= number:
            return False
        with ThreadPoolExecutor(APPENDED_AT_ONCE) as pool:
            for _ in pool.map(self._append, services.keys(), services.values()):
                pass
        while (last := self._number(mark))[0] < number:
            with suppress(Changed):
                self._blobs.swap(mark, last[1], str(number).encode())
        return True

    def _number(self, mark: str) -> tuple[int, str | None]:
        """Of the last batch, with the tag of the object that says so."""
        found = self._blobs.read(mark)
        if found is None:
            return 0, None
        text = found[0].decode("ascii", "replace")
        return int(text) if NUMBER.fullmatch(text) else 0, found[1]

    def _append(self, service: str, lines: bytes) -> None:
        end = self._end(service)
        while not self._blobs.put_if_absent(_key(service, end), lines):
            end = self._behind(service, end)
        self._know(service, end + len(lines))
        self._last[service] = end, time.monotonic()
        if end // FILE_BYTES != (end + len(lines)) // FILE_BYTES:
            for start in self._starts(service):
                if start < end - 2 * FILE_BYTES:
                    self._blobs.delete(_key(service, start))

    def _end(self, service: str) -> int:
        """The place behind the last line, as it was a while ago; objects that were there then are not all gone."""
        last = self._last.get(service)
        if last is not None and time.monotonic() - last[1] > BELIEVED_S:
            del self._last[service]
            last = last if self._blobs.head(_key(service, last[0])) is not None else None
        if last is None or service not in self._ends:
            self._know(service, self._listed_end(service))
        return self._ends[service]

    def _behind(self, service: str, end: int) -> int:
        """A later end, since something is at this one: others append too."""
        for _ in range(STEPS):
            head = self._blobs.head(_key(service, end))
            if head is None:
                break
            end += head.size
        else:
            return self._listed_end(service)
        # An object that was there a moment ago, and is not: it is too old, and the end far from here.
        return end if end > self._ends.get(service, 0) else self._listed_end(service)

    def _listed_end(self, service: str) -> int:
        return max((_start(each.key) + each.size for each in self._blobs.list(_prefix(service))), default=0)

    def _starts(self, service: str) -> list[int]:
        return sorted(_start(each.key) for each in self._blobs.list(_prefix(service)))

    def _know(self, service: str, end: int) -> None:
        if len(self._ends) >= ENDS_MAX:
            self._ends.clear()
            self._last.clear()
        self._ends[service] = end

    def read(self, service: str, after: int) -> tuple[bytes, int]:
        """As `Lines.read`. Who reads on asks for one object; only who begins somewhere has all listed."""
        data = b""
        if (head := self._blobs.head(_key(service, after))) is None:
            if after == self._ends.get(service, -1):
                return b"", after
            starts = self._starts(service)
            first = max((start for start in starts if start <= after), default=starts[0] if starts else None)
            self._know(service, self._listed_end(service))
            if first is None or after >= self._ends[service]:
                return b"", after
            after = max(after, first)
            data = self._blobs.get(_key(service, first), after - first, after - first + READ_BYTES - 1)
            if len(data) >= READ_BYTES:
                return _whole(data, after)
            after, head = after + len(data), self._blobs.head(_key(service, after + len(data)))
        begun = after - len(data)
        while head is not None and len(data) < READ_BYTES:
            data += self._blobs.get(_key(service, begun + len(data)), 0, READ_BYTES - len(data) - 1)
            head = self._blobs.head(_key(service, begun + len(data)))
        if head is None:
            self._know(service, max(self._ends.get(service, 0), begun + len(data)))
        return _whole(data, begun)

    def has(self, service: str) -> bool:
        """As `Lines.has`."""
        return next(iter(self._blobs.list(_prefix(service))), None) is not None

    def forget(self, service: str) -> None:
        """As `Lines.forget`."""
        for start in self._starts(service):
            self._blobs.delete(_key(service, start))
        self._ends.pop(service, None)
        self._last.pop(service, None)


def _named(service: str) -> str:
    if not is_name(service):
        raise ValueError(f"the name of a service expected, got {service[:80]!r}")
    return service


def _prefix(service: str) -> str:
    return f"logs/services/{_named(service)}"


def _key(service: str, start: int) -> str:
    return f"{_prefix(service)}/{start}.jsonl"


def _start(key: str) -> int:
    return int(key.rpartition("/")[2].removesuffix(".jsonl"))


def _whole(data: bytes, start: int) -> tuple[bytes, int]:
    data = data[: data.rfind(b"\n") + 1]
    return data, start + len(data)


def _number_in(mark: Path) -> int:
    """The number of the last batch; 0 where that is not known, and then a batch may be there twice."""
    try:
        text = mark.read_text("ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return 0
    return int(text) if NUMBER.fullmatch(text) else 0


def _append(path: Path, lines: bytes) -> None:
    """All of some lines, or nothing.

    :raises OSError: nothing, on a full disk for example.
    """
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            if file.write(lines) == len(lines):
                return
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(end)
            raise


def _files(folder: Path) -> list[int]:
    """First bytes of a log's files, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(int(path.stem) for path in folder.glob("*.jsonl") if path.stem.isdecimal())
