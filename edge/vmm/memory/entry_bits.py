"""Bits of a page table's entry (Intel SDM volume 3, section 4.5)."""

from typing import Final

PRESENT: Final = 1
WRITABLE: Final = 1 << 1
USER: Final = 1 << 2
DIRTY: Final = 1 << 6
LARGE: Final = 1 << 7
NO_EXECUTE: Final = 1 << 63
