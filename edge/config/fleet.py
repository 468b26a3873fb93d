"""Options for an edge among many: its name, its place, and how it hears of its origin. A part of `EdgeConfig`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from edge.config.places import is_origin
from edge.config.sources import SourceOptions
from edge.config.token_files import private_token
from vmimage.canonical import is_name
from vmimage.options import About
from vmimage.settings import Problem

_FEED: Final = re.compile(r"sse|off|(?:nats|tls)://[!-~]{1,512}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions(SourceOptions):
    """Who an edge is to its origin."""

    edge_name: Annotated[
        str,
        About(
            "Name of this edge at its origin, which edge_token is for.",
            form="NAME",
            unset="none, it is known to nobody",
        ),
    ] = ""
    pop: Annotated[str, About("Where this edge is: edges of one point of presence are peers.", form="NAME")] = "default"
    edge_token: Annotated[
        str,
        About(
            "File of mode 0600 with this edge's own token (`nunatak token add --edge NAME`); with it the edge says to "
            "the origin how it is.",
            form="FILE",
            unset="none, the origin does not know of this edge",
        ),
    ] = ""
    fleet: Annotated[
        str,
        About(
            "URL of the origin that is told how this edge is, where `origin` names a parent.",
            form="URL",
            unset="none, that of origin",
        ),
    ] = ""
    feed: Annotated[
        str,
        About(
            "What brings purges, holds and news of the catalogue at once: sse, from the origin; a NATS server, which "
            "needs the extra nunatak[nats]; off, and then they are found at the next look at the catalogue.",
            form="sse|nats://HOST:PORT|tls://HOST:PORT|off",
        ),
    ] = "sse"
    fleet_settings: Annotated[
        Literal["on", "off"],
        About(
            "Whether options of which nothing is said here may be what the origin's operator signs for all edges "
            "(`nunatak settings`)."
        ),
    ] = "on"

    @property
    def edge_secret(self) -> str:
        """What `edge_token` holds; empty when it is not given.

        :raises OperatorError: no such file, readable by others, or no token in it.
        """
        return private_token("edge_token", self.edge_token) if self.edge_token else ""

    @property
    def fleet_problems(self) -> Iterator[Problem]:
        """What no option can say for itself."""
        if self.edge_name and not is_name(self.edge_name):
            yield "edge_name", f"1 to 63 of a-z 0-9 . _ - expected, got {self.edge_name!r}"
        if not is_name(self.pop):
            yield "pop", f"1 to 63 of a-z 0-9 . _ - expected, got {self.pop!r}"
        if bool(self.edge_token) != bool(self.edge_name):
            yield "edge_token", "edge_name and edge_token expected together: the token says whose heart-beats are taken"
        if self.fleet and (not is_origin(self.fleet) or "@" in self.fleet):
            yield "fleet", f"an http or https URL without user and password expected, got {self.fleet[:80]!r}"
        if _FEED.fullmatch(self.feed) is None:
            yield "feed", f"sse, off, nats://HOST:PORT or tls://HOST:PORT expected, got {self.feed[:80]!r}"
