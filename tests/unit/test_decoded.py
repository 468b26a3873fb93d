"""Records that a worker decodes take no more memory than they are counted for, for as long as they are kept."""

import tracemalloc

import numpy as np
import pytest
from cachetools import LRUCache

from edge.vmm.memory.guest_memory import BaseMemory, page_template
from edge.vmm.memory.page_sets import IN_C, pack
from edge.vmm.shells import shell
from edge.vmm.shells.shell import Image, Shell
from vmimage import abi, snapshot
from vmimage.errors import FormatError
from vmimage.manifest import Region
from vmimage.pages import Pages
from vmimage.snapshot import DeviceState, Registers, Snapshot

MEMORY = 64 << 20
FIRST = abi.LIBOS_ADDRESS // abi.PAGE_SIZE
REGIONS = (Region(abi.LIBOS_ADDRESS, MEMORY, "rw"),)


def sparse(count: int) -> Pages:
    """One word a page."""
    rows = np.zeros((count, 512), dtype=np.uint64)
    rows[:, 7] = 1
    return rows


def record(rows: Pages) -> bytes:
    """As an image has it, with its pages as rows."""
    page_nos = np.arange(FIRST, FIRST + len(rows), dtype=np.uint32)
    return snapshot.encode(Snapshot(Registers(), DeviceState(), page_nos, rows))


def image(rows: Pages) -> Image:
    return Image(BaseMemory(None), page_template(REGIONS, MEMORY), record(rows))


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> "LRUCache[Image, Snapshot]":
    """What this thread keeps: nothing yet."""
    found: LRUCache[Image, Snapshot] = LRUCache(shell.DECODED_BYTES, getsizeof=shell.decoded_bytes)
    monkeypatch.setattr(shell.of_thread, "decoded", found)
    return found


def test_images_that_are_kept_hold_what_they_are_counted_for(kept: "LRUCache[Image, Snapshot]") -> None:
    """A publisher's image of many pages with a word each is 64 times as large as rows."""
    images = [image(sparse(count)) for count in (50, 50, 50, 5000)]
    for each in images:
        each.snapshot()  # what is made once, and by the way
        each.forget()
    assert not kept
    tracemalloc.start()
    try:
        for each in images:
            each.snapshot()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == len(images)
    assert held < kept.currsize * 1.1


@pytest.mark.parametrize("share", [0.1, 0.45, 0.55, 1])
def test_packing_takes_as_much_again_as_the_rows_and_no_more(share: float) -> None:
    """The budget for a machine that comes up has its record decoded, and its pages once more: `machine_bytes`."""
    rows = (np.random.default_rng(3).random((2000, 512)) < share).astype(np.uint64)
    data, size = record(rows), rows.nbytes
    shell.decode(data, MEMORY)
    tracemalloc.start()
    try:
        state = shell.decode(data, MEMORY)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(state.rows, rows)
    untouched = (1 - share) * size if IN_C else 0  # of the room for all words: counted here, but no memory
    assert peak - untouched < size * 2.2
    assert held < state.pages.nbytes * 1.1 + (64 << 10)


def test_an_image_that_is_too_large_to_be_kept_is_decoded_once_for_a_machine(
    kept: "LRUCache[Image, Snapshot]", monkeypatch: pytest.MonkeyPatch
) -> None:
    large = image(np.ones((shell.DECODED_BYTES // abi.PAGE_SIZE + 1, 512), dtype=np.uint64))
    calls: list[bytes] = []

    def decode(data: bytes, *arguments: int) -> Snapshot:
        calls.append(data)
        return decode_before(data, *arguments)

    decode_before = shell.decode
    monkeypatch.setattr(shell, "decode", decode)
    bound = Shell(large.base, MEMORY)
    try:
        bound.bind(large, None)
    finally:
        bound.close()
    assert not kept
    assert len(calls) == 1


def test_a_parked_machine_may_have_fewer_pages_than_its_memory() -> None:
    """The bound is on pages, whatever they hold, and on the size that the frame says."""
    page_nos = np.arange(FIRST, FIRST + 9, dtype=np.uint32)
    for rows in (sparse(9), np.zeros((9, 512), dtype=np.uint64), np.ones((9, 512), dtype=np.uint64)):
        for pages in (rows, pack(rows)):
            data = snapshot.encode(Snapshot(Registers(), DeviceState(), page_nos, pages))
            assert len(shell.decode(data, MEMORY, bytes_max=9 * abi.PAGE_SIZE).page_nos) == 9
            with pytest.raises(FormatError, match=r"at most|expected"):
                shell.decode(data, MEMORY, bytes_max=9 * abi.PAGE_SIZE - 1)
    bomb = snapshot.encode(Snapshot(Registers(), DeviceState(), page_nos, np.ones((9, 512), dtype=np.uint64)))
    with pytest.raises(FormatError, match="the frame says"):
        shell.decode(bomb, MEMORY, bytes_max=abi.PAGE_SIZE)
