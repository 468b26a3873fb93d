"""The images a worker holds: bases from sealed memfds, small derived ones from their frames for as long as they run."""

import functools
import json
import os
import socket
import struct
from typing import Any, Final

from edge.vmm import frames
from edge.vmm.frames import Frame
from edge.vmm.memory import BaseMemory, PageTemplate, page_template
from edge.vmm.shell import Image
from vmimage.manifest import Region

_NUMBER: Final = struct.Struct("<I")


class HeldImages:
    """Images by number."""

    def __init__(self, memfds: socket.socket) -> None:
        self._memfds = memfds
        self._images: dict[int, Image] = {}

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> Image:
        return self._images[number]

    def take(self, frame: Frame) -> None:
        """An IMAGE frame came.

        :raises ValueError: the memfd that goes with it is not there.
        """
        head, record = frames.split_json(frame.payload)
        about, template = _facts(head)
        descriptor = self._receive_memfd(frame.machine) if about["bytes"] else -1
        if about["kind"] == "base":
            self._images[frame.machine] = Image(BaseMemory(descriptor), template)
            return
        if about["bytes"]:
            with os.fdopen(descriptor, "rb") as file:
                file.seek(0)
                record = file.read(about["bytes"])
        base = self._images[about["base"]].base
        self._images[frame.machine] = Image(base, template, record)

    def drop(self, number: int) -> Image | None:
        """Forget it; what it was."""
        image = self._images.pop(number, None)
        if image is not None:
            image.forget()
        return image

    def _receive_memfd(self, number: int) -> int:
        message, fds, _, _ = socket.recv_fds(self._memfds, _NUMBER.size, 1)
        if _NUMBER.unpack(message)[0] != number or len(fds) != 1:
            raise ValueError(f"a memfd for image {number} expected")
        return fds[0]


@functools.lru_cache(maxsize=16)
def _facts(head: bytes) -> tuple[dict[str, Any], PageTemplate]:
    """The JSON of an IMAGE frame, and its layout; those of most images of a program are the same, byte for byte."""
    about = json.loads(head)
    return about, page_template(tuple(Region(*region) for region in about["regions"]), about["memory_bytes"])
