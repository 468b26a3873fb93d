"""What services log, on its way to the origin: written to this edge's disk first, shipped in batches, then dropped.

A line is JSON: {"at": seconds since 1970, "log": the log disk's name or "", "service": ..., "text" or "data" (base64)}.
Lines go to the end of the newest segment, a file; the oldest is what is sent next, whole, and deleted when the origin
has it. Segments are numbered for ever, and the origin drops a number that it has had, so a batch whose answer was lost
is not there twice. What was taken survives kill -9 of the edge; after `sync` also the end of the machine it runs on.
"""

import asyncio
import base64
import errno
import json
import os
import secrets
import time
from pathlib import Path
from typing import IO, Final

import aiohttp

from edge import log
from edge.counters import Counters
from vmimage.errors import OperatorError

SHIP_S: Final = 1.0
SEGMENT_BYTES: Final = 1 << 20
LINE_BYTES: Final = 8 << 10  # kept of a line; what syslog relays must take is 2 KiB (RFC 5424 section 6.1)
NEVER: Final = (400, 413)  # what an origin says of a batch that it will not take, however often it is sent
PAUSE_MAX_S: Final = 30.0  # between tries while the origin is away

_logger: Final = log.logger("logs")


def first_lines(data: bytes, most: int) -> tuple[list[bytes], int]:
    """The first lines of what a guest wrote, and how many there are in all; those that are not asked for cost nothing.

    :param most: how many to give; each is cut at `LINE_BYTES`.
    """
    count = data.count(b"\n") + bool(data and not data.endswith(b"\n"))
    kept = min(count, most)
    lines = data.split(b"\n", kept)[:kept] if kept > 0 else []
    return [line.removesuffix(b"\r")[:LINE_BYTES] for line in lines], count


class Spool:
    """Lines of all services of this edge."""

    def __init__(self, folder: Path, limit_bytes: int, url: str, token: str, counters: Counters) -> None:
        """:param token: of `nunatak keygen`, for the origin; "": nothing is shipped.
        :raises OperatorError: the folder cannot be used.
        """
        self._folder, self._limit_bytes, self._counters = folder, limit_bytes, counters
        self._url, self._token = url.rstrip("/") + "/logs", token
        self._pending: dict[tuple[str, str], int] = {}  # bytes of each log in segments that wait
        self._in_segment: dict[int, dict[tuple[str, str], int]] = {}
        self._syncing: asyncio.Task[int] | None = None
        self._sync_after: asyncio.Task[int] | None = None  # begins when that one has ended
        try:
            folder.mkdir(parents=True, exist_ok=True)
            name = folder / "edge"
            if not name.exists():
                name.write_text(secrets.token_hex(8))
            self.edge = name.read_text().strip()
            numbers = sorted(int(path.stem) for path in folder.glob("*.jsonl") if path.stem.isdecimal())
            self.used_bytes = sum(self._path(number).stat().st_size for number in numbers)
            self._segments = numbers
            counter = folder / "next"
            self._next = max(int(counter.read_text()) if counter.exists() else 1, (numbers or [0])[-1] + 1)
            self._file: IO[bytes] = self._new_segment()
        except (OSError, ValueError) as error:
            raise OperatorError(f"--cache: a folder for logs expected at {folder}: {error}") from None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.jsonl"

    def _new_segment(self) -> IO[bytes]:
        number, self._next = self._next, self._next + 1
        (self._folder / "next").write_text(str(self._next))
        self._segments.append(number)
        self._in_segment[number] = {}
        return self._path(number).open("ab", buffering=0)

    def append(self, service: str, name: str, record: bytes, limit_bytes: int) -> bool:
        """Take a record; False when there is no room for it, here or in what this log may have waiting.

        :param name: of the log disk; "" for lines of `nk_log` and the console.
        """
        line: dict[str, object] = {"at": round(time.time(), 3), "log": name, "service": service}
        try:
            line["text"] = record.decode()
        except UnicodeDecodeError:
            line["data"] = base64.b64encode(record).decode()
        encoded = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        key, size = (service, name), len(record)
        waiting = self._pending.get(key, 0)
        if waiting + size > limit_bytes or self.used_bytes + len(encoded) > self._limit_bytes:
            self._counters.log_refused += 1
            return False
        try:
            self._file.write(encoded)
        except OSError as error:
            _logger.error(log.line("log_not_written", error=error))
            self._counters.log_refused += 1
            return False
        self.used_bytes += len(encoded)
        self._pending[key] = waiting + size
        tally = self._in_segment[self._segments[-1]]
        tally[key] = tally.get(key, 0) + size
        self._counters.log_records += 1
        if self._file.tell() >= SEGMENT_BYTES:
            self._rotate()
        return True

    def _rotate(self) -> None:
        self._file.close()
        self._file = self._new_segment()

    async def sync(self) -> int:
        """Let all that was taken be on disk; 0 or a negative errno. One for all who ask while another is under way."""
        if self._syncing is None:
            task = self._syncing = asyncio.create_task(self._sync())
        elif self._sync_after is None:
            task = self._sync_after = asyncio.create_task(self._sync(self._syncing))
        else:
            task = self._sync_after
        return await asyncio.shield(task)

    async def _sync(self, before: "asyncio.Task[int] | None" = None) -> int:
        try:
            if before is not None:
                await asyncio.wait([before])
                self._syncing, self._sync_after = self._sync_after, None
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
        """Send segments to the origin, for ever."""
        if not self._token:
            return
        timeout = aiohttp.ClientTimeout(total=60, sock_connect=5)
        failing, pause_s = "", SHIP_S
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await asyncio.sleep(pause_s)
                try:
                    while await self._ship_one(session):
                        pass
                    failing, pause_s = "", SHIP_S
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    pause_s = min(pause_s * 2, PAUSE_MAX_S)
                    if str(error) != failing:
                        _logger.warning(log.line("logs_not_shipped", error=error or type(error).__name__))
                    failing = str(error)

    async def _ship_one(self, session: aiohttp.ClientSession) -> bool:
        """Send the oldest segment; False when there is nothing left to send."""
        if len(self._segments) == 1 and self._file.tell():
            self._rotate()
        if len(self._segments) == 1:
            return False
        number = self._segments[0]
        data = await asyncio.to_thread(self._path(number).read_bytes)
        if data:
            headers = {
                "Authorization": f"Bearer {self._token}",
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
        self.used_bytes -= len(data)
        for key, size in self._in_segment.pop(number, {}).items():
            left = self._pending[key] - size
            if left > 0:
                self._pending[key] = left
            else:
                del self._pending[key]
        return True

    def close(self) -> None:
        """Before the end of the process."""
        self._file.close()
