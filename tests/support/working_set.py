"""How much of a base image a first request touches: `python -m tests.support.working_set`.

Pages that are read, written or run from, as Unicorn sees each block and each access, and what they and all others take
on the wire.
"""

from collections.abc import Collection
from typing import Any, Final

import zstandard
from unicorn import UC_HOOK_BLOCK, UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE, Uc

from edge.vmm.engines import unicorn as engines
from edge.vmm.shells.shell import Image
from tests.support import guests, workers
from vmimage import abi, snapshot
from vmimage.archive import ImageBundle

LEVEL: Final = 19  # as images are compressed
PAGE_BITS: Final = abi.PAGE_SIZE.bit_length() - 1


MADE: Final[list[Uc]] = []  # the engines that were made, the last one last
TOUCHED: Final[set[int]] = set()  # numbers of pages


def made(*given: Any) -> Uc:
    """Unicorn, which is known here from now on."""
    MADE.append(Uc(*given))
    return MADE[-1]


def _on_block(_: Any, address: int, size: int, __: Any) -> None:
    TOUCHED.update(range(address >> PAGE_BITS, (address + size - 1 >> PAGE_BITS) + 1))


def _on_access(_: Any, __: int, address: int, *___: Any) -> None:
    TOUCHED.add(address >> PAGE_BITS)


def touched_by_a_request(image: Image) -> set[int]:
    """Numbers of the pages that a machine touches from its start to the end of its first answer."""
    guest = guests.Guest(image)
    MADE[-1].hook_add(UC_HOOK_BLOCK, _on_block)
    MADE[-1].hook_add(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, _on_access)
    TOUCHED.clear()
    stream = guest.send("/")
    guest.run()
    assert guest.responses[stream].status == 200
    return set(TOUCHED)


def told(name: str, base: ImageBundle, touched: Collection[int]) -> str:
    """A line: pages and bytes on the wire of the base, and of those that were touched."""
    record = base.blobs[base.manifest.snapshot.digest]
    state = snapshot.decode(record, memory_bytes=base.manifest.memory_bytes)
    mine = [place for place, number in enumerate(state.page_nos) if int(number) in touched]
    size = len(zstandard.ZstdCompressor(level=LEVEL).compress(state.rows[mine].tobytes()))
    return f"{name}: {len(mine)} of {len(state.page_nos)} pages of its base, {size:,} of {len(record):,} bytes"


def main() -> None:
    """Measure and print."""
    vars(made)["release_handle"] = Uc.release_handle
    vars(engines)["Uc"] = made
    hello = guests.image_of(guests.EXAMPLES / "hello.c")
    print(told("C hello", guests.baker().base, touched_by_a_request(hello)))
    for name in ("hello.js", "json.js"):
        image = workers.worker_image(guests.EXAMPLES / name)
        print(told(name, workers.baker().base, touched_by_a_request(image)))


if __name__ == "__main__":
    main()
