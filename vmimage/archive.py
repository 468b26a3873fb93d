"""One file that carries images: a tar in OCI image layout ("oci-archive"), as skopeo, podman and oras read it.

`nunatak build` writes an image together with its base, so that the file can be published by itself. The same images
give the same bytes on every machine: no times, no owners, members in a fixed order.
"""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vmimage.attached import EMPTY_CONFIG, KINDS, Attached, parse_attached
from vmimage.errors import FormatError
from vmimage.manifest import (
    BLOB_MAX,
    MANIFEST_MAX,
    MANIFEST_TYPE,
    ImageManifest,
    canonical_json,
    digest_of,
    is_digest,
    parse_manifest,
)

ARCHIVE_MAX: Final = 1 << 30  # bytes of the whole file; it is read into memory
MEMBERS_MAX: Final = 64
INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
LAYOUT: Final = canonical_json({"imageLayoutVersion": "1.0.0"})
_BLOBS: Final = "blobs/sha256/"
_EXPECTED: Final = "an image file (tar in OCI image layout, as `nunatak build` writes it)"


@dataclass(frozen=True)
class ImageBundle:
    """An image and the bytes of its layers by digest. `manifest.config` needs no entry: the manifest carries it."""

    manifest: ImageManifest
    blobs: Mapping[str, bytes]


def pack_archive(images: Sequence[ImageBundle], attached: Sequence[tuple[Attached, bytes]] = ()) -> bytes:
    """The archive of `images`, bases before what is derived from them.

    :param attached: what refers to them, each with the thing itself.
    :raises FormatError: a manifest or blob that `read_archive` would refuse.
    """
    members: dict[str, bytes] = {}
    entries: list[dict[str, object]] = []
    for image in images:
        manifest = image.manifest
        encoded = manifest.to_bytes()
        parse_manifest(encoded)
        entries.append(
            {
                "annotations": {"org.opencontainers.image.ref.name": manifest.name},
                "digest": manifest.digest,
                "mediaType": MANIFEST_TYPE,
                "size": len(encoded),
            }
        )
        members |= {manifest.digest: encoded, manifest.config_blob.digest: manifest.config, **checked_layers(image)}
    for each, data in attached:
        encoded = each.to_bytes()
        about = {"artifactType": each.kind, "digest": digest_of(encoded), "mediaType": MANIFEST_TYPE}
        entries.append({**about, "size": len(encoded)})
        members |= {digest_of(encoded): encoded, each.layer.digest: data, digest_of(EMPTY_CONFIG): EMPTY_CONFIG}
    index = canonical_json({"manifests": entries, "mediaType": INDEX_TYPE, "schemaVersion": 2})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, "oci-layout", LAYOUT)
        _add(tar, "index.json", index)
        for digest in sorted(members):
            _add(tar, _BLOBS + digest.removeprefix("sha256:"), members[digest])
    return out.getvalue()


def read_archive(data: bytes) -> list[ImageBundle]:
    """The images in an archive, bases first; every byte checked against its digest.

    :raises FormatError: not such an archive, incomplete, or above a limit.
    """
    index, blobs = _checked(data)
    images = []
    for digest in _indexed(index, attached=False):
        manifest = parse_manifest(_blob(blobs, digest))
        _blob(blobs, manifest.config_blob.digest)
        images.append(ImageBundle(manifest, {layer.digest: _blob(blobs, layer.digest) for layer in manifest.layers}))
    if not images:
        raise FormatError("archive: at least one image expected in index.json")
    images.sort(key=lambda image: image.manifest.kind == "derived")
    present = {image.manifest.digest for image in images}
    for image in images:
        checked_layers(image)
        if image.manifest.base is not None and image.manifest.base not in present:
            raise FormatError(f"archive: image {image.manifest.name} without its base {image.manifest.base}")
    return images


