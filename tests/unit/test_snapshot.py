"""The record: round trip, and refusal of everything that is not one."""

import struct
from dataclasses import replace

import numpy as np
import pytest
import zstandard

from vmimage import abi, snapshot
from vmimage.errors import FormatError
from vmimage.pages import difference, no_pages, pack, pages_digest
from vmimage.requests import OpenRequests
from vmimage.snapshot import DeviceState, Registers, Snapshot

MEMORY = 4 << 20


def example() -> Snapshot:
    page_nos = np.array([16, 17, 1023], dtype=np.uint32)
    pages = np.arange(3 * 512, dtype=np.uint64).reshape(3, 512)
    registers = Registers(tuple(range(16)), 0x200000, 0x3202 | 0x41, 0x201000, 0, bytes(24) + b"\x80\x1f" + bytes(486))
    return Snapshot(registers, DeviceState(8, 16, 3, 1, 5, 1, 7, 9, 11, 0x200000, 0x204000), page_nos, pages)


def packed() -> Snapshot:
    """The same as a machine's, of whose words few are not zero."""
    rows = np.zeros((3, 512), dtype=np.uint64)
    rows[[0, 0, 0, 2, 2], [0, 63, 64, 7, 511]] = range(1, 6)
    return replace(example(), pages=pack(rows))


def same(a: Snapshot, b: Snapshot) -> bool:
    pages = np.array_equal(a.page_nos, b.page_nos) and np.array_equal(a.rows, b.rows) and type(a.pages) is type(b.pages)
    return pages and (a.registers, a.devices) == (b.registers, b.devices)


def test_a_record_decodes_to_what_was_encoded() -> None:
    assert same(snapshot.decode(snapshot.encode(example()), memory_bytes=MEMORY), example())


def test_a_machines_record_has_its_pages_packed() -> None:
    state = packed()
    record = snapshot.encode(state)
    assert same(snapshot.decode(record, memory_bytes=MEMORY), state)
    rows = replace(example(), pages=state.rows)
    assert len(zstandard.decompress(record)) < len(zstandard.decompress(snapshot.encode(rows))) // 2


