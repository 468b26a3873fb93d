"""What goes with a parked machine's record and is not the guest's: since when it runs, and its count of requests.

Ages are kept as wall time, since an edge may be started again in between; a clock that was set back makes a machine
young again, and no worse.
"""

import struct
import time
from typing import Final, NamedTuple

_AGE: Final = struct.Struct("<4sdQ")
_MAGIC: Final = b"NKA1"


class Age(NamedTuple):
    """How long a machine has lived since it started from its image, in seconds, and the requests that it served."""

    lived_s: float
    served: int


def with_age(record: bytes, age: Age) -> bytes:
    """A record as it is kept."""
    return _AGE.pack(_MAGIC, time.time() - age.lived_s, age.served) + record


def split_age(kept: bytes) -> tuple[Age, bytes] | None:
    """What `with_age` was given, as old as it is by now; None for what an edge before this one kept otherwise."""
    if len(kept) < _AGE.size:
        return None
    magic, began, served = _AGE.unpack_from(kept)
    if magic != _MAGIC:
        return None
    lived_s = time.time() - began
    return Age(lived_s if lived_s > 0 else 0.0, served), kept[_AGE.size :]  # not NaN either
