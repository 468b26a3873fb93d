"""Which version of the fleet settings is meant for an edge. Pure.

The candidate where the edge takes part and has not gone back from it, else the stable version. That one is the
operator's last word: an edge goes by it also where it went back from it while it was a candidate. Only where an edge
has ended under it, or cannot use it, it goes on with the last that it could, until another one is signed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from vmimage.fleet_settings import FleetSettings, Version
from vmimage.release import Gates


@dataclass(frozen=True, slots=True)
class Back:
    """That an edge went back from a version, or could not use it."""

    cause: str  # a `gates.Cause`, "ended", "refused", or what an origin's event says
    at: float  # seconds since 1970
    by: str  # "edge", or "origin"
    stable: bool = False  # it was the stable version then


class Meant(NamedTuple):
    """What an edge is to go by."""

    version: Version
    gates: Gates | None  # that it must keep; None: it is the stable version
    back: Back | None  # why this edge does not


def meant_for(said: FleetSettings, edge: str, pop: str, back: Mapping[str, Back]) -> Meant:
    """What is meant for an edge.

    :param edge: its name, "" for none. :param back: what it went back from, by the version's name.
    """
    staged = said.candidate
    if staged is not None and staged.version.name not in back and staged.takes(edge, pop):
        return Meant(staged.version, staged.gates, None)
    before = back.get(said.stable.name)
    return Meant(said.stable, None, before if before is not None and before.stable else None)
