"""Manifests that are not here but in registries which the operator allows: looked at once, and remembered.

A service may name an image whose manifest one of these registries has, and the manifests of its base and disks with it,
byte for byte; whether their blobs are there too is the registry's and the publisher's business, and edges verify each.
They are asked before the catalogue is locked, so many at a time, so that a slow registry keeps no other publisher
waiting; what was found is remembered as long as its registry is allowed.

    elsewhere/<64 hex>      {"registry": its name, "bytes": of the manifest}

Blocks.
"""

import json
import time
from collections.abc import Callable, Sequence
from typing import Final

from origin.model.elsewhere import PREFIX, Elsewhere
from origin.model.exchange import Request
from origin.registry.store import Store
from vmimage.disk import is_disk_manifest, parse_disk_manifest
from vmimage.errors import FormatError, NunatakError, VerificationError
from vmimage.manifest import MANIFEST_MAX, digest_of, parse_manifest

ASKED_MAX: Final = 256  # manifests that one submission may have looked for
ASKING_S: Final = 60.0  # for all of them
SILENCE_S: Final = 5.0  # of a registry


class Registries:
    """Those that the operator allows, in the order in which they are asked."""

    def __init__(
        self, store: Store, registries: Sequence[Elsewhere], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._registries, self._clock = store, registries, clock
        self._names = {each.place.text for each in registries}
        self._known: dict[str, int] = {}

    @property
    def allowed(self) -> bool:
        """Whether there is any."""
        return bool(self._registries)

    def known(self, digest: str) -> int | None:
        """Bytes of a manifest that was found before; None for another."""
        if not self._registries:
            return None
        if digest not in self._known and (data := self._store.blobs.read(_key(digest))) is not None:
            said = json.loads(data[0])
            if said["registry"] in self._names:
                self._known[digest] = said["bytes"]
        return self._known.get(digest)

    def search(self) -> Callable[[str], int | None]:
        """The same for one submission, asking the registries for what is not known.

        :return: raises VerificationError when too much is asked for, or it takes too long.
        """
        asked, until = 0, self._clock() + ASKING_S

        def find(digest: str) -> int | None:
            nonlocal asked
            if (size := self.known(digest)) is not None or not self._registries:
                return size
            asked += 1
            if asked > ASKED_MAX or self._clock() > until:
                most = f"at most {ASKED_MAX} manifests of other registries in {ASKING_S:.0f} s"
                raise VerificationError(f"{most} expected: publish fewer at once")
            return self._ask(digest)

        return find

    def _ask(self, digest: str) -> int | None:
        problem: NunatakError | None = None
        for registry in self._registries:
            try:
                size = _look(registry, digest, self._is_here)
            except NunatakError as error:
                problem = error
                continue
            if size is not None:
                note = json.dumps({"registry": registry.place.text, "bytes": size}).encode()
                self._store.blobs.put(_key(digest), note)
                return size
        if problem is not None:
            raise VerificationError(f"manifest {digest}: a registry that has it expected: {problem}")
        return None

    def _is_here(self, digest: str) -> bool:
        return self._store.manifest_size(digest) is not None


def _look(registry: Elsewhere, digest: str, is_here: Callable[[str], bool]) -> int | None:
    """Bytes of an image's manifest that a registry has with those of its base and disks; None where it has none.

    :raises NunatakError: it has something else, or gives no answer.
    """
    if (data := _manifest(registry, digest)) is None:
        return None
    if is_disk_manifest(data):
        parse_disk_manifest(data)
        return len(data)
    image = parse_manifest(data)
    for named in filter(None, (image.base, *(disk.digest for disk in image.disks))):
        if not is_here(named) and _manifest(registry, named) is None:
            raise FormatError(f"{registry.place.text}: {named}, which the image names, expected there, not there")
    return len(data)


def _manifest(registry: Elsewhere, digest: str) -> bytes | None:
    answer = registry.send(Request("GET", f"{PREFIX}manifests/{digest}"))
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise VerificationError(f"{registry.place.text}: status 200 or 404 expected, got {answer.status}")
    if len(answer.body) > MANIFEST_MAX or digest_of(answer.body) != digest:
        raise FormatError(f"{registry.place.text}: the manifest {digest} expected, got another")
    return answer.body


def _key(digest: str) -> str:
    return f"elsewhere/{digest.removeprefix('sha256:')}"
