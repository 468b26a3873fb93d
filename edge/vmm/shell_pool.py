"""Shells that no machine is in, kept mapped and translated; the next one made while there is nothing else to do.

A shell is good for one base only, so an edge with several bases would keep, of each, as many as ever were in use at
once. All shells together are held to what machines have needed at once, and a few more: so the supervisor's budget for
machines bounds them too. Past that the base that was wanted longest ago gives one up.
"""

from typing import Final

from edge.vmm.shell import Image, Shell

FREE_SHELLS_MAX: Final = 64
# Beyond the most machines there were. Three bases that take turns, 15 to 80 machines, Zipf: 0.1 to 3 % of openings then
# need a new shell, which takes a millisecond; with 8 it is 4 to 11 %.
SPARE_SHELLS: Final = 16

_Kind = tuple[int, int]  # identity of the base, memory size


class ShellPool:
    """Free shells by base and memory size."""

    def __init__(self) -> None:
        self._free: dict[_Kind, list[Shell]] = {}  # the kind that was wanted longest ago first
        self.short_of: Image | None = None  # whose shell was the last of its kind: `prepare` has something to do
        self._taken = self._most_taken = 0

    def __len__(self) -> int:
        return sum(map(len, self._free.values()))

    def has_free(self, image: Image) -> bool:
        """Whether one need not be made for it."""
        return bool(self._free.get(_kind(image)))

    def take(self, image: Image) -> Shell:
        """One for a machine of this image."""
        free = self._of(image)
        shell = free.pop() if free else Shell(image.base, image.memory_bytes)
        if not free:
            self.short_of = image
        self._taken += 1
        self._most_taken = max(self._most_taken, self._taken)
        self._trim()
        return shell

    def prepare(self) -> Shell | None:
        """Make a spare one, which is most of what a machine's first start takes: that one, if there was need of it."""
        image, self.short_of = self.short_of, None
        if image is None:
            return None
        shell = Shell(image.base, image.memory_bytes)
        self._of(image).append(shell)
        self._trim()
        return shell

    def release(self, shell: Shell, image: Image) -> None:
        """Its machine is gone."""
        self._taken -= 1
        if shell.broken:
            shell.close()
            return
        self._free.setdefault(_kind(image), []).append(shell)
        self._trim()

    def drop(self, image: Image) -> None:
        """A base image is gone, and with it all shells of it."""
        self.short_of = None
        for shell in self._free.pop(_kind(image), []):
            shell.close()

    def _of(self, image: Image) -> list[Shell]:
        """Those of its kind, which is wanted now."""
        free = self._free[_kind(image)] = self._free.pop(_kind(image), [])
        return free

    def _trim(self) -> None:
        room = min(FREE_SHELLS_MAX, self._most_taken + SPARE_SHELLS - self._taken)
        for _ in range(len(self) - room):
            next(free for free in self._free.values() if free).pop(0).close()


def _kind(image: Image) -> _Kind:
    return id(image.base), image.memory_bytes
