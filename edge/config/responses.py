"""Options for answers that are kept: a part of `EdgeConfig`, in a file of its own."""

from dataclasses import dataclass
from typing import Annotated, Literal

from edge.config.room import RoomOptions
from vmimage.options import About


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOptions(RoomOptions):
    """How much is kept of what services answer. Bytes and seconds throughout."""

    response_memory: Annotated[
        int, About("Memory for kept answers, beside `memory`; 0 keeps none.", "bytes", 0, 1 << 40)
    ] = 64 << 20
    response_size: Annotated[
        int, About("Largest body of an answer that is kept; at most a quarter of response_memory.", "bytes", 0, 1 << 30)
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
