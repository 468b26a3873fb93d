"""Are shells used again, and are they no more than machines have needed, however many bases take turns?"""

import pytest

from edge.vmm.memory import BaseMemory
from edge.vmm.shell import Image, Shell
from edge.vmm.shell_pool import SPARE_SHELLS, ShellPool
from vmimage import abi


@pytest.fixture
def bases() -> list[Image]:
    return [Image(BaseMemory(None), (), abi.MEMORY_MIN) for _ in range(5)]


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Shell]:
    """Shells that were closed; all others are in the end."""
    found: list[Shell] = []
    real = Shell.close

    def close(shell: Shell) -> None:
        found.append(shell)
        real(shell)

    monkeypatch.setattr(Shell, "close", close)
    return found


def _use(pool: ShellPool, image: Image, count: int) -> list[Shell]:
    """So many machines at once, then none."""
    shells = [pool.take(image) for _ in range(count)]
    for shell in shells:
        pool.release(shell, image)
    return shells


def test_a_shell_is_used_again_by_its_base_alone(bases: list[Image], closed: list[Shell]) -> None:
    pool = ShellPool()
    first = _use(pool, bases[0], 3)
    assert {*map(id, _use(pool, bases[0], 3))} == {*map(id, first)}
    assert not {*map(id, _use(pool, bases[1], 3))} & {*map(id, first)}
    assert not closed


def test_bases_that_take_turns_share_what_machines_have_needed(bases: list[Image], closed: list[Shell]) -> None:
    pool = ShellPool()
    for _ in range(2):
        for image in bases:
            _use(pool, image, 10)
            assert len(pool) <= 10 + SPARE_SHELLS
    kept = pool.take(bases[-1])
    assert kept not in closed, "the base that was wanted last has its shells"
    assert len(pool) == 10 + SPARE_SHELLS - 1
    pool.release(kept, bases[-1])


def test_the_base_that_was_wanted_longest_ago_gives_one_up(bases: list[Image], closed: list[Shell]) -> None:
    pool = ShellPool()
    old, new = _use(pool, bases[0], 6), _use(pool, bases[1], 6)
    assert len(pool) == 12
    _use(pool, bases[0], 1)
    _use(pool, bases[2], 4)
    assert len(pool) == 6 + SPARE_SHELLS
    assert {*map(id, closed)} <= {*map(id, new)}
    assert len(closed) == 2
    assert not {*map(id, closed)} & {*map(id, old)}


def test_a_spare_is_made_when_the_last_was_taken(bases: list[Image]) -> None:
    pool = ShellPool()
    shell = pool.take(bases[0])
    assert pool.short
    spare = pool.prepare()
    assert spare is not None
    assert not pool.short
    assert pool.take(bases[0]) is spare
    assert pool.prepare() is not None
    pool.release(shell, bases[0])
    pool.release(spare, bases[0])
    assert len(pool) == 3


def test_a_base_that_is_gone_takes_its_shells_along(bases: list[Image], closed: list[Shell]) -> None:
    pool = ShellPool()
    shells = _use(pool, bases[0], 4)
    pool.drop(bases[0])
    assert {*map(id, closed)} == {*map(id, shells)}
    assert len(pool) == 0
