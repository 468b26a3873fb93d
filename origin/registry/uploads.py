"""Blobs on their way in, under names that only who began them is told: who goes when there are too many.

It is the oldest of whoever has most, so nobody's uploads end because another begins many.
"""

import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Final

from origin.registry.names import Submitter
from origin.registry.store import Upload

UPLOADS_MAX: Final = 256  # begun and not finished; each has an open file


class Uploads:
    """Those that are under way."""

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[Submitter, Upload]] = {}  # the oldest first

    def __iter__(self) -> Iterator[Upload]:
        return iter([upload for _, upload in self._by_name.values()])

    def begin(self, submitter: Submitter, upload: Upload) -> str:
        """Let it be continued under the name that is returned."""
        while len(self._by_name) >= UPLOADS_MAX:
            owned = Counter(owner for owner, _ in self._by_name.values())
            owned[submitter] += 1
            most, _ = owned.most_common(1)[0]
            self.take(next(name for name, (owner, _) in self._by_name.items() if owner == most)).abandon()
        name = secrets.token_hex(16)
        self._by_name[name] = submitter, upload
        return name

    def find(self, submitter: Submitter, name: str) -> Upload | None:
        """One that it began."""
        owner, upload = self._by_name.get(name, (None, None))
        return upload if owner == submitter else None

    def take(self, name: str) -> Upload:
        """It is finished, or given up."""
        return self._by_name.pop(name)[1]
