"""Do running edges recover from versions that a thief of keys made absurd, and is that no way back for anybody else?"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.catalogue.catalogue import Catalogue
from edge.common.counters import Counters
from tests.attack.repository import Mirror, Repository, record
from vmimage.errors import VerificationError

ABSURD = 10**6


def _stolen(repository: Repository, victim: Catalogue, folder: Path) -> None:
    """The thief's hour: both online keys, used once; the edge believes them, as it must."""
    repository.fast_forward(ABSURD)
    victim.refresh()
    kept = [json.loads((folder / "tuf" / f"{role}.json").read_bytes()) for role in ("snapshot", "timestamp")]
    assert [metadata["signed"]["version"] for metadata in kept] == [ABSURD, ABSURD]


def _recovered(victim: Catalogue, repository: Repository, mirror: Mirror, tmp_path: Path) -> None:
    repository.publish(record("hello", 3))
    assert victim.refresh()
    assert victim.find_service("hello") == victim.find_host("hello.example") == record("hello", 3)
    assert not victim.expired
    restarted = mirror.catalogue(tmp_path)
    assert restarted.find_service("hello") == record("hello", 3)
    assert not restarted.refresh()
    replayed = dict(repository.past[-2])
    repository.files = replayed | {name: data for name, data in repository.files.items() if "root" in name}
    for edge in (victim, restarted):
        with pytest.raises(VerificationError):
            edge.refresh()
        assert edge.find_service("hello") == record("hello", 3), "from here on no version goes back"


@pytest.mark.parametrize("roles", [("snapshot", "timestamp"), ("timestamp",), ("snapshot",)])
def test_a_running_edge_recovers_when_the_keys_are_changed(
    victim: Catalogue, repository: Repository, mirror: Mirror, tmp_path: Path, roles: tuple[str, ...]
) -> None:
    _stolen(repository, victim, tmp_path)
    repository.rotate(*roles)
    repository.restart_online(3, 3)
    victim.refresh()
    assert victim.find_service("hello") == record("hello", 2)
    _recovered(victim, repository, mirror, tmp_path)


@pytest.mark.parametrize("roles", [("snapshot", "timestamp"), ("timestamp",), ("snapshot",)])
def test_an_edge_that_was_off_recovers_as_well(
    victim: Catalogue, repository: Repository, mirror: Mirror, tmp_path: Path, roles: tuple[str, ...]
) -> None:
    _stolen(repository, victim, tmp_path)
    repository.rotate(*roles)
    repository.restart_online(3, 3)
    restarted = mirror.catalogue(tmp_path)
    restarted.refresh()
    _recovered(restarted, repository, mirror, tmp_path)


def _nobody(repository: Repository) -> None:
    """No new root at all."""


def _another_key_beside(repository: Repository) -> None:
    """A new root that takes other keys too: what the old ones signed is as good as before."""
    repository.rotate("snapshot", "timestamp", keep_old=True)


def _the_root_renewed(repository: Repository) -> None:
    """A new root with the same keys."""
    repository.rotate()


@pytest.mark.parametrize("change", [_nobody, _another_key_beside, _the_root_renewed])
def test_without_a_key_taken_away_no_version_goes_back(
    victim: Catalogue, repository: Repository, mirror: Mirror, tmp_path: Path, change: Callable[[Repository], None]
) -> None:
    repository.publish(record("hello", 3))
    victim.refresh()
    change(repository)
    repository.restart_online(2, 2, **{repository.trust.bin_of("services/hello").replace("-", "_"): 2})
    for _ in range(2):
        with pytest.raises(VerificationError):
            victim.refresh()
        assert victim.find_service("hello") == record("hello", 3)
    restarted = mirror.catalogue(tmp_path)
    assert restarted.find_service("hello") == record("hello", 3)
    with pytest.raises(VerificationError):
        restarted.refresh()


def test_files_lost_under_a_running_edge_are_no_way_back(
    victim: Catalogue, repository: Repository, tmp_path: Path
) -> None:
    for role in ("timestamp", "snapshot", "targets"):
        (tmp_path / "tuf" / f"{role}.json").unlink()
    repository.files = dict(repository.past[1])
    with pytest.raises(VerificationError, match="snapshot 3 expected, got 2"):
        victim.refresh()
    assert victim.find_service("hello") == record("hello", 2)


def test_new_online_keys_do_not_take_back_what_the_publisher_signed(
    victim: Catalogue, repository: Repository, tmp_path: Path
) -> None:
    """The bins of a service, seen and verified here, are the publisher's word and not the thief's."""
    _stolen(repository, victim, tmp_path)
    repository.rotate("snapshot", "timestamp")
    repository.restart_online(3, 3, **{repository.trust.bin_of("services/hello").replace("-", "_"): 1})
    for _ in range(2):
        with pytest.raises(VerificationError, match="version 2 or later expected, got 1"):
            victim.refresh()
        assert victim.find_service("hello") == record("hello", 2)
    repository.sign_snapshot()
    repository.sign_timestamp()
    victim.refresh()
    assert victim.find_service("hello") == record("hello", 2)


