"""The bytes of all variants one after another, as they lie in the image or on a disk.

On a disk a file that fits a block lies in one, so that an edge fetches one for it; a larger one begins with a block, so
that its blocks stay the same whatever changes before it. The same bytes are there once.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

from vmimage.disk import BLOCK_SIZE
from vmimage.errors import PublisherError

ALIGN: Final = 8
TAG_BYTES: Final = 16  # of a hash: as good as never the same for two files
_PART: Final = 1 << 20


class Place(NamedTuple):
    """Where some bytes lie, and their entity tag."""

    data: int
    size: int
    tag: str


class Contents:
    """Bytes that are written to a file."""

    def __init__(self, file: IO[bytes], *, by_blocks: bool) -> None:
        """:param by_blocks: they will be a disk."""
        self.size = 0
        self._file, self._by_blocks = file, by_blocks
        self._places: dict[str, Place] = {}

    def add(self, source: Path | bytes, size: int) -> Place:
        """Put bytes, or a file's, behind the others, unless they are there.

        :raises PublisherError: the file has other bytes than a moment ago, or cannot be read.
        """
        digest = _digest(source)
        if (place := self._places.get(digest)) is None:
            place = Place(self._begin(size), size, f'"{digest[: 2 * TAG_BYTES]}"')
            self._copy(source, place, digest)
            self._places[digest] = place
        return place

    def _begin(self, size: int) -> int:
        start = -(-self.size // ALIGN) * ALIGN
        if self._by_blocks and start % BLOCK_SIZE and start % BLOCK_SIZE + size > BLOCK_SIZE:
            start = -(-start // BLOCK_SIZE) * BLOCK_SIZE
        return start

    def _copy(self, source: Path | bytes, place: Place, digest: str) -> None:
        self._file.seek(place.data)
        check, size = hashlib.sha256(), 0
        for part in _parts(source):
            check.update(part)
            size += len(part)
            self._file.write(part)
        if size != place.size or check.hexdigest() != digest:
            raise PublisherError(f"assets: {source!s}: it changed while it was read: build again when that is over")
        self.size = place.data + size


def _parts(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    try:
        with source.open("rb") as file:
            while part := file.read(_PART):
                yield part
    except OSError as error:
        raise PublisherError(
            f"assets: {source}: a file that can be read expected: {error.strerror}: build again"
        ) from None


def _digest(source: Path | bytes) -> str:
    check = hashlib.sha256()
    for part in _parts(source):
        check.update(part)
    return check.hexdigest()
