"""The stand-ins for what only Linux has do what the real ones do."""

import os
import threading

import numpy as np
import pytest

from edge.vmm.kernel import host
from edge.vmm.memory.guest_memory import KEEP_DIRTY_PAGES, RESET_COPY_PAGES, BaseMemory, GuestMemory, PageTemplate
from edge.vmm.memory.image_memory import base_memfd, sealed_memfd
from vmimage import abi
from vmimage.manifest import Region

SIZE = 8 << 20


@pytest.fixture(params=[True, False], ids=["linux", "elsewhere"])
def linux(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Which side of the seam."""
    monkeypatch.setattr(host, "LINUX", request.param)
    return bool(request.param)


def test_memory_files_hold_bytes_and_have_no_name(linux: bool) -> None:
    fd = sealed_memfd("nunatak-test", b"bytes")
    try:
        assert os.pread(fd, 10, 0) == b"bytes"
        assert os.fstat(fd).st_nlink == 0
        if linux:
            with pytest.raises(OSError, match="not permitted"):
                os.pwrite(fd, b"x", 0)
    finally:
        os.close(fd)


def test_memory_is_the_base_again_however_much_was_written(linux: bool) -> None:
    pages = np.full((1, abi.PAGE_SIZE // 8), 7, dtype=np.uint64)
    base = BaseMemory(base_memfd(np.array([300], dtype=np.uint32), pages))
    memory = GuestMemory(base, SIZE)
    template = PageTemplate([Region(0x100000, SIZE, "rw")], SIZE)
    memory.bind(template)
    for count in (KEEP_DIRTY_PAGES // 2, RESET_COPY_PAGES * 2):
        memory.write(0x100000, b"\xff" * (count * abi.PAGE_SIZE))
        memory.bind(template)
        assert (memory.pages[300] == 7).all()
        assert not memory.pages[0x100000 // abi.PAGE_SIZE : 300].any()
        assert not memory.pages[301 : SIZE // abi.PAGE_SIZE].any()


def test_messages_keep_their_borders(linux: bool) -> None:
    ours, theirs = host.message_pair()
    with ours, theirs:
        ours.send(b"one")
        ours.send(b"two")
        assert [theirs.recv(100), theirs.recv(100)] == [b"one", b"two"]


def test_ticker_wakes_while_it_is_set_and_only_then(linux: bool) -> None:
    ticker = host.ticker()
    ticked = threading.Semaphore(0)

    def count() -> None:
        while True:
            ticker.wait()
            ticked.release()

    threading.Thread(target=count, daemon=True).start()
    assert not ticked.acquire(timeout=0.05)
    ticker.set(1_000_000)
    for _ in range(3):
        assert ticked.acquire(timeout=10)
    ticker.set(0)
    while ticked.acquire(timeout=0.2):  # those that were under way
        pass
    ticker.set(1_000_000)
    assert ticked.acquire(timeout=10)
    ticker.set(0)
