"""Where a machine belongs, from what its runs cost; with round numbers for what engines cost."""

from dataclasses import replace
from math import inf
from types import SimpleNamespace

import pytest

from edge.vmm.engines.engine import Hypercall
from edge.vmm.engines.kvm_facts import KvmFacts
from edge.vmm.memory.guest_memory import GuestMemory
from edge.vmm.shells.shell import EngineName
from edge.vmm.shells.tiering import Calibration, Tiering, calibrate
from vmimage import abi
from vmimage.snapshot import Registers

NESTED = Calibration(unicorn_exit_ns=2_000, kvm_exit_ns=70_000, speedup=25)
BARE_METAL = Calibration(unicorn_exit_ns=2_000, kvm_exit_ns=1_500, speedup=25)


def settle(tiering: Tiering, cpu_ns_on_unicorn: int, runs: int = 40) -> str:
    """Runs of one size until the machine has found its place."""
    c, engine = tiering.calibration, tiering.engine_for(1, 7)
    for _ in range(runs):
        cpu = cpu_ns_on_unicorn
        if engine == "kvm":
            cpu = round(c.kvm_exit_ns + (cpu_ns_on_unicorn - c.unicorn_exit_ns) / c.speedup)
        engine = tiering.observe(1, engine, cpu, 1)
    return engine


def test_short_work_stays_where_exits_are_cheap() -> None:
    assert settle(Tiering(NESTED), 10_000) == "unicorn"
    assert settle(Tiering(NESTED), 80_000) == "unicorn"


def test_long_work_moves_to_the_processor() -> None:
    assert settle(Tiering(NESTED), 500_000) == "kvm"
    assert settle(Tiering(NESTED), 12_000_000) == "kvm"


def test_short_work_runs_on_kvm_where_its_exits_are_cheap() -> None:
    assert settle(Tiering(BARE_METAL), 10_000) == "kvm"


def test_a_machine_that_changes_its_ways_comes_back() -> None:
    tiering = Tiering(NESTED)
    assert settle(tiering, 5_000_000) == "kvm"
    assert settle(tiering, 5_000) == "unicorn"


def test_work_near_the_threshold_does_not_swing() -> None:
    """Costs that are alike within the margin never move a machine, from whichever side it comes."""
    costs: dict[EngineName, int] = {"unicorn": 80_000, "kvm": 73_000}
    for engine, cpu in costs.items():
        tiering = Tiering(NESTED)
        assert all(tiering.observe(1, engine, cpu, 1) == engine for _ in range(50))


def test_the_way_into_an_engine_counts_where_machines_come_for_one_request() -> None:
    far = replace(NESTED, kvm_switch_ns=100_000)
    for first_run, place in ((True, "unicorn"), (False, "kvm")):
        tiering = Tiering(far)
        engine: EngineName = "unicorn"
        for _ in range(20):
            engine = tiering.observe(1, engine, 200_000, 1, first_run=first_run)
        assert engine == place
        assert tiering.engine_for(1, 7) == place


def test_entering_an_engine_that_has_rested_is_no_work_of_the_guest() -> None:
    """Light work that came to KVM goes back, though each of its machines enters an engine that was at rest."""
    for entry_ns, place in ((40_000, "unicorn"), (0, "kvm")):  # 0: if it had not been measured
        tiering = Tiering(replace(NESTED, kvm_entry_ns=entry_ns))
        places = {tiering.observe(1, "kvm", 110_500, 1, first_run=True) for _ in range(20)}
        assert places == {place}


def test_one_slow_run_moves_nothing_for_long() -> None:
    tiering = Tiering(NESTED)
    settle(tiering, 5_000)
    tiering.observe(1, "unicorn", 300_000, 1)
    assert settle(tiering, 5_000, runs=10) == "unicorn"


def test_images_are_learned_apart_and_forgotten() -> None:
    tiering = Tiering(NESTED)
    settle(tiering, 5_000_000)
    assert (tiering.engine_for(1, 7), tiering.engine_for(2, 8)) == ("kvm", "unicorn")
    tiering.forget(1)
    assert tiering.engine_for(1, 9) == "unicorn"


def test_without_kvm_everything_stays() -> None:
    tiering = Tiering(Calibration(2_000, kvm_missing="no device"))
    assert settle(tiering, 50_000_000) == "unicorn"
    tiering = Tiering(NESTED)
    tiering.without_kvm("it broke")
    assert settle(tiering, 50_000_000) == "unicorn"


@pytest.mark.kvm
def test_this_machine_can_be_calibrated() -> None:
    found = calibrate()
    assert not found.kvm_missing
    assert 1 < found.speedup < inf, "a processor runs a loop faster than an emulator"
    for cost_ns in (
        found.unicorn_exit_ns,
        found.kvm_exit_ns,
        found.unicorn_switch_ns,
        found.kvm_switch_ns,
        found.kvm_work_ns,
    ):
        assert 0 < cost_ns < inf
    assert settle(Tiering(found), round(10 * found.threshold_ns + 10 * found.kvm_exit_ns)) == "kvm"


class Costs:
    """An engine whose clock goes by what it does.

    5 µs an exit, 700 ns a way in or out, 90 µs the loop of work, 3 µs more the first entry after a rest.
    """

    name = "costs"
    now_ns = 0
    rested = False

    def __init__(self, _: GuestMemory) -> None:
        self._rip = 0

    @staticmethod
    def rest(_: float) -> None:
        Costs.rested = True

    def load(self, registers: Registers) -> None:
        self._rip = registers.rip
        Costs.now_ns += 700

    def save(self) -> Registers:
        Costs.now_ns += 700
        return Registers(rip=self._rip)

    def run(self) -> Hypercall:
        Costs.now_ns += 5_000 + (90_000 if self._rip != abi.LIBOS_ADDRESS else 0) + 3_000 * Costs.rested
        Costs.rested = False
        self._rip = abi.LIBOS_ADDRESS
        return Hypercall(abi.PORT_IDLE)

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_exits_ways_and_work_are_measured_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.vmm.shells.tiering.UnicornEngine", Costs)
    monkeypatch.setattr("edge.vmm.shells.tiering.KvmEngine", Costs)
    clock = SimpleNamespace(perf_counter_ns=lambda: Costs.now_ns, sleep=Costs.rest)
    monkeypatch.setattr("edge.vmm.shells.tiering.time", clock)
    monkeypatch.setattr("edge.vmm.shells.tiering.facts", lambda: KvmFacts(3))
    assert calibrate() == Calibration(5_000, 5_000, 1_400, 1_400, 3_000, 3_000, 90_000, 1.0, kvm=KvmFacts(3))


def test_a_new_image_starts_where_its_kin_clearly_belong() -> None:
    tiering = Tiering(NESTED)
    assert tiering.engine_for(1, 7) == "unicorn"
    for _ in range(5):
        tiering.observe(1, "unicorn", 10_000_000, 1)
    assert [tiering.engine_for(image, 7) for image in (1, 2)] == ["kvm", "kvm"]
    assert tiering.engine_for(3, 8) == "unicorn", "another base"
    tiering.observe(2, "kvm", int(NESTED.kvm_exit_ns), 1)
    assert tiering.engine_for(2, 7) == "unicorn", "what is known of itself counts for more"
