"""Does an edge notice that it is being kept from the news, and what does it still do then?"""

import time
from datetime import timedelta
from pathlib import Path

import pytest

from tests.attack.repository import Mirror, Repository, record
from vmimage.errors import OriginError, OriginTimeout, OriginUnreachable, VerificationError

HOUR_S = 3600.0


class Clock:
    """The edge's wall clock, hands movable."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


def _elsewhere(repository: Repository, service: str) -> str:
    """A service name in a bin that `service` does not need."""
    paths = (f"services/{service}", f"hosts/{service}.example")
    taken = {repository.trust.bin_of(path) for path in paths}
    names = (f"other{number}" for number in range(1000))
    return next(name for name in names if repository.trust.bin_of(f"services/{name}") not in taken)


def test_the_same_timestamp_for_ever(mirror: Mirror, repository: Repository, tmp_path: Path) -> None:
    other = _elsewhere(repository, "hello")
    repository.publish(record("hello"), record(other))
    clock = Clock()
    catalogue = mirror.catalogue(tmp_path, clock=clock)
    catalogue.refresh()
    assert catalogue.find_service("hello") == record("hello")
    assert not catalogue.refresh()
    clock.ahead_s = HOUR_S + 1
    assert catalogue.expired
    with pytest.raises(VerificationError, match="not expired"):
        catalogue.refresh()
    assert catalogue.find_service("hello") == record("hello")  # verified before: goes on
    with pytest.raises(VerificationError, match="not expired"):
        catalogue.find_service(other)  # not verified before: refused
    restarted = mirror.catalogue(tmp_path, clock=clock)
    assert restarted.expired
    assert restarted.find_service("hello") == record("hello")
    with pytest.raises(VerificationError, match="not expired"):
        restarted.find_service(other)


def test_the_end_of_a_freeze(mirror: Mirror, repository: Repository, tmp_path: Path) -> None:
    repository.publish(record("hello"))
    clock = Clock()
    catalogue = mirror.catalogue(tmp_path, clock=clock)
    catalogue.refresh()
    clock.ahead_s = HOUR_S + 1
    assert catalogue.expired
    repository.lifetime = timedelta(hours=3)
    repository.sign_timestamp()
    assert (catalogue.refresh(), catalogue.expired) == (False, False)  # nothing new but the date
    assert catalogue.find_service("hello") == record("hello")


def test_an_expired_timestamp_to_a_new_edge(mirror: Mirror, repository: Repository, tmp_path: Path) -> None:
    repository.lifetime = timedelta(hours=-1)
    repository.publish(record("hello"))
    catalogue = mirror.catalogue(tmp_path)
    for _ in range(2):
        with pytest.raises(VerificationError, match="expired"):
            catalogue.refresh()
        with pytest.raises(VerificationError, match="expired"):
            catalogue.find_service("hello")
        assert catalogue.expired


def test_an_expired_newer_version_to_an_edge_that_knows_an_older(
    mirror: Mirror, repository: Repository, tmp_path: Path
) -> None:
    repository.publish(record("hello"))
    catalogue = mirror.catalogue(tmp_path)
    catalogue.refresh()
    assert catalogue.find_service("hello") == record("hello")
    repository.lifetime = timedelta(hours=-1)
    repository.publish(record("hello", 2))
    with pytest.raises(VerificationError, match="expired"):
        catalogue.refresh()
    assert catalogue.find_service("hello") == record("hello")


def test_an_expired_bin(mirror: Mirror, repository: Repository, tmp_path: Path) -> None:
    now = repository.now
    repository.now = now - timedelta(days=366)
    role = repository.trust.bin_of("services/hello")
    repository.sign_bin(role, {})
    repository.now = now
    repository.sign_snapshot()
    repository.sign_timestamp()
    catalogue = mirror.catalogue(tmp_path)
    catalogue.refresh()
    with pytest.raises(VerificationError, match="not expired"):
        catalogue.find_service("hello")


@pytest.mark.parametrize("role", ["timestamp.json", "2.snapshot.json"])
def test_a_mirror_that_says_nothing(mirror: Mirror, repository: Repository, tmp_path: Path, role: str) -> None:
    repository.publish(record("hello"))
    mirror.silent.add(role)
    catalogue = mirror.catalogue(tmp_path, read_timeout_s=0.1)
    with pytest.raises(OriginTimeout):
        catalogue.refresh()
    assert catalogue.expired


@pytest.mark.parametrize("role", ["timestamp.json", "2.snapshot.json"])
def test_a_mirror_that_drips(mirror: Mirror, repository: Repository, tmp_path: Path, role: str) -> None:
    repository.publish(record("hello"))
    mirror.dripping.add(role)
    catalogue = mirror.catalogue(tmp_path, file_timeout_s=0.2)
    with pytest.raises(OriginTimeout, match="whole file"):
        catalogue.refresh()


def test_a_mirror_that_is_gone(mirror: Mirror, repository: Repository, tmp_path: Path) -> None:
    other = _elsewhere(repository, "hello")
    repository.publish(record("hello"), record(other))
    catalogue = mirror.catalogue(tmp_path)
    catalogue.refresh()
    assert catalogue.find_host("hello.example") == record("hello")
    mirror.url = "http://127.0.0.1:1/tuf/"
    gone = mirror.catalogue(tmp_path)
    with pytest.raises(OriginUnreachable):
        gone.refresh()
    assert gone.find_host("hello.example") == record("hello")
    assert not gone.expired
    with pytest.raises(OriginUnreachable):
        gone.find_service(other)
    with pytest.raises(OriginUnreachable):
        mirror.catalogue(tmp_path / "new").find_service("hello")


def test_a_mirror_without_a_file(mirror: Mirror, repository: Repository, tmp_path: Path) -> None:
    repository.publish(record("hello"))
    catalogue = mirror.catalogue(tmp_path)
    del repository.files["2.snapshot.json"]
    with pytest.raises(OriginError, match="404"):
        catalogue.refresh()


def test_no_news_costs_one_conditional_request(mirror: Mirror, repository: Repository, tmp_path: Path) -> None:
    repository.publish(record("hello"))
    catalogue = mirror.catalogue(tmp_path)
    assert catalogue.refresh()
    catalogue.find_service("hello")
    mirror.requests.clear()
    for _ in range(3):
        assert not catalogue.refresh()
        assert catalogue.find_service("hello") == record("hello")
    assert mirror.requests == [("timestamp.json", True, 304)] * 3


def test_news_of_one_service_leave_other_bins_alone(mirror: Mirror, repository: Repository, tmp_path: Path) -> None:
    other = _elsewhere(repository, "hello")
    repository.publish(record("hello"), record(other))
    catalogue = mirror.catalogue(tmp_path)
    catalogue.refresh()
    catalogue.find_service("hello")
    catalogue.find_service(other)
    mirror.asked()
    repository.publish(record("hello", 2, "elsewhere.example"))
    assert catalogue.refresh()
    role = repository.trust.bin_of("services/hello")
    assert sorted(mirror.asked()) == sorted(["timestamp.json", "2.root.json", "3.snapshot.json", f"2.{role}.json"])
    assert catalogue.find_service("hello") == record("hello", 2, "elsewhere.example")
    assert catalogue.find_service(other) == record(other)
    assert mirror.asked() == []
