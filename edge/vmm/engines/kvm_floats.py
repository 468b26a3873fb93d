"""x87 and SSE as KVM holds them, in an XSAVE area (Intel SDM volume 1, section 13.4), and as a record has them."""

import struct
from typing import Final

from edge.vmm.kernel.kvm_api import XSAVE_BV, XSAVE_SIZE
from vmimage.snapshot import FXSAVE_SIZE

_X87_AND_SSE: Final = 3  # components; the only ones that a machine has
_HEADER: Final = struct.pack("<Q", _X87_AND_SSE)
KNOWN_SIZE: Final = XSAVE_BV + len(_HEADER)  # bytes of an area that tell whether it has to be set


def area_of(fxsave: bytes) -> bytearray:
    """The area to set. Whatever else a guest may have reached is put to its initial state."""
    area = bytearray(XSAVE_SIZE)
    area[:FXSAVE_SIZE] = fxsave
    area[XSAVE_BV:KNOWN_SIZE] = _HEADER
    return area


def holds(known: bytes, fxsave: bytes) -> bool:
    """Whether what the kernel holds is just what `area_of` would set, in all that a processor loads.

    :param known: the first KNOWN_SIZE bytes of it; empty: not known.
    """
    return known[XSAVE_BV:] == _HEADER and known[:28] == fxsave[:28] and known[32:416] == fxsave[32:416]


def contract_of(area: bytearray) -> bytes:
    """What of it belongs to a machine: last instruction and operand of x87, and what is reserved, do not."""
    fxsave = area[:FXSAVE_SIZE]
    fxsave[6:24] = bytes(18)
    struct.pack_into("<I", fxsave, 28, 0xFFFF)
    fxsave[416:] = bytes(FXSAVE_SIZE - 416)
    return bytes(fxsave)
