"""What an origin keeps on disk. Every file appears whole under its final name, or not at all.

    blobs/sha256/<2 hex>/<64 hex>       immutable, named by content
    manifests/sha256/<2 hex>/<64 hex>   the same, for manifests: one is there only when all it names is
    artifacts/sha256/<2 hex>/<64 hex>   manifests of others, kept as they are
    referrers/<64 hex>/<64 hex>         of a subject and of an artifact that refers to it: its descriptor
    tags/<tag>                          a digest
    repositories/ repository-names/     see `origin/registry/repositories.py`
    tuf/<name>.json                     role metadata; which of them counts, tuf/timestamp.json says
    uploads/                            not yet complete; emptied at start
    audit.jsonl                         what was changed, by whom and when, see `origin/registry/audit.py`
    lock                                held by the one process that serves the folder

The time of a file's last change says when content was last pushed, or asked for by who may be about to name it (`use`):
what is removed, `origin/registry/prune.py` decides by it.
Others of the machine have no rights to the folder: what tenants log lies in it too, beside all this.
A file is written beside its place, synced, renamed, and its folder synced: after a return the content survives a crash.
All methods block and may be called from several threads.
"""

import fcntl
import hashlib
import itertools
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple

from origin.registry.artifacts import REFERRERS_MAX, Artifact, parse_artifact
from vmimage.disk import BlockList, DiskManifest, is_disk_manifest, parse_disk_manifest
from vmimage.errors import FormatError, OperatorError
from vmimage.manifest import BLOB_MAX, ImageManifest, is_digest, parse_manifest

METADATA_NAME: Final = re.compile(r"(?:[1-9][0-9]{0,9}\.)?[a-z0-9_-]{1,80}\.json", re.ASCII)
_KINDS: Final = ("blobs", "manifests", "artifacts")
USED_EVERY_S: Final = 60.0  # so often the use of a file is noted in it; far less than any grace time
TAG_NAME: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)  # OCI distribution-spec 1.1, "Pull"


class BlobMissing(FormatError):
    """A manifest names what was not uploaded."""


class Content(NamedTuple):
    """A file that is named by its digest."""

    kind: Literal["blobs", "manifests", "artifacts"]
    digest: str
    path: Path
    size: int  # bytes
    used_s: float  # when it was last pushed or asked for, seconds since 1970


