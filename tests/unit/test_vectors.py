"""Does every format that is kept or sent still have the bytes that it had?"""

import pytest

from edge.vmm.wire import frames, messages
from tests.vectors.frames import FROM_WORKER, TO_WORKER
from tests.vectors.make import GOLDEN, VECTORS, Vector, block_wire
from vmimage.disk import unpack_block


def moved(vector: Vector) -> str:
    """What to do about a vector that fails."""
    return f"{vector.name}: a format has changed. {vector.rule}. See tests/vectors/README.md before you freeze it anew."


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_what_is_written_is_what_was_frozen(vector: Vector) -> None:
    assert vector.plain(vector.make()) == vector.plain(vector.path.read_bytes()), moved(vector)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_what_was_frozen_is_read_as_what_it_was(vector: Vector) -> None:
    assert vector.read(vector.path.read_bytes()) == vector.read(vector.make()), moved(vector)


def test_the_frozen_block_is_what_its_entry_says() -> None:
    ref, wire = block_wire()
    frozen = (GOLDEN / "block.zst").read_bytes()
    assert unpack_block(wire, ref) == VECTORS[[vector.name for vector in VECTORS].index("block.zst")].read(frozen)


def test_every_frozen_file_has_a_generator() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {vector.name for vector in VECTORS}


def test_every_frame_type_is_frozen_in_each_direction() -> None:
    """Whoever adds a frame adds it to the vectors; no two have one number."""
    named = {
        name: value
        for name, value in vars(frames).items()
        if name.isupper() and type(value) is int and not name.startswith(("FLAG_", "_")) and not name.endswith("_MAX")
    }
    assert len(set(named.values())) == len(named)
    assert messages.TO_WORKER.keys() | messages.FROM_WORKER.keys() == set(named.values())
    for table, examples in ((messages.TO_WORKER, TO_WORKER), (messages.FROM_WORKER, FROM_WORKER)):
        assert {frames.Splitter().feed(message.to_bytes())[0][0] for message in examples.values()} == table.keys()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_every_vector_says_what_its_change_would_need(vector: Vector) -> None:
    assert len(vector.rule) > 40
    assert vector.rule in moved(vector)
