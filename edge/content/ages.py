"""Since when a machine is in use, as its parked record says it.

Ages are kept as wall time, since an edge may be started again in between; a clock that was set back makes a machine
young again, and no worse.
"""

import time

from vmimage.parked import BEGAN_MAX


def began_us(lived_s: float) -> int:
    """When a machine started from its image that has lived for so long, in microseconds since 1970."""
    return min(max(0, int((time.time() - lived_s) * 1e6)), BEGAN_MAX - 1)


def lived_s(began_us: int) -> float:
    """For how long one has lived by now that started then."""
    return max(0.0, time.time() - began_us / 1e6)
