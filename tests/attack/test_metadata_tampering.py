"""Does an edge take one byte that the trust root does not stand behind?"""

import threading
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, TargetFile

from edge.catalogue.catalogue import Catalogue
from tests.attack.repository import Mirror, Repository, record
from vmimage.errors import OperatorError, VerificationError
from vmimage.trust import make_targets

ROLES = ["timestamp", "snapshot", "bin"]


@pytest.fixture
def victim(mirror: Mirror, repository: Repository, tmp_path: Path) -> Catalogue:
    """An edge that knows version 1 of hello; the attack comes with version 2."""
    repository.publish(record("hello"))
    catalogue = mirror.catalogue(tmp_path)
    catalogue.refresh()
    assert catalogue.find_service("hello") == catalogue.find_host("hello.example") == record("hello")
    return catalogue


def _file(repository: Repository, role: str) -> str:
    """Name of the file that a role's next version is in."""
    if role == "bin":
        role = repository.trust.bin_of("services/hello")
        return f"{repository.bin_versions[role]}.{role}.json"
    return f"{repository.snapshot_version}.snapshot.json" if role == "snapshot" else f"{role}.json"


def _refused_and_unchanged(victim: Catalogue, mirror: Mirror, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(VerificationError):
            victim.refresh()
        assert victim.find_service("hello") == record("hello")
        assert victim.find_host("hello.example") == record("hello")
    restarted = mirror.catalogue(tmp_path)
    with pytest.raises(VerificationError):
        restarted.refresh()
    assert restarted.find_service("hello") == record("hello")


@pytest.mark.parametrize("role", ROLES)
def test_a_flipped_bit(victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path, role: str) -> None:
    repository.publish(record("hello", 2))
    good = dict(repository.files)
    name = _file(repository, role)
    for position in range(5, len(good[name]), len(good[name]) // 8):
        damaged = bytearray(good[name])
        damaged[position] ^= 1
        repository.files[name] = bytes(damaged)
        with pytest.raises(VerificationError):
            victim.refresh()
        assert victim.find_service("hello") == record("hello")
    _refused_and_unchanged(victim, mirror, tmp_path)
    repository.files = good
    assert victim.refresh()
    assert victim.find_service("hello") == record("hello", 2)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "publisher"])
def test_a_wrong_key(victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path, role: str) -> None:
    repository.signers[role] = CryptoSigner.generate_ed25519()
    _publish_unchecked(repository)
    _refused_and_unchanged(victim, mirror, tmp_path)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "publisher"])
def test_a_key_of_another_role(
    victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path, role: str
) -> None:
    """Whoever breaks into the origin holds two keys; neither serves for another's work."""
    others = {"timestamp": "snapshot", "snapshot": "timestamp", "publisher": "snapshot"}
    repository.signers[role] = repository.signers[others[role]]
    _publish_unchecked(repository)
    _refused_and_unchanged(victim, mirror, tmp_path)


def _publish_unchecked(repository: Repository) -> None:
    """Version 2, where one step may be signed by a key that the next step's own check would refuse."""
    changes: dict[str, dict[str, TargetFile | None]] = {}
    for path, target in make_targets(record("hello", 2), ()).items():
        changes.setdefault(repository.trust.bin_of(path), {})[path] = target
    for role, change in changes.items():
        repository.sign_bin(role, change)
    repository.sign_snapshot()
    repository.sign_timestamp()


@pytest.mark.parametrize("role", [*ROLES, "root"])
def test_a_file_without_end(
    victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path, role: str
) -> None:
    repository.publish(record("hello", 2))
    if role == "root":
        repository.files["2.root.json"] = b""
        mirror.endless.add("2.root.json")
    else:
        mirror.endless.add(_file(repository, role))
    _refused_and_unchanged(victim, mirror, tmp_path)


def test_the_entry_of_another_service(
    victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path
) -> None:
    """The publisher's own signature, but over other's image under hello's name."""
    path = "services/hello"
    other = make_targets(record("other", 2), ())["services/other"]
    other.path = path
    role = repository.trust.bin_of(path)
    _sign_anything(repository, role, {path: other})
    _refused_and_unchanged(victim, mirror, tmp_path)


def test_the_bin_of_another_name(victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path) -> None:
    """A bin that the publisher signed, moved to where it does not belong."""
    role = repository.trust.bin_of("services/hello")
    other = next(f"other{i}" for i in range(100) if repository.trust.bin_of(f"services/other{i}") != role)
    _sign_anything(repository, role, {f"services/{other}": make_targets(record(other), ())[f"services/{other}"]})
    _refused_and_unchanged(victim, mirror, tmp_path)


