"""What an image was made of, seen while it is built: its options, files, packages, compiler and libraries.

Files that a `prepare.py` fetches or reads elsewhere are not seen. Paths among the options are relative to the folder
that the source lies in, so that who has the source elsewhere can build it again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vmimage.errors import PublisherError
from vmimage.provenance import Provenance

if TYPE_CHECKING:
    from libos.toolchain.packages import Package
    from vmimage.archive import ImageBundle

PATHS: Final = ("files", "assets", "esbuild")  # options that are one path
PATH_LISTS: Final = ("env_file",)
LIBRARIES: Final = ("numpy", "unicorn", "zstandard")  # that decide an image's bytes, beside nunatak itself
COMPILER: Final = "ziglang"
FILES_MAX: Final = 2000  # of one place that are named one by one
_HERE: Final = Path(__file__).resolve().parents[2]
_OWN: Final = ("vmimage", "libos", "origin/bake", "edge/vmm")


def provenance_of(
    images: Sequence[ImageBundle], source: Path, options: Mapping[str, Any], packages: Iterable[Package], bill: str = ""
) -> Provenance:
    """What is to be said of the last of `images`.

    :param options: of `origin.bake.recipe.images_of`. :param packages: those that were used.
    :param bill: digest of the bill of materials.
    """
    image = images[-1].manifest
    materials = dict(files_of(source, options))
    materials |= {f"{package.index}:{package.name}@{package.version}": package.sha256 for package in packages}
    materials |= {f"base:{each.manifest.name}": each.manifest.digest.removeprefix("sha256:") for each in images[:-1]}
    said = recorded(source, {**options, "name": image.name})
    return Provenance(image.digest, image.name, said, materials, versions(), bill)


def versions() -> dict[str, str]:
    """Of whatever built it: nunatak, its own source, the compiler, libraries."""
    found = {"nunatak": version("nunatak"), "nunatak source": own_source()}
    for name in (COMPILER, *LIBRARIES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {name: os.environ[name] for name in ("NUNATAK_CC", "NUNATAK_LD") if os.environ.get(name)}


def own_source() -> str:
    """SHA-256 over what of nunatak makes images: one that was changed makes others under the same version."""
    found = hashlib.sha256()
    for folder in _OWN:
        for path in sorted((_HERE / folder).rglob("*")):
            if path.suffix in (".py", ".c", ".h", ".S", ".ld", ".js", ".lua") and path.is_file():
                found.update(
                    f"{path.relative_to(_HERE).as_posix()}\0".encode() + hashlib.sha256(path.read_bytes()).digest()
                )
    return found.hexdigest()


def record_of(package: str) -> str:
    """SHA-256 of the list of files, with their hashes, that a Python package was installed with; "" without one."""
    text = distribution(package).read_text("RECORD")
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def files_of(source: Path, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Files of the source and of the folders that options name, with their SHA-256; of very many, one over them all."""
    places = [("source", source)]
    places += [(name, Path(options[name])) for name in PATHS if options.get(name) is not None]
    places += [(name, Path(path)) for name in PATH_LISTS for path in options.get(name) or ()]
    for what, place in places:
        paths = sorted(place.rglob("*")) if place.is_dir() else [place]
        own = [path for path in paths if path.is_file() and ".git" not in path.parts]
        names = [path.relative_to(place).as_posix() if place.is_dir() else path.name for path in own]
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in own]
        if len(own) > FILES_MAX:
            lines = "".join(f"{sha256}  {name}\n" for name, sha256 in zip(names, hashes, strict=True))
            yield f"{what}: {len(own)} files", hashlib.sha256(lines.encode()).hexdigest()
        else:
            yield from ((f"{what}:{name}", sha256) for name, sha256 in zip(names, hashes, strict=True))


def recorded(source: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they stand in a statement: those that say something, paths relative to the source's folder."""
    kept = {name: value for name, value in options.items() if value not in (None, []) and value is not False}
    folder = source.resolve().parent
    for name in PATHS:
        if name in kept:
            kept[name] = os.path.relpath(Path(kept[name]).resolve(), folder)
    for name in PATH_LISTS:
        if name in kept:
            kept[name] = [os.path.relpath(Path(path).resolve(), folder) for path in kept[name]]
    return kept


def options_again(source: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a statement for a source that may lie elsewhere.

    :raises PublisherError: a path that leads out of the folder of the source, or an unknown option.
    """
    folder = source.resolve().parent
    found = dict(options)
    for name in PATHS:
        if name in found:
            found[name] = _beside(folder, str(found[name]))
    for name in PATH_LISTS:
        if name in found:
            found[name] = [_beside(folder, str(path)) for path in found[name]]
    return found


def _beside(folder: Path, path: str) -> Path:
    place = (folder / path).resolve()
    if not place.is_relative_to(folder):
        raise PublisherError(
            f"a path within {folder} expected, the image was built with {path!r}: lay it out as it was"
        )
    return place
