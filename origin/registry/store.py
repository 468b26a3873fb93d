"""What an origin keeps: which object has which key, and what must be there before another may be.

    blobs/sha256/<2 hex>/<64 hex>       immutable, named by content
    manifests/sha256/<2 hex>/<64 hex>   the same, for manifests: one is there only when all it names is
    artifacts/sha256/<2 hex>/<64 hex>   manifests of others, kept as they are
    referrers/<64 hex>/<64 hex>         of a subject and of an artifact that refers to it: its descriptor
    tags/<tag>                          a digest; the last one who writes it decides
    repositories/ repository-names/     of other repositories: `origin/registry/repositories.py`
    elsewhere/<64 hex>                  of a manifest in another registry: `origin/registry/elsewhere.py`
    tuf/<version>.<role>.json           role metadata, immutable; which of them counts, the timestamp says
    log/                                the log of snapshots, see `origin/registry/transparency.py`
    tuf/timestamp.json                  the one object that is replaced: only by who knows its present state
    changes/<version>.json              a change of the catalogue that counts, see `origin/registry/changes.py`
    used/, prune/                       what is in use and what is being removed, in a bucket: `origin/registry/use.py`
    audit.jsonl or audit/, logs/        what was changed, by whom and when; what services say

The store is a folder of one process, or a bucket that several origins share (`origin/storage`). What is removed,
`origin/registry/prune.py` decides, by when content was last pushed, or asked for by who may be about to name it
(`use`).
All methods block and may be called from several threads.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple

from origin.registry.artifacts import REFERRERS_MAX, Artifact, parse_artifact
from origin.registry.use import use_of
from origin.storage.blobs import BlobStore
from origin.storage.files import Files
from origin.storage.place import Place
from vmimage.disk import BlockList, DiskManifest, is_disk_manifest, parse_disk_manifest
from vmimage.errors import FormatError, OperatorError
from vmimage.manifest import BLOB_MAX, ImageManifest, is_digest, parse_manifest

METADATA_NAME: Final = re.compile(r"(?:[1-9][0-9]{0,9}\.)?[a-z0-9_-]{1,80}\.json", re.ASCII)
_KINDS: Final = ("blobs", "manifests", "artifacts")
_FOLDERS: Final = (*_KINDS, "referrers", "repositories", "repository-names", "tags", "tuf", "changes", "feed", "log")
ASKED_AT_ONCE: Final = 16  # objects of a bucket, each a round trip
TAG_NAME: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)  # OCI distribution-spec 1.1, "Pull"


class BlobMissing(FormatError):
    """A manifest names what was not uploaded."""


class Content(NamedTuple):
    """A file that is named by its digest."""

    kind: Literal["blobs", "manifests", "artifacts"]
    digest: str
    path: Place
    size: int  # bytes
    used_s: float  # when it was last pushed or asked for, seconds since 1970


class Store:
    """What one origin keeps."""

    def __init__(self, where: Path | BlobStore) -> None:
        """:param where: a folder, for this process alone until `close`, or any store.
        :raises OperatorError: the folder cannot be made or written, or another process serves it.
        """
        self.blobs: BlobStore = Files(where) if isinstance(where, Path) else where
        self._require_folders()
        self._uses = use_of(self.blobs)

    def _require_folders(self) -> None:
        """:raises OperatorError: a file is where folders of a store are: that is found at the start, not at a push."""
        for name in _FOLDERS:
            file = self.blobs.local(f"{name}/any")
            if file is not None and file.parent.exists() and not file.parent.is_dir():
                self.blobs.close()
                raise OperatorError(f"a folder or nothing expected at {file.parent}: name another --store")

    def close(self) -> None:
        """Let another process serve it."""
        self.blobs.close()

    @property
    def shared(self) -> bool:
        """Whether other origins may write to it at the same time; then answers are a round trip away too."""
        return self.blobs.shared

    @property
    def audit_path(self) -> Path:
        """Where the audit log of a folder is."""
        return Path(self._place("audit.jsonl"))

    def contents(self, *kinds: Literal["blobs", "manifests", "artifacts"]) -> Iterator[Content]:
        """All content of these kinds; what comes or goes meanwhile may be among it or not."""
        for kind in kinds:
            marks = self._uses.marks(kind)
            for key, size, changed_s in self.blobs.list(f"{kind}/sha256"):
                place = self._place(key)
                if is_digest(digest := f"sha256:{place.name}"):
                    yield Content(kind, digest, place, size, max(changed_s, marks.get(place.name, changed_s)))

    def use(self, path: Place) -> int | None:
        """Note that content may be named in a moment: a grace time begins anew. Its size, None when it is not here."""
        return self._uses.use(path)

    def dooming(self, paths: Iterable[Place]) -> AbstractContextManager[None]:
        """A context in which these may be removed.

        :raises PruneUnderWay: another origin removes content.
        """
        dooming: AbstractContextManager[None] = self._uses.dooming(paths)
        return dooming

    def remove_unused(self, path: Place, before_s: float) -> bool:
        """Remove content that has not been used since a time; whether it is gone."""
        return self._uses.remove_unused(path, before_s)

    def forget_referrer(self, subject: str, digest: str, *, though_here: bool = False) -> None:
        """Take an artifact that is gone, or shall be listed no more, off the list of what refers to `subject`."""
        if though_here or self.artifact_path(digest).size() is None:
            self.blobs.delete(f"{self._referrers_key(subject)}/{digest.removeprefix('sha256:')}")

    def blob_path(self, digest: str) -> Place:
        """Where the blob is or would be. Raises ValueError for what is not a digest."""
        return self._content_path("blobs", digest)

    def manifest_path(self, digest: str) -> Place:
        """Where the manifest is or would be. Raises ValueError for what is not a digest."""
        return self._content_path("manifests", digest)

    def blob_size(self, digest: str) -> int | None:
        """Size in bytes, None when it is not here."""
        return self.blob_path(digest).size()

    def manifest_size(self, digest: str) -> int | None:
        """Size in bytes, None when it is not here."""
        return self.manifest_path(digest).size()

    def begin_upload(self) -> "Upload":
        """A blob that arrives in pieces."""
        return Upload(self)

    def put_blob(self, digest: str, data: bytes) -> None:
        """Keep a blob.

        :raises FormatError: it is too large, or not what `digest` names; nothing is kept.
        """
        upload = self.begin_upload()
        try:
            upload.write(data)
            upload.finish(digest)
        finally:
            upload.abandon()

    def put_manifest(self, data: bytes) -> ImageManifest | DiskManifest:
        """Keep the manifest of an image or a disk, all of whose blobs are here, and the config blob that it carries.

        :raises FormatError: malformed, or something it names is missing; nothing is kept.
        """
        manifest = parse_disk_manifest(data) if is_disk_manifest(data) else parse_manifest(data)
        self._require_blobs((blob.digest, blob.size) for blob in manifest.layers)
        if isinstance(manifest, DiskManifest):
            listing = BlockList(self.blob_path(manifest.block_list.digest).read_bytes(), manifest.blocks)
            self._require_blobs({(ref.digest, ref.wire_bytes) for ref in listing if ref.wire_bytes})
        else:
            named = [("base", manifest.base), *((f"disk {disk.name}", disk.digest) for disk in manifest.disks)]
            for what, digest in named:
                if digest is not None and self.use(self.manifest_path(digest)) is None:
                    raise BlobMissing(f"manifest: {what} {digest} expected here, not there")
        self._uses.put(self.blob_path(manifest.config_blob.digest), manifest.config)
        self._uses.put(self.manifest_path(manifest.digest), data)
        return manifest

    def _require_blobs(self, named: Iterable[tuple[str, int]]) -> None:
        """:raises BlobMissing: one of these, by digest and size, is not here."""

        def require(blob: tuple[str, int]) -> None:
            digest, expected = blob
            if (size := self.use(self.blob_path(digest))) != expected:
                raise BlobMissing(f"manifest: blob {digest} of {expected} bytes expected here, got {size}")

        if not self.shared:
            for blob in named:
                require(blob)
            return
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            for _ in pool.map(require, named):
                pass

    def artifact_path(self, digest: str) -> Place:
        """Where the manifest of others is or would be. Raises ValueError for what is not a digest."""
        return self._content_path("artifacts", digest)

    def read_artifact(self, digest: str) -> tuple[Artifact, int] | None:
        """A manifest of others and its size in bytes, None when it is not here."""
        data = self.artifact_path(digest).read()
        return None if data is None else (parse_artifact(data, digest), len(data))

    def put_artifact(self, data: bytes, artifact: Artifact) -> None:
        """Keep a manifest of others, all of whose blobs and manifests are here; what it refers to need not be.

        :raises FormatError: something it names is missing, or too much refers to its subject; nothing is kept.
        """
        digest = str(artifact.descriptor["digest"])
        self._require_blobs(artifact.blobs)
        for named in artifact.manifests:
            if self.use(self.manifest_path(named)) is None and self.use(self.artifact_path(named)) is None:
                raise BlobMissing(f"manifest: {named} expected here, not there")
        note = None
        if artifact.subject is not None:
            notes = self._referrers_key(artifact.subject)
            note = f"{notes}/{digest.removeprefix('sha256:')}"
            if self.blobs.head(note) is None and sum(1 for _ in self.blobs.list(notes)) >= REFERRERS_MAX:
                raise FormatError(f"manifest: at most {REFERRERS_MAX} that refer to {artifact.subject} expected")
            self.blobs.put(note, json.dumps(artifact.descriptor).encode())
        self._uses.put(self.artifact_path(digest), data, artifact.media_type)
        if note is not None and self.blobs.head(note) is None:  # it went with an older copy, a moment ago
            self.blobs.put(note, json.dumps(artifact.descriptor).encode())

    def referrers(self, subject: str) -> list[dict[str, Any]]:
        """Descriptors of the manifests that refer to one, in the order of their digests."""
        notes = [self._place(each.key) for each in self.blobs.list(self._referrers_key(subject))]
        notes.sort(key=lambda note: note.name)
        kept = [note for note in notes if self.artifact_path(f"sha256:{note.name}").size() is not None]
        return [json.loads(data) for note in kept if (data := note.read()) is not None]

    def _referrers_key(self, subject: str) -> str:
        return f"referrers/{self._content_path('artifacts', subject).name}"

    def put_tag(self, tag: str, digest: str) -> None:
        """Let `tag` name a manifest."""
        self.blobs.put(self._tag_key(tag), digest.encode())

    def forget_tag(self, tag: str) -> bool:
        """Remove a tag; whether it was there."""
        there = self.blobs.head(self._tag_key(tag)) is not None
        self.blobs.delete(self._tag_key(tag))
        return there

    def tagged(self, tag: str) -> str | None:
        """Digest of the manifest that `tag` names."""
        data = self._place(self._tag_key(tag)).read()
        return None if data is None else data.decode()

    def tags(self) -> list[str]:
        """All tags, sorted."""
        names = (self._place(each.key).name for each in self.blobs.list("tags"))
        return sorted(name for name in names if TAG_NAME.fullmatch(name))

    def metadata_path(self, name: str) -> Place:
        """Where a role's file is or would be. Raises ValueError for what cannot be one's name."""
        if METADATA_NAME.fullmatch(name) is None:
            raise ValueError(f"name of a metadata file expected, got {name[:80]!r}")
        return self._place(f"tuf/{name}")

    def read_metadata(self, name: str) -> bytes | None:
        """A role's file, None when it is not here."""
        return self.metadata_path(name).read()

    def write_metadata(self, name: str, data: bytes) -> None:
        """Write or replace a role's file. What others may replace too is swapped instead."""
        self.blobs.put(self.metadata_path(name).key, data)

    def forget_metadata(self, name: str) -> None:
        """Remove a role's file if it is here."""
        self.blobs.delete(self.metadata_path(name).key)

    def change(self, version: int) -> bytes | None:
        """The change of the catalogue to this version, None where there is none."""
        return self._place(f"changes/{version}.json").read()

    def put_content(self, path: Place, file: Path) -> None:
        """Keep what a file has, whose digest was checked; it may be taken away."""
        self._uses.put(path, file)

    def new_file(self) -> tuple[Path, IO[bytes]]:
        """An empty file under a name that nobody else has, for `put_content`."""
        path = self.blobs.scratch / secrets.token_hex(8)
        return path, path.open("xb")

    def _place(self, key: str) -> Place:
        return Place(self.blobs, key)

    def _content_path(self, kind: str, digest: str) -> Place:
        if not is_digest(digest):
            raise ValueError(f"sha256:<64 hex digits> expected, got {digest[:80]!r}")
        hexdigits = digest.removeprefix("sha256:")
        return self._place(f"{kind}/sha256/{hexdigits[:2]}/{hexdigits}")

    def _tag_key(self, tag: str) -> str:
        if TAG_NAME.fullmatch(tag) is None:
            raise ValueError(f"a tag expected, got {tag[:80]!r}")
        return f"tags/{tag}"


class Upload:
    """One blob on its way in. Either `finish` it or `abandon` it; a second call of either does nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._file: IO[bytes] | None
        self._path, self._file = store.new_file()
        self._sha = hashlib.sha256()
        self.size = 0  # bytes so far

    def write(self, data: bytes) -> None:
        """Append.

        :raises FormatError: more than BLOB_MAX bytes.
        """
        if self._file is None:
            raise ValueError("write after finish")
        if self.size + len(data) > BLOB_MAX:
            raise FormatError(f"blob: at most {BLOB_MAX} bytes expected, got more")
        self._file.write(data)
        self._sha.update(data)
        self.size += len(data)

    def finish(self, digest: str) -> None:
        """Keep the blob under `digest`.

        :raises FormatError: that is not its digest; nothing is kept.
        """
        final = self._store.blob_path(digest)
        got = f"sha256:{self._sha.hexdigest()}"
        if got != digest or self._file is None:
            self.abandon()
            raise FormatError(f"blob: {digest} expected, got {got} of {self.size} bytes")
        self._file.close()
        self._file = None
        try:
            self._store.put_content(final, self._path)  # over one that is there already: it may be damaged
        finally:
            self._path.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Forget what came."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)
