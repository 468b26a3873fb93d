"""Does a disk come back as it was packed, and is everything else refused before it costs anything?"""

import hashlib
import struct
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from origin.model.diskfile import DiskFile, pack_disk
from vmimage import abi
from vmimage.canonical import canonical_json
from vmimage.disk import (
    BLOCK_SIZE,
    BLOCK_WIRE_MAX,
    ZERO_BLOCK,
    BlockList,
    BlockRef,
    decode_pages,
    encode_pages,
    is_disk_manifest,
    pack_block,
    pack_list,
    parse_disk_manifest,
    unpack_block,
)
from vmimage.drives import DriveRef, parse_drives
from vmimage.errors import FormatError, PublisherError

TEXT = b"a block of text " * (BLOCK_SIZE // 16)


def _pack(tmp_path: Path, data: bytes) -> DiskFile:
    source = tmp_path / "source"
    source.write_bytes(data)
    pack_disk(source, "data", tmp_path / "packed")
    return DiskFile(tmp_path / "packed")


def test_a_disk_comes_back_as_it_was(tmp_path: Path) -> None:
    data = TEXT + ZERO_BLOCK + TEXT + b"end"
    disk = _pack(tmp_path, data)
    assert b"".join(map(disk.block, range(4)))[: len(data)] == data
    assert disk.block(3) == b"end".ljust(BLOCK_SIZE, b"\0")
    assert (disk.manifest.disk_bytes, disk.manifest.blocks) == (len(data), 4)
    assert parse_disk_manifest(disk.manifest.to_bytes()) == disk.manifest
    assert is_disk_manifest(disk.manifest.to_bytes())


def test_equal_blocks_are_one_blob_and_zeros_none(tmp_path: Path) -> None:
    disk = _pack(tmp_path, TEXT + ZERO_BLOCK + TEXT)
    refs = list(disk.blocks)
    assert refs[0] == refs[2]
    assert refs[1].wire_bytes == 0
    assert (tmp_path / "packed").stat().st_size < BLOCK_SIZE


def test_equal_sources_are_equal_files(tmp_path: Path) -> None:
    _pack(tmp_path, TEXT * 3)
    first = (tmp_path / "packed").read_bytes()
    _pack(tmp_path, TEXT * 3)
    assert (tmp_path / "packed").read_bytes() == first


@pytest.mark.parametrize("damage", [0, 100, -1])
def test_a_damaged_block_is_refused(damage: int) -> None:
    ref, wire = pack_block(TEXT)
    broken = bytearray(wire)
    broken[damage % len(wire)] ^= 1
    with pytest.raises(FormatError):
        unpack_block(bytes(broken), ref)


def _lie(content: bytes, *, sha: bytes | None = None, **options: Any) -> tuple[bytes, BlockRef]:
    """A blob whose wire digest is right, though it is not a block."""
    wire = zstandard.ZstdCompressor(**options).compress(content)
    return wire, BlockRef(sha or hashlib.sha256(content).digest(), hashlib.sha256(wire).digest(), len(wire))


@pytest.mark.parametrize("size", [0, BLOCK_SIZE - 1, BLOCK_SIZE + 1, 1 << 26])
def test_a_frame_of_another_size_is_refused_before_it_is_unpacked(size: int) -> None:
    wire, ref = _lie(bytes(size))
    with pytest.raises(FormatError, match="of content expected"):
        unpack_block(wire, ref)


def test_a_frame_without_its_size_is_refused() -> None:
    wire, ref = _lie(TEXT, write_content_size=False)
    with pytest.raises(FormatError, match="of content expected"):
        unpack_block(wire, ref)


def test_both_digests_count() -> None:
    wire, ref = _lie(TEXT, sha=hashlib.sha256(b"other").digest())
    with pytest.raises(FormatError, match="content"):
        unpack_block(wire, ref)


@pytest.mark.parametrize(
    "entry",
    [
        struct.pack("<32s32sI", b"a" * 32, b"b" * 32, 0),
        struct.pack("<32s32sI", bytes(32), bytes(32), 5),
        struct.pack("<32s32sI", b"a" * 32, b"b" * 32, BLOCK_WIRE_MAX + 1),
        b"short",
    ],
)
def test_block_lists_that_lie_are_refused(entry: bytes) -> None:
    with pytest.raises(FormatError):
        BlockList(entry, 1)


def test_a_manifest_has_one_spelling() -> None:
    ref, _ = pack_block(TEXT)
    manifest, _ = pack_list("data", BLOCK_SIZE, [ref])
    good = manifest.to_bytes()
    for bad in (good + b" ", good.replace(b'"schemaVersion":2', b'"schemaVersion":1'), good[:-1], b"{}", b""):
        with pytest.raises(FormatError):
            parse_disk_manifest(bad)


@pytest.mark.parametrize("size", [0, -1, (16 << 30) + 1])
def test_sizes_out_of_range_are_refused(size: int) -> None:
    with pytest.raises(FormatError):
        pack_list("data", size, [])


def test_a_disk_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "none").write_bytes(b"no tar at all" * 1000)
    with pytest.raises(FormatError, match="disk file"):
        DiskFile(tmp_path / "none")
    with pytest.raises(PublisherError, match="a file of"):
        DiskFile(tmp_path / "missing")


