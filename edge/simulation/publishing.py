"""What one publication costs a fleet: what edges fetch again of the catalogue, by real files signed here.

An edge that knows the bin of a changed service fetches that bin again, and the snapshot, which names the version and
hash of every bin. More bins make bins smaller and the snapshot larger.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import MetaFile, TargetFile

from vmimage.manifest import SNAPSHOT_TYPE, Blob
from vmimage.trust import (
    BIN_TARGETS_MAX,
    SNAPSHOT_MAX,
    ServiceRecord,
    make_targets,
    sign_bin,
    sign_snapshot,
)

SAMPLE: Final = 400  # services and roles that are signed to learn what one takes
HOSTS: Final = 1  # of each service
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Cost:
    """Of one publication, for one edge that knows the service's bin."""

    bits: int  # of 2 ** bits bins
    entries: int  # of a bin, at most
    bin_bytes: int
    snapshot_bytes: int

    @property
    def bytes(self) -> int:
        """That the edge fetches."""
        return self.bin_bytes + self.snapshot_bytes

    @property
    def allowed(self) -> bool:
        """Whether an edge and a publisher take files of this size."""
        return self.entries <= BIN_TARGETS_MAX and self.snapshot_bytes <= SNAPSHOT_MAX


def costs(services: int, bits: range) -> list[Cost]:
    """By number of bins."""
    signer = CryptoSigner.generate_ed25519()
    empty = len(sign_bin(None, {}, signer, NOW))
    entries_of = {path: target for n in range(SAMPLE) for path, target in _targets(n).items()}
    each = (len(sign_bin(None, entries_of, signer, NOW)) - empty) / len(entries_of)
    roles = {f"bin-{n:04x}": MetaFile(1000, 100_000, {"sha256": "0" * 64}) for n in range(SAMPLE)}
    bare = len(sign_snapshot(None, {}, signer, NOW))
    line = (len(sign_snapshot(None, roles, signer, NOW)) - bare) / SAMPLE
    found = []
    for number in bits:
        entries = -(-services * (1 + HOSTS) // 2**number)
        found.append(Cost(number, entries, round(empty + entries * each), round(bare + 2**number * line)))
    return found


def cheapest(services: int) -> Cost:
    """The number of bins at which a publication costs least, of those that are allowed.

    :raises ValueError: none is.
    """
    allowed = [cost for cost in costs(services, range(4, 17)) if cost.allowed]
    if not allowed:
        raise ValueError(f"a number of bins for {services} services expected, got none that is allowed")
    return min(allowed, key=lambda cost: cost.bytes)


def _targets(number: int) -> dict[str, TargetFile]:
    """Of one service: its name, and its hosts."""
    service = f"service-{number:07d}"
    digest = f"sha256:{number:064x}"
    record = ServiceRecord(
        service, (f"{service}.example",), digest, 900, 3, owner="tenant", snapshot=Blob(SNAPSHOT_TYPE, digest, 40_000)
    )
    return make_targets(record, ())
