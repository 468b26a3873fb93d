"""A lying repository and an edge's catalogue of it."""

from collections.abc import Iterator

import pytest

from tests.attack.repository import Mirror, Repository


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror(Repository()).running() as running:
        yield running


@pytest.fixture
def repository(mirror: Mirror) -> Repository:
    return mirror.repository
