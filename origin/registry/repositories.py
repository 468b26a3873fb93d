"""Repositories of an origin: by name their tags, their manifests, and what refers to what in them.

`images` is the edges' own. Its tags and lists of referrers lie where they always have, and every manifest of the store
is in it that was not taken out. Another repository has what was pushed to it. Bytes are shared by content: a repository
keeps names of them alone, so whoever takes a manifest out of one takes nothing from another, and `nunatak prune`
removes what is in none and what nobody names.

    repository-names/<name>                             that there is one; "/" of a name is written "="
    repositories/<name>/tags/<tag>                      a digest
    repositories/<name>/manifests/<64 hex>              that it is in it
    repositories/<name>/referrers/<64 hex>/<64 hex>     of a subject and of a manifest that refers to it: its descriptor
    repositories/images/removed/<64 hex>                that it was taken out of `images`

All methods block.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from origin.registry.artifacts import REFERRERS_MAX, Artifact
from origin.registry.names import Submitter
from origin.registry.refusal import OciError
from origin.registry.store import Store
from vmimage.manifest import REPOSITORY

NAME: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII)
NAME_MAX: Final = 255  # "Pulling manifests": many clients take no longer host and name together
REPOSITORIES_MAX: Final = 1000  # whose names begin with one word, as all of a tenant's do
MANIFESTS_MAX: Final = 10_000  # of one repository, and as many tags


def is_repository(name: str) -> bool:
    """Whether a repository may be called so."""
    return name == REPOSITORY or (len(name) <= NAME_MAX and NAME.fullmatch(name) is not None)


def owns(submitter: Submitter, name: str) -> bool:
    """Whether somebody may do with a repository what its owner may: the operator everywhere, a tenant with those that
    are called as it is, or begin with its name and a slash; `images` is the operator's.
    """
    if submitter.operator:
        return True
    if not submitter.tenant or name == REPOSITORY:
        return False
    return name == submitter.tenant or name.startswith(f"{submitter.tenant}/")


class Repositories:
    """Those of one store."""

    def __init__(self, store: Store) -> None:
        self._store, self._blobs = store, store.blobs

    def names(self) -> list[str]:
        """All, sorted."""
        noted = (key.replace("=", "/") for key in self._below("repository-names"))
        return sorted({REPOSITORY, *noted})

    def exists(self, name: str) -> bool:
        """Whether something was pushed to it; `images` always is there."""
        return name == REPOSITORY or self._blobs.head(f"repository-names/{_key(name)}") is not None

    def found(self, name: str) -> None:
        """Let it be there.

        :raises OciError: there are too many.
        """
        if self.exists(name):
            return
        head = name.partition("/")[0]
        if sum(1 for other in self.names() if other.partition("/")[0] == head) >= REPOSITORIES_MAX:
            raise OciError(403, "DENIED", f"at most {REPOSITORIES_MAX} repositories below {head} expected")
        self._blobs.put(f"repository-names/{_key(name)}", b"1")

    # Tags.

    def tagged(self, name: str, tag: str) -> str | None:
        """Digest of the manifest that a tag names."""
        if name == REPOSITORY:
            return self._store.tagged(tag)
        data = self._read(f"{_at(name)}/tags/{tag}")
        return data.decode() if data is not None else None

    def put_tag(self, name: str, tag: str, digest: str) -> None:
        """Let a tag name a manifest.

        :raises OciError: there are too many.
        """
        if self.tagged(name, tag) is None and len(self.tags(name)) >= MANIFESTS_MAX:
            raise OciError(403, "DENIED", f"at most {MANIFESTS_MAX} tags in {name} expected")
        if name == REPOSITORY:
            self._store.put_tag(tag, digest)
        else:
            self._blobs.put(f"{_at(name)}/tags/{tag}", digest.encode())

    def forget_tag(self, name: str, tag: str) -> bool:
        """Remove a tag; whether it was there."""
        if name == REPOSITORY:
            return self._store.forget_tag(tag)
        there = self.tagged(name, tag) is not None
        self._blobs.delete(f"{_at(name)}/tags/{tag}")
        return there

    def tags(self, name: str) -> list[str]:
        """All of a repository, sorted."""
        return self._store.tags() if name == REPOSITORY else self._below(f"{_at(name)}/tags")

    # Manifests.

    def has(self, name: str, digest: str) -> bool:
        """Whether a manifest that is in the store is in a repository."""
        if name == REPOSITORY:
            return self._blobs.head(f"{_at(name)}/removed/{_hex(digest)}") is None
        return self._blobs.head(f"{_at(name)}/manifests/{_hex(digest)}") is not None

    def require_room(self, name: str, subject: str | None) -> None:
        """:raises OciError: no further manifest may be pushed there, or none that refers to `subject`."""
        self.found(name)
        if name == REPOSITORY:  # `Store.put_artifact` looks for itself
            return
        if len(self._below(f"{_at(name)}/manifests")) >= MANIFESTS_MAX:
            raise OciError(403, "DENIED", f"at most {MANIFESTS_MAX} manifests in {name} expected: delete some")
        if subject is not None and len(self._below(_referrers(name, subject))) >= REFERRERS_MAX:
            raise OciError(403, "DENIED", f"at most {REFERRERS_MAX} that refer to {subject} in {name} expected")

    def enter(self, name: str, digest: str, artifact: Artifact | None) -> None:
        """Let a manifest that is in the store be in a repository.

        :param artifact: what it says, where it is none of ours.
        """
        if name == REPOSITORY:
            self._blobs.delete(f"{_at(name)}/removed/{_hex(digest)}")
            return
        self._blobs.put(f"{_at(name)}/manifests/{_hex(digest)}", b"1")
        if artifact is not None and artifact.subject is not None:
            note = f"{_referrers(name, artifact.subject)}/{_hex(digest)}"
            self._blobs.put(note, json.dumps(artifact.descriptor).encode())

    def leave(self, name: str, digest: str, artifact: Artifact | None) -> None:
        """Take a manifest out of a repository, with the tags that name it."""
        for tag in self.tags(name):
            if self.tagged(name, tag) == digest:
                self.forget_tag(name, tag)
        subject = artifact.subject if artifact is not None else None
        if name == REPOSITORY:
            self._blobs.put(f"{_at(name)}/removed/{_hex(digest)}", b"1")
            if subject is not None:
                self._store.forget_referrer(subject, digest, though_here=True)
            return
        if subject is not None:
            self._blobs.delete(f"{_referrers(name, subject)}/{_hex(digest)}")
        self._blobs.delete(f"{_at(name)}/manifests/{_hex(digest)}")

    def referrers(self, name: str, subject: str) -> list[Mapping[str, Any]]:
        """Descriptors of the manifests of a repository that refer to one, in the order of their digests."""
        if name == REPOSITORY:
            return list(self._store.referrers(subject))
        at = _referrers(name, subject)
        found = (self._read(f"{at}/{key}") for key in self._below(at))
        return [json.loads(data) for data in found if data is not None]

    # For `nunatak prune`.

    def kept(self) -> set[str]:
        """Manifests that are in any repository but `images`, by digest."""
        others = (name for name in self.names() if name != REPOSITORY)
        return {f"sha256:{key}" for name in others for key in self._below(f"{_at(name)}/manifests")}

    def tidy(self) -> None:
        """Forget what was taken out of `images` and is no longer in the store."""
        for key in self._below(f"{_at(REPOSITORY)}/removed"):
            if self._store.read_artifact(f"sha256:{key}") is None:
                self._blobs.delete(f"{_at(REPOSITORY)}/removed/{key}")

    def _read(self, key: str) -> bytes | None:
        found = self._blobs.read(key)
        return found[0] if found is not None else None

    def _below(self, prefix: str) -> list[str]:
        """The last segments of the keys `prefix/SEGMENT`, sorted."""
        return sorted(listed.key.rpartition("/")[2] for listed in self._blobs.list(prefix))


def _key(name: str) -> str:
    return name.replace("/", "=")


def _at(name: str) -> str:
    return f"repositories/{_key(name)}"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _referrers(name: str, subject: str) -> str:
    return f"{_at(name)}/referrers/{_hex(subject)}"
