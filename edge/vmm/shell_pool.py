"""Shells that no machine is in, kept mapped and translated; the next one made while there is nothing else to do."""

from typing import Final

from edge.vmm.shell import Image, Shell

FREE_SHELLS_MAX: Final = 64


class ShellPool:
    """Free shells by base and memory size."""

    def __init__(self) -> None:
        self._free: dict[tuple[int, int], list[Shell]] = {}
        self._short_of: Image | None = None  # the last shell that was taken was the last of its kind

    def __len__(self) -> int:
        return sum(map(len, self._free.values()))

    @property
    def short(self) -> bool:
        """Whether `prepare` has something to do."""
        return self._short_of is not None

    def take(self, image: Image) -> Shell:
        """One for a machine of this image."""
        free = self._free.setdefault((id(image.base), image.memory_bytes), [])
        shell = free.pop() if free else Shell(image.base, image.memory_bytes)
        if not free:
            self._short_of = image
        return shell

    def prepare(self) -> Shell | None:
        """Make a spare one, which is most of what a machine's first start takes: that one, if there was need of it."""
        image, self._short_of = self._short_of, None
        if image is None:
            return None
        shell = Shell(image.base, image.memory_bytes)
        self.release(shell, image)
        return shell

    def release(self, shell: Shell, image: Image) -> None:
        """Its machine is gone."""
        free = self._free.setdefault((id(image.base), image.memory_bytes), [])
        if len(free) < FREE_SHELLS_MAX and not shell.broken:
            free.append(shell)
        else:
            shell.close()

    def drop(self, image: Image) -> None:
        """A base image is gone, and with it all shells of it."""
        self._short_of = None
        for shell in self._free.pop((id(image.base), image.memory_bytes), []):
            shell.close()
