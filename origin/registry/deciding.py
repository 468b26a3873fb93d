"""What an origin would publish of a submission: the state as it is, and the files of the one that would be.

Nothing is written here. A manifest that services name is at this origin, or comes before the submission does (a dry run
says so), or is in a registry that the operator allows.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from tuf.api.metadata import Root

from origin.registry.elsewhere import Registries
from origin.registry.ledger import Ledger
from origin.registry.names import Submitter
from origin.registry.roles import Files, Online, Published, accept
from origin.registry.store import Store
from vmimage.trust import follow

Decided = tuple[Published, Files, Published]


class Deciding:
    """Of one origin. Blocks."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        registries: Registries,
        find_online: Callable[[Root], Online],
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._ledger, self._registries = store, ledger, registries
        self._find_online, self._clock = find_online, clock

    def look(self, submitted: Mapping[str, bytes], submitter: Submitter, coming: Mapping[str, int]) -> None:
        """Find manifests that other registries have, so that `decide` knows them; takes as long as these do.

        :raises VerificationError, OperatorError: as `decide`.
        """
        self._decide(submitted, submitter, coming, self._registries.search())

    def decide(self, submitted: Mapping[str, bytes], submitter: Submitter, coming: Mapping[str, int]) -> Decided:
        """The state as it is, and what would be written for the one that would be.

        :param coming: bytes of manifests that will be here by then, by digest.
        :raises VerificationError: as `roles.accept`.
        :raises OperatorError: a new root trusts online keys that are not here.
        """
        return self._decide(submitted, submitter, coming, self._registries.known)

    def _decide(
        self,
        submitted: Mapping[str, bytes],
        submitter: Submitter,
        coming: Mapping[str, int],
        elsewhere: Callable[[str], int | None],
    ) -> Decided:
        state, online = self._ledger.state, self._ledger.online
        if (data := submitted.get(Root.type)) is not None:
            online = self._find_online(follow([data], state.trust.root))

        def size(digest: str) -> int | None:
            return self._size(digest) or coming.get(digest) or elsewhere(digest)

        return (state, *accept(state, submitted, size, online, self._clock(), submitter))

    def _size(self, digest: str) -> int | None:
        """Of one that is named from now on; that is a use of it, which keeps it from being pruned."""
        path = self._store.manifest_path(digest)
        return self._store.use(path) if self._store.shared else self._store.manifest_size(digest)
