"""What an edge has of a catalogue on its disk, for who only wants to know: nothing is fetched, written or locked."""

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path

from vmimage.renewal import expiries
from vmimage.trust import Trust, follow, root_version


def kept_expiries(root: bytes, folder: Path) -> dict[str, datetime]:
    """When what is signed by hand ends, by role: of the newest root and targets that `folder` has, from `root` on.

    :param folder: a catalogue's metadata folder, or a key folder. What it does not have is not in the answer.
    :raises VerificationError: `root` is no trust root, or what the folder has does not follow from it.
    """
    roots = [root, *_later(root_version(root), folder)]
    targets = _targets(folder)
    return expiries(Trust(roots, targets)) if targets is not None else {"root": follow(roots).expires}


def _later(version: int, folder: Path) -> Iterator[bytes]:
    for number in count(version + 1):
        try:
            yield (folder / "tuf" / "root_history" / f"{number}.root.json").read_bytes()
        except OSError:
            return


def _targets(folder: Path) -> bytes | None:
    try:
        return str(json.loads((folder / "catalogue.json").read_bytes())["targets"]).encode()
    except (OSError, ValueError, LookupError, TypeError):
        pass
    try:
        return (folder / "targets.json").read_bytes()
    except OSError:
        return None
