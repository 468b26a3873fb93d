"""Folders of files, and machines that answer with them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge.vmm.devices.disk import Disks
from edge.vmm.memory.guest_memory import GuestMemory
from edge.vmm.shells.shell import Image
from origin.bake import files as archive
from origin.bake.assets.model import Choices
from origin.bake.assets.site import PROGRAM, Packed, pack_assets
from origin.bake.disks import drives_for_bake
from origin.bake.elf import parse_program
from tests.support.guests import Guest, baker, elf, load
from vmimage.manifest import DEFAULT_TERMS

USUAL: Final = Choices()
MODIFIED_S: Final = 784_111_777  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110
MODIFIED: Final = "Sun, 06 Nov 1994 08:49:37 GMT"


def write(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Files with their contents, all of the same age; the folder."""
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(place, (MODIFIED_S, MODIFIED_S))
    return folder


def packed(folder: Path, choices: Choices = USUAL, *, alone: bool = True, disk: Path | None = None) -> Packed:
    """A folder laid out; what it has to say is printed."""
    return pack_assets(folder, choices, alone=alone, disk=disk, warn=print)


def image_with(assets: Packed, program: Path = PROGRAM) -> Image:
    """A program's image with assets, as a worker holds it."""
    return load(
        baker().bake(
            parse_program(elf(program)),
            name=program.stem,
            env={},
            terms=DEFAULT_TERMS,
            disks=assets.drives,
            progress=print,
            files=archive.pack(assets.files),
        )
    )


def guest_with(assets: Packed, program: Path = PROGRAM) -> Guest:
    """A machine of it; blocks of its disk are at hand."""

    def disks(memory: GuestMemory) -> Disks:
        return drives_for_bake(memory, assets.drives)

    return Guest(image_with(assets, program), disks=disks if assets.drives else None)