def _sign_anything(repository: Repository, role: str, changes: dict[str, TargetFile | None]) -> None:
    repository.sign_bin(role, changes)
    repository.sign_snapshot()
    repository.sign_timestamp()


def test_a_bin_that_the_origin_never_published(
    victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path
) -> None:
    """With a stolen publisher key but without the origin's: another bin of the version that the snapshot names."""
    role = repository.trust.bin_of("services/hello")
    repository.publish(record("hello", 2))
    repository.bin_versions[role] = 1
    repository.sign_bin(role, {"services/hello": make_targets(record("hello", 9), ())["services/hello"]})
    _refused_and_unchanged(victim, mirror, tmp_path)


def test_mix_and_match(victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path) -> None:
    """Files that were all good once, but never together."""
    role = repository.trust.bin_of("services/hello")
    repository.publish(record("hello", 2))
    repository.publish(record("hello", 3))
    repository.files[f"3.{role}.json"] = repository.files[f"2.{role}.json"]
    _refused_and_unchanged(victim, mirror, tmp_path)


@pytest.mark.parametrize("signers", [(), ("targets",)])
def test_a_root_that_nobody_handed_over(
    victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path, signers: tuple[str, ...]
) -> None:
    _rotate(repository, *signers)
    repository.publish(record("hello", 2))
    _refused_and_unchanged(victim, mirror, tmp_path)


def test_a_root_that_was_handed_over_is_followed(
    victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path
) -> None:
    """The timestamp key was stolen; the owner of the root key replaces it."""
    _rotate(repository, "root")
    repository.publish(record("hello", 2))
    assert victim.refresh()
    assert victim.find_service("hello") == record("hello", 2)
    assert mirror.catalogue(tmp_path).find_service("hello") == record("hello", 2)


def _rotate(repository: Repository, *signers: str) -> None:
    """A second root with a new timestamp key, signed by `signers`."""
    root = Metadata[Root].from_bytes(repository.root)
    new = CryptoSigner.generate_ed25519()
    root.signed.version = 2
    root.signed.revoke_key(repository.signers["timestamp"].public_key.keyid, "timestamp")
    root.signed.add_key(new.public_key, "timestamp")
    root.signatures.clear()
    for role in signers or ("publisher",):
        root.sign(repository.signers[role], append=True)
    repository.signers["timestamp"] = new
    repository.files["2.root.json"] = root.to_bytes()


def test_damage_on_the_edges_own_disk(
    victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path
) -> None:
    """Whatever file is damaged, a restarted edge believes what is signed or nothing."""
    good = {path: path.read_bytes() for path in tmp_path.rglob("*.json") if path.is_file()}
    assert len(good) >= 6
    for path, data in good.items():
        damaged = bytearray(data)
        damaged[len(data) // 2] ^= 1
        path.write_bytes(damaged)
        restarted = mirror.catalogue(tmp_path)
        restarted.refresh()
        assert restarted.find_service("hello") == record("hello")


def test_a_trust_root_that_is_none(mirror: Mirror, repository: Repository, tmp_path: Path) -> None:
    for root in (b"", b"{}", repository.files["1.targets.json"], repository.root[:-9] + b"00000000}"):
        repository.root = root
        with pytest.raises(OperatorError, match="trust root"):
            mirror.catalogue(tmp_path)


def test_another_trust_root_forgets_what_the_old_one_vouched_for(
    victim: Catalogue, mirror: Mirror, repository: Repository, tmp_path: Path
) -> None:
    mirror.repository.root = Repository().root
    changed = mirror.catalogue(tmp_path)
    assert changed.expired
    with pytest.raises(VerificationError):
        changed.find_service("hello")


def test_many_threads_see_one_version_at_a_time(victim: Catalogue, repository: Repository, tmp_path: Path) -> None:
    """Lookups during a refresh get the old or the new record, never an error and never an older one."""
    versions: list[list[int]] = [[], []]
    start, done = threading.Barrier(3), threading.Event()

    def look(seen: list[int]) -> None:
        start.wait()
        while not done.is_set():
            found = victim.find_service("hello")
            seen.append(found.version if found else 0)

    threads = [threading.Thread(target=look, args=(seen,)) for seen in versions]
    for thread in threads:
        thread.start()
    start.wait()
    for version in range(2, 5):
        repository.publish(record("hello", version))
        assert victim.refresh()
    done.set()
    for thread in threads:
        thread.join()
    for seen in versions:
        assert seen == sorted(seen)
        assert set(seen) <= set(range(1, 5))
