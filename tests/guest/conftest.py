"""The guest suite runs on both engines; without KVM its half is skipped, and the report says why."""

from collections.abc import Iterator

import pytest

from tests.support.guests import ENGINE


@pytest.fixture(scope="module", params=["unicorn", pytest.param("kvm", marks=pytest.mark.kvm)], autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine of the shells in a test."""
    token = ENGINE.set(request.param)
    yield request.param
    ENGINE.reset(token)
