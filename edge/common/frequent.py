"""Which of many names come most often, in bounded memory: counts of some, too low by a known number at most. Pure.

This is the summary of Misra and Gries (1982) that makes room for many names at once (Anderson and others, "A
High-Performance Algorithm for Identifying Frequent Items in Data Streams", 2017): to add costs a look-up, and once in
half as many additions as there are places a sort of what is there.
"""

from collections.abc import Iterator, Mapping


class Frequent:
    """Counts of the names that come most often.

    :param places: names that are counted at the same time.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._counts: dict[str, int] = {}
        self.missing = 0  # no count is lower than the truth by more than this

    @property
    def counts(self) -> Mapping[str, int]:
        """Names that may be frequent, with their counts: all that came more than `missing` times are among them."""
        return self._counts

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def add(self, name: str, count: int = 1) -> None:
        """A name came so often."""
        counts = self._counts
        counts[name] = counts.get(name, 0) + count
        if len(counts) > self._places:
            self._make_room()

    def take(self, name: str) -> int:
        """The count of a name, which is no longer counted; 0 for one that is not."""
        return self._counts.pop(name, 0)

    def halve(self) -> None:
        """Give what comes from now on twice the weight of what has come until now."""
        self.missing //= 2
        self._counts = {name: count // 2 for name, count in self._counts.items() if count > 1}

    def _make_room(self) -> None:
        """Take the count in the middle from all, and let go who has nothing left: half of the names at least."""
        middle = sorted(self._counts.values())[len(self._counts) // 2]
        self.missing += middle
        self._counts = {name: count - middle for name, count in self._counts.items() if count > middle}
