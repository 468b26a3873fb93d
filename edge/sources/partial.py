"""A blob of which a part is here: its bytes, their hash so far, and whom they came from. Pure.

It grows from one source or several, one after the other; the hash goes on, so a resumed blob is read once. Whoever
looks at it meanwhile looks at bytes of which nobody knows yet whether they are the right ones.
"""

import hashlib

from edge.content.blobs import Ref
from vmimage.errors import VerificationError


class Partial:
    """What has come of one blob."""

    def __init__(self, ref: Ref) -> None:
        self.ref = ref
        self.given_by: list[str] = []  # names of sources, in their order
        self.size: int | None = None  # of the whole, as the source says it that gives it now
        self.drops = 0  # so often bytes that had come were dropped, or are to be others than was said
        self._data = bytearray()
        self._most = ref.size
        self._hash = hashlib.sha256()

    def __len__(self) -> int:
        return len(self._data)

    def part(self, first: int, end: int) -> bytes:
        """What has come of the bytes from `first` to before `end`."""
        return bytes(memoryview(self._data)[first:end])

    def begin(self, name: str, first: int, size: int | None) -> int:
        """A source goes on from the next byte, or from the first of all; how many there may be in all.

        :param size: of the whole, as the source says it.
        """
        if first == 0:
            self.drop()
        if size != self.size:
            self.size = size
            self.drops += len(self._data) > 0
        self._most = self.ref.size if size is None else min(size, self.ref.size)
        if name not in self.given_by:
            self.given_by.append(name)
        return self._most

    def add(self, chunk: bytes) -> None:
        """:raises VerificationError: more than was promised; nothing of it is kept."""
        if len(self._data) + len(chunk) > self._most:
            raise VerificationError(f"{self.ref.digest}: {self._most} bytes expected, got more")
        self._data += chunk
        self._hash.update(chunk)

    def checked(self) -> bytes:
        """All of it, verified.

        :raises VerificationError: it is something else, or less.
        """
        return self.ref.check(bytes(self._data), f"sha256:{self._hash.hexdigest()}")

    def drop(self) -> None:
        """Begin anew."""
        self.drops += len(self._data) > 0
        self.given_by.clear()
        self._data.clear()
        self._hash = hashlib.sha256()
