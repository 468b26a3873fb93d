"""Where a machine belongs, from what its runs cost; with round numbers for what engines cost."""

from dataclasses import replace

import pytest

from edge.vmm.tiering import Calibration, Tiering, calibrate

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


def test_nothing_assumes_the_exit_s_cost() -> None:
    assert settle(Tiering(BARE_METAL), 10_000) == "kvm"


def test_a_machine_that_changes_its_ways_comes_back() -> None:
    tiering = Tiering(NESTED)
    assert settle(tiering, 5_000_000) == "kvm"
    assert settle(tiering, 5_000) == "unicorn"


def test_work_near_the_threshold_does_not_swing() -> None:
    """Costs that are alike within the margin never move a machine, from whichever side it comes."""
    for engine in ("unicorn", "kvm"):
        tiering = Tiering(NESTED)
        cpu = {"unicorn": 80_000, "kvm": 73_000}[engine]
        assert all(tiering.observe(1, engine, cpu, 1) == engine for _ in range(50))  # type: ignore[arg-type]


def test_the_way_into_an_engine_counts_where_machines_come_for_one_request() -> None:
    far = replace(NESTED, kvm_way_ns=100_000)
    for comes, place in ((True, "unicorn"), (False, "kvm")):
        tiering, engine = Tiering(far), "unicorn"
        for _ in range(20):
            engine = tiering.observe(1, engine, 200_000, 1, comes=comes)
        assert engine == place
        assert tiering.engine_for(1, 7) == place


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
    calibration = calibrate()
    assert not calibration.kvm_missing
    assert calibration.speedup > 1
    assert 0 < calibration.unicorn_exit_ns < calibration.kvm_exit_ns * 100


def test_a_new_image_starts_where_its_kin_clearly_belong() -> None:
    tiering = Tiering(NESTED)
    assert tiering.engine_for(1, 7) == "unicorn"
    for _ in range(5):
        tiering.observe(1, "unicorn", 10_000_000, 1)
    assert [tiering.engine_for(image, 7) for image in (1, 2)] == ["kvm", "kvm"]
    assert tiering.engine_for(3, 8) == "unicorn", "another base"
    tiering.observe(2, "kvm", int(NESTED.kvm_exit_ns), 1)
    assert tiering.engine_for(2, 7) == "unicorn", "what is known of itself counts for more"
