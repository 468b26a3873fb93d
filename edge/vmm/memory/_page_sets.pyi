"""Built from `_page_sets.c` where there is a compiler; see `page_sets`."""

import numpy as np
from numpy.typing import NDArray

from edge.vmm.memory.page_sets import Layers, PageNos, Pages

def find_dirty(
    entries: NDArray[np.uint64], found: PageNos, skip: PageNos | None, first_bare: int, changeable: bool, /
) -> int: ...
def same_words(these: NDArray[np.uint64], those: NDArray[np.uint64], ignored: int, /) -> bool: ...
def mark_dirty(entries: NDArray[np.uint64], page_nos: PageNos, /) -> None: ...
def write_back(
    pages: Pages,
    page_nos: PageNos,
    base: Pages | None,
    present: NDArray[np.bool_],
    layers: Layers,
    watched: NDArray[np.bool_] | None,
    /,
) -> list[int]: ...
def differences(
    pages: Pages,
    page_nos: PageNos,
    base: Pages | None,
    present: NDArray[np.bool_],
    layers: Layers,
    found: PageNos,
    masks: NDArray[np.uint64],
    words: NDArray[np.uint64],
    /,
) -> tuple[int, int]: ...
def pack_into(rows: Pages, masks: NDArray[np.uint64], words: NDArray[np.uint64], /) -> int: ...