class Store:
    """The folder of one origin."""

    def __init__(self, folder: Path) -> None:
        """Make or open the folder, for this process alone until `close`.

        :raises OperatorError: it cannot be made or written, or another process serves it.
        """
        self._folder = folder
        self._placing = threading.Lock()  # a file that is put, used or removed; held for a system call or two
        self._uploads = folder / "uploads"
        self._numbers = itertools.count()  # names in uploads/; `next` is atomic
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            self._lock = (folder / "lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self._uploads, ignore_errors=True)
            for name in (*(f"{kind}/sha256" for kind in _KINDS), "referrers", "tags", "tuf", "uploads"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        except BlockingIOError:
            self._lock.close()
            raise OperatorError(
                f"a store of its own expected at {folder}: another origin serves it: "
                "end that one, or name another --store"
            ) from None
        except OSError as error:
            raise OperatorError(
                f"a writable folder expected at {folder}: {error.strerror}: "
                "give this user the folder, or name another --store"
            ) from None

    def close(self) -> None:
        """Let another process serve the folder."""
        self._lock.close()

    @property
    def folder(self) -> Path:
        """Where it all is."""
        return self._folder

    @property
    def audit_path(self) -> Path:
        """Where `Audit` writes."""
        return self._folder / "audit.jsonl"

    def contents(self, *kinds: Literal["blobs", "manifests", "artifacts"]) -> Iterator[Content]:
        """All content of these kinds; what comes or goes meanwhile may be among it or not."""
        for kind in kinds:
            for shard in os.scandir(self._folder / kind / "sha256"):
                for entry in os.scandir(shard.path) if shard.is_dir() else ():
                    try:
                        state = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if is_digest(digest := f"sha256:{entry.name}"):
                        yield Content(kind, digest, Path(entry.path), state.st_size, state.st_mtime)

    def use(self, path: Path) -> int | None:
        """Note that content may be named in a moment: a grace time begins anew. Its size, None when it is not here."""
        with self._placing:
            try:
                state = path.stat()
                if abs(time.time() - state.st_mtime) > USED_EVERY_S:
                    os.utime(path)
                return state.st_size
            except OSError:
                return None

    def remove_unused(self, path: Path, before_s: float) -> bool:
        """Remove content that has not been used since a time; whether it is gone."""
        with self._placing:
            try:
                if path.stat().st_mtime >= before_s:
                    return False
                path.unlink()
            except FileNotFoundError:
                return False
            return True

    def forget_referrer(self, subject: str, digest: str, *, though_here: bool = False) -> None:
        """Take an artifact that is gone, or shall be listed no more, off the list of what refers to `subject`."""
        if though_here or _size(self.artifact_path(digest)) is None:
            (self._referrers_path(subject) / digest.removeprefix("sha256:")).unlink(missing_ok=True)

    def blob_path(self, digest: str) -> Path:
        """Where the blob is or would be. Raises ValueError for what is not a digest."""
        return self._content_path("blobs", digest)

    def manifest_path(self, digest: str) -> Path:
        """Where the manifest is or would be. Raises ValueError for what is not a digest."""
        return self._content_path("manifests", digest)

    def blob_size(self, digest: str) -> int | None:
        """Size in bytes, None when it is not here."""
        return _size(self.blob_path(digest))

    def manifest_size(self, digest: str) -> int | None:
        """Size in bytes, None when it is not here."""
        return _size(self.manifest_path(digest))

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
        for blob in manifest.layers:
            self._require_blob(blob.digest, blob.size)
        if isinstance(manifest, DiskManifest):
            listing = BlockList(self.blob_path(manifest.block_list.digest).read_bytes(), manifest.blocks)
            for ref in {ref for ref in listing if ref.wire_bytes}:
                self._require_blob(ref.digest, ref.wire_bytes)
        else:
            named = [("base", manifest.base), *((f"disk {disk.name}", disk.digest) for disk in manifest.disks)]
            for what, digest in named:
                if digest is not None and self.use(self.manifest_path(digest)) is None:
                    raise BlobMissing(f"manifest: {what} {digest} expected here, not there")
        self._write(self.blob_path(manifest.config_blob.digest), manifest.config)
        self._write(self.manifest_path(manifest.digest), data)
        return manifest

    def _require_blob(self, digest: str, expected: int) -> None:
        size = self.use(self.blob_path(digest))
        if size != expected:
            raise BlobMissing(f"manifest: blob {digest} of {expected} bytes expected here, got {size}")

    def artifact_path(self, digest: str) -> Path:
        """Where the manifest of others is or would be. Raises ValueError for what is not a digest."""
        return self._content_path("artifacts", digest)

    def read_artifact(self, digest: str) -> tuple[Artifact, int] | None:
        """A manifest of others and its size in bytes, None when it is not here."""
        data = _read(self.artifact_path(digest))
        return None if data is None else (parse_artifact(data, digest), len(data))

    def put_artifact(self, data: bytes, artifact: Artifact) -> None:
        """Keep a manifest of others, all of whose blobs and manifests are here; what it refers to need not be.

        :raises FormatError: something it names is missing, or too much refers to its subject; nothing is kept.
        """
        digest = str(artifact.descriptor["digest"])
        for blob, size in artifact.blobs:
            self._require_blob(blob, size)
        for named in artifact.manifests:
            if self.use(self.manifest_path(named)) is None and self.use(self.artifact_path(named)) is None:
                raise BlobMissing(f"manifest: {named} expected here, not there")
        if artifact.subject is not None:
            folder = self._referrers_path(artifact.subject)
            folder.mkdir(exist_ok=True)
            note = folder / digest.removeprefix("sha256:")
            if not note.exists() and sum(1 for _ in folder.iterdir()) >= REFERRERS_MAX:
                raise FormatError(f"manifest: at most {REFERRERS_MAX} that refer to {artifact.subject} expected")
            self._write(note, json.dumps(artifact.descriptor).encode())
        self._write(self.artifact_path(digest), data)
        if artifact.subject is not None and not note.exists():  # it went with an older copy, a moment ago
            self._write(note, json.dumps(artifact.descriptor).encode())

    def referrers(self, subject: str) -> list[dict[str, Any]]:
        """Descriptors of the manifests that refer to one, in the order of their digests."""
        folder = self._referrers_path(subject)
        notes = sorted(folder.iterdir()) if folder.is_dir() else []
        kept = [note for note in notes if _size(self.artifact_path(f"sha256:{note.name}")) is not None]
        return [json.loads(note.read_bytes()) for note in kept]

    def _referrers_path(self, subject: str) -> Path:
        return self._folder / "referrers" / self._content_path("artifacts", subject).name

    def put_tag(self, tag: str, digest: str) -> None:
        """Let `tag` name a manifest."""
        self._write(self._tag_path(tag), digest.encode())

    def forget_tag(self, tag: str) -> bool:
        """Remove a tag; whether it was there."""
        path = self._tag_path(tag)
        there = path.exists()
        path.unlink(missing_ok=True)
        return there

    def tagged(self, tag: str) -> str | None:
        """Digest of the manifest that `tag` names."""
        data = _read(self._tag_path(tag))
        return None if data is None else data.decode()

    def tags(self) -> list[str]:
        """All tags, sorted."""
        return sorted(path.name for path in (self._folder / "tags").iterdir() if TAG_NAME.fullmatch(path.name))

    def metadata_path(self, name: str) -> Path:
        """Where a role's file is or would be. Raises ValueError for what cannot be one's name."""
        if METADATA_NAME.fullmatch(name) is None:
            raise ValueError(f"name of a metadata file expected, got {name[:80]!r}")
        return self._folder / "tuf" / name

    def read_metadata(self, name: str) -> bytes | None:
        """A role's file, None when it is not here."""
        return _read(self.metadata_path(name))

    def write_metadata(self, name: str, data: bytes) -> None:
        """Write or replace a role's file."""
        self._write(self.metadata_path(name), data)

    def forget_metadata(self, name: str) -> None:
        """Remove a role's file if it is here."""
        self.metadata_path(name).unlink(missing_ok=True)

    def keep(self, temporary: Path, final: Path) -> None:
        """Move a synced file to its place, durably."""
        if not final.parent.is_dir():
            final.parent.mkdir(exist_ok=True)
            _sync_folder(final.parent.parent)
        with self._placing:
            os.replace(temporary, final)
        _sync_folder(final.parent)

    def new_file(self) -> tuple[Path, IO[bytes]]:
        """An empty file under a name that nobody else has, for `keep`."""
        path = self._uploads / str(next(self._numbers))
        return path, path.open("xb")

    def _write(self, path: Path, data: bytes) -> None:
        temporary, file = self.new_file()
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.keep(temporary, path)

    def _content_path(self, kind: str, digest: str) -> Path:
        if not is_digest(digest):
            raise ValueError(f"sha256:<64 hex digits> expected, got {digest[:80]!r}")
        hexdigits = digest.removeprefix("sha256:")
        return self._folder / kind / "sha256" / hexdigits[:2] / hexdigits

    def _tag_path(self, tag: str) -> Path:
        if TAG_NAME.fullmatch(tag) is None:
            raise ValueError(f"a tag expected, got {tag[:80]!r}")
        return self._folder / "tags" / tag


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
        self._file.flush()
        os.utime(self._path)  # its last piece may have come long ago
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        self._store.keep(self._path, final)  # over one that is there already: it may be damaged

    def abandon(self) -> None:
        """Forget what came."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
