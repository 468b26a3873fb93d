"""Can an edge that has seen a version be brought back to an older one?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.catalogue.catalogue import Catalogue
from tests.attack.repository import Mirror, Repository, record
from vmimage.errors import VerificationError


def _refused_and_unchanged(victim: Catalogue, mirror: Mirror, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(VerificationError):
            victim.refresh()
        assert victim.find_service("hello") == record("hello", 2)
        assert victim.find_host("hello.example") == record("hello", 2)
        assert not victim.expired
    restarted = mirror.catalogue(tmp_path)
    assert restarted.find_service("hello") == record("hello", 2)
    with pytest.raises(VerificationError):
        restarted.refresh()
    assert restarted.find_service("hello") == record("hello", 2)


def _replayed(repository: Repository) -> None:
    """With no key at all: every file as it was at version 1."""
    repository.files = dict(repository.past[1])


def _older_snapshot(repository: Repository) -> None:
    """With a stolen timestamp key: a new timestamp over the old snapshot."""
    repository.sign_timestamp(snapshot_version=2)


def _older_bin(repository: Repository) -> None:
    """With stolen snapshot and timestamp keys: a new snapshot that names the old bin."""
    role = repository.trust.bin_of("services/hello")
    repository.sign_snapshot(**{role.replace("-", "_"): 1})
    repository.sign_timestamp()


def _vanished_bin(repository: Repository) -> None:
    """With stolen snapshot and timestamp keys: a new snapshot that no longer knows the bin."""
    role = repository.trust.bin_of("services/hello")
    repository.sign_snapshot(**{role.replace("-", "_"): 0})
    repository.sign_timestamp()


def _rewritten_bin(repository: Repository) -> None:
    """With all online keys: the old bin under the new one's version."""
    role = repository.trust.bin_of("services/hello")
    repository.files[f"2.{role}.json"] = repository.files[f"1.{role}.json"]
    repository.bin_versions[role] = 3
    repository.files[f"3.{role}.json"] = repository.files[f"1.{role}.json"]
    repository.sign_snapshot()
    repository.sign_timestamp()


@pytest.mark.parametrize("attack", [_replayed, _older_snapshot, _older_bin, _vanished_bin, _rewritten_bin])
def test_back_to_version_1(
    victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path, attack: Callable[[Repository], None]
) -> None:
    attack(repository)
    _refused_and_unchanged(victim, mirror, tmp_path)


def test_a_service_that_is_withdrawn_is_not_brought_back(
    repository: Repository, mirror: Mirror, tmp_path: Path
) -> None:
    """By a mirror that replays what was signed before; the edge that starts anew has not forgotten it either."""
    repository.publish(record("hello", 1))
    victim = mirror.catalogue(tmp_path / "cache")
    victim.refresh()
    assert victim.find_service("hello") == victim.find_host("hello.example") == record("hello", 1)
    repository.withdraw(record("hello", 1))
    assert victim.refresh()
    withdrawn = victim.find_withdrawn("hello")
    assert withdrawn is not None
    assert withdrawn.version == 2
    repository.files = dict(repository.past[1])
    for edge in (victim, mirror.catalogue(tmp_path / "cache")):
        assert edge.find_service("hello") is None
        assert edge.find_host("hello.example") is None
        with pytest.raises(VerificationError):
            edge.refresh()
        assert edge.find_service("hello") is None
        assert edge.find_host("hello.example") is None
        assert edge.find_withdrawn("hello") == withdrawn


def test_the_edge_goes_on_when_the_attack_is_over(
    victim: Catalogue, repository: Repository, mirror: Mirror, tmp_path: Path
) -> None:
    good = dict(repository.files)
    _replayed(repository)
    _refused_and_unchanged(victim, mirror, tmp_path)
    repository.files = good
    repository.publish(record("hello", 3))
    assert victim.refresh()
    assert victim.find_service("hello") == record("hello", 3)
