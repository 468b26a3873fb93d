"""The cases of `test_fuzz_guest_code` on KVM: a file of its own, so that the two run beside each other."""

import pytest

from tests.property.fuzzing import campaign

SEED = 1
CASES = 5_000

pytestmark = [pytest.mark.kvm, pytest.mark.timeout(900)]


def test_what_once_failed() -> None:
    assert not campaign.replay_corpus("kvm")


def test_generated_code() -> None:
    assert campaign.run("kvm", SEED, 0, CASES).wrong(CASES) == ""