def read_attached(data: bytes) -> list[tuple[Attached, bytes]]:
    """What refers to the images of an archive, each with the thing itself.

    :raises FormatError: as `read_archive`.
    """
    index, blobs = _checked(data)
    found = []
    for digest in _indexed(index, attached=True):
        attached = parse_attached(_blob(blobs, digest))
        content = _blob(blobs, attached.layer.digest)
        if len(content) != attached.layer.size:
            raise FormatError(f"archive: {attached.layer.digest} of {attached.layer.size} bytes expected, got others")
        found.append((attached, content))
    return found


def _checked(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The index, and all blobs by digest."""
    files = dict(_members(data))
    if files.get("oci-layout") != LAYOUT or "index.json" not in files:
        raise FormatError(f"{_EXPECTED} expected, got a tar without oci-layout and index.json")
    blobs: dict[str, bytes] = {}
    for name, content in files.items():
        if name in ("oci-layout", "index.json"):
            continue
        digest = "sha256:" + name.removeprefix(_BLOBS)
        if not name.startswith(_BLOBS) or not is_digest(digest):
            raise FormatError(f"archive: {_BLOBS}<64 hex digits> expected, got a member named {name[:80]!r}")
        if digest_of(content) != digest:
            raise FormatError(f"archive: {digest} expected, got {digest_of(content)}: the file is damaged")
        blobs[digest] = content
    return files["index.json"], blobs


def checked_layers(image: ImageBundle) -> dict[str, bytes]:
    """The layers of `image` by digest, each compared with its descriptor.

    :raises FormatError: one is missing or is not what the manifest says.
    """
    layers = {}
    for layer in image.manifest.layers:
        content = _blob(image.blobs, layer.digest)
        if len(content) != layer.size or digest_of(content) != layer.digest:
            raise FormatError(f"image {image.manifest.name}: {layer.digest} of {layer.size} bytes expected, got others")
        layers[layer.digest] = content
    return layers


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    if len(data) > ARCHIVE_MAX:
        raise FormatError(f"archive: at most {ARCHIVE_MAX} bytes expected, got {len(data)}")
    seen: set[str] = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse() or member.name in seen or len(seen) == MEMBERS_MAX:
                    raise FormatError(f"archive: at most {MEMBERS_MAX} plain files expected, got {member.name[:80]!r}")
                if member.size > BLOB_MAX:
                    raise FormatError(f"archive: members of at most {BLOB_MAX} bytes expected, got {member.size}")
                seen.add(member.name)
                file = tar.extractfile(member)
                content = file.read() if file else b""
                if len(content) != member.size:
                    raise FormatError(f"archive: {member.size} bytes of {member.name} expected, got {len(content)}")
                yield member.name.removeprefix("./"), content
    except (tarfile.TarError, EOFError, ValueError) as error:
        got = f"{len(data)} bytes starting {data[:4].hex() or 'with nothing'}: {error}"
        raise FormatError(f"{_EXPECTED} expected, got {got}") from None


def _indexed(index: bytes, *, attached: bool) -> list[str]:
    """Digests of the manifests that the index lists: of images, or of what refers to them."""
    if len(index) > MANIFEST_MAX:
        raise FormatError(f"archive: an index of at most {MANIFEST_MAX} bytes expected, got {len(index)}")
    try:
        entries = json.loads(index)["manifests"]
        digests = [str(entry["digest"]) for entry in entries if (entry.get("artifactType") in KINDS) is attached]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        raise FormatError("archive: an OCI index with a list of manifests expected in index.json") from None
    if len(set(digests)) != len(digests):
        raise FormatError("archive: nothing twice expected in index.json")
    return digests


def _blob(blobs: Mapping[str, bytes], digest: str) -> bytes:
    try:
        return blobs[digest]
    except KeyError:
        raise FormatError(f"archive: blob {digest[:80]} expected, not there: the file is incomplete") from None


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)  # its defaults are what we want: mode 0644, no owner, time 0
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
