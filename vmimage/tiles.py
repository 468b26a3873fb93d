"""A Merkle tree as static files: the tiles and entry bundles of C2SP tlog-tiles (https://c2sp.org/tlog-tiles).

    tile/<L>/<N>[.p/<W>]       up to 256 hashes of subtrees of 256 ** L leaves, from number 256 * N on; W of them yet
    tile/entries/<N>[.p/<W>]   the entries themselves, each after its length in two bytes

A full tile never changes. One that is not full has its width in its name, so no file ever changes: who looks for a
partial one that is gone finds the full one.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from vmimage.errors import VerificationError
from vmimage.merkle import HASH_BYTES, Hashes, leaf_hash, node_hash

WIDTH: Final = 256  # hashes in a full tile
ENTRY_MAX: Final = 0xFFFF
BUNDLE_MAX: Final = WIDTH * (ENTRY_MAX + 2)
TILE_MAX: Final = WIDTH * HASH_BYTES
_LEVEL_BITS: Final = 8  # of the tree in a tile

Read = Callable[[str], bytes | None]  # a file of the log by its name, None when it is not there


def tile_name(level: int | None, number: int, width: int = WIDTH) -> str:
    """Name of a tile, or of a bundle of entries (level None)."""
    digits = f"{number:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
    place = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{'entries' if level is None else level}/{place}" + ("" if width == WIDTH else f".p/{width}")


def grown(size: int, entries: Sequence[bytes], read: Read) -> dict[str, bytes]:
    """Files that append entries to a log of `size` of them.

    :raises VerificationError: a file of the log is not there, or not as it was written.
    """
    files: dict[str, bytes] = {}
    if not entries:
        return files
    pieces = [_with_length(entry) for entry in entries]
    _append(None, size, pieces, lambda width: read_bundle_bytes(size // WIDTH, width, read), files)
    level, hashes = 0, [leaf_hash(entry) for entry in entries]
    while hashes:
        count = size >> (_LEVEL_BITS * level)
        start = _tile(level, count // WIDTH, count % WIDTH, read) if count % WIDTH else b""
        _append(level, count, hashes, lambda _, start=start: start, files)  # type: ignore[misc]
        known = [start[place : place + HASH_BYTES] for place in range(0, len(start), HASH_BYTES)] + hashes
        hashes = [_node(known[first : first + WIDTH]) for first in range(0, len(known) - WIDTH + 1, WIDTH)]
        level += 1
    return files


def _append(
    level: int | None, count: int, pieces: Sequence[bytes], start: Callable[[int], bytes], files: dict[str, bytes]
) -> None:
    """Add the tiles that `pieces` change or begin, in a row of `count` before."""
    number, width = divmod(count, WIDTH)
    data = start(width) if width else b""
    for piece in pieces:
        data, width = data + piece, width + 1
        if width == WIDTH:
            files[tile_name(level, number)] = data
            number, width, data = number + 1, 0, b""
    if width:
        files[tile_name(level, number, width)] = data


def hashes_of(size: int, read: Read) -> Hashes:
    """What a log of `size` entries says of its complete subtrees; each tile is read once.

    :raises VerificationError: when called: a tile is not there, or not of its length.
    """
    tiles: dict[tuple[int, int], bytes] = {}

    def find(level: int, number: int) -> bytes:
        tile_level, below = divmod(level, _LEVEL_BITS)
        first = number << below
        key = tile_level, first // WIDTH
        if key not in tiles:
            count = size >> (_LEVEL_BITS * tile_level)
            tiles[key] = _tile(*key, min(WIDTH, count - key[1] * WIDTH), read)
        start = first % WIDTH * HASH_BYTES
        data = tiles[key][start : start + (HASH_BYTES << below)]
        return _node([data[place : place + HASH_BYTES] for place in range(0, len(data), HASH_BYTES)])

    return find


def entries_of(first: int, size: int, read: Read) -> list[bytes]:
    """Entries from a number on, of a log of `size`, up to the end of their bundle: at least one.

    :raises VerificationError: they are not there, or malformed.
    """
    number = first // WIDTH
    width = min(WIDTH, size - number * WIDTH)
    data = read_bundle_bytes(number, width, read)
    found: list[bytes] = []
    place = 0
    for _ in range(width):
        (length,) = struct.unpack_from(">H", data, place)
        found.append(data[place + 2 : place + 2 + length])
        place += 2 + length
    return found[first % WIDTH :]


def read_bundle_bytes(number: int, width: int, read: Read) -> bytes:
    """The first `width` entries of a bundle, as its file has them.

    :raises VerificationError: they are not there, or malformed.
    """
    data = _partial(None, number, width, read)
    place = 0
    for _ in range(width):
        if place + 2 > len(data):
            raise VerificationError(f"log: {width} entries expected in {tile_name(None, number)}, it is cut off")
        (length,) = struct.unpack_from(">H", data, place)
        place += 2 + length
    if place > len(data):
        raise VerificationError(f"log: {width} entries expected in {tile_name(None, number)}, it is cut off")
    return data[:place]


def outdated(old: int, files: Mapping[str, bytes]) -> list[str]:
    """Partial tiles of a log of `old` entries that are full in `files`."""
    names = []
    for name in files:
        if ".p/" not in name:
            level = None if name.startswith("tile/entries/") else int(name.split("/")[1])
            count = old >> (_LEVEL_BITS * (level or 0))
            names += [f"{name}.p/{width}" for width in range(1, count % WIDTH + 1)]
    return names


def _tile(level: int, number: int, width: int, read: Read) -> bytes:
    data = _partial(level, number, width, read)
    if len(data) < width * HASH_BYTES:
        raise VerificationError(f"log: {width} hashes expected in {tile_name(level, number)}, it is cut off")
    return data[: width * HASH_BYTES]


def _partial(level: int | None, number: int, width: int, read: Read) -> bytes:
    data = read(tile_name(level, number, width))
    if data is None and width < WIDTH:
        data = read(tile_name(level, number))
    if data is None:
        raise VerificationError(f"log: {tile_name(level, number, width)} expected, not there")
    return data


def _node(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def _with_length(entry: bytes) -> bytes:
    if len(entry) > ENTRY_MAX:
        raise ValueError(f"an entry of at most {ENTRY_MAX} bytes expected, got {len(entry)}")
    return struct.pack(">H", len(entry)) + entry
