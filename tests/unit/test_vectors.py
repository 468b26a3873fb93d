"""Does every format that is kept or sent still have the bytes that it had?"""

import pytest

from edge.vmm.wire import frames
from tests.vectors.make import FRAME_TYPES, GOLDEN, VECTORS, Vector, block_wire
from vmimage.disk import unpack_block

MOVED = (
    "{}: a format has changed, and images, caches or records that exist are in the old one. Read Versions in "
    "vmimage/FORMAT.md and tests/vectors/README.md before you freeze it anew."
)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_what_is_written_is_what_was_frozen(vector: Vector) -> None:
    assert vector.plain(vector.make()) == vector.plain(vector.path.read_bytes()), MOVED.format(vector.name)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_what_was_frozen_is_read_as_what_it_was(vector: Vector) -> None:
    assert vector.read(vector.path.read_bytes()) == vector.read(vector.make()), MOVED.format(vector.name)


def test_the_frozen_block_is_what_its_entry_says() -> None:
    ref, wire = block_wire()
    frozen = (GOLDEN / "block.zst").read_bytes()
    assert unpack_block(wire, ref) == VECTORS[[vector.name for vector in VECTORS].index("block.zst")].read(frozen)


def test_every_frozen_file_has_a_generator() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {vector.name for vector in VECTORS}


def test_frame_numbers_are_all_frozen() -> None:
    """Whoever adds a frame adds it to the vectors; no two have one number."""
    others = ("FLAG_", "_MAX")
    named = {
        name: value
        for name, value in vars(frames).items()
        if name.isupper() and type(value) is int and not any(part in name for part in others)
    }
    assert named.keys() == FRAME_TYPES
    assert len(set(named.values())) == len(named)
