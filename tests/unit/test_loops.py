"""How many edges a request has passed through."""

from edge.model import loops


def test_edges_that_a_request_has_passed() -> None:
    assert loops.passed(None) == 0
    assert loops.passed("other, nunatak; v=1, nunatak") == 2
