"""Finds compiled modules, if there are some and they are of this very source; else all stays plain Python.

They lie in `build/fast` beside a stamp that names the source they were made of: every module of `edge` and `vmimage`,
since compiled code holds constants of modules that are not compiled. They run all or none, since they call each other
without asking Python; so one edited file brings plain Python back until `make fast` is run again, and deleting
`build/fast` brings it back for good. `NUNATAK_COMPILED=no` leaves them alone; `must` refuses to go on without them.

`edge` calls `install` before any of its modules is imported; nothing else does.
"""

import functools
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Final, Literal, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "build" / "fast"
SOURCES: Final = ("edge", "vmimage")
VARIABLE: Final = "NUNATAK_COMPILED"
WAYS: Final = ("auto", "no", "must")


class Found(NamedTuple):
    """What there is: `plain` where nothing was compiled, `stale` where that was something else than what is here."""

    kind: Literal["plain", "stale", "compiled"]
    files: Mapping[str, Path]  # of compiled modules, by name; empty unless `compiled`


def digest(root: Path = ROOT) -> str:
    """Names the source and the interpreter that compiled modules are for."""
    total = hashlib.sha256(sys.version.encode())
    for package in SOURCES:
        for path in sorted((root / package).rglob("*.py")):
            data = path.read_bytes()
            total.update(f"\n{path.relative_to(root)} {len(data)}\n".encode())
            total.update(data)
    return total.hexdigest()


def write_stamp(files: Mapping[str, str], folder: Path = FOLDER, root: Path = ROOT) -> None:
    """Say what the folder's modules were made of.

    :param files: where each lies in the folder, by name.
    """
    (folder / "stamp.json").write_text(json.dumps({"digest": digest(root), "files": dict(files)}, indent=1) + "\n")


def look(folder: Path = FOLDER, root: Path = ROOT) -> Found:
    """What was compiled, if it is of the source that is here."""
    try:
        stamp = json.loads((folder / "stamp.json").read_text("utf-8"))
        made_of, files = stamp["digest"], {name: folder / file for name, file in stamp["files"].items()}
    except FileNotFoundError:
        return Found("plain", {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Found("stale", {})
    fresh = made_of == digest(root) and all(file.is_file() for file in files.values())
    return Found("compiled", files) if fresh else Found("stale", {})


class Finder(MetaPathFinder):
    """Says where compiled modules are."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        file = self._files.get(fullname)
        return None if file is None else spec_from_file_location(fullname, file)


@functools.cache
def install() -> Found:
    """Have compiled modules imported from now on, as `NUNATAK_COMPILED` says; what there is. The first call does it.

    :raises ImportError: there are none and there must be, or the variable says something else.
    """
    way = os.environ.get(VARIABLE, "auto")
    if way not in WAYS:
        raise ImportError(f"{VARIABLE}: one of {', '.join(WAYS)} expected, got {way!r}")
    found = Found("plain", {}) if way == "no" else look()
    if way == "must" and found.kind != "compiled":
        raise ImportError(f"{VARIABLE}=must: compiled modules expected, what is there is {found.kind}: run make fast")
    if found.files:
        sys.meta_path.insert(0, Finder(found.files))
    return found
