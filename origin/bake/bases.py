"""Bases of languages are kept: the same inputs give the same bytes, so a base is baked once and read from then on.

A runtime takes seconds to make itself ready, a program over it a few hundredths of one.
"""

import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from libos.toolchain.packages import cache_folder, keep_in_cache
from vmimage.archive import ImageBundle, pack_archive, read_archive
from vmimage.errors import FormatError

# What beside the programs decides the bytes of a base: the machine that runs them, how it is written down, and by what.
_PACKAGES: Final = Path(__file__).resolve().parents[2]
_CODE: Final = (_PACKAGES / "origin" / "bake", _PACKAGES / "edge" / "vmm", _PACKAGES / "vmimage")
_LIBRARIES: Final = ("numpy", "unicorn", "zstandard")


def kept_base(name: str, programs: Sequence[bytes], bake: Callable[[], ImageBundle]) -> ImageBundle:
    """The base as it was baked before from these, or baked now and kept.

    :param name: of the language.
    :param programs: the ELF files that it is made of.
    :raises PublisherError: what `bake` raises.
    :raises OperatorError: the cache folder cannot be written.
    """
    place = cache_folder() / "bases" / f"{_key(name, programs)}.tar"
    if place.exists():
        try:
            (base,) = read_archive(place.read_bytes())
            return base
        except (FormatError, OSError, ValueError):
            pass  # cut off or overwritten: it is baked again, and replaced
    base = bake()
    keep_in_cache(place, pack_archive([base]))
    return base


def _key(name: str, programs: Sequence[bytes]) -> str:
    key = hashlib.sha256(repr((name, [version(library) for library in _LIBRARIES])).encode())
    sources = [path for folder in _CODE for kind in ("*.py", "*.c") for path in sorted(folder.rglob(kind))]
    files = [(path.name, path.read_bytes()) for path in sources]
    for about, data in (*files, *(("program", program) for program in programs)):
        key.update(f"{about} {len(data)}\n".encode() + data)
    return key.hexdigest()
