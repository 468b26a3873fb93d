"""Frames that should not be: from a broken supervisor to a real worker, from a hostile worker to a real supervisor."""

from pathlib import Path

import pytest

from tests.property.fuzzing import conversations, lies
from tests.property.fuzzing.mutate import Rng

SEED = 1
CONVERSATIONS = 150
LIVES = 25  # of a hostile worker
PATIENCE_S = 30.0  # for so many: some of its lies are silence, which a request waits out

pytestmark = pytest.mark.timeout(600)


def test_a_worker_stands_what_a_supervisor_would_not_say() -> None:
    ends = conversations.run(SEED, 0, CONVERSATIONS)
    assert ends["stays"] > 0
    assert ends["leaves out of step"] > 0


def test_conversations_are_mostly_good() -> None:
    """A changed one that nobody changed would test nothing; one of noise no more."""
    for number in range(100):
        good = conversations.conversation(Rng(f"good:{number}"))
        changed = conversations.change(Rng(f"change:{number}"), good)
        assert len(good) > 10
        assert changed.data


def test_a_supervisor_stands_what_a_worker_would_not_say(tmp_path: Path) -> None:
    ends = lies.run(tmp_path, SEED, LIVES, PATIENCE_S)
    assert ends["lives"] > 5
    assert ends["right"] > 50