def test_the_old_online_keys_are_worth_nothing_after_the_recovery(
    victim: Catalogue, repository: Repository, tmp_path: Path
) -> None:
    _stolen(repository, victim, tmp_path)
    thief = dict(repository.signers)
    repository.rotate("snapshot", "timestamp")
    repository.restart_online(3, 3)
    victim.refresh()
    own, good = repository.signers, dict(repository.files)
    repository.signers = thief
    repository.files["timestamp.json"] = repository.renumbered("timestamp.json", "timestamp", ABSURD)
    with pytest.raises(VerificationError):
        victim.refresh()
    repository.signers, repository.files = own, good
    repository.publish(record("hello", 3))
    assert victim.refresh()
    assert victim.find_service("hello") == record("hello", 3)


# The publisher's key, and that of targets.


def test_a_bin_of_an_absurd_version_goes_back_with_its_key(
    victim: Catalogue, repository: Repository, mirror: Mirror, tmp_path: Path
) -> None:
    roles = {repository.trust.bin_of(path) for path in ("services/hello", "hosts/hello.example")}
    good = dict(repository.bin_versions)
    for role in roles:
        repository.fast_forward_bin(role, ABSURD)
    repository.sign_snapshot()
    repository.sign_timestamp()
    victim.refresh()
    assert victim.find_service("hello") == record("hello", 2)
    repository.bin_versions = dict(good)
    repository.rotate_publisher()
    repository.sign_snapshot()
    repository.sign_timestamp()
    with pytest.raises(VerificationError):  # the snapshot of the same key says of no bin a lower version than before
        victim.refresh()
    repository.rotate("snapshot", "timestamp")
    repository.restart_online(repository.snapshot_version, repository.timestamp_version)
    victim.refresh()
    assert victim.find_service("hello") == record("hello", 2)
    _recovered(victim, repository, mirror, tmp_path)


def test_bins_of_a_publisher_key_that_was_taken_away_are_not_believed(
    victim: Catalogue, repository: Repository
) -> None:
    """Although the snapshot names the very same file: its signer is nobody now."""
    repository.rotate_publisher(sign_bins=False)
    repository.sign_snapshot()
    repository.sign_timestamp()
    with pytest.raises(VerificationError, match="signed by keys of this trust root"):
        victim.refresh()
    repository.rotate_publisher()
    repository.sign_snapshot()
    repository.sign_timestamp()
    victim.refresh()
    assert victim.find_service("hello") == record("hello", 2)


def test_targets_of_a_changed_key_are_followed(
    victim: Catalogue, repository: Repository, mirror: Mirror, tmp_path: Path
) -> None:
    repository.rotate("targets")
    repository.sign_snapshot()
    repository.sign_timestamp()
    victim.refresh()
    _recovered(victim, repository, mirror, tmp_path)


# The folder.


@pytest.mark.parametrize("name", ["catalogue.json", "tuf/timestamp.json", "tuf/snapshot.json", "tuf/targets.json"])
@pytest.mark.parametrize("damage", [b"", b"\xa5" * 512, b"{}", b'{"timestamp": 7}'])
def test_a_damaged_file_is_had_again(
    victim: Catalogue, repository: Repository, mirror: Mirror, tmp_path: Path, name: str, damage: bytes
) -> None:
    (tmp_path / name).write_bytes(damage)
    restarted = mirror.catalogue(tmp_path)
    restarted.refresh()
    assert restarted.find_service("hello") == record("hello", 2)
    _recovered(restarted, repository, mirror, tmp_path)


def test_damaged_roots_are_had_again(victim: Catalogue, repository: Repository, mirror: Mirror, tmp_path: Path) -> None:
    repository.rotate("snapshot", "timestamp")
    repository.restart_online(3, 3)
    victim.refresh()
    history = tmp_path / "tuf" / "root_history"
    (history / "2.root.json").write_bytes(b"\xa5" * 512)
    (history / "3.root.json").write_bytes(b"of no chain")
    restarted = mirror.catalogue(tmp_path)
    restarted.refresh()
    assert restarted.find_service("hello") == record("hello", 2)
    (history / "3.root.json").unlink()
    _recovered(restarted, repository, mirror, tmp_path)


def test_a_folder_that_takes_nothing_is_no_obstacle(
    victim: Catalogue,
    counters: Counters,
    repository: Repository,
    mirror: Mirror,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full disk: what is new is believed and counts from memory, and no version goes back meanwhile."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("edge.common.private.os.replace", full)
        patch.setattr(Path, "replace", full)
        repository.publish(record("hello", 3), record("other"))
        assert victim.refresh()
        assert victim.find_service("hello") == record("hello", 3)
        assert victim.find_service("other") == record("other")
        assert counters.storage_errors["catalogue"] >= 1
        repository.publish(record("hello", 4))
        assert victim.refresh()
        assert victim.find_service("hello") == record("hello", 4)
        repository.files = dict(repository.past[-2])
        with pytest.raises(VerificationError):
            victim.refresh()
    repository.files = dict(repository.past[-1])
    _recovered_after_full(victim, repository, mirror, tmp_path)


def _recovered_after_full(victim: Catalogue, repository: Repository, mirror: Mirror, tmp_path: Path) -> None:
    repository.publish(record("hello", 5))
    assert victim.refresh()
    restarted = mirror.catalogue(tmp_path)
    assert restarted.find_service("hello") == record("hello", 5)
