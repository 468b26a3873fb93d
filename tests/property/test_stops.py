"""A guest that is stopped at any moment, thousands of times, does what it does without: nothing twice, nothing not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge.vmm.engines.engine import SliceOver
from edge.vmm.engines.kvm import KvmEngine
from edge.vmm.engines.unicorn import UnicornEngine
from edge.vmm.engines.unicorn_stops import stop_between_blocks
from edge.vmm.memory.guest_memory import BaseMemory, GuestMemory, PageTemplate
from origin.bake.elf import parse_program
from tests.support.guests import EXAMPLES, baker, elf
from vmimage import abi
from vmimage.manifest import DEFAULT_TERMS, Region
from vmimage.snapshot import Registers

ROUNDS = {UnicornEngine: 10_000_000, KvmEngine: 200_000_000}  # long enough to be stopped often
RCX = 1  # its place in `Registers.gpr`
# again: inc qword [data]; add qword [data+8], 3; dec rcx; jnz again; xor edi, edi; out IDLE; jmp $
CODE = bytes.fromhex("48ff042500002000 4883042508002000 03 48ffc9 75ea 31ff e610 ebfe")


@contextmanager
def stopped_all_the_time(engine: UnicornEngine | KvmEngine) -> Iterator[None]:
    done = threading.Event()

    def nag() -> None:
        while not done.wait(0.0002):
            engine.stop()

    thread = threading.Thread(target=nag)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("kind", [UnicornEngine, pytest.param(KvmEngine, marks=pytest.mark.kvm)])
def test_nothing_is_done_twice(kind: type[UnicornEngine] | type[KvmEngine]) -> None:
    memory = GuestMemory(BaseMemory(None), abi.MEMORY_MIN)
    regions = [
        Region(abi.LIBOS_ADDRESS, abi.LIBOS_ADDRESS + abi.PAGE_SIZE, "rx"),
        Region(abi.PROGRAM_ADDRESS, abi.PROGRAM_ADDRESS + abi.PAGE_SIZE, "rw"),
    ]
    memory.bind(PageTemplate(regions, abi.MEMORY_MIN))
    memory.write(abi.LIBOS_ADDRESS, CODE)
    engine = kind(memory)
    try:
        rounds = ROUNDS[kind]
        gpr = tuple(rounds if n == RCX else 0 for n in range(16))
        engine.load(Registers(gpr=gpr, rip=abi.LIBOS_ADDRESS))
        stops = 0
        with stopped_all_the_time(engine):
            while isinstance(engine.run(), SliceOver):
                stops += 1
        counts = memory.ram[abi.PROGRAM_ADDRESS : abi.PROGRAM_ADDRESS + 16]
        assert stops > 10
        assert int.from_bytes(counts[:8], "little") == rounds
        assert int.from_bytes(counts[8:], "little") == 3 * rounds
    finally:
        engine.close()


def test_unicorn_is_the_one_whose_insides_are_known() -> None:
    from unicorn import UC_ARCH_X86, UC_MODE_64, Uc

    uc = Uc(UC_ARCH_X86, UC_MODE_64)
    uc.mem_map(0x1000, 0x1000)
    assert stop_between_blocks(uc)


def test_an_image_does_not_depend_on_when_its_bake_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.vmm.turns import watchdog

    program = parse_program(elf(EXAMPLES / "airports"))

    def digest() -> str:
        return baker().bake(program, name="a", env={}, terms=DEFAULT_TERMS, progress=lambda _: None).manifest.digest

    calm = digest()
    watching = watchdog.Watchdog.watching
    monkeypatch.setattr(watchdog.Watchdog, "watching", lambda self, engine, *_: watching(self, engine, 200_000))
    assert {digest() for _ in range(10)} == {calm}
