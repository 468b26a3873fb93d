"""The images a worker holds: bases from sealed memfds, small derived ones from their frames for as long as they run."""

import functools
import json
import os
import socket
import struct
from typing import Any, Final

from edge.vmm.memory.guest_memory import BaseMemory, PageTemplate, page_template
from edge.vmm.shells.shell import Image
from edge.vmm.wire import frames
from edge.vmm.wire.frames import Frame
from vmimage.manifest import Region

_NUMBER: Final = struct.Struct("<I")


class HeldImages:
    """Images by number."""

    def __init__(self, memfds: socket.socket) -> None:
        self._memfds = memfds
        memfds.setblocking(False)  # a frame without its memfd must not hold up the worker
        self._received: dict[int, int] = {}  # descriptors that came and were not taken, by image
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
            try:
                base = BaseMemory(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            self._images[frame.machine] = Image(base, template)
            return
        if about["bytes"]:
            with os.fdopen(descriptor, "rb") as file:
                file.seek(0)
                record = file.read(about["bytes"])
        self._images[frame.machine] = Image(self._images[about["base"]].base, template, record)

    def drop(self, number: int) -> Image | None:
        """Forget it; what it was."""
        image = self._images.pop(number, None)
        if image is not None:
            image.forget()
            if image.is_base:
                image.base.close()
        if number in self._received:
            os.close(self._received.pop(number))
        return image

    def held_bytes(self) -> int:
        """Of records, which the supervisor counts as images."""
        return sum(image.record_bytes for image in self._images.values())

    def bases(self) -> int:
        """How many hold descriptors."""
        return sum(image.is_base for image in self._images.values())

    def _receive_memfd(self, number: int) -> int:
        """The one for this image. They come before their frames; that of a frame that was refused is passed over."""
        while number not in self._received:
            try:
                message, fds, _, _ = socket.recv_fds(self._memfds, _NUMBER.size, 1)
            except BlockingIOError:
                raise ValueError(f"a memfd for image {number} expected, got none") from None
            if len(message) != _NUMBER.size or len(fds) != 1:
                raise ValueError(f"a memfd for image {number} expected, got {len(fds)}")
            self._received[_NUMBER.unpack(message)[0]] = fds[0]
        return self._received.pop(number)


@functools.lru_cache(maxsize=16)
def _facts(head: bytes) -> tuple[dict[str, Any], PageTemplate]:
    """The JSON of an IMAGE frame, and its layout; those of most images of a program are the same, byte for byte."""
    about = json.loads(head)
    return about, page_template(tuple(Region(*region) for region in about["regions"]), about["memory_bytes"])
