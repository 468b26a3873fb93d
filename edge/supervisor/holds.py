"""Services that an operator has put on hold: their names, and since when, kept in a file that outlives the edge.

The file is JSON: {"holds": {NAME: seconds since 1970, ...}}. An edge that cannot read it does not start: to forget that
a service must not run would be worse.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge.common.private import write_private
from vmimage.errors import OperatorError
from vmimage.manifest import is_name

HOLDS_MAX: Final = 1000  # each is looked after once a second
FILE_MAX: Final = 1 << 20  # bytes


class Holds:
    """The names, in a file.

    :raises OperatorError: the file is there and cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since = self._read()
        self.names: Final = set(self._since)  # for who asks at each request

    def __len__(self) -> int:
        return len(self._since)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._since))

    def since(self, name: str) -> float | None:
        """When a service was put on hold, in seconds since 1970; None for one that is not."""
        return self._since.get(name)

    def add(self, name: str, now: float) -> None:
        """Keep a name; a no-op for one that is kept already.

        :param now: seconds since 1970.
        :raises OperatorError: there are too many.
        :raises OSError: the disk does not take it; nothing has changed.
        """
        if name in self._since:
            return
        if len(self._since) >= HOLDS_MAX:
            raise OperatorError(f"at most {HOLDS_MAX} services on hold expected: release some first")
        self._write({**self._since, name: round(now, 3)})

    def discard(self, name: str) -> None:
        """Forget a name; a no-op for one that is not kept.

        :raises OSError: as `add`.
        """
        if name in self._since:
            self._write({other: since for other, since in self._since.items() if other != name})

    def _write(self, since: dict[str, float]) -> None:
        write_private(self._path, json.dumps({"holds": since}, indent=1).encode() + b"\n")
        self._since = since
        self.names.clear()
        self.names.update(since)

    def _read(self) -> dict[str, float]:
        try:
            with self._path.open("rb") as file:
                data = file.read(FILE_MAX + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise OperatorError(f"{self._path}: {error.strerror or error}") from error
        try:
            holds = json.loads(data)["holds"]
            if len(data) > FILE_MAX or not isinstance(holds, dict) or len(holds) > HOLDS_MAX:
                raise ValueError
            if not all(is_name(name) and isinstance(since, int | float) for name, since in holds.items()):
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError):
            what = '{"holds": {NAME: seconds, ...}} expected; correct it, or delete it to hold no service'
            raise OperatorError(f"{self._path}: {what}") from None
        return {name: float(since) for name, since in holds.items()}
