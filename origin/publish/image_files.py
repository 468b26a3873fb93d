"""Files that `nunatak publish` is given: images and batches, read and made into publications."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmimage.errors import PublisherError

if TYPE_CHECKING:  # imported when it is needed: `nunatak --help` stays quick
    from origin.model.diskfile import DiskFile
    from origin.model.publication import Publication
    from vmimage.archive import ImageBundle
    from vmimage.attached import Attached


def read_batch(path: Path) -> list[Publication]:
    """The publications of a batch file; each image is read once.

    :raises PublisherError: it is no such file, or an image of it none.
    """
    from dataclasses import replace

    from vmimage.manifest import is_name

    images: dict[Path, list[ImageBundle]] = {}
    attached: dict[Path, tuple[tuple[Attached, bytes], ...]] = {}
    publications = []
    for number, line in enumerate(_read(path, "batch").splitlines(), 1):
        try:
            entry = json.loads(line)
            image, service, hosts = path.parent / entry["image"], entry["service"], entry["hosts"]
            tenant = entry.get("tenant", "")
            if not isinstance(service, str) or not isinstance(hosts, list):
                raise ValueError
            if entry.keys() - {"tenant"} != {"image", "service", "hosts"} or (tenant != "" and not is_name(tenant)):
                raise ValueError
        except (ValueError, TypeError, LookupError, AttributeError):
            raise PublisherError(
                f'{path} line {number}: {{"image", "service", "hosts"[, "tenant"]}} expected: write it so'
            ) from None
        if image not in images:
            images[image], attached[image] = read_image(image), read_attachments(image)
        named = publication(image, images[image], service, list(map(str, hosts)), attached=attached[image])
        publications.append(replace(named, tenant=tenant))
    if not publications:
        raise PublisherError(f"{path}: at least one line expected, got none: write one for each service")
    return publications


def publication(
    path: Path,
    images: list[ImageBundle],
    service: str,
    hosts: list[str],
    disks: Sequence[Path] = (),
    attached: tuple[tuple[Attached, bytes], ...] = (),
) -> Publication:
    """An image file's own image as a service.

    :param attached: what the file says of it.

    :raises PublisherError: not one image beside its base, or a disk that it does not name.
    """
    from origin.model.publication import Publication

    derived = [image for image in images if image.manifest.kind == "derived"]
    if len(derived) != 1:
        raise PublisherError(
            f"{path}: one image beside its base expected, got {len(derived)}: give a file of `nunatak build`"
        )
    names = tuple(dict.fromkeys(host.lower().rstrip(".") for host in hosts))
    own = tuple(_disks_of(derived[0], disks))
    return Publication(tuple(images), derived[0].manifest.digest, service, names, own, attached=attached)


def read_parked(path: Path) -> bytes | None:
    """A parked record, as an edge keeps it; None where the file is something else.

    :raises PublisherError: it cannot be read.
    """
    from vmimage.parked import MAGIC, RECORD_MAX, is_parked

    try:
        with path.open("rb") as file:
            if not is_parked(file.read(len(MAGIC))):
                return None
    except OSError as error:
        raise PublisherError(f"file: a readable one expected, got {path}: {error.strerror}: check the path") from None
    return _read(path, "parked record", RECORD_MAX)


def read_edge_key(path: Path) -> bytes:
    """The key that an edge checks its records with.

    :param path: of the key's file, or of the cache folder that holds it.
    :raises PublisherError: no key can be read there.
    """
    from vmimage.parked import KEY_BYTES

    path = path / "key" if path.is_dir() else path
    try:
        key = path.read_bytes()
    except OSError as error:
        raise PublisherError(
            f"--key: a readable key expected at {path}: {error.strerror}: "
            "name the file `key` of the edge's cache folder"
        ) from None
    if len(key) != KEY_BYTES:
        raise PublisherError(f"--key: a key of {KEY_BYTES} bytes expected at {path}, got {len(key)}")
    return key


def read_image(path: Path) -> list[ImageBundle]:
    """The images of a file of `nunatak build`.

    :raises PublisherError: it is none, or cannot be read.
    """
    from vmimage.archive import ARCHIVE_MAX, read_archive
    from vmimage.errors import FormatError

    try:
        return read_archive(_read(path, "image", ARCHIVE_MAX))
    except FormatError as error:
        raise PublisherError(f"{path}: {error}") from None


def read_attachments(path: Path) -> tuple[tuple[Attached, bytes], ...]:
    """What a file of `nunatak build` says of where its image comes from and what it is made of.

    :raises PublisherError: as `read_image`.
    """
    from vmimage.archive import ARCHIVE_MAX, read_attached
    from vmimage.errors import FormatError

    try:
        return tuple(read_attached(_read(path, "image", ARCHIVE_MAX)))
    except FormatError as error:
        raise PublisherError(f"{path}: {error}") from None


def _disks_of(image: ImageBundle, files: Sequence[Path]) -> list[DiskFile]:
    """Those disk files that the image names.

    :raises PublisherError: one that it does not name.
    """
    from origin.model.diskfile import DiskFile

    named = {ref.digest for ref in image.manifest.disks}
    opened = [DiskFile(path) for path in files]
    for one in opened:
        if one.manifest.digest not in named:
            raise PublisherError(
                f"{one.path}: a disk that the image names expected, got {one.manifest.digest}: "
                "name the file that `build --disk` had"
            )
    return opened


def _read(path: Path, what: str, size_max: int = 64 << 20) -> bytes:
    from rich.filesize import decimal

    try:
        if path.stat().st_size > size_max:
            raise PublisherError(
                f"{what}: a file of at most {decimal(size_max)} expected, got {path}: name one of `nunatak`"
            )
        return path.read_bytes()
    except OSError as error:
        raise PublisherError(
            f"{what}: a file expected, got {path}: {error.strerror}: check the path, or make it with `nunatak build`"
        ) from None
