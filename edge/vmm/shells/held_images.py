"""The images a worker holds: bases from sealed memfds, small derived ones from their frames for as long as they run."""

import functools
import os
import socket
import struct
from typing import Final

from edge.vmm.memory.guest_memory import BaseMemory, PageTemplate, page_template
from edge.vmm.shells.shell import Image
from edge.vmm.wire.images import Layout, NewImage

_NUMBER: Final = struct.Struct("<I")


class HeldImages:
    """Images by number."""

    def __init__(self, memfds: socket.socket) -> None:
        self._memfds = memfds
        memfds.setblocking(False)  # a frame without its memfd must not hold up the worker
        self._received: dict[int, int] = {}  # descriptors that came and were not taken, by image
        self._images: dict[int, Image] = {}
        self._held_bytes = 0
        self._bases = 0

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> Image:
        return self._images[number]

    def take(self, new: NewImage) -> None:
        """An image was announced.

        :raises ValueError: the memfd that goes with it is not there.
        """
        layout, record = new.layout, new.record
        template = _template(layout)
        descriptor = self._receive_memfd(new.image) if layout.memfd_bytes else -1
        if layout.base is None:
            try:
                base = BaseMemory(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            self._put(new.image, Image(base, template))
            return
        if layout.memfd_bytes:
            with os.fdopen(descriptor, "rb") as file:
                file.seek(0)
                record = file.read(layout.memfd_bytes)
        self._put(new.image, Image(self._images[layout.base].base, template, record))

    def _put(self, number: int, image: Image) -> None:
        before = self._images.get(number)
        self._held_bytes += image.record_bytes - (before.record_bytes if before is not None else 0)
        self._bases += image.is_base - (before is not None and before.is_base)
        self._images[number] = image

    def drop(self, number: int) -> Image | None:
        """Forget it; what it was."""
        image = self._images.pop(number, None)
        if image is not None:
            self._held_bytes -= image.record_bytes
            self._bases -= image.is_base
            image.forget()
            if image.is_base:
                image.base.close()
        if number in self._received:
            os.close(self._received.pop(number))
        return image

    def held_bytes(self) -> int:
        """Of records, which the supervisor counts as images. Asked before each opening, so it is no sum over all."""
        return self._held_bytes

    def bases(self) -> int:
        """How many hold descriptors. Asked at each opening too."""
        return self._bases

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
def _template(layout: Layout) -> PageTemplate:
    """Page tables of a layout; that of most images of a program is the same."""
    return page_template(layout.regions, layout.memory_bytes)
