"""Are shells used again, and are they no more than machines have needed, however many bases take turns?"""

import gc
import os
import weakref

import pytest

from edge.vmm.memory.guest_memory import BaseMemory, page_template
from edge.vmm.shells.shell import EngineName, Image, Shell
from edge.vmm.shells.shell_pool import SPARE_SHELLS, ShellPool
from loadtest.site.server import tree_memory_bytes
from vmimage import abi, snapshot
from vmimage.pages import no_pages
from vmimage.snapshot import DeviceState, Registers, Snapshot


@pytest.fixture
def bases() -> list[Image]:
    return [Image(BaseMemory(None), page_template((), abi.MEMORY_MIN)) for _ in range(5)]


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


def test_the_shell_that_had_the_last_machine_of_an_image_is_taken_first() -> None:
    base, template = BaseMemory(None), page_template((), abi.MEMORY_MIN)
    record = snapshot.encode(Snapshot(Registers(), DeviceState(), *no_pages()))
    images = [Image(base, template, record) for _ in range(4)]
    pool = ShellPool()
    had = [pool.take(image) for image in images[:3]]
    for shell, image in zip(had, images, strict=False):
        shell.bind(image, None)
    for shell, image in zip(had, images, strict=False):
        pool.release(shell, image)
    assert pool.take(images[1]) is had[1]
    assert pool.take(images[3]) is had[2], "nobody's: the one that was used last"
    assert pool.take(images[1]) is had[0]
    for shell, image in zip(had, images, strict=False):
        pool.release(shell, image)
    had[0].bind(images[1], None)
    assert pool.take(images[0]) is not had[0], "another came since"


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
    old, new = _use(pool, bases[0], SPARE_SHELLS), _use(pool, bases[1], SPARE_SHELLS)
    assert len(pool) == 2 * SPARE_SHELLS
    _use(pool, bases[0], 1)
    _use(pool, bases[2], 2)
    assert len(pool) == 2 * SPARE_SHELLS
    assert len(closed) == 2
    assert {*map(id, closed)} <= {*map(id, new)}
    assert not {*map(id, closed)} & {*map(id, old)}


def test_a_spare_is_made_when_the_last_was_taken(bases: list[Image]) -> None:
    pool = ShellPool()
    shell = pool.take(bases[0])
    short_of = pool.short_of
    assert short_of is bases[0]
    spare = pool.prepare()
    assert spare is not None
    assert pool.short_of is None
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


@pytest.mark.parametrize("engine", ["unicorn", pytest.param("kvm", marks=pytest.mark.kvm)])
def test_a_closed_shell_is_gone_at_once_without_a_collection_of_garbage(engine: EngineName) -> None:
    base = BaseMemory(None)
    gc.collect()
    gc.disable()
    try:
        shell = Shell(base, abi.MEMORY_MIN)
        shell.choose(engine)
        memory = weakref.ref(shell.memory)
        before = len(os.listdir("/proc/self/fd"))
        shell.close()
        del shell
        assert memory() is None
        assert len(os.listdir("/proc/self/fd")) <= before
    finally:
        gc.enable()


def test_closed_shells_leave_no_memory_behind() -> None:
    base = BaseMemory(None)
    gc.collect()
    gc.disable()
    try:
        for number in range(40):
            Shell(base, abi.MEMORY_MIN).close()
            if number == 10:
                before = tree_memory_bytes(os.getpid())
        assert tree_memory_bytes(os.getpid()) - before < 10 << 20, "30 shells of 3 MiB would be 90"
    finally:
        gc.enable()


def test_a_spare_shell_does_not_take_what_a_greedy_machine_took() -> None:
    image = Image(BaseMemory(None), page_template((), abi.MEMORY_MIN))
    modest, greedy = Shell(image.base, abi.MEMORY_MIN), Shell(image.base, abi.MEMORY_MIN)
    modest.memory.mark_dirty(slice(256, 300))
    greedy.memory.mark_dirty(slice(256, 1000))
    touched: list[int] = []
    for like in (modest, greedy):
        spare = Shell(image.base, abi.MEMORY_MIN)
        spare.memory.touch = lambda page_nos: touched.append(len(page_nos))  # type: ignore[method-assign]
        spare.warm_up(image, like)
        spare.close()
    assert touched == [44]
