"""The index that a machine looks assets up in: packed here, read by `libos/assets/index.c`.

Header {u32 magic "NKAS", u32 version, u32 flags, u32 paths, u32 missing, u32 zero, u64 contents}; paths {u32 path, u32
asset} sorted by bytes; assets {u32 status, u32 fields, u32 type, u32 location, u32 modified, u32 variants, u32 first,
u32 zero, u64 modified_s}; variants {u32 coding, u32 tag, u64 data, u64 size}; texts, each ended by NUL; contents.
Offsets count from its start. `libos/assets/assets.h` says the same in C.
"""

import struct
from collections.abc import Mapping
from email.utils import formatdate
from typing import Final

from origin.bake.assets.model import Asset, Variant
from vmimage.errors import PublisherError

FILE: Final = ".nunatak/assets"  # among the image's files
DISK: Final = "assets"  # the name of the disk with contents that are not in the image
MAGIC: Final = 0x5341_4B4E
VERSION: Final = 1
ALONE: Final = 1
ON_DISK: Final = 2
INDEX_MAX: Final = 64 << 20  # bytes without contents

_HEADER: Final = struct.Struct("<6IQ")
_PATH: Final = struct.Struct("<II")
_ASSET: Final = struct.Struct("<8IQ")
_VARIANT: Final = struct.Struct("<IIQQ")
_ALIGN: Final = 8


class _Texts:
    """Texts one after another, each once; 0 stands for none."""

    def __init__(self, start: int) -> None:
        self.data = bytearray()
        self._start = start
        self._places: dict[bytes, int] = {}

    def place(self, text: bytes) -> int:
        if text not in self._places:
            self._places[text] = self._start + len(self.data)
            self.data += text + b"\0"
        return self._places[text]

    def optional(self, text: str) -> int:
        return self.place(text.encode()) if text else 0


def pack_index(assets: Mapping[str, Asset], missing: Asset | None, *, alone: bool, contents: bytes | None) -> bytes:
    """The index with the contents behind it.

    :param assets: by percent-decoded path.
    :param missing: what is answered for any other path; None: nothing that is here.
    :param alone: there is no program behind them.
    :param contents: None: they are on the disk `DISK`.
    :raises PublisherError: it is too large.
    """
    distinct = list(dict.fromkeys([*assets.values(), *([missing] if missing is not None else [])]))
    variants = list(dict.fromkeys(asset.variants for asset in distinct if asset.variants))
    assets_at = _HEADER.size + _PATH.size * len(assets)
    variants_at = assets_at + _ASSET.size * len(distinct)
    texts = _Texts(variants_at + sum(_VARIANT.size * len(each) for each in variants))

    first: dict[tuple[Variant, ...], int] = {}
    packed_variants = bytearray()
    for each in variants:
        first[each] = variants_at + len(packed_variants)
        for variant in each:
            coding, tag = texts.place(variant.coding.encode()), texts.place(variant.tag.encode())
            packed_variants += _VARIANT.pack(coding, tag, variant.data, variant.size)
    places = {asset: assets_at + number * _ASSET.size for number, asset in enumerate(distinct)}
    packed_assets = b"".join(_pack_asset(asset, texts, first.get(asset.variants, 0)) for asset in distinct)
    order = sorted(((path.encode(), asset) for path, asset in assets.items()), key=lambda entry: entry[0])
    packed_paths = b"".join(_PATH.pack(texts.place(path), places[asset]) for path, asset in order)
    body = packed_paths + packed_assets + packed_variants + texts.data
    start = -(-(_HEADER.size + len(body)) // _ALIGN) * _ALIGN
    if start > INDEX_MAX:
        raise PublisherError(
            f"assets: an index of at most {INDEX_MAX >> 20} MiB expected, got {start >> 20}: "
            "give fewer header fields in _headers, or make several services of the folder"
        )
    flags = (ALONE if alone else 0) | (ON_DISK if contents is None else 0)
    head = _HEADER.pack(MAGIC, VERSION, flags, len(order), places[missing] if missing is not None else 0, 0, start)
    return (head + body).ljust(start, b"\0") + (contents or b"")


def _pack_asset(asset: Asset, texts: _Texts, first: int) -> bytes:
    fields = texts.place(b"".join(f"{name}\0{value}\0".encode() for name, value in asset.fields))
    modified = texts.place(formatdate(asset.modified_s, usegmt=True).encode())
    return _ASSET.pack(
        asset.status,
        fields,
        texts.optional(asset.type),
        texts.optional(asset.location),
        modified,
        len(asset.variants),
        first,
        0,
        asset.modified_s,
    )
