"""What services log, on its way to the origin: written to this edge's disk first, shipped in batches, then dropped.

A line is JSON: {"at": seconds since 1970, "log": the log disk's name or "", "service": ..., "text" or "data" (base64)}.
Lines go to the end of the newest segment, a file; the oldest is what is sent next, whole, and deleted when the origin
has it. Segments are numbered for ever, and the origin drops a number that it has had, so a batch whose answer was lost
is not there twice. What was taken survives kill -9 of the edge; after `sync` also the end of the machine it runs on.

A line that was damaged on this disk is counted and left out; nothing more is known of who wrote one, so whoever can
write to the folder can write lines. A folder that takes no more refuses lines and is no obstacle otherwise.
"""

import asyncio
import base64
import errno
import json
import os
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, TypeVar

import aiohttp

from edge.common import log
from edge.common.counters import Counters
from edge.common.private import private_folder, write_private
from edge.common.tasks import Tasks
from vmimage.errors import OperatorError
from vmimage.manifest import is_name
from vmimage.urls import is_guarded

SHIP_S: Final = 1.0
SEGMENT_BYTES: Final = 1 << 20
NEVER: Final = (400, 413)  # what an origin says of a batch that it will not take, however often it is sent
PAUSE_MAX_S: Final = 30.0  # between tries while the origin is away
RESERVED: Final = 1000  # numbers of segments at a time: noting one takes a sync, for which everybody would wait
OPEN_AGAIN_S: Final = 5.0  # after a segment could not be made
_EDGE: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)

K = TypeVar("K", str, tuple[str, str])

_logger: Final = log.logger("logs")