@pytest.mark.parametrize("full", [False, True])
def test_packed_pages_are_of_any_memory(full: bool) -> None:
    """Of all that a machine has, without a zero and with nothing else."""
    first = abi.NULL_GUARD_SIZE // abi.PAGE_SIZE
    numbers = np.arange(first, MEMORY // abi.PAGE_SIZE, dtype=np.uint32)
    state = replace(example(), page_nos=numbers, pages=pack(np.full((len(numbers), 512), full, dtype=np.uint64)))
    assert same(snapshot.decode(snapshot.encode(state), memory_bytes=MEMORY), state)


def test_open_requests_ride_on_packed_pages_alone() -> None:
    with pytest.raises(ValueError, match="packed pages expected"):
        snapshot.encode(replace(example(), requests=OpenRequests((), (), (), False, 1)))


def test_the_pages_of_a_machine_are_no_images() -> None:
    """Whoever makes an image of such a record is refused when its pages are read."""
    slices = snapshot.Slices(snapshot.encode(packed()), memory_bytes=MEMORY)
    assert slices.page_nos.tolist() == [16, 17, 1023]
    with pytest.raises(FormatError, match="version 2 expected, got 4"):
        list(slices)


def test_a_record_without_pages() -> None:
    empty = Snapshot(Registers(), DeviceState(), *no_pages())
    record = snapshot.encode(empty)
    assert same(snapshot.decode(record, memory_bytes=MEMORY), empty)
    assert len(zstandard.decompress(record)) == snapshot.record_size(0)


def test_the_same_state_gives_the_same_bytes() -> None:
    assert snapshot.encode(example()) == snapshot.encode(example())


def changed(offset: int, data: bytes, state: Snapshot | None = None) -> bytes:
    raw = bytearray(zstandard.decompress(snapshot.encode(state or example())))
    raw[offset : offset + len(data)] = data
    return zstandard.compress(bytes(raw))


REGISTERS = 8
DEVICES = REGISTERS + 20 * 8 + 512
PAGES = DEVICES + 4 * 4 + 8 * 8 + 2 * 4
MASKS = PAGES + 8 + 4 * 4


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"not zstd",
        zstandard.compress(b"short"),
        changed(0, b"XXXX"),
        changed(4, struct.pack("<I", 1)),  # another version
        changed(REGISTERS + 16 * 8, struct.pack("<Q", 1 << 60)),  # RIP not canonical
        changed(REGISTERS + 17 * 8, struct.pack("<Q", 0x3202 | 1 << 8)),  # trap flag
        changed(REGISTERS + 17 * 8, struct.pack("<Q", 0x3202 | 1 << 17)),  # virtual 8086 mode
        changed(REGISTERS + 18 * 8, struct.pack("<Q", 1 << 63)),  # FS base
        changed(REGISTERS + 20 * 8 + 24, struct.pack("<I", 0xFFFF0000)),  # MXCSR
        changed(DEVICES, struct.pack("<I", 3)),  # ring position not aligned
        changed(DEVICES + 12, struct.pack("<I", 9)),  # unknown timeline
        changed(PAGES, struct.pack("<I", 4)),  # more pages than there are
        changed(PAGES, struct.pack("<I", 0xFFFFFFFF)),
        changed(PAGES + 4, struct.pack("<I", 1)),  # reserved
        changed(PAGES + 8, struct.pack("<I", 17)),  # page numbers not increasing
        changed(PAGES + 8, struct.pack("<I", 1)),  # in the unmapped part
        changed(PAGES + 16, struct.pack("<I", MEMORY // abi.PAGE_SIZE)),  # past the end of memory
        changed(4, struct.pack("<I", 3)),
        changed(4, struct.pack("<I", 4)),  # rows are no masks
        changed(4, struct.pack("<I", 2), packed()),
        changed(MASKS, b"\x03", packed()),  # one word more than there is
        changed(MASKS, b"\x00", packed()),  # one less
        changed(PAGES, struct.pack("<I", 4), packed()),  # more pages than there are masks
        changed(PAGES, struct.pack("<I", 0xFFFFFFFF), packed()),
        changed(PAGES + 4, struct.pack("<I", 8), packed()),  # requests that are open, in what is kept
        changed(PAGES + 8, struct.pack("<I", 17), packed()),
        snapshot.encode(example()) + b"more",
        snapshot.encode(example())[:-1],
    ],
)
def test_what_is_not_a_record_is_refused(record: bytes) -> None:
    with pytest.raises(FormatError):
        snapshot.decode(record, memory_bytes=MEMORY)


def test_a_bomb_is_refused_by_its_size_before_it_is_unpacked() -> None:
    bomb = zstandard.compress(bytes(1 << 30))
    assert len(bomb) < 1 << 17
    with pytest.raises(FormatError, match="the frame says 1073741824"):
        snapshot.decode(bomb, memory_bytes=MEMORY)


def test_a_frame_that_does_not_tell_its_size_is_refused() -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=False)
    with pytest.raises(FormatError):
        snapshot.decode(compressor.compress(bytes(1000)), memory_bytes=MEMORY)


def test_every_single_bit_flip_is_refused_or_gives_a_whole_state() -> None:
    """A record has no check of its own: whoever keeps one has. But nothing half-read comes out of a damaged one."""
    record = snapshot.encode(replace(example(), page_nos=no_pages()[0], pages=no_pages()[1]))
    refused = 0
    for bit in range(len(record) * 8):
        flipped = bytearray(record)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            state = snapshot.decode(bytes(flipped), memory_bytes=MEMORY)
        except FormatError:
            refused += 1
            continue
        assert same(snapshot.decode(snapshot.encode(state), memory_bytes=MEMORY), state)
        assert not len(state.page_nos)
    assert len(record) * 8 // 2 < refused < len(record) * 8


def test_difference_keeps_only_pages_that_differ() -> None:
    numbers = np.array([3, 5, 9], dtype=np.uint32)
    reference = np.zeros((3, 512), dtype=np.uint64)
    current = reference.copy()
    current[1, 7] = 0xFF
    page_nos, xored = difference(numbers, current, reference)
    assert page_nos.tolist() == [5]
    assert int(xored[0, 7]) == 0xFF


def test_the_pages_digest_depends_on_numbers_and_contents() -> None:
    numbers, contents = np.array([1, 2], dtype=np.uint32), np.ones((2, 512), dtype=np.uint64)
    digests = {
        pages_digest(numbers, contents),
        pages_digest(numbers + np.uint32(1), contents),
        pages_digest(numbers, contents * np.uint64(2)),
    }
    assert len(digests) == 3
