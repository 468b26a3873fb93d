"""The one place where a worker does something on behalf of a machine or a shell, and what becomes of failures there.

Whatever goes wrong for a machine ends that machine; whatever goes wrong for a spare shell ends that shell; a frame for
neither that cannot be understood is counted. A page that the supervisor reads says for whom the worker works, so that
even an end without a word (an abort in a library, a kill) is blamed on one.

Rules for callers: call nothing of a machine's outside of `for_machine`; `on_failure` must not raise for long.
"""

import errno
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from unicorn import UcError
from unicorn import unicorn_const as uc_const

from edge.vmm.wire.attribution import NOBODY, Attribution
from vmimage.errors import GuestFault, NunatakError, WorkerFull

# The host has no more of something: descriptors, memory, mappings, threads.
SHORT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC})

log = logging.getLogger("nunatak.worker")


class OnFailure(Protocol):
    """Ends a machine."""

    def __call__(self, machine: int, error: NunatakError, *, spoilt: bool) -> None:
        """:param spoilt: it is not known what state its shell is in."""


class Guard:
    """Of one worker."""

    def __init__(self, attribution: Attribution, on_failure: OnFailure) -> None:
        self.refused_frames = 0  # for no machine, and not understood
        self.failures = 0  # machines and shells that ended by what nobody foresaw
        self._set = attribution.set
        self._machine = NOBODY  # for whom it works
        self._on_failure = on_failure

    def for_machine(self, machine: int, action: Callable[..., object], *arguments: Any) -> None:
        """Do something for a machine, by its number, which it does not survive if that raises."""
        before, self._machine = self._machine, machine
        self._set(machine)
        try:
            action(*arguments)
        except Exception as error:
            self._end(machine, error)
        finally:
            self._machine = before
            self._set(before)

    def for_shell(self, machine: int, action: Callable[..., object], *arguments: Any) -> bool:
        """Do something to a shell that no machine is in; whether it may be used.

        :param machine: for whose image it is.
        """
        self._set(machine)
        try:
            action(*arguments)
        except NunatakError:
            return True  # an image that cannot be bound ended the machine that wanted it, and is no fault of the shell
        except Exception:
            self.failures += 1
            log.exception("event=shell_failed machine=%d", machine)
            return False
        finally:
            self._set(NOBODY)
        return True

    def for_nobody(self, action: Callable[..., object], *arguments: Any) -> None:
        """Take a frame that is for no machine."""
        try:
            action(*arguments)
        except Exception:
            self.refused_frames += 1
            log.exception("event=frame_refused")

    def _end(self, machine: int, error: Exception) -> None:
        foreseen = isinstance(error, NunatakError)
        if not foreseen:
            self.failures += 1
            log.error("event=machine_failed machine=%d", machine, exc_info=error)
        try:
            self._on_failure(machine, typed(error), spoilt=not foreseen)
        except Exception:
            log.exception("event=machine_not_ended machine=%d", machine)


def typed(error: Exception) -> NunatakError:
    """What the end of a machine is to those outside."""
    if isinstance(error, NunatakError):
        return error
    if is_shortage(error):
        return WorkerFull(f"room for one more machine expected, got {type(error).__name__}: {error}")
    return GuestFault(f"the machine could not go on: {type(error).__name__}")


def is_shortage(error: BaseException | None) -> bool:
    """Whether the host had too little of something, for this moment."""
    if isinstance(error, OSError):
        return error.errno in SHORT
    return isinstance(error, MemoryError) or (isinstance(error, UcError) and error.errno == uc_const.UC_ERR_NOMEM)
