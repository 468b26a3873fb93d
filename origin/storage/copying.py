"""A copy of a store that others write to meanwhile: whole whenever it was begun, and whenever it ends.

What is written last is read first, and written last: an object is in the copy only after all that it names. The
timestamp that is copied is the one of the beginning, so the copy says what was published then. The log of snapshots,
whose files are replaced by longer ones, is copied before, again if it grew meanwhile: it is never ahead of the rest.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from origin.storage.blobs import BlobStore, Listed
from vmimage.errors import OperatorError

TIMESTAMP: Final = "tuf/timestamp.json"
PART_BYTES: Final = 8 << 20  # of a larger object is in memory at once
CHECKPOINT: Final = "log/checkpoint"
LOG_TRIES: Final = 100  # while others publish all the time
AT_ONCE: Final = 16  # objects under way
# What names others before what it names. The log is there already; all else, as tags and audit lines, names by digest,
# and may miss.
ORDER: Final = ("changes", "tuf", "feed", "artifacts", "manifests", "blobs")
LEFT_OUT: Final = ("used", "prune", "probe", "clock")  # of the work of the origins of that store alone


class Copied(NamedTuple):
    """What came of it."""

    objects: int  # that were written
    there: int  # that were there already
    size: int  # bytes that were written


def in_order(listed: Callable[[str], Iterable[Listed]]) -> Iterator[Listed]:
    """All but the log, in the order in which it is looked for; those that come meanwhile may be among them or not.

    :param listed: all under a prefix.
    """
    seen = {"log"}
    for prefix in (*ORDER, ""):
        for each in listed(prefix):
            top = each.key.partition("/")[0]
            if each.key == TIMESTAMP or top in LEFT_OUT or top in seen:
                continue
            yield each
        seen.add(prefix)


def copy(source: BlobStore, target: BlobStore) -> Copied:
    """Copy what is not in `target` yet, all that the timestamp of the beginning needs among it, and that last.

    :raises OperatorError: there is no catalogue in `source`, or a newer one, or another's, in `target`.
    :raises OSError: either cannot be read or written; what was copied stays, and the next copy goes on.
    """
    checkpoint, sizes = _copy_log(source, target)
    found, there = source.read(TIMESTAMP), target.read(TIMESTAMP)
    if found is None:
        raise OperatorError(f"a store with a catalogue expected, got one without {TIMESTAMP}: name one of origins")
    if there is not None:
        _require_older(source, target, found[0], there[0])
    objects = list(in_order(source.list))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Written in the reverse order, so that a copy that is cut off names nothing that is not there.
        sizes += pool.map(lambda each: _copy(source, target, each), reversed(objects))
    if checkpoint is not None:
        target.put(CHECKPOINT, checkpoint)
    if there is None or there[0] != found[0]:
        target.swap(TIMESTAMP, there[1] if there is not None else None, found[0])
    written = [size for size in sizes if size is not None]
    return Copied(len(written), len(sizes) - len(written), sum(written))


def _copy_log(source: BlobStore, target: BlobStore) -> tuple[bytes | None, list[int | None]]:
    """The checkpoint over the files that were copied, which is written when the rest is there; None without a log.

    :raises OperatorError: it grew at each try.
    """
    sizes: list[int | None] = []
    for _ in range(LOG_TRIES):
        found = source.read(CHECKPOINT)
        if found is None:
            return None, sizes
        sizes += [_copy(source, target, each) for each in source.list("log") if each.key != CHECKPOINT]
        if source.read(CHECKPOINT) == found:
            return found[0], sizes
    raise OperatorError("a moment without a new version expected, in which the log is copied: run it again")


def _copy(source: BlobStore, target: BlobStore, listed: Listed) -> int | None:
    """Bytes that were written; None where it is there, or gone meanwhile."""
    head = target.head(listed.key)
    if head is not None and head.size == listed.size and "sha256/" in listed.key:
        return None
    try:
        if listed.size > PART_BYTES:
            return _copy_in_parts(source, target, listed)
        data = source.get(listed.key, 0, PART_BYTES - 1)
    except FileNotFoundError:
        return None  # a prune, or what nobody needs any more
    if head is not None and head.size == len(data) and target.get(listed.key, 0, PART_BYTES - 1) == data:
        return None
    target.put(listed.key, data, _type_of(listed.key, data))
    return len(data)


def _copy_in_parts(source: BlobStore, target: BlobStore, listed: Listed) -> int:
    path = target.scratch / f"{secrets.token_hex(8)}.copy"
    try:
        with path.open("xb") as file:
            for start in range(0, listed.size, PART_BYTES):
                file.write(source.get(listed.key, start, start + PART_BYTES - 1))
        target.put(listed.key, path)
        return listed.size
    finally:
        path.unlink(missing_ok=True)


def _type_of(key: str, data: bytes) -> str:
    """The media type of a manifest of others, which only it says; "" for all else."""
    if not key.startswith("artifacts/"):
        return ""
    try:
        said = json.loads(data)["mediaType"]
    except (ValueError, TypeError, LookupError):
        return ""
    return said if isinstance(said, str) else ""


def _require_older(source: BlobStore, target: BlobStore, new: bytes, old: bytes) -> None:
    root = "tuf/1.root.json"
    if source.get(root) != target.get(root):
        raise OperatorError("a copy of the same catalogue expected, got one with another root: name another")
    try:
        versions = [json.loads(data)["signed"]["version"] for data in (new, old)]
    except (ValueError, TypeError, LookupError):
        raise OperatorError(f"{TIMESTAMP} as an origin writes it expected in both stores: restore them") from None
    if versions[0] < versions[1]:
        raise OperatorError(
            f"a store that is not ahead of what is copied expected, got timestamp {versions[1]} there and "
            f"{versions[0]} here: copy into an empty one"
        )
