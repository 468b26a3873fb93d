"""The pages that a guest and its VMM share: where the guest stands in its rings, and what in them means nothing."""

import struct
from typing import Final

import numpy as np

from edge.vmm.devices.gate import Gate
from edge.vmm.devices.ring import RingConsumer
from vmimage import abi
from vmimage.pages import PageNos

_CONTROL_RINGS: Final = struct.Struct("<3I")
_OWES_AT: Final = abi.CONTROL_ADDRESS + abi.CONTROL_OWES


def _pages_of(address: int, size: int) -> PageNos:
    return np.arange(address // abi.PAGE_SIZE, (address + size) // abi.PAGE_SIZE, dtype=np.uint32)


_ENV_PAGES: Final = _pages_of(abi.ENV_ADDRESS, abi.ENV_SIZE)
_INFO_PAGES: Final = _pages_of(abi.INFO_ADDRESS, abi.PAGE_SIZE)
_GATE_IN_PAGES: Final = _pages_of(abi.GATE_IN_ADDRESS, abi.GATE_SIZE)
_GATE_OUT_PAGES: Final = _pages_of(abi.GATE_OUT_ADDRESS, abi.GATE_SIZE)
_CONSOLE_PAGES: Final = _pages_of(abi.CONSOLE_ADDRESS, abi.CONSOLE_SIZE)


class SharedPages:
    """Those of one machine."""

    def __init__(self, ram: memoryview, gate: Gate, console: RingConsumer, *, secrets: bool = False) -> None:
        """:param secrets: the environment has some, which are given anew at every restore."""
        self._ram, self._gate, self._console = ram, gate, console
        self._always = np.concatenate([_INFO_PAGES, _ENV_PAGES]) if secrets else _INFO_PAGES

    def positions(self) -> tuple[int, int, int]:
        """The guest's side of the rings: gate in tail, gate out head, console head. Unchecked."""
        return _CONTROL_RINGS.unpack_from(self._ram, abi.CONTROL_ADDRESS + abi.CONTROL_IN_TAIL)

    @property
    def owes(self) -> bool:
        """Whether the guest says that work is under way which outlives its request."""
        return self._ram[_OWES_AT] != 0  # the lowest byte: asked after every run

    def stateless(self) -> PageNos:
        """What no record needs: info page and secrets are made anew at every restore, an empty ring means nothing."""
        in_tail, out_head, console_head = self.positions()
        pages = [self._always]
        if not self._gate.pending(in_tail):
            pages.append(_GATE_IN_PAGES)
        if out_head == self._gate.out_tail:
            pages.append(_GATE_OUT_PAGES)
        if console_head == self._console.tail:
            pages.append(_CONSOLE_PAGES)
        return np.concatenate(pages)
