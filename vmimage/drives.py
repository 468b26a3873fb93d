"""The disks of an image, as its manifest names them: which disk a machine finds, under which name, of which kind."""

from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from vmimage import abi
from vmimage.canonical import is_disk_name, refuse, require_digest, require_integer, require_object, require_same

# "shared": read-only, one copy for everybody. "cow": the same, and what this service writes is kept for it alone.
# "scratch": zeros at every start from the image, in memory. "log": takes records, keeps none here.
DriveKind = Literal["shared", "cow", "scratch", "log"]

SHARED_MAX: Final = 16 << 30  # bytes; `disk.DISK_BYTES_MAX`
WRITTEN_MAX: Final = 16 << 20  # bytes a machine may have written to its cow and scratch disks: they are in memory
LOG_MAX: Final = 16 << 20  # bytes of a log that wait to be shipped

KIND_NUMBERS: Final[dict[DriveKind, int]] = {
    "shared": abi.DISK_SHARED,
    "cow": abi.DISK_COW,
    "scratch": abi.DISK_SCRATCH,
    "log": abi.DISK_LOG,
}


@dataclass(frozen=True, slots=True)
class DriveRef:
    """One disk of an image."""

    bytes: int  # shared, cow: of the disk; scratch: its size; log: what may wait on an edge for the origin
    digest: str | None  # of the disk's manifest; None for scratch and log
    kind: DriveKind
    name: str


def parse_drives(value: object, *, machines: int = 1) -> tuple[DriveRef, ...]:
    """The disks in an image's config.

    :param machines: that a service of the image may have at once; a copy-on-write disk has one writer.
    :raises FormatError: not a list of them within the limits, or two of one name.
    """
    if not isinstance(value, list) or len(value) > abi.DISKS_MAX:
        refuse("config disks", f"a list of at most {abi.DISKS_MAX}", value)
    drives = tuple(map(_parse_drive, value))
    if len({drive.name for drive in drives}) != len(drives):
        refuse("config disks", "names that differ", [drive.name for drive in drives])
    if machines > 1 and any(drive.kind == "cow" for drive in drives):
        refuse("config disks", "no copy-on-write disk in an image with a pool", [drive.name for drive in drives])
    return drives


def _parse_drive(value: object) -> DriveRef:
    fields = require_object("config disk", value, {"bytes", "digest", "kind", "name"})
    kind, name = fields["kind"], fields["name"]
    if kind not in get_args(DriveKind):
        refuse("config disk kind", '"shared", "cow", "scratch" or "log"', kind)
    if not isinstance(name, str) or not is_disk_name(name):
        refuse("config disk name", "1 to 47 of a-z 0-9 . _ -", name)
    if kind in ("shared", "cow"):
        require_digest("config disk digest", fields["digest"])
        limit = SHARED_MAX
    else:
        require_same(f"config disk digest of a {kind} disk", None, fields["digest"])
        limit = WRITTEN_MAX if kind == "scratch" else LOG_MAX
    size = require_integer("config disk bytes", fields["bytes"], abi.PAGE_SIZE if kind == "scratch" else 1, limit)
    return DriveRef(size, fields["digest"], cast(DriveKind, kind), name)