DRIVE = {"bytes": 4096, "digest": None, "kind": "scratch", "name": "tmp"}
DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    "drives",
    [
        [DRIVE | {"name": "Tmp"}],
        [DRIVE | {"name": "a" * 48}],
        [DRIVE | {"bytes": 4095}],
        [DRIVE | {"bytes": 1 << 40}],
        [DRIVE | {"bytes": True}],
        [DRIVE | {"digest": DIGEST}],
        [DRIVE | {"kind": "shared"}],
        [DRIVE | {"kind": "raw"}],
        [DRIVE | {"more": 1}],
        [DRIVE, DRIVE],
        [DRIVE | {"name": f"d{n}"} for n in range(abi.DISKS_MAX + 1)],
        {"0": DRIVE},
    ],
)
def test_an_images_disks_are_checked(drives: object) -> None:
    with pytest.raises(FormatError):
        parse_drives(drives)


def test_an_images_disks_are_read() -> None:
    shared = {"bytes": 10, "digest": DIGEST, "kind": "shared", "name": "data"}
    assert parse_drives([shared, DRIVE]) == (
        DriveRef(10, DIGEST, "shared", "data"),
        DriveRef(4096, None, "scratch", "tmp"),
    )


PAGES = st.integers(0, 255).map(lambda byte: bytes([byte]) * 4096)
PAGE_SETS = st.dictionaries(st.integers(0, 63), PAGES, max_size=4)


@given(PAGE_SETS)
@settings(max_examples=50, deadline=None)
def test_page_sets_come_back(pages: dict[int, bytes]) -> None:
    assert decode_pages(encode_pages(pages), 64 * 4096) == pages


@given(st.binary(max_size=64), st.integers(0, 1 << 40))
@settings(max_examples=300, deadline=None)
def test_no_bytes_surprise_the_parser_of_page_sets(data: bytes, disk_bytes: int) -> None:
    try:
        assert encode_pages(decode_pages(data, disk_bytes)) == data
    except FormatError:
        pass


@given(PAGE_SETS.filter(bool), st.data())
@settings(max_examples=100, deadline=None)
def test_a_changed_page_set_is_another_or_refused(pages: dict[int, bytes], data: st.DataObject) -> None:
    encoded = bytearray(encode_pages(pages))
    place = data.draw(st.integers(0, 4 * len(pages) + 3))
    encoded[place] ^= data.draw(st.integers(1, 255))
    try:
        decoded = decode_pages(bytes(encoded), 64 * 4096)
    except FormatError:
        return
    assert max(decoded) < 64
    assert encode_pages(decoded) == bytes(encoded)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
@settings(max_examples=200, deadline=None)
def test_no_json_surprises_the_parsers(value: object) -> None:
    for parse in (lambda: parse_disk_manifest(canonical_json(value)), lambda: parse_drives(value)):
        try:
            parse()
        except FormatError:
            pass
