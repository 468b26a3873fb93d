"""What an edge remembers of the fleet settings over a restart: what it goes by, what it tries, what it went back from.

A small JSON file of the edge's own:

    {"good": VERSION or null, "kept": VERSION or null, "trying": NAME, "stable": false,
     "back": {NAME: {"cause": WORD, "at": seconds since 1970, "by": "edge", "stable": false}}}

"good" is the last stable version that has proved itself here, "kept" a candidate that has. "trying" is written before a
version is taken up and taken away when it has proved itself, or when the edge ends as it should: where it is there at
the start, that version has ended the edge. A file that cannot be read is begun anew, and that is said.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from edge.common.private import write_private
from edge.releases.kept_file import read_kept
from edge.settings.choice import Back
from vmimage.errors import FormatError
from vmimage.fleet_settings import NOTHING, Version, is_version_name, parse_version

FILE_MAX: Final = 256 << 10  # bytes
BACK_MAX: Final = 64  # versions that are remembered; of more the oldest are forgotten
WORD_MAX: Final = 200  # characters


class Memory:
    """One edge's. Reading it touches the disk once."""

    def __init__(self, path: Path) -> None:
        """:param path: of the file; it need not be there."""
        self._path = path
        kept = read_kept(path, FILE_MAX, _parse, "fleet_settings_unreadable")
        self.good: Version = kept.get("good", NOTHING)
        self.kept: Version | None = kept.get("kept")
        self.back: dict[str, Back] = kept.get("back", {})
        self.trying, self._stable = kept.get("trying", ("", False))

    @property
    def in_force(self) -> Version:
        """What an edge goes by that has just started."""
        return self.good if self.kept is None else self.kept

    def settle_start(self, now: float) -> None:
        """Called once at the start: the version that was being tried has ended the edge before.

        :param now: seconds since 1970. :raises OSError: the disk does not take it; it counts all the same.
        """
        if self.trying:
            self.went_back(self.trying, Back("ended", now, "edge", self._stable))

    def try_(self, version: Version, *, stable: bool) -> None:
        """A version is about to be taken up.

        :raises OSError: that cannot be kept: it must not be.
        """
        before = self.trying, self._stable
        self.trying, self._stable = version.name, stable
        try:
            self._write()
        except OSError:
            self.trying, self._stable = before
            raise

    def prove(self, version: Version, *, stable: bool) -> None:
        """A version has proved itself, or there is nothing to prove.

        :raises OSError: as `settle_start`.
        """
        self.trying = ""
        self.back.pop(version.name, None)
        if stable:
            self.good, self.kept = version, None
        else:
            self.kept = version
        self._write()

    def went_back(self, name: str, back: Back) -> None:
        """It goes by the last good one.

        :raises OSError: as `settle_start`.
        """
        if self.trying == name:
            self.trying = ""
        if self.kept is not None and self.kept.name == name:
            self.kept = None
        self.back.pop(name, None)
        self.back[name] = back
        while len(self.back) > BACK_MAX:
            self.back.pop(next(iter(self.back)))
        self._write()

    def drop(self) -> None:
        """What is tried, or was kept of a candidate, is not meant any more.

        :raises OSError: as `settle_start`.
        """
        if self.trying or self.kept is not None:
            self.trying, self.kept = "", None
            self._write()

    def end(self) -> None:
        """The edge ends as it should: what it tries is tried anew.

        :raises OSError: it will count as ended by it.
        """
        if self.trying:
            self.trying = ""
            self._write()

    def _write(self) -> None:
        value = {
            "good": _value(self.good) if self.good.number else None,
            "kept": _value(self.kept) if self.kept is not None else None,
            "trying": self.trying,
            "stable": self._stable,
            "back": {name: asdict(back) for name, back in self.back.items()},
        }
        write_private(self._path, json.dumps(value, indent=1).encode() + b"\n")


def _value(version: Version) -> Mapping[str, Any]:
    return {"number": version.number, "since": version.since, "values": dict(version.values)}


def _parse(value: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = {"trying": (value["trying"], value["stable"])}
        for name in ("good", "kept"):
            if value[name] is not None:
                found[name] = parse_version(name, value[name])
    except FormatError as error:
        raise ValueError(str(error)) from None
    found["back"] = {name: Back(**fields) for name, fields in value["back"].items()}
    if not all(is_version_name(name) and _is_back(back) for name, back in found["back"].items()):
        raise ValueError("no versions that it went back from")
    trying, stable = found["trying"]
    if (trying != "" and not is_version_name(trying)) or type(stable) is not bool or len(found["back"]) > BACK_MAX:
        raise ValueError("no version that is tried")
    return found


def _is_back(back: Back) -> bool:
    words = all(isinstance(word, str) and len(word) <= WORD_MAX for word in (back.cause, back.by))
    return words and type(back.stable) is bool and isinstance(back.at, int | float)
