"""The cases of `test_fuzz_guest_code` on KVM: a file of its own, so that the two run beside each other."""

import pytest

from tests.property.fuzzing import campaign

SEED = 1
CASES = 4_000
MOVING_CASES = 1_000  # on both engines, as a worker chooses

pytestmark = [pytest.mark.kvm, pytest.mark.timeout(900)]


def test_what_once_failed() -> None:
    assert not campaign.replay_corpus("kvm")


def test_generated_code_harms_no_neighbour() -> None:
    assert campaign.run("kvm", SEED, 0, CASES).wrong(CASES) == ""


def test_generated_code_that_moves_between_the_engines() -> None:
    assert campaign.run("auto", SEED, CASES, MOVING_CASES).wrong(MOVING_CASES) == ""
