"""Which engine a machine is put into, and whether the process has descriptors for that.

A shell on Unicorn holds no descriptor, one on KVM three. A process has a fixed number: when they are used up free
shells give theirs back, then machines go to Unicorn; nobody else loses KVM for that.
"""

import logging
import resource
from typing import Final

from edge.vmm.shells.shell import EngineName, Shell
from edge.vmm.shells.shell_pool import ShellPool
from edge.vmm.shells.tiering import Tiering
from edge.vmm.worker.guard import is_shortage
from vmimage.errors import OperatorError, WorkerFull

# Not for machines: standard streams, sockets, timer, device, what a library opens for a moment. A worker starts with 9.
RESERVE: Final = 64
BASE_DESCRIPTORS: Final = 2  # of a base image: its memory file, and that of its mapping

log = logging.getLogger("nunatak.worker")


class Placement:
    """Engines for the shells of one worker."""

    def __init__(self, tiering: Tiering, shells: ShellPool) -> None:
        self._tiering, self._shells = tiering, shells
        self._limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.bases = 0  # images that hold descriptors
        self.kept_off = 0  # times that a machine stayed off KVM because there was no room

    def choose(self, shell: Shell, name: EngineName, *, move: bool = False) -> None:
        """Put the next machine, or with `move` the one that is there, into an engine; on Unicorn where KVM fails.

        :raises WorkerFull: the operator wants KVM and nothing else, and there is no room for one more.
        """
        if name == shell.engine_name:
            return
        if not self._has_room(shell, name):
            self._keep_off("no descriptors are left")
            return
        try:
            if move:
                shell.use(name)
                self._tiering.moved(name)
            else:
                shell.choose(name)
        except OperatorError as error:
            if is_shortage(error.__cause__):
                self._keep_off(str(error))
                return
            log.warning("event=kvm_lost reason=%s", error)
            self._tiering.without_kvm(str(error))

    def _keep_off(self, reason: str) -> None:
        self.kept_off += 1
        if self._tiering.fixed == "kvm":
            raise WorkerFull(f"room for one more machine on kvm expected: {reason}")

    def _has_room(self, shell: Shell, name: EngineName) -> bool:
        """Whether the shell may have that engine; free shells give theirs up for it."""
        wanted = shell.descriptors_for(name)
        if not wanted:
            return True
        room = self._limit - RESERVE - BASE_DESCRIPTORS * self.bases - wanted
        while (held := self._shells.descriptors()) > room:
            if not self._shells.close_one(but=shell, with_descriptors=True):
                return False
            if self._shells.descriptors() >= held:
                return False
        return True
