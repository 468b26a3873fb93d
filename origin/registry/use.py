"""What of an origin's content may be removed, beside all who push, ask and prune at the same time.

Whoever is about to name content says so (`use`), and what was used within a grace time is not removed. Between the
look at that and the removal nobody may slip in:

- **A folder** has one origin: the time of a file's last change says when it was used, and a lock orders both.
- **A bucket** has several origins, and no way to remove an object on a condition. So both sides write before they
  read. Who uses old content writes a mark (`used/<kind>/<hex>`), then reads the note of what is being removed
  (`prune/doomed.json`), then whether the content is there. Who prunes writes the note, then reads time and mark of each
  object, then removes it. One of both sees the other: the content stays, or its user waits for the end of the removal
  and finds out what is left. The note ends by itself, and what it names is removed only well before, so an origin that
  dies in the middle stops nobody for longer than `DOOMED_S`. Content that was written or marked within `FRESH_S` needs
  none of this: nothing younger than the least grace time is ever removed, which is twice as long.
"""

import errno
import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol, cast

from origin.storage.blobs import BlobStore, Changed, Data
from origin.storage.files import Files
from origin.storage.place import Place

USED_EVERY_S: Final = 60.0  # so often the use of a file is noted in it; far less than any grace time
FRESH_S: Final = 1800.0  # for which content that was used is used; half of the least grace time
DOOMED_S: Final = 300.0  # for which a note counts
MARGIN_S: Final = 60.0  # before its end nothing is removed any more: longer than any request is under way
POLL_S: Final = 0.2  # in which who uses doomed content looks whether it is over
REMEMBERED: Final = 100_000  # objects known to be fresh; some 20 MB
CLOCK_S: Final = 3600.0  # for which the difference between the store's clock and this machine's is believed
NOTE: Final = "prune/doomed.json"


class PruneUnderWay(Exception):
    """Another origin removes content at this moment."""


class Note(NamedTuple):
    """What is being removed, as `NOTE` says it."""

    until_s: float  # when it is over at the latest, seconds since 1970; 0 when it is
    ended_s: float  # when it was
    keys: frozenset[str]


def encode_note(note: Note) -> bytes:
    """As it is written."""
    return json.dumps({"until_s": note.until_s, "ended_s": note.ended_s, "keys": sorted(note.keys)}).encode()


def parse_note(data: bytes, now_s: float) -> Note:
    """What a note says.

    :raises OSError: it is none, or would be in the way for longer than one may be.
    """
    try:
        said = json.loads(data)
        note = Note(float(said["until_s"]), float(said["ended_s"]), frozenset(map(str, said["keys"])))
        if note.until_s < now_s + DOOMED_S + MARGIN_S:
            return note
    except (ValueError, TypeError, LookupError, RecursionError):
        pass
    raise OSError(errno.EIO, f"{NOTE} as an origin writes it expected: remove it if no origin prunes")


class Use(Protocol):
    """Who uses content, and who removes what nobody uses."""

    def use(self, place: Place) -> int | None:
        """Note that content may be named in a moment: a grace time begins anew. Its size, None when it is not here."""

    def put(self, place: Place, data: Data, content_type: str = "") -> None:
        """Write content, over what is there: it may be damaged. That is a use too."""

    def marks(self, kind: str) -> dict[str, float]:
        """When content was used since it was written, by its name, where that is not the time of its own change."""

    def dooming(self, places: Iterable[Place]) -> Any:
        """A context in which these may be removed. :raises PruneUnderWay: another origin does so already."""

    def remove_unused(self, place: Place, before_s: float) -> bool:
        """Remove content that was not used since a time, in such a context; whether it is gone."""


