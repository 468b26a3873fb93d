"""Other codings of a file: those that lie beside it, and those that are made when the image is built."""

import gzip
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import zstandard

from origin.bake.assets.folder import AssetFile
from origin.bake.assets.model import CODINGS
from origin.bake.assets.types import is_compressible, type_of

MADE_MIN: Final = 1 << 10  # bytes of a file from which on fewer packets carry it when it is compressed
MADE_MAX: Final = 32 << 20  # and up to which it is done: a second a megabyte
SHARE_MAX: Final = 0.9  # of a file's size that a variant may have and be worth its place
_PART: Final = 1 << 16
_BROTLI_QUALITY: Final = 11
_GZIP_LEVEL: Final = 9

Warn = Callable[[str], object]


def beside(files: Mapping[str, AssetFile], warn: Warn) -> dict[str, dict[str, str]]:
    """For each file, the names of those beside it that hold the same in another coding, by coding.

    :param warn: is told of one that has such a name and holds something else.
    """
    found: dict[str, dict[str, str]] = {}
    for name, file in files.items():
        stem, dot, suffix = name.rpartition(".")
        coding = CODINGS.get(dot + suffix)
        if coding is None or stem not in files:
            continue
        if _holds_same(coding, file.path, files[stem]):
            found.setdefault(stem, {})[coding] = name
        else:
            warn(f"{name}: does not hold what {stem} holds, so it is served under its own name only: make it anew")
    return found


def made(name: str, file: AssetFile, has: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Codings worth having of a file that it has not, each with its bytes. The same file gives the same bytes."""
    import brotli

    if not MADE_MIN <= file.size <= MADE_MAX or not is_compressible(type_of(name)):
        return
    data = file.path.read_bytes()
    makers: dict[str, Callable[[], bytes]] = {
        "br": lambda: brotli.compress(data, quality=_BROTLI_QUALITY),
        "gzip": lambda: gzip.compress(data, _GZIP_LEVEL, mtime=0),
    }
    for coding, make in makers.items():
        if coding not in has and len(packed := make()) <= len(data) * SHARE_MAX:
            yield coding, packed


def _holds_same(coding: str, packed: Path, file: AssetFile) -> bool:
    """Whether a file is another one compressed. It is read in parts, and no further than the other is long."""
    ours, theirs, size = hashlib.sha256(), hashlib.sha256(), 0
    try:
        for part in _unpacked(coding, packed):
            theirs.update(part)
            size += len(part)
            if size > file.size:
                return False
    except (OSError, EOFError, ValueError, zstandard.ZstdError):
        return False
    with file.path.open("rb") as plain:
        while part := plain.read(_PART):
            ours.update(part)
    return ours.digest() == theirs.digest()


def _unpacked(coding: str, path: Path) -> Iterator[bytes]:
    """:raises OSError, EOFError, ValueError, ZstdError: it is not of that coding, or not whole."""
    if coding == "br":
        yield from _unpacked_brotli(path)
        return
    with path.open("rb") as file:
        if coding == "gzip":
            with gzip.GzipFile(fileobj=file) as plain:
                while part := plain.read(_PART):
                    yield part
        else:
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            while part := reader.read(_PART):
                yield part


def _unpacked_brotli(path: Path) -> Iterator[bytes]:
    import brotli

    decoder = brotli.Decompressor()
    try:
        with path.open("rb") as file:
            while not decoder.is_finished():
                packed = file.read(_PART) if decoder.can_accept_more_data() else b""
                part = decoder.process(packed, output_buffer_limit=_PART)
                if not packed and not part:
                    raise EOFError
                yield part
    except brotli.error as error:
        raise ValueError(str(error)) from None
