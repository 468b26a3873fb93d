"""From a folder to what an image needs to answer with its files: an index, and a disk where they are many.

A small folder lies in the image, which an edge fetches whole before the first byte; a larger one on a disk, of which an
edge fetches what is asked for (docs/adr/0026-assets-in-the-image-or-on-a-disk.md).
"""

import codecs
import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from libos.toolchain.build import HERE
from origin.bake import files as archive
from origin.bake.assets.contents import Contents, Place
from origin.bake.assets.folder import AssetFile, read_folder
from origin.bake.assets.index import DISK, FILE, pack_index
from origin.bake.assets.model import Asset, Choices, Fields, Variant
from origin.bake.assets.policy import EDGES, cache_fields
from origin.bake.assets.rules import HeaderRule, read_headers, read_redirects, with_headers
from origin.bake.assets.types import is_text, type_of
from origin.bake.assets.urls import INDEX, Redirect, paths_of
from origin.bake.assets.variants import beside, made
from origin.bake.disks import LocalDrive
from origin.model.diskfile import DiskFile, pack_disk
from vmimage import abi
from vmimage.drives import DriveRef
from vmimage.errors import PublisherError
from vmimage.manifest import MEMORY_STEP
from vmimage.terms import CPU_MS_MAX

IN_IMAGE_MAX: Final = 256 << 10  # bytes of contents, see the decision
MISSING: Final = "404.html"
RULES_MAX: Final = 1 << 20  # bytes of `_headers` or `_redirects`
SAME: Final = (("X-Content-Type-Options", "nosniff"),)
VARY: Final = "Accept-Encoding"

# Of a service that is nothing but files.
PROGRAM: Final = HERE / "site" / "site.c"
SITE_POOL: Final = 8  # machines at most: each has up to 64 clients who read slowly
SITE_CPU_MS: Final = CPU_MS_MAX  # 1 to 5 ms a megabyte were measured; many large files may be on their way at once
SITE_HEAP: Final = 8 << 20  # bytes, for the buffers of 64 answers from a disk

Files = dict[str, tuple[int, bytes]]
_Sources = dict[str, tuple[Path | bytes, int]]  # by coding: where its bytes are, and how many


class Packed(NamedTuple):
    """What goes into an image."""

    files: Files  # by path, with their modes and folders
    drives: tuple[LocalDrive, ...]
    largest: int  # bytes of the largest answer


def pack_assets(
    folder: Path, choices: Choices, *, alone: bool, disk: Path | None, warn: Callable[[str], object]
) -> Packed:
    """Read a folder, and lay it out.

    :param alone: no program is asked for what is not there.
    :param disk: the disk file to write where they are many; None: all of them go into the image.
    :param warn: is told what a publisher should know.
    :raises PublisherError: something in the folder cannot be served, or must not be; or options that do not fit.
    """
    found = read_folder(folder, choices.exclude)
    if choices.single_page and (not alone or INDEX not in found):
        raise PublisherError(f"--single-page: a folder with {INDEX}, and no program, expected: leave the option away")
    headers = read_headers(_rules(folder, "_headers"))
    redirects = read_redirects(_rules(folder, "_redirects"))
    _check_redirects(redirects, found)
    sources = _sources(found, choices, warn)
    total = sum(size for each in sources.values() for _, size in each.values())
    on_disk = disk is not None and total > IN_IMAGE_MAX
    with tempfile.TemporaryDirectory(prefix="nunatak-") as scratch:
        place = Path(scratch) / "contents"
        with place.open("w+b") as file:
            contents = Contents(file, by_blocks=on_disk)
            variants = {name: _variants(contents, each) for name, each in sources.items()}
        if disk is not None and on_disk:
            pack_disk(place, DISK, disk)
        in_image = None if on_disk else place.read_bytes()
    site = _Site(found, variants, headers, choices)
    paths = {**paths_of(found, clean=choices.clean_urls), **redirects}
    assets = {path: site.asset(path, leads) for path, leads in paths.items()}
    index = pack_index(assets, site.missing() if alone else None, alone=alone, contents=in_image)
    largest = max(variant.size for each in variants.values() for variant in each)
    drives = (_drive(disk),) if disk is not None and on_disk else ()
    return Packed({"": (archive.FOLDER_MODE, b""), **archive.in_folders({FILE: index})}, drives, largest)


