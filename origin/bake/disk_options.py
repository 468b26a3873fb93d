"""What the options `--disk` of `nunatak build` mean: disks of the image, opened from their files."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Final, cast

from origin.bake.disks import LocalDrive
from origin.bake.sizes import size_option
from origin.model.diskfile import DiskFile
from vmimage.drives import DriveKind, DriveRef
from vmimage.drives import parse_drives as check_drives
from vmimage.errors import FormatError, PublisherError

_DRIVE: Final = re.compile(r"([a-z0-9._-]{1,47})=(?:(.+):(shared|cow)|(scratch|log)(?::(.+))?)", re.ASCII)
_DEFAULT_BYTES: Final = {"scratch": 8 << 20, "log": 1 << 20}


def parse_drives(entries: list[str]) -> list[LocalDrive]:
    """The disks that `--disk` options name.

    :raises PublisherError: another form, no such file, or not a disk file.
    """
    drives = []
    for entry in entries:
        match = _DRIVE.fullmatch(entry)
        if match is None:
            forms = "NAME=DISK:shared, NAME=DISK:cow, NAME=scratch[:SIZE] or NAME=log"
            raise PublisherError(f"--disk: {forms} expected, got {entry!r}")
        name, path, kind, empty, size = match.groups()
        try:
            opened = DiskFile(Path(path)) if path else None
            if opened is not None:
                ref = DriveRef(opened.manifest.disk_bytes, opened.manifest.digest, cast("DriveKind", kind), name)
            else:
                ref = DriveRef(
                    size_option("disk", size) if size else _DEFAULT_BYTES[empty], None, cast("DriveKind", empty), name
                )
            drives.append(LocalDrive(ref, opened))
            check_drives([asdict(drive.ref) for drive in drives])
        except FormatError as error:
            raise PublisherError(f"--disk {entry}: {error}") from None
    return drives
