"""The parked record: round trip, refusal of all that is not one, its check, and what a tool says of it."""

import json
import struct
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from origin.bake.inspect_parked import describe_parked
from origin.commands.cli import app
from tests.vectors.make import MEMORY_BYTES, PARKED_KEY, state
from tests.vectors.make import parked as example
from vmimage import abi, parked, snapshot
from vmimage.disk import encode_pages
from vmimage.drives import WRITTEN_MAX
from vmimage.errors import FormatError
from vmimage.parked import ParkedRecord, decode_scratch, encode_scratch, is_sealed, parse_parked

HEAD = 104
RECORDS = (
    example(),
    replace(example(), tenant="", scratch=b"", disk_versions=()),
    replace(example(), service="s" * 253, tenant="t" * 253, disk_versions=tuple(range(8))),
    replace(example(), began_us=0, served=2**64 - 1, disk_versions=(parked.UNFLUSHED,)),
)


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("key", [None, PARKED_KEY])
def test_round_trip(record: ParkedRecord, key: bytes | None) -> None:
    data = record.to_bytes(key)
    assert parse_parked(data) == record
    assert len(data) == record.size + len(record.service.encode()) + len(record.tenant.encode())
    assert is_sealed(data, PARKED_KEY) == (key is not None)
    assert (data[8:40] == bytes(32)) == (key is None)


def test_every_byte_is_under_the_check() -> None:
    data = example().to_bytes(PARKED_KEY)
    for place in range(len(data)):
        assert not is_sealed(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], PARKED_KEY), place
    assert not is_sealed(data + b"\0", PARKED_KEY)
    assert not is_sealed(data[:-1], PARKED_KEY)
    assert not is_sealed(data, bytes(32))


def with_number(format_: str, offset: int, value: int) -> bytes:
    data = bytearray(example().to_bytes())
    struct.pack_into(format_, data, offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "another layout"),
        (b"NKPR", "another layout"),
        (example().to_bytes()[: HEAD - 1], "at least 104 bytes"),
        (example().to_bytes()[:-1], "bytes and zero expected"),
        (example().to_bytes() + b"\0", "bytes and zero expected"),
        (b"NKA1" + example().to_bytes()[4:], "another layout"),
        (with_number("<I", 4, 0), "another layout"),
        (with_number("<I", 4, 2), "another layout"),
        (with_number("<Q", 72, 1 << 57), "a time below"),
        (with_number("<I", 88, 0), "parts of at most"),
        (with_number("<I", 88, 6), "bytes and zero expected"),
        (with_number("<I", 88, 2**32 - 1), "parts of at most"),
        (with_number("<I", 92, (64 << 20) + 1), "parts of at most"),
        (with_number("<H", 96, 0), "names of at most"),
        (with_number("<H", 96, 254), "names of at most"),
        (with_number("<H", 98, 254), "names of at most"),
        (with_number("<H", 100, 9), "at most 8 disks"),
        (with_number("<H", 100, 0), "of 0 disks"),
        (with_number("<H", 102, 1), "bytes and zero expected"),
        (example().to_bytes().replace(b"shop", b"\xff\xff\xff\xff"), "UTF-8"),
    ],
)
def test_what_is_no_record_is_refused(data: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        parse_parked(data)


@pytest.mark.parametrize(
    "record",
    [
        replace(example(), image="sha256:x"),
        replace(example(), began_us=-1),
        replace(example(), served=2**64),
        replace(example(), disk_versions=(2**64,)),
        replace(example(), disk_versions=(0,) * 9),
        replace(example(), disk_versions=()),
        replace(example(), state=b""),
        replace(example(), service=""),
        replace(example(), tenant="t" * 254),
    ],
)
def test_what_would_be_refused_is_not_written(record: ParkedRecord) -> None:
    with pytest.raises(FormatError, match="expected"):
        record.to_bytes()


# Scratch pages

PAGE = b"x" * abi.PAGE_SIZE


def test_scratch_pages_of_each_disk() -> None:
    disks = [{0: PAGE, 15: b"y" * abi.PAGE_SIZE}, {}, {3: PAGE}]
    assert decode_scratch(encode_scratch(disks), [64 << 10] * 3) == disks
    assert encode_scratch([{}, {}]) == b""
    assert decode_scratch(b"", [64 << 10] * 2) == [{}, {}]


def test_scratch_pages_that_do_not_fit_the_disks() -> None:
    packed = encode_scratch([{0: PAGE}, {3: PAGE}])
    for sizes in ([], [64 << 10], [64 << 10] * 3, [64 << 10, 4096]):
        with pytest.raises(FormatError, match="expected"):
            decode_scratch(packed, sizes)
    with pytest.raises(FormatError, match="expected"):
        decode_scratch(packed + b"\0", [64 << 10] * 2)
    with pytest.raises(FormatError, match="page set"):
        decode_scratch(encode_scratch([{16: PAGE}]), [64 << 10])
    assert len(encode_pages({16: PAGE})) > 4096


def test_scratch_pages_are_bounded_for_all_disks_of_a_machine_before_they_are_unpacked() -> None:
    half = dict.fromkeys(range(WRITTEN_MAX // abi.PAGE_SIZE // 2), PAGE)
    sizes = [WRITTEN_MAX] * abi.DISKS_MAX
    few: list[dict[int, bytes]] = [{} for _ in sizes]
    assert decode_scratch(encode_scratch([half, half, *few[2:]]), sizes) == [half, half, *few[2:]]
    with pytest.raises(FormatError, match="the frame says"):
        decode_scratch(encode_scratch([half, half, half, *few[3:]]), sizes)


# `nunatak inspect`


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder as an edge's cache: a key, and a record in a file of its own."""
    record = replace(example(), state=snapshot.encode(state()), disk_versions=(5, parked.UNFLUSHED))
    assert MEMORY_BYTES <= abi.MEMORY_MAX
    (tmp_path / "key").write_bytes(PARKED_KEY)
    (tmp_path / "record.val").write_bytes(record.to_bytes(PARKED_KEY))
    return tmp_path


def test_what_a_tool_says_of_a_record(kept: Path) -> None:
    now = datetime.fromtimestamp(1_700_003_600, UTC)
    about = describe_parked((kept / "record.val").read_bytes(), PARKED_KEY, now)
    assert (about["service"], about["tenant"], about["image"]) == ("shop", "acme", example().image)
    assert (about["lived_s"], about["served"], about["pages"]) == (3600, 42, 3)
    assert (about["disk_versions"], about["scratch_bytes"], about["sealed"]) == ([5, None], 7, True)


@pytest.mark.parametrize(
    ("options", "sealed", "said"),
    [
        ([], None, "takes the edge's key"),
        (["--key", "{folder}"], True, "made with this key"),
        (["--key", "{folder}/key"], True, "made with this key"),
        (["--key", "{folder}/other"], False, "NOT of this key"),
    ],
)
def test_inspect_knows_a_parked_record(kept: Path, options: list[str], sealed: bool | None, said: str) -> None:
    (kept / "other").write_bytes(bytes(32))
    command = ["inspect", str(kept / "record.val"), *(option.format(folder=kept) for option in options)]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert said in " ".join(shown.output.split())
    assert "shop" in shown.output
    assert json.loads(CliRunner().invoke(app, [*command, "--json"]).output)["sealed"] is sealed


def test_inspect_refuses_a_key_that_is_none(kept: Path) -> None:
    (kept / "short").write_bytes(b"x")
    shown = CliRunner().invoke(app, ["inspect", str(kept / "record.val"), "--key", str(kept / "short")])
    assert "a key of 32 bytes expected" in str(shown.exception)
