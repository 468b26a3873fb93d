"""Options for answers that are kept: a part of `EdgeConfig`, in a file of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from edge.config.room import RoomOptions
from vmimage.options import About
from vmimage.settings import Problem

RESPONSE_DISK_MIN: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOptions(RoomOptions):
    """How much is kept of what services answer. Bytes and seconds throughout."""

    response_memory: Annotated[
        int, About("Memory for kept answers, beside `memory`; 0 keeps none.", "bytes", 0, 1 << 40)
    ] = 64 << 20
    response_disk: Annotated[
        int,
        About(
            "Disk space for kept answers that memory has no room for, from 1MiB on; 0 keeps none there.",
            "bytes",
            0,
            1 << 44,
        ),
    ] = 1 << 30
    response_size: Annotated[
        int,
        About(
            "Largest body of an answer that is kept; at most a quarter of response_memory, and on disk a sixteenth of "
            "response_disk.",
            "bytes",
            0,
            1 << 30,
        ),
    ] = 4 << 20
    response_stale: Annotated[
        float,
        About(
            "For how long a stale answer may stand in for a guest that fails, if it says nothing of that itself.",
            "s",
            0,
            1 << 31,
        ),
    ] = 30  # the longest pause before a guest that crashes is started again, `BACKOFF_MAX_S`
    response_heuristics: Annotated[
        Literal["on", "off"],
        About("Whether answers are kept that only say when they were modified, for a tenth of the time since then."),
    ] = "off"

    @property
    def response_problems(self) -> Iterator[Problem]:
        """What no option can say for itself."""
        if 0 < self.response_disk < RESPONSE_DISK_MIN:
            expected = f"0 or at least {RESPONSE_DISK_MIN >> 20}MiB expected"
            yield "response_disk", f"{expected}, got {self.response_disk} bytes"
