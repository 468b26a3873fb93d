"""What an edge knows of its own place in an origin's feed, for those who show it."""

from dataclasses import dataclass


@dataclass
class Heard:
    """Kept up by `edge.feed`."""

    applied: int = -1  # number of the last event that is applied, with all before it; -1: none is known
    lag_s: float = 0.0  # from the origin's signing of the last event that came to its being applied here
    connected: bool = False
