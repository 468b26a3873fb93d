"""A language's base is baked once for what it is made of, and read from then on."""

from pathlib import Path

import pytest

from origin.bake.bases import kept_base
from tests.support.guests import baker
from vmimage.archive import ImageBundle


class Bakes:
    """Bakes the libOS's own base in place of a language's, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self.base = baker().base

    def __call__(self) -> ImageBundle:
        self.count += 1
        return self.base


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder where bases are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "nunatak" / "bases"


def test_a_base_is_baked_once_and_again_for_other_inputs(kept: Path) -> None:
    bakes = Bakes()
    for name, programs, count in (
        ("js", (b"libos", b"engine"), 1),
        ("js", (b"libos", b"engine"), 1),
        ("js", (b"libos", b"engine2"), 2),
        ("js", (b"libosengine", b""), 3),
        ("lua", (b"libos", b"engine"), 4),
        ("js", (b"libos", b"engine"), 4),
    ):
        assert kept_base(name, programs, bakes) == bakes.base
        assert bakes.count == count, (name, programs)
    assert len(list(kept.iterdir())) == 4


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_kept_base_that_was_damaged_is_baked_again_and_replaced(kept: Path, damage: bytes | None) -> None:
    bakes = Bakes()
    kept_base("js", (b"libos",), bakes)
    (place,) = kept.iterdir()
    whole = place.read_bytes()
    middle = whole.find(bakes.base.blobs[bakes.base.manifest.snapshot.digest])
    place.write_bytes(damage if damage is not None else whole[:middle] + b"x" + whole[middle + 1 :])
    for _ in range(2):
        assert kept_base("js", (b"libos",), bakes) == bakes.base
    assert bakes.count == 2
    assert place.read_bytes() == whole
