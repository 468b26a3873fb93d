"""A lying repository and an edge's catalogue of it; time that stands."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.catalogue.catalogue import Catalogue
from edge.common.counters import Counters
from tests.attack.repository import Mirror, Repository, record
from tests.support.tenancy import Party


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror(Repository()).running() as running:
        yield running


@pytest.fixture
def repository(mirror: Mirror) -> Repository:
    return mirror.repository


@pytest.fixture
def acme() -> Party:
    """A tenant."""
    return Party("acme")


@pytest.fixture
def mallory() -> Party:
    """Another tenant, who wants what is acme's."""
    return Party("mallory")


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def victim(mirror: Mirror, repository: Repository, counters: Counters, tmp_path: Path) -> Catalogue:
    """An edge that has seen version 2 of hello, after version 1: snapshot 3, timestamp 3."""
    catalogue = mirror.catalogue(tmp_path, counters=counters)
    for version in (1, 2):
        repository.publish(record("hello", version))
        catalogue.refresh()
        assert catalogue.find_service("hello") == catalogue.find_host("hello.example") == record("hello", version)
    return catalogue


@pytest.fixture
def time_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """So nobody is allowed more because the test took long; of event loops too, so no timer of theirs fires."""
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