class _Site:
    """Assets of the folder's files."""

    def __init__(
        self,
        files: Mapping[str, AssetFile],
        variants: Mapping[str, tuple[Variant, ...]],
        rules: list[HeaderRule],
        choices: Choices,
    ) -> None:
        self._files, self._variants, self._rules, self._choices = files, variants, rules, choices
        self._types = {name: _type(name, file) for name, file in files.items()}

    def asset(self, path: str, leads: str | Redirect) -> Asset:
        """What is answered for a path."""
        if isinstance(leads, Redirect):
            fields = with_headers(path, cache_fields("", (), self._choices.max_age_s), self._rules)
            return Asset(leads.status, fields, location=leads.location)
        fields = (*cache_fields(leads, self._choices.immutable, self._choices.max_age_s), ("Accept-Ranges", "bytes"))
        return self._file(path, leads, 200, fields)

    def missing(self) -> Asset | None:
        """What is answered for all others."""
        if self._choices.single_page:
            fields = cache_fields(INDEX, (), self._choices.max_age_s)
            return self._file(f"/{INDEX}", INDEX, 200, tuple(field for field in fields if field != EDGES))
        if MISSING in self._files:
            return self._file(f"/{MISSING}", MISSING, 404, (("Cache-Control", "no-store"),))
        return None

    def _file(self, path: str, name: str, status: int, fields: Fields) -> Asset:
        said = dict(with_headers(path, (*fields, *SAME), self._rules))
        by_name = {key.lower(): key for key in said}
        type_ = said.pop(by_name["content-type"]) if "content-type" in by_name else self._types[name]
        variants = self._variants[name]
        if len(variants) > 1:
            other = said.pop(by_name["vary"], "") if "vary" in by_name else ""
            said["Vary"] = f"{other}, {VARY}" if other else VARY
        return Asset(status, tuple(said.items()), type_, modified_s=_modified_s(self._files[name]), variants=variants)


def _rules(folder: Path, name: str) -> str:
    place = folder / name
    if not place.is_file():
        return ""
    data = place.read_bytes()
    try:
        if len(data) <= RULES_MAX:
            return data.decode()
    except UnicodeDecodeError:
        pass
    raise PublisherError(
        f"{name}: at most {RULES_MAX >> 20} MiB of UTF-8 expected: make it shorter, or save it as UTF-8"
    )


def _check_redirects(redirects: Mapping[str, Redirect], found: Mapping[str, AssetFile]) -> None:
    for path in redirects:
        if path.removeprefix("/") in found:
            raise PublisherError(f"_redirects: {path}: a path without a file expected: remove the rule or the file")


def _sources(found: Mapping[str, AssetFile], choices: Choices, warn: Callable[[str], object]) -> dict[str, _Sources]:
    """Of each file what there is in which coding."""
    others = beside(found, warn)

    def make(name: str) -> _Sources:
        file = found[name]
        has = {coding: found[other] for coding, other in others.get(name, {}).items()}
        every: _Sources = {
            "": (file.path, file.size),
            **{coding: (each.path, each.size) for coding, each in has.items()},
        }
        if choices.compress:
            every |= {coding: (data, len(data)) for coding, data in made(name, file, others.get(name, {}))}
        return every

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(found, pool.map(make, found), strict=True))


def _variants(contents: Contents, sources: _Sources) -> tuple[Variant, ...]:
    """The smallest first."""
    places: dict[str, Place] = {coding: contents.add(source, size) for coding, (source, size) in sources.items()}
    order = sorted(places, key=lambda coding: (places[coding].size, coding))
    return tuple(Variant(coding, places[coding].tag, places[coding].data, places[coding].size) for coding in order)


def _type(name: str, file: AssetFile) -> str:
    """The Content-Type. Text is UTF-8 where it can be; of other text only its author knows the charset."""
    type_ = type_of(name)
    return f"{type_}; charset=utf-8" if is_text(type_) and _is_utf8(file.path) else type_


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _modified_s(file: AssetFile) -> int:
    """When it was changed; not later than SOURCE_DATE_EPOCH says, by which builds are the same at any time."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return min(file.modified_s, int(epoch)) if epoch.isascii() and epoch.isdigit() else file.modified_s


def _drive(path: Path) -> LocalDrive:
    opened = DiskFile(path)
    return LocalDrive(DriveRef(opened.manifest.disk_bytes, opened.manifest.digest, "shared", DISK), opened)


def memory_for(files: Files, wanted_bytes: int) -> int:
    """Bytes of memory for a machine with these files: what is wanted, or more if it has to be."""
    needed = abi.PROGRAM_ADDRESS + SITE_HEAP + len(archive.pack(files)) + MEMORY_STEP
    return max(wanted_bytes, -(-needed // MEMORY_STEP) * MEMORY_STEP)


def is_site(source: Path) -> bool:
    """Whether a source without a program is a folder of files to serve."""
    if not source.is_dir() or not (source / INDEX).is_file() or (source / "prepare.py").exists():
        return False
    return not any(path.suffix in (".c", ".S") for path in source.iterdir())
