"""Shells that no machine is in, kept mapped and translated; the next one made while there is nothing else to do.

A shell is good for one base only, so an edge with several bases would keep, of each, as many as ever were in use at
once. All shells together are held to what machines have needed at once, and a few more: so the supervisor's budget for
machines bounds them too. Past that the base that was wanted longest ago gives one up.
"""

import logging
from typing import Final

from edge.vmm.shells.shell import Image, Shell

FREE_SHELLS_MAX: Final = 64
# Beyond the most machines there were. Three bases that take turns, 15 to 80 machines, Zipf: 0.1 to 3 % of openings then
# need a new shell, which takes a millisecond; with 8 it is 4 to 11 %.
SPARE_SHELLS: Final = 16

log = logging.getLogger("nunatak.worker")

_Kind = tuple[int, int]  # identity of the base, memory size


class ShellPool:
    """Free shells by base and memory size."""

    def __init__(self) -> None:
        self._free: dict[_Kind, list[Shell]] = {}  # the kind that was wanted longest ago first
        self.short_of: Image | None = None  # whose shell was the last of its kind: `prepare` has something to do
        self._in_use: set[Shell] = set()
        self._most_taken = 0

    def __len__(self) -> int:
        return sum(map(len, self._free.values()))

    def has_free(self, image: Image) -> bool:
        """Whether a free shell is there for the image."""
        return bool(self._free.get(_kind(image)))

    def take(self, image: Image) -> Shell:
        """A shell for a machine of this image: one that had the last machine of it, or the one that was used last.

        :raises OSError: the host has nothing left for another.
        :raises UcError: the same, or a defect.
        """
        free = self._of(image)
        shell = _best_of(free, image) if free else Shell(image.base, image.memory_bytes)
        if not free:
            self.short_of = image
        self._in_use.add(shell)
        self._most_taken = max(self._most_taken, len(self._in_use))
        self._trim()
        return shell

    def prepare(self) -> Shell | None:
        """Make a spare shell for the base that was last short of one, which saves the next machine most of its start.

        None if no base was short of one.
        """
        image, self.short_of = self.short_of, None
        if image is None:
            return None
        shell = Shell(image.base, image.memory_bytes)
        self._of(image).append(shell)
        self._trim()
        return shell

    def release(self, shell: Shell, image: Image) -> None:
        """Its machine is gone. What much was written is given back to the host."""
        self._in_use.discard(shell)
        if shell.broken:
            _close(shell)
            return
        shell.give_back()
        self._free.setdefault(_kind(image), []).append(shell)
        self._trim()

    def drop(self, image: Image) -> None:
        """A base image is gone, and with it all shells of it."""
        self.short_of = None
        for shell in self._free.pop(_kind(image), []):
            _close(shell)

    def discard(self, shell: Shell, image: Image) -> None:
        """A spare one that cannot be used."""
        free = self._free.get(_kind(image), [])
        if shell in free:
            free.remove(shell)
        _close(shell)

    def descriptors(self) -> int:
        """Of the process, that all shells hold."""
        free = sum(shell.descriptors() for shells in self._free.values() for shell in shells)
        return free + sum(shell.descriptors() for shell in self._in_use)

    def close_one(self, *, but: Shell | None = None, with_descriptors: bool = False) -> bool:
        """Close a free one, of the kind that was wanted longest ago; False when there is none.

        :param with_descriptors: only one that holds some.
        """
        for free in self._free.values():
            for shell in free:
                if shell is not but and (shell.descriptors() or not with_descriptors):
                    free.remove(shell)
                    _close(shell)
                    return True
        return False

    def _of(self, image: Image) -> list[Shell]:
        """Those of its kind, which is wanted now."""
        free = self._free[_kind(image)] = self._free.pop(_kind(image), [])
        return free

    def _trim(self) -> None:
        room = min(FREE_SHELLS_MAX, self._most_taken + SPARE_SHELLS - len(self._in_use))
        for _ in range(len(self) - room):
            self.close_one()


def _best_of(free: list[Shell], image: Image) -> Shell:
    for place in range(len(free) - 1, -1, -1):
        if free[place].last_held(image):
            return free.pop(place)
    return free.pop()


def _kind(image: Image) -> _Kind:
    return id(image.base), image.memory_bytes


def _close(shell: Shell) -> None:
    """Whatever is wrong with it, it is gone."""
    try:
        shell.close()
        shell.memory.free()
    except Exception:
        log.exception("event=shell_not_closed")