class Spool:
    """Lines of all services of this edge."""

    def __init__(self, folder: Path, limit_bytes: int, url: str, token: str, counters: Counters) -> None:
        """:param token: of `nunatak keygen`, for the origin; "": nothing is shipped.
        :raises OperatorError: the folder cannot be used.
        """
        self._folder, self._limit_bytes, self._counters = folder, limit_bytes, counters
        self._url, self.token = url.rstrip("/") + "/logs", token
        self._pending: dict[tuple[str, str], int] = {}  # bytes of each log in segments that wait
        self._failing = ""
        self._in_segment: dict[int, dict[tuple[str, str], int]] = {}
        self._of_party: dict[str, int] = {}  # bytes of each tenant's lines that wait
        self._parties_in: dict[int, dict[str, int]] = {}  # the same by segment
        self.tasks = Tasks(counters)
        self._syncing: asyncio.Task[int] | None = None
        self._sync_after: asyncio.Task[int] | None = None  # begins when that one has ended
        self._file: IO[bytes] | None = None  # the newest segment; None: none could be made
        self._end = 0  # bytes of it
        self._open_again_s = 0.0  # not before
        self._reserved = 0  # numbers below were noted as used
        private_folder(folder)
        try:
            paths = [path for path in folder.glob("*.jsonl") if path.stem.isdecimal() and path.is_file()]
            self._segments = sorted(int(path.stem) for path in paths)
            self.used_bytes = sum(path.stat().st_size for path in paths)
        except (OSError, ValueError) as error:
            raise OperatorError(
                f"--cache: a folder for logs expected at {folder}: {error}: make room, or name another folder"
            ) from None
        self.edge, self._next = self._identity()
        self._begin()

    @property
    def logs_waiting(self) -> int:
        """How many logs have lines that wait, of those that said something since this edge started."""
        return len(self._pending)

    def _identity(self) -> tuple[str, int]:
        """Name of this edge at the origin, and number of the next segment.

        Where either is lost the edge takes another name: under the old one the origin might take its batches for old.
        """
        last = max(self._segments, default=0)
        try:
            edge, number = self._read_small("edge"), self._read_small("next")
            if _EDGE.fullmatch(edge) and number.isascii() and number.isdecimal() and len(number) < 18:
                return edge, max(int(number), last + 1)
            _logger.warning(log.line("log_identity_damaged", folder=self._folder))
        except FileNotFoundError:
            pass
        except (OSError, UnicodeDecodeError) as error:
            _logger.warning(log.line("log_identity_damaged", folder=self._folder, error=error))
        edge = secrets.token_hex(8)
        try:
            write_private(self._folder / "edge", edge.encode())
        except OSError as error:
            self._note(error)
        return edge, last + 1

    def _read_small(self, name: str) -> str:
        with (self._folder / name).open("rb") as file:
            return file.read(64).decode().strip()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.jsonl"

    def _begin(self) -> bool:
        """Let a new segment be the newest; False when none can be made, and then the one before goes on."""
        if time.monotonic() < self._open_again_s:
            return False
        number = self._next
        try:
            if number >= self._reserved:
                write_private(self._folder / "next", str(number + RESERVED).encode())
                self._reserved = number + RESERVED
            file = self._path(number).open("ab", buffering=0)
        except OSError as error:
            self._open_again_s = time.monotonic() + OPEN_AGAIN_S
            self._note(error)
            return False
        if self._file is not None:
            self._file.close()
        self._file, self._next = file, number + 1
        self._end = file.tell()
        self._segments.append(number)
        self._in_segment[number], self._parties_in[number] = {}, {}
        return True

    def _note(self, error: OSError) -> None:
        self._counters.add(self._counters.storage_errors, "logs")
        if str(error) != self._failing:
            _logger.error(log.line("log_not_written", error=error))
        self._failing = str(error)

    def append(self, service: str, name: str, record: bytes, limit_bytes: int, party: str = "") -> bool:
        """Take one record; see `append_all`."""
        return self.append_all(service, name, [record], limit_bytes, party) == 1

    def append_all(self, service: str, name: str, records: Sequence[bytes], limit_bytes: int, party: str = "") -> int:
        """Take records, the first so many of them, in as few writes as there are segments; how many.

        The others find no room: here, in what this log may have waiting, or in what their tenant may.

        :param name: of the log disk; "" for lines of `nk_log` and the console.
        :param party: the tenant: it may have no more waiting than is still free then, so others always find room.
        """
        taken = 0
        while taken < len(records):
            lines, size = self._fitting(service, name, records[taken:], limit_bytes, party)
            if not lines or not self._write(b"".join(lines)):
                break
            self._count((service, name), size, party, sum(map(len, lines)))
            taken += len(lines)
        self._counters.log_records += taken
        self._counters.log_refused += len(records) - taken
        return taken

    def _fitting(
        self, service: str, name: str, records: Sequence[bytes], limit_bytes: int, party: str
    ) -> tuple[list[bytes], int]:
        """Lines of the first records, as far as there is room and this segment goes; and the bytes of those records."""
        lines: list[bytes] = []
        size = length = 0
        at = round(time.time(), 3)
        waiting, mine = self._pending.get((service, name), 0), self._of_party.get(party, 0)
        free = self._limit_bytes - self.used_bytes
        for record in records:
            line: dict[str, object] = {"at": at, "log": name, "service": service}
            try:
                line["text"] = record.decode()
            except UnicodeDecodeError:
                line["data"] = base64.b64encode(record).decode()
            encoded = json.dumps(line, separators=(",", ":")).encode() + b"\n"
            after = length + len(encoded)
            if waiting + size + len(record) > limit_bytes or mine + after > free - after:
                break
            lines.append(encoded)
            size, length = size + len(record), after
            if self._end + length >= SEGMENT_BYTES:
                break
        return lines, size

    def _count(self, key: tuple[str, str], size: int, party: str, length: int) -> None:
        """Records of `size` bytes are in the newest segment, as lines of `length` bytes."""
        self._failing = ""
        self.used_bytes += length
        newest = self._segments[-1]
        _more(self._pending, key, size)
        _more(self._in_segment[newest], key, size)
        _more(self._of_party, party, length)
        _more(self._parties_in[newest], party, length)
        if self._end >= SEGMENT_BYTES:
            self._begin()

    def _write(self, lines: bytes) -> bool:
        """All of them, or nothing."""
        if self._file is None and not self._begin():
            return False
        assert self._file is not None
        try:
            if self._file.write(lines) == len(lines):
                self._end += len(lines)
                return True
            error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as raised:
            error = raised
        self._note(error)
        try:
            self._file.truncate(self._end)  # the half of them that found room
            self._file.seek(self._end)
        except OSError as raised:
            self._note(raised)
            self._file.close()
            self._file = None
        return False

    async def sync(self) -> int:
        """Let all that was taken be on disk; 0 or a negative errno. One for all who ask while another is under way."""
        if self._syncing is None:
            task = self._syncing = self.tasks.spawn("log_sync", self._sync(), awaited=True)
        elif self._sync_after is None:
            task = self._sync_after = self.tasks.spawn("log_sync", self._sync(self._syncing), awaited=True)
        else:
            task = self._sync_after
        return await asyncio.shield(task)

    async def _sync(self, before: "asyncio.Task[int] | None" = None) -> int:
        try:
            if before is not None:
                await asyncio.wait([before])
                self._syncing, self._sync_after = self._sync_after, None
            if self._file is None:
                return -errno.EIO
            await asyncio.to_thread(os.fsync, self._file.fileno())
        except ValueError:  # rotated meanwhile
            await asyncio.to_thread(os.sync)
        except OSError as error:
            return -(error.errno or errno.EIO)
        finally:
            if self._sync_after is None:
                self._syncing = None
        return 0

    async def ship(self) -> None:
        """Send segments to the origin, for ever; none while there is no token."""
        if self.token and not is_guarded(self._url):
            why = "everybody on the way can read a token that is sent by http"
            _logger.warning(log.line("log_token_in_the_clear", url=self._url, why=why))
        timeout = aiohttp.ClientTimeout(total=60, sock_connect=5)
        failing, pause_s = "", SHIP_S
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await asyncio.sleep(pause_s)
                if not self.token:
                    continue
                try:
                    await self.ship_waiting(session)
                    failing, pause_s = "", SHIP_S
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    pause_s = min(pause_s * 2, PAUSE_MAX_S)
                    if str(error) != failing:
                        _logger.warning(log.line("logs_not_shipped", error=str(error) or type(error).__name__))
                    failing = str(error)

    async def ship_waiting(self, session: aiohttp.ClientSession) -> None:
        """Send all that waits now, the oldest first.

        :raises aiohttp.ClientError | OSError | TimeoutError: the origin is away, or does not take it now; what it has
            not taken waits further.
        """
        while await self._ship_one(session):
            pass

    async def _ship_one(self, session: aiohttp.ClientSession) -> bool:
        """Send the oldest segment; False when there is nothing left to send."""
        newest = self._segments[-1:] if self._file is not None else []
        if self._segments == newest and self._file is not None and self._end:
            newest = self._segments[-1:] if self._begin() else newest
        if self._segments == newest:
            return False
        number = self._segments[0]
        data, size, damaged = await asyncio.to_thread(_whole_lines, self._path(number))
        if damaged:
            self._counters.log_damaged += damaged
            _logger.error(log.line("log_lines_damaged", segment=number, lines=damaged))
        if data:
            headers = {
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/x-ndjson",
                "Nunatak-Batch": f"{self.edge}/{number}",
            }
            async with session.post(self._url, data=data, headers=headers) as answer:
                if answer.status in NEVER:
                    _logger.error(log.line("logs_refused", segment=number, status=answer.status, bytes=len(data)))
                elif answer.status // 100 != 2:
                    raise OSError(f"{self._url}: status 2xx expected, got {answer.status}")
                else:
                    self._counters.log_batches += 1
        self._segments.pop(0)
        self._path(number).unlink(missing_ok=True)
        self.used_bytes -= size
        _less(self._pending, self._in_segment.pop(number, {}))
        _less(self._of_party, self._parties_in.pop(number, {}))
        return True

    def close(self) -> None:
        """Before the end of the process."""
        if self._file is not None:
            self._file.close()


def _more(sums: dict[K, int], key: K, size: int) -> None:
    sums[key] = sums.get(key, 0) + size


def _less(sums: dict[K, int], gone: dict[K, int]) -> None:
    """Take amounts off sums; what has nothing left is forgotten."""
    for key, size in gone.items():
        left = sums[key] - size
        if left > 0:
            sums[key] = left
        else:
            del sums[key]


def _whole_lines(path: Path) -> tuple[bytes, int, int]:
    """The lines of a segment that are what `append` writes, the segment's size, and how many lines are not."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return b"", 0, 0
    lines = data.splitlines(keepends=True)
    good = [line for line in lines if _is_line(line)]
    return b"".join(good), len(data), len(lines) - len(good)


def _is_line(line: bytes) -> bool:
    try:
        entry = json.loads(line)
        return line.endswith(b"\n") and isinstance(entry["service"], str) and is_name(entry["service"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
