"""What is known of a running edge at this moment, for `conditions` to judge."""

import os
from collections.abc import Mapping, Sequence
from typing import Final

from edge.catalogue.metadata import CatalogueExpired
from edge.operators.conditions import Facts, Look
from edge.supervisor.supervisor import Supervisor
from vmimage.errors import NunatakError, VerificationError

_UNKNOWN: Final = 1 << 60  # room on a disk that cannot be asked


def facts_of(supervisor: Supervisor) -> Facts:
    """Look at all of it; a few system calls."""
    directory, workers = supervisor.directory, supervisor.workers
    error = directory.look_error
    free_bytes, free_files = _room(os.fspath(supervisor.config.cache))
    known = bool(directory.expiries)
    return Facts(
        draining=supervisor.draining,
        workers=workers.working,
        workers_wanted=workers.wanted,
        catalogue=known,
        expired=known and directory.expired,
        look=_look(error),
        look_error=str(error) if error is not None else "",
        free_bytes=free_bytes,
        free_files=free_files,
        overdue=directory.overdue,
        sources=sources_away(supervisor.source_states()),
        failing=supervisor.failing(),
        stopped=supervisor.troubles()[0],
        refused=supervisor.troubles()[1],
        settings_back=supervisor.settings_troubles()[0],
        settings_refused=supervisor.settings_troubles()[1],
        secrets=supervisor.secrets.health() if supervisor.secrets is not None else (),
        ending=directory.ending(),
    )


def sources_away(states: Mapping[str, Sequence[Mapping[str, str]]]) -> list[str]:
    """Sources that fail, a line each; none where there is but one, of which the looks say enough.

    :param states: of sources in order, by what they are for.
    """
    return [
        f"{each['source']} is asked last for {what}: {each['error']}"
        for what, sources in states.items()
        for each in sources
        if len(sources) > 1 and each["state"] != "well"
    ]


def _look(error: NunatakError | None) -> Look:
    if error is None:
        return ""
    if isinstance(error, CatalogueExpired):
        return "expired"
    return "unverified" if isinstance(error, VerificationError) else "away"


def _room(folder: str) -> tuple[int, int]:
    """Bytes and files that a folder's disk has left for this user."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0, 0  # the folder itself is gone
    files = found.f_favail if found.f_files else _UNKNOWN  # a file system that does not count them
    return found.f_bavail * found.f_frsize, files
