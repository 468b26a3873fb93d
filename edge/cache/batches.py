"""What the two halves of the disk of kept answers say to each other: orders from the loop, and what came of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.cache.moments import Moment
from edge.cache.places import Place


class Put(NamedTuple):
    """Memory has evicted an answer."""

    place: Place
    vary: bytes  # fields that it depends on, by commas
    tenant: str
    run: int
    size_bytes: int  # about
    known: bool  # it came from the disk, and is not written again if it is there still
    make: Callable[[], bytes]


class Drop(NamedTuple):
    """A variant of a page is not to be served again, nor those that other fields tell apart."""

    place: Place
    vary: bytes


class DropUri(NamedTuple):
    """Nothing of a URI is."""

    uri: bytes


Operation = Put | Drop | DropUri
Purges = Sequence[tuple[int, bytes]]  # by number, each as `recorded` has it


class Batch(NamedTuple):
    """What is done together: these operations in this order, then the purges."""

    operations: Sequence[Operation]
    purges: Purges
    number: int  # of the last purge that there is
    moment: Moment
    age: int  # of the file, as far as is known: answers for one that is gone are not put into the next
    all_purges: Purges | None = None  # that are remembered: in place of those in the file
    clear: bool = False  # have nothing instead

    @property
    def voids(self) -> bool:
        """Whether it makes answers void that the file may have."""
        others = any(not isinstance(each, Put) for each in self.operations)
        return bool(self.purges) or self.all_purges is not None or others

    @property
    def puts(self) -> list[bytes]:
        """The URIs of answers that it brings."""
        return [each.place.uri for each in self.operations if isinstance(each, Put)]

    def without_puts(self) -> "Batch":
        """The rest of it."""
        return self._replace(operations=[each for each in self.operations if not isinstance(each, Put)])


@dataclass
class Done:
    """What came of a batch, or of a look."""

    removed: list[bytes] = field(default_factory=list)  # URIs, one for each answer that was put and is not there
    written: int = 0
    evicted: int = 0
    error: str = ""  # of the disk
    emptied: bool = False  # the file was deleted
    damaged: bool = False  # because it was
    durable: bool = True  # nothing that was made void can come back
    age: int = 0  # of the file now


@dataclass
class Found(Done):
    """What a look has found."""

    vary: bytes | None = None  # fields that the page's answers depend on; None: there is none of the page
    data: bytes | None = None  # an answer, as it was made
    refused: bool = False  # one that is not what was written


class Begun(NamedTuple):
    """What an earlier edge has left."""

    uris: Sequence[bytes] = ()  # one for each answer
    purges: Purges = ()
    number: int = 0  # of the last purge
    moment: Moment | None = None  # of the last batch
