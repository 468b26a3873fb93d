"""The last timestamp of the catalogue that a parent was given, as it is kept over restarts. Pure but for the clock."""

import json
import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class KeptTimestamp:
    """One, and whose it was."""

    data: bytes
    source: str
    etag: str | None  # under which that source gave it
    at_s: float  # when a source last said that it is so, in seconds since 1970
    looked_s: float  # the same by the monotonic clock

    def age_s(self, now_s: float) -> float:
        """Since a source last said so.

        :param now_s: by the monotonic clock.
        """
        return now_s - self.looked_s

    def to_bytes(self) -> bytes:
        """For the disk."""
        said = {"data": self.data.decode(), "source": self.source, "etag": self.etag, "at_s": self.at_s}
        return json.dumps(said).encode()

    @classmethod
    def read(cls, stored: bytes | None) -> Self | None:
        """What an earlier process has kept; None where there is none, or nothing sound."""
        try:
            said = json.loads(stored or b"")
            age_s = max(0.0, time.time() - float(said["at_s"]))
            etag = said["etag"]
            data, source = str(said["data"]).encode(), str(said["source"])
        except (ValueError, LookupError, TypeError):
            return None
        if not data or not (etag is None or isinstance(etag, str)):
            return None
        return cls(data, source, etag, time.time() - age_s, time.monotonic() - age_s)