class FolderUse:
    """In a folder."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def use(self, place: Place) -> int | None:
        """As `Use.use`."""
        return self._files.touch(place.key, USED_EVERY_S)

    def put(self, place: Place, data: Data, content_type: str = "") -> None:
        """As `Use.put`."""
        self._files.put(place.key, data, content_type)

    def marks(self, kind: str) -> dict[str, float]:
        """As `Use.marks`."""
        return {}

    @contextmanager
    def dooming(self, places: Iterable[Place]) -> Iterator[None]:
        """As `Use.dooming`."""
        yield

    def remove_unused(self, place: Place, before_s: float) -> bool:
        """As `Use.remove_unused`."""
        return self._files.remove_older(place.key, before_s)


class BucketUse:
    """In a bucket."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._fresh: dict[str, tuple[int, float]] = {}  # size, and until when, by the clock of this process
        self._skew: tuple[float, float] | None = None  # of the store's clock, and when that was found out
        self._deadline = 0.0  # of the note of this process, by its own clock
        self._asking = threading.Lock()

    def use(self, place: Place) -> int | None:
        """As `Use.use`."""
        size, until = self._fresh.get(place.key, (0, 0.0))
        if time.monotonic() < until:
            return size
        head = self._blobs.head(place.key)
        if head is None:
            return None
        mark = _mark(place)
        left_s = head.changed_s + FRESH_S - self._now_s()
        if left_s <= 0:
            marked = self._blobs.head(mark)
            left_s = marked.changed_s + FRESH_S - self._now_s() if marked is not None else 0
        if left_s <= 0:
            self._blobs.put(mark, b"")
            self._await_removal(place.key)
            head, left_s = self._blobs.head(place.key), FRESH_S
        if head is None:
            return None
        self._remember(place.key, head.size, left_s)
        return head.size

    def put(self, place: Place, data: Data, content_type: str = "") -> None:
        """As `Use.put`."""
        self._fresh.pop(place.key, None)
        begun_s = self._now_s()
        while True:
            self._blobs.put(place.key, data, content_type)
            if self._await_removal(place.key) < begun_s - MARGIN_S or self._blobs.head(place.key) is not None:
                break

    def marks(self, kind: str) -> dict[str, float]:
        """As `Use.marks`."""
        return {each.key.rpartition("/")[2]: each.changed_s for each in self._blobs.list(f"used/{kind}")}

    @contextmanager
    def dooming(self, places: Iterable[Place]) -> Iterator[None]:
        """As `Use.dooming`."""
        found = self._blobs.read(NOTE)
        now_s = self._now_s()
        if found is not None and parse_note(found[0], now_s).until_s > now_s:
            raise PruneUnderWay
        begun = time.monotonic()
        note = Note(now_s + DOOMED_S, 0.0, frozenset(place.key for place in places))
        try:
            tag = self._blobs.swap(NOTE, found[1] if found is not None else None, encode_note(note))
        except Changed:
            raise PruneUnderWay from None
        self._deadline = begun + DOOMED_S - MARGIN_S
        try:
            yield
        finally:
            self._deadline = 0.0
            try:
                self._blobs.swap(NOTE, tag, encode_note(Note(0.0, self._now_s(), frozenset())))
            except Changed:
                pass  # it was over, and another has begun

    def remove_unused(self, place: Place, before_s: float) -> bool:
        """As `Use.remove_unused`."""
        mark = _mark(place)
        heads = [head for head in (self._blobs.head(place.key), self._blobs.head(mark)) if head is not None]
        if not heads or max(head.changed_s for head in heads) >= before_s or time.monotonic() >= self._deadline:
            return False
        self._fresh.pop(place.key, None)
        self._blobs.delete(place.key)
        self._blobs.delete(mark)
        return True

    def _await_removal(self, key: str) -> float:
        """Until no note names this; when content was removed last, at the latest, in seconds since 1970."""
        while (found := self._blobs.read(NOTE)) is not None:
            now_s = self._now_s()
            note = parse_note(found[0], now_s)
            if note.until_s <= now_s:
                return note.ended_s or note.until_s
            if key not in note.keys:
                return now_s
            time.sleep(POLL_S)
        return 0.0

    def _remember(self, key: str, size: int, left_s: float) -> None:
        if len(self._fresh) >= REMEMBERED:
            self._fresh.clear()
        self._fresh[key] = size, time.monotonic() + left_s

    def _now_s(self) -> float:
        """The time of the store, which needs no request but once an hour."""
        with self._asking:
            if self._skew is None or time.monotonic() - self._skew[1] > CLOCK_S:
                self._skew = self._blobs.now_s() - time.time(), time.monotonic()
            return time.time() + self._skew[0]


def use_of(blobs: BlobStore) -> Use:
    """How content of this store is used."""
    return BucketUse(blobs) if blobs.shared else FolderUse(cast("Files", blobs))


def _mark(place: Place) -> str:
    return f"used/{place.key.partition('/')[0]}/{place.name}"
