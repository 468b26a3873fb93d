"""What stands in for an origin: the newest builds, held in memory, under the interfaces that an edge asks.

The edge that serves them verifies digests, sizes and pages as it does for any other origin. There is no signature: the
images were made a moment ago by the process that runs them.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from edge.catalogue.names import Kind
from edge.content.blobs import Load, Ref
from origin.model.diskfile import DiskFile
from vmimage.archive import ImageBundle
from vmimage.errors import FormatError, OriginError
from vmimage.holds import Holds
from vmimage.trust import ServiceRecord

BUILDS_KEPT: Final = 2  # the one before is still needed while its machine ends
HOSTS: Final = ("127.0.0.1", "localhost")  # no others: a page elsewhere must not reach it under a name of its own


def is_own_host(host: str) -> bool:
    """Whether a name cannot have been pointed here by a name server elsewhere."""
    return host in HOSTS or host.endswith(".localhost")


class LocalOrigin:
    """One service, in as many versions as there were builds: what an edge takes for its catalogue and its store."""

    expired, expired_for_s = False, 0.0

    def __init__(self, service: str, disks: Sequence[DiskFile] = ()) -> None:
        self.service = service
        self.release: ServiceRecord | None = None  # what the service is now
        self._told: ServiceRecord | None = None  # what it was at the last `refresh`
        self._disks = disks
        self._builds: list[dict[str, bytes]] = []

    def publish(self, images: Sequence[ImageBundle]) -> ServiceRecord:
        """Make the last of `images` what the service is; those before are its bases. The same again changes nothing."""
        content: dict[str, bytes] = {}
        for image in images:
            content |= image.blobs
            content[image.manifest.digest] = image.manifest.to_bytes()
        self._builds = [*self._builds, content][-BUILDS_KEPT:]
        digest = images[-1].manifest.digest
        if self.release is not None and self.release.manifest_digest == digest:
            return self.release
        version = self.release.version + 1 if self.release else 1
        self.release = ServiceRecord(self.service, HOSTS, digest, len(content[digest]), version)
        return self.release

    # edge.catalogue.directory.Names

    def expiries(self) -> Mapping[str, datetime]:
        """Nothing is signed by hand, and nothing ends."""
        return {}

    def refresh(self) -> bool:
        """Whether there was a build since the last call."""
        told, self._told = self._told, self.release
        return told != self._told

    def find_service(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        """The service under its name."""
        return self.release if name == self.service else None

    def find_host(self, host: str, *, ask: bool = True) -> ServiceRecord | None:
        """The service under this machine's own names, `NAME.localhost` among them (RFC 6761 section 6.3)."""
        return self.release if is_own_host(host) else None

    def fetch_ahead(self) -> bool:
        """There is nothing more."""
        return False

    def find_withdrawn(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        """None ever is."""
        return None

    def holds(self) -> Holds:
        """Nothing."""
        return Holds()

    def is_held(self, kind: Kind, name: str) -> bool:
        """Nothing ever is."""
        return False

    # edge.content.blobs.Store

    async def get(self, ref: Ref, load: Load) -> bytes:
        """Bytes of a build or of a disk.

        :raises OriginError: of none that is here.
        """
        for content in reversed(self._builds):
            if ref.digest in content:
                return ref.check(content[ref.digest])
        for disk in self._disks:
            with suppress(FormatError):  # of another disk
                return ref.check(disk.blob(ref.digest))
        raise OriginError(f"{ref.digest}: content of the last {BUILDS_KEPT} builds expected")
