"""What a change of the catalogue looks like beside what was there: what has grown far beyond that is asked about. Pure.

On 2025-11-18 a file that a tool had made twice as large as ever went to every machine of a large network at once. Such
a change is refused here, before anything is sent, until its publisher says that it is meant.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from vmimage.errors import PublisherError
from vmimage.trust import ServiceRecord

GROWS: Final = 2  # times as large as before
FILE_LEAST: Final = 64 << 10  # bytes that a role's file has to grow by
IMAGE_LEAST: Final = 8 << 20  # bytes that an image's snapshot has to grow by, compressed


def odd(
    before: Mapping[str, ServiceRecord | None], after: Iterable[ServiceRecord], files: Mapping[str, tuple[int, int]]
) -> list[str]:
    """What is to be asked about, a line each.

    :param before: records by service. :param files: bytes before and after, by role; 0 where there was none.
    """
    grown = {role: sizes for role, sizes in files.items() if sizes[0] and _grew(*sizes, FILE_LEAST)}
    lines = [f"{role}: {new} bytes, {old} before" for role, (old, new) in grown.items()]
    for record in after:
        had = before.get(record.service)
        for what, old, new in _images(had, record):
            if _grew(old, new, IMAGE_LEAST):
                lines.append(f"{record.service}: {what} of {new} bytes, {old} before")
        if had is not None and len(record.hosts) > GROWS * len(had.hosts) and len(record.hosts) >= len(had.hosts) + 8:
            lines.append(f"{record.service}: {len(record.hosts)} hosts, {len(had.hosts)} before")
    return lines


def require_usual(lines: list[str]) -> None:
    """:raises PublisherError: there is something to ask about."""
    if lines:
        raise PublisherError(
            f"a change like those before expected, got {'; '.join(lines[:5])}: look at what made it, and say --yes if "
            "it is meant"
        )


def _images(had: ServiceRecord | None, record: ServiceRecord) -> Iterable[tuple[str, int, int]]:
    if had is None or had.snapshot is None:
        return
    if record.snapshot is not None and record.manifest_digest != had.manifest_digest:
        yield "an image", had.snapshot.size, record.snapshot.size
    if record.candidate is not None and record.candidate.snapshot is not None and had.candidate is None:
        yield "a candidate", had.snapshot.size, record.candidate.snapshot.size


def _grew(old: int, new: int, least: int) -> bool:
    return new >= GROWS * old and new - old >= least
