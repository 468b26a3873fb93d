"""What an order of eviction is worth: hits of LRU and of `edge.cache.shelves` on the load tester's shapes of traffic.

python -m tests.support.eviction
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from edge.cache.shelves import HITS_COUNTED, Shelves
from loadtest.traffic.zipf import Shape, Traffic

PAGES: Final = 20_000
REQUESTS: Final = 150_000
A_SECOND: Final = 1_000  # requests, for what a shape says by the minute
SHARES: Final = (0.01, 0.1)  # of all pages have room
SHAPES: Final[Mapping[str, Shape]] = {
    "Zipf 0.8": Shape(PAGES),
    "with drift": Shape(PAGES, drift=600),
    "with scan": Shape(PAGES, scan=0.15),
    "with one-hit wonders": Shape(PAGES, wonders=0.06),
    "with all of these": Shape(PAGES, drift=600, scan=0.15, wonders=0.06, flash=0.1),
}


class Page:
    """One page; each takes the same room."""

    size_bytes, tenant = 1, ""

    def __init__(self, name: int) -> None:
        self.name, self.hits, self.wanted = name, 0, False


def lru(room: int) -> Callable[[int], bool]:
    """Asks for a page, and says whether it was there."""
    held: OrderedDict[int, None] = OrderedDict()

    def ask(page: int) -> bool:
        if page in held:
            held.move_to_end(page)
            return True
        held[page] = None
        if len(held) > room:
            held.popitem(last=False)
        return False

    return ask


def shelves(room: int) -> Callable[[int], bool]:
    """The same, by what edges do."""
    held: dict[int, Page] = {}
    order: Shelves[Page] = Shelves(room)

    def ask(name: int) -> bool:
        page = held.get(name)
        if page is not None:
            page.hits = min(HITS_COUNTED, page.hits + 1)
            return True
        page = held[name] = Page(name)
        for gone in order.add(page):
            del held[gone.name]
        return False

    return ask


def hits(shape: Shape, ask: Callable[[int], bool], requests: int = REQUESTS) -> float:
    """The share of requests that were hits."""
    traffic = Traffic(shape)
    return sum(ask(traffic.pick(number / A_SECOND).service) for number in range(requests)) / requests


def main() -> None:
    """Print a table."""
    print(f"{'hits of':24}" + "".join(f"{f'LRU, {share:.0%}':>14}{f'S3-FIFO, {share:.0%}':>14}" for share in SHARES))
    for name, shape in SHAPES.items():
        cells = (hits(shape, make(int(PAGES * share))) for share in SHARES for make in (lru, shelves))
        print(f"{name:24}" + "".join(f"{cell:>14.1%}" for cell in cells))


if __name__ == "__main__":
    main()
