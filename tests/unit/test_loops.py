"""Which networks a request has passed through, and what a request that its guest sends says of that."""

from collections.abc import Sequence

import pytest

from edge.model import loops


def test_edges_that_a_request_has_passed() -> None:
    assert loops.passed(None) == 0
    assert loops.passed("other, nunatak; v=1, nunatak") == 2


@pytest.mark.parametrize(
    ("requests", "onward"),
    [
        ([], "nunatak"),
        ([""], "nunatak"),
        (["nunatak"], "nunatak, nunatak"),
        (["nunatak", "nunatak, nunatak", ""], "nunatak, nunatak, nunatak"),
        (["a.example:80; v=1, nunatak", "other,a.example:80, [::1]"], "a.example:80, other, [::1], nunatak, nunatak"),
        (['a b, "c", d\te, \xe9, ok, , ;x'], "ok, nunatak"),  # nothing that is no name
        (
            [", ".join(f"n{number}" for number in range(40))],
            ", ".join([f"n{number}" for number in range(16)] + ["nunatak"]),
        ),
    ],
)
def test_what_a_guests_own_request_says(requests: Sequence[str], onward: str) -> None:
    assert loops.onward(requests) == onward
