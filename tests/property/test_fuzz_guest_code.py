"""Generated guest code in real workers: no case ends a worker, changes a neighbour, or leaves anything in a shell.

What once failed is in `fuzzing/corpus/code` and runs first. `make fuzz` goes on where this stops.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import kvm_missing
from tests.property.fuzzing import campaign, child
from tests.property.fuzzing.case import Case, make
from tests.property.fuzzing.defective_worker import DEFECTIVE
from tests.property.fuzzing.session import Failure

SEED = 1
# A case takes 1 to 3 ms of two cores that do other things too; on KVM, in `test_fuzz_guest_code_kvm`, 2 to 8. Both
# together are 21,000, whatever this machine has.
CASES = 21_000 if kvm_missing() else 16_000

pytestmark = pytest.mark.timeout(900)


def test_what_once_failed() -> None:
    assert not campaign.replay_corpus("unicorn")


def test_generated_code_harms_no_neighbour() -> None:
    assert campaign.run("unicorn", SEED, 0, CASES).wrong(CASES) == ""


def test_a_case_is_the_same_every_time_and_as_text() -> None:
    for number in range(200):
        assert make(7, number) == make(7, number)
        assert Case.from_json(make(7, number).to_json()) == make(7, number)


# Does it see what it is there to see? Each of these workers has a defect of its own.


@pytest.fixture
def defective(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Chooses the defect of the workers that are started from now on."""
    program = (sys.executable, "-m", "tests.property.fuzzing.defective_worker")
    return lambda defect: monkeypatch.setattr(child, "COMMAND", (*program, defect))


def test_a_worker_that_crashes_is_traced_to_one_case(defective: Callable[[str], None]) -> None:
    defective("crash")
    tally = campaign.run("unicorn", SEED, 0, 4096)
    (found,) = tally.found
    assert (found.failure.kind, len(found.cases)) == ("died", 1)
    assert found.cases[0].code.startswith(DEFECTIVE)
    assert found.numbers in found.report()
    assert found.cases[0].code.hex() in found.report()
    assert campaign.replay("unicorn", found.cases) is not None


def test_what_failed_is_kept_and_read_again(tmp_path: Path) -> None:
    found = campaign.Found(Failure("died", "for a test"), "unicorn", [make(SEED, 5)], "--seed 1 --first 5 --count 1")
    campaign.keep(found, tmp_path)
    assert list(campaign.corpus(tmp_path).values()) == [make(SEED, 5)]


@pytest.mark.parametrize(
    ("defect", "kind"),
    [("keeps memory", "leak"), ("keeps registers", "leak"), ("spoils a neighbour", "neighbour"), ("hangs", "wedged")],
)
def test_a_worker_that_does_not_hold(
    defect: str, kind: str, defective: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    defective(defect)
    monkeypatch.setattr("tests.property.fuzzing.session.WEDGED_S", 3.0)
    (found,) = campaign.run("unicorn", SEED, 0, 1024, traced=False).found
    assert found.failure.kind == kind
