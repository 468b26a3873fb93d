"""A change of the catalogue as one object, which is what makes it count.

Several origins may publish over one store at once, and each may end anywhere. So a change is first written whole, with
all of its files but the timestamp, as `changes/<version of its snapshot>.json`, and only if there is no such object:
of all changes to one state one is taken, and it is never half there. Then its files are laid out under their names,
and the timestamp is swapped. Whoever finds a change that is behind the timestamp's state does that in place of an
origin that has died. So no file is written under its name before it counts, and all who lay it out write the same.

Without I/O; what is carried out is `origin/registry/ledger.py`'s.
"""

import json
from collections.abc import Sequence

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Root, Snapshot

from origin.registry.roles import Files, signed_by_one
from origin.registry.store import METADATA_NAME
from vmimage.errors import OperatorError, VerificationError
from vmimage.trust import follow


def change_key(version: int) -> str:
    """Of the change whose snapshot has this version."""
    return f"changes/{version}.json"


def encode_change(files: Files) -> bytes:
    """:param files: all but the timestamp, in the order in which they are laid out."""
    return json.dumps({"files": [[name, data.decode()] for name, data in files]}).encode()


def parse_change(data: bytes, version: int, roots: Sequence[Root]) -> Files:
    """The files, checked: the snapshot is signed, and names what else is there.

    :param version: of the snapshot. :param roots: by which it may be signed, beside the one that it brings itself.
    :raises OperatorError: damaged, or another's.
    """
    try:
        files = [(str(name), text.encode()) for name, text in json.loads(data)["files"]]
        found = dict(files)
        if len(found) != len(files) or any(METADATA_NAME.fullmatch(name) is None for name in found):
            raise ValueError("names of role metadata, each once, expected")
        new = [follow([data], roots[0]) for name, data in files if name.endswith(".root.json")]
        snapshot, _ = signed_by_one(Snapshot, found[f"{version}.snapshot.json"], (*new, *roots))
        if snapshot.version != version:
            raise ValueError(f"snapshot version {version} expected, got {snapshot.version}")
        for name, text in files:
            number, _, role = name.partition(".")
            if role not in ("snapshot.json", "root.json"):
                meta = snapshot.meta[role]
                if meta.version != int(number):
                    raise ValueError(f"{role} version {meta.version} expected, got {number}")
                meta.verify_length_and_hashes(text)
    except (ValueError, TypeError, LookupError, AttributeError, RepositoryError, VerificationError) as error:
        raise OperatorError(
            f"{change_key(version)} as an origin with these keys wrote it expected: {error}: "
            "name the store or the key folder that belong together, or restore the store from its backup"
        ) from None
    return files
