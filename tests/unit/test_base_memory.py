"""Is guest RAM the base's where that has pages and zero elsewhere, and does the base's file stay as it was?"""

import os

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.vmm.memory.base_memory import EXTENTS_MAX, BaseMemory
from edge.vmm.memory.guest_memory import RESET_COPY_PAGES, GuestMemory, PageTemplate
from edge.vmm.memory.image_memory import GAPS_CLOSED, base_memfd
from vmimage import abi
from vmimage.errors import FormatError
from vmimage.manifest import MEMORY_STEP, Region

SIZE = 4 << 20
PAGES = SIZE // abi.PAGE_SIZE


def base_of(page_nos: list[int]) -> BaseMemory:
    """A base whose page n holds n in every word."""
    contents = np.array(page_nos, dtype=np.uint64)[:, None].repeat(512, axis=1)
    return BaseMemory(base_memfd(np.array(page_nos, dtype=np.uint32), contents))


def allocated(base: BaseMemory) -> int:
    assert base.fd is not None
    return os.fstat(base.fd).st_blocks


def expected(page_nos: list[int]) -> NDArray[np.uint64]:
    words = np.zeros(PAGES, dtype=np.uint64)
    inside = [n for n in page_nos if n < PAGES]
    words[inside] = inside
    return words


LAYOUTS = {
    "one": [300],
    "near": [256, 257, 260, 300, 302],
    "beyond": [256, PAGES - 1, PAGES, PAGES + 1, 5000, 200_000],  # of a larger machine
    "scattered": [256 + 20 * n for n in range(EXTENTS_MAX + 10)],  # more ranges than are mapped
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ram_holds_the_pages_of_the_base_and_writes_stay_out_of_its_file(layout: str) -> None:
    page_nos = LAYOUTS[layout]
    base = base_of(page_nos)
    before = allocated(base)
    memory = GuestMemory(base, SIZE)
    template = PageTemplate([Region(0x10000, SIZE, "rw")], SIZE)
    memory.bind(template)
    assert (memory.pages[:, 5] == expected(page_nos)).all(), "which also reads every page"
    for count in (10, RESET_COPY_PAGES + 10):
        memory.pages[16 : 16 + count] = 99
        memory.mark_dirty(slice(16, 16 + count))
        memory.bind(template)
        assert (memory.pages[:, 5] == expected(page_nos)).all()
    memory.pages[:] = 77
    memory.touch(np.arange(PAGES, dtype=np.uint32))
    assert allocated(base) == before
    extents, strays = base.within(SIZE)
    assert all(0 <= start < end <= SIZE for start, end in extents)
    assert (strays < PAGES).all()
    assert len(base.extents) <= EXTENTS_MAX


def test_what_a_large_machine_touched_is_not_in_the_way_of_a_worker_that_comes_later() -> None:
    base = base_of([256, 257])
    large = GuestMemory(base, 64 << 20)
    large.pages[:] = 1
    assert base.fd is not None
    later = BaseMemory(os.dup(base.fd))
    assert later.extents == base.extents
    small = GuestMemory(later, SIZE)
    small.touch(np.array([256], dtype=np.uint32))
    assert (small.pages[:, 0] == expected([256, 257])).all()


def test_small_holes_are_closed_and_few_pages_are_spent_on_it() -> None:
    near = base_of([n for n in range(256, 456) if n % 8])
    assert len(near.extents) == 1
    sparse = base_of(list(range(256, 256 + (GAPS_CLOSED[0] - 1) * 50, GAPS_CLOSED[0] - 1)))
    assert allocated(sparse) * 512 <= 2 * 50 * abi.PAGE_SIZE, "a publisher's pages do not grow by what lies between"


def test_ram_holds_no_descriptor_and_none_is_made_over_a_base_that_is_gone() -> None:
    base = base_of([300])
    before = len(os.listdir("/proc/self/fd"))
    memories = [GuestMemory(base, SIZE) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) == before
    base.close()
    assert (memories[0].pages[300] == 300).all()
    with pytest.raises(ValueError, match="not closed expected"):
        GuestMemory(base, SIZE)


@pytest.mark.parametrize("size", [0, MEMORY_STEP, SIZE + abi.PAGE_SIZE, SIZE + MEMORY_STEP // 2, 2 << 30, -SIZE])
def test_sizes_that_no_page_tables_fit_are_refused(size: int) -> None:
    with pytest.raises(FormatError):
        GuestMemory(base_of([300]), size)
