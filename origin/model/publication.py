"""What is to be published, as values: a service, its images and its disks."""

from dataclasses import dataclass
from typing import Protocol

from vmimage.archive import ImageBundle
from vmimage.attached import Attached
from vmimage.disk import BlockList, DiskManifest


class Disk(Protocol):
    """What is published: `origin.model.diskfile.DiskFile`."""

    manifest: DiskManifest
    blocks: BlockList

    def blob(self, digest: str) -> bytes:
        """The bytes of a blob."""


@dataclass(frozen=True)
class Publication:
    """A service as it shall be. `images` holds its image and, unless the origin has it, its base."""

    images: tuple[ImageBundle, ...]
    image: str  # digest of the manifest of the service's own image
    service: str
    hosts: tuple[str, ...]  # none: those it has
    disks: tuple[Disk, ...] = ()  # those of its image, unless the origin has them
    tenant: str = ""  # who shares CPU time with it; empty: whoever it has been, itself at first
    attached: tuple[tuple[Attached, bytes], ...] = ()  # what its image file says of where it comes from
