"""Parked records for tests that look at something else."""

from vmimage.parked import ParkedRecord

IMAGE = "sha256:" + "aa" * 32


def parked(
    disk_versions: tuple[int, ...] = (), *, service: str = "shop", tenant: str = "shop", state: bytes = b"state"
) -> ParkedRecord:
    """A record that says little."""
    return ParkedRecord(service, tenant, IMAGE, 1_000_000, 3, disk_versions, state)
