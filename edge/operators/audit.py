"""What operators have done to this edge: a line for each call that changes its state, appended to a file and kept.

A line is JSON: {"at": UTC, "who": {"uid", "pid"} or {"address"}, "method", "path", "query", "status", "skipped"}. Texts
of clients are cut and escaped. A file that has grown to FILE_BYTES is renamed to `.1`, in place of the one before: the
newest 1 to 2 MiB stay. Calls that were refused are noted too, but so few a minute that nobody can drive the others out.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edge.common import log
from vmimage.errors import OperatorError

FILE_BYTES: Final = 1 << 20  # some 5,000 calls
TEXT_MAX: Final = 500  # characters of a path or query
REFUSED_A_MINUTE: Final = 10  # a day of them, all the time, is some 3 MiB

_logger: Final = log.logger("audit")


class Audit:
    """The file, open for appending.

    :raises OperatorError: it cannot be opened.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._minute, self._refused, self._skipped = 0, 0, 0
        try:
            self._file = self._open()
        except OSError as error:
            raise OperatorError(
                f"audit log {path}: {error.strerror or error}: make it a file that this user may write"
            ) from error

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def write(self, who: Mapping[str, object], method: str, path: str, query: str, status: int) -> None:
        """Note a call and what became of it. Where the disk does not take it, it goes to the edge's log.

        :param who: made the call, as the system knows it.
        """
        now = self._clock()
        if status in (401, 403) and not self._may_note_refused(int(now // 60)):
            self._skipped += 1
            return
        entry: dict[str, object] = {
            "at": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
            "who": dict(who),
            "method": method[:TEXT_MAX],
            "path": path[:TEXT_MAX],
            "query": query[:TEXT_MAX],
            "status": status,
        }
        if self._skipped:
            entry["skipped"], self._skipped = self._skipped, 0
        text = json.dumps(entry)  # ASCII, control characters escaped
        try:
            if os.fstat(self._file).st_size >= FILE_BYTES:
                os.replace(self._path, self._path.with_suffix(".1.jsonl"))
                self.reopen()
            if os.write(self._file, text.encode() + b"\n") <= len(text):
                raise OSError(None, "written in part")
        except OSError as error:
            _logger.error(log.line("audit_not_written", error=error, entry=text))

    def _may_note_refused(self, minute: int) -> bool:
        if minute != self._minute:
            self._minute, self._refused = minute, 0
        self._refused += 1
        return self._refused <= REFUSED_A_MINUTE

    def reopen(self) -> None:
        """Write to the path anew: whoever rotates logs has renamed the file.

        :raises OSError: it cannot be opened; the one before stays.
        """
        file = self._open()
        os.close(self._file)
        self._file = file

    def close(self) -> None:
        """Before the end of the process."""
        os.close(self._file)
