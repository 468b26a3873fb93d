"""Disk files: what `nunatak disk` writes and `nunatak publish` uploads. A tar in OCI image layout, as images are.

Blocks stand in it one after another and are read from the file where they lie, so a disk of gigabytes is published, and
baked against, in little memory.
"""

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

from origin.model.database import check_database
from vmimage.archive import INDEX_TYPE, LAYOUT
from vmimage.disk import (
    BLOCK_SIZE,
    BLOCKS_MAX,
    DISK_BYTES_MAX,
    BlockList,
    BlockRef,
    DiskManifest,
    pack_block,
    pack_list,
    parse_disk_manifest,
    unpack_block,
)
from vmimage.errors import FormatError, PublisherError
from vmimage.manifest import MANIFEST_MAX, MANIFEST_TYPE, canonical_json, digest_of, is_digest

_BLOBS: Final = "blobs/sha256/"
_CHUNK_BLOCKS: Final = 64  # packed at a time, by all processors
Progress = Callable[[int, int], None]  # blocks done, blocks in all


class DiskFile:
    """A disk file that is open for reading."""

    def __init__(self, path: Path) -> None:
        """:raises PublisherError: it cannot be read.
        :raises FormatError: not a disk file, or incomplete.
        """
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise PublisherError(
                f"disk: a file of `nunatak disk` expected, got {path}: {error.strerror}: "
                "make one with `nunatak disk build`"
            ) from None
        self.path = path
        self._places = dict(_members(self._file, path))
        try:
            entries = json.loads(self._blob("index.json", MANIFEST_MAX))["manifests"]
            (digest,) = (str(entry["digest"]) for entry in entries)
        except (KeyError, TypeError, ValueError, RecursionError):
            raise FormatError(f"{path}: a disk file with one manifest in its index expected") from None
        self.manifest: DiskManifest = parse_disk_manifest(self.blob(digest))
        listing = self.blob(self.manifest.block_list.digest)
        self.blocks = BlockList(listing, self.manifest.blocks)

    def blob(self, digest: str) -> bytes:
        """The bytes that a digest names.

        :raises FormatError: they are not there, or damaged.
        """
        if not is_digest(digest):
            raise FormatError(f"{self.path}: a digest expected, got {digest[:80]!r}")
        data = self._blob(_BLOBS + digest.removeprefix("sha256:"), BLOCKS_MAX * 80)
        if digest_of(data) != digest:
            raise FormatError(f"{self.path}: {digest} expected, got {digest_of(data)}: the file is damaged")
        return data

    def block(self, block_no: int) -> bytes:
        """A block, uncompressed and checked."""
        ref = self.blocks[block_no]
        return unpack_block(self.blob(ref.digest) if ref.wire_bytes else b"", ref)

    def _blob(self, name: str, size_max: int) -> bytes:
        offset, size = self._places.get(name, (0, -1))
        if not 0 <= size <= size_max:
            raise FormatError(f"{self.path}: {name} of at most {size_max} bytes expected, got {size}")
        return os.pread(self._file.fileno(), size, offset)


def pack_disk(
    source: Path,
    name: str,
    output: Path,
    progress: Progress = lambda done, total: None,
    *,
    size_bytes: int | None = None,
) -> DiskManifest:
    """Write the disk file of the bytes of `source`. The same bytes, size and name give the same file.

    :param size_bytes: of the disk, zeros behind the source's bytes; as large as the source without it.
    :raises PublisherError: the source is empty, too large or unreadable, a database that is not whole, or larger than
        the disk; or the output cannot be written.
    """
    temporary = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        source_bytes = source.stat().st_size
        size = source_bytes if size_bytes is None else size_bytes
        if not 1 <= size <= DISK_BYTES_MAX:
            hint = "; an empty disk needs a size" if not size else ""
            raise PublisherError(f"disk: a file of 1 to {DISK_BYTES_MAX} bytes expected, got {source} of {size}{hint}")
        if source_bytes > size:
            raise PublisherError(
                f"disk: {source} of at most {size} bytes expected, it has {source_bytes}: give a larger --size"
            )
        check_database(source)
        try:
            with source.open("rb") as data, temporary.open("wb") as file:
                manifest = _pack(data, size, name, file, progress)
            temporary.replace(output)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise PublisherError(
            f"disk: {error.filename or output}: {error.strerror}: "
            "name a file that can be read, and a place that can be written"
        ) from None
    return manifest


def _pack(data: IO[bytes], size: int, name: str, file: IO[bytes], progress: Progress) -> DiskManifest:
    refs: list[BlockRef] = []
    written: set[bytes] = set()
    total = -(-size // BLOCK_SIZE)
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, "oci-layout", LAYOUT)
        for ref, wire in _packed(data, total):
            refs.append(ref)
            if wire and ref.wire_sha256 not in written:
                written.add(ref.wire_sha256)
                _add(tar, _BLOBS + ref.wire_sha256.hex(), wire)
            progress(len(refs), total)
        manifest, listing = pack_list(name, size, refs)
        encoded = manifest.to_bytes()
        entry = {"digest": manifest.digest, "mediaType": MANIFEST_TYPE, "size": len(encoded)}
        for content in (listing, manifest.config, encoded):
            _add(tar, _BLOBS + digest_of(content).removeprefix("sha256:"), content)
        _add(tar, "index.json", canonical_json({"manifests": [entry], "mediaType": INDEX_TYPE, "schemaVersion": 2}))
    return manifest


def _packed(data: IO[bytes], total: int) -> Iterator[tuple[BlockRef, bytes]]:
    """Blocks in order, zeros behind those of the data; zstd lets other threads run meanwhile."""

    def chunks() -> Iterable[list[bytes]]:
        left = total
        while chunk := data.read(BLOCK_SIZE * min(left, _CHUNK_BLOCKS)):
            blocks = [chunk[at : at + BLOCK_SIZE].ljust(BLOCK_SIZE, b"\0") for at in range(0, len(chunk), BLOCK_SIZE)]
            left -= len(blocks)
            yield blocks
        while left:
            blocks = [bytes(BLOCK_SIZE)] * min(left, _CHUNK_BLOCKS)
            left -= len(blocks)
            yield blocks

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for chunk in chunks():
            yield from pool.map(pack_block, chunk)


def _members(file: IO[bytes], path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Where each member lies: name, offset and size."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for count, member in enumerate(tar):
                if not member.isreg() or member.issparse() or count > BLOCKS_MAX + 8:
                    raise FormatError(f"{path}: plain files expected in a disk file, got {member.name[:80]!r}")
                yield member.name, (member.offset_data, member.size)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise FormatError(f"{path}: a disk file (tar in OCI image layout) expected: {error}") from None


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
    tar.members.clear()  # type: ignore[attr-defined]
