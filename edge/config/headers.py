"""Options for what an edge says of itself in heads and in traces: a part of `EdgeConfig`, in a file of its own."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from edge.config.responses import ResponseOptions
from vmimage.options import About
from vmimage.settings import Problem

VIA_MAX: Final = 64  # characters

# What may stand for an intermediary in Via (RFC 9110 section 7.6.3): a token, or a host and port.
_PSEUDONYM: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderOptions(ResponseOptions):
    """What clients and services are told of an edge."""

    via: Annotated[
        str,
        About(
            "Name of the edge in Via, towards clients and services: a word or HOST:PORT; an empty one says nothing.",
            form="NAME",
        ),
    ] = "nunatak"
    server_timing: Annotated[
        Literal["on", "off"],
        About("Whether answers say in Server-Timing how long their own image and machine took."),
    ] = "on"

    @property
    def header_problems(self) -> Iterator[Problem]:
        """What no option can say for itself."""
        if self.via and (len(self.via) > VIA_MAX or not _PSEUDONYM.fullmatch(self.via)):
            yield "via", f"a word or HOST:PORT of at most {VIA_MAX} characters expected, got {self.via!r}"
