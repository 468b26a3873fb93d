"""Clients that make up names: do what the edge remembers of them, and so its memory, have a bound?"""

import pytest

from edge.front import cgi
from edge.front.connection import HEADERS_MAX
from edge.model import flow, routes
from edge.model.flow import ClientError
from edge.model.routes import Route

REMEMBERED = 1024  # of each kind
BYTES_EACH = 1 << 10  # of one that is remembered, with what it leads to


def block(route: Route, *fields: tuple[bytes, bytes]) -> bytes:
    return cgi.request_block(route, "GET", (1, 1), fields, 80, "192.0.2.1", b"id", None)


@pytest.mark.parametrize("kind", ["host", "service"])
def test_long_names_of_fields_are_refused_before_they_are_remembered(kind: str) -> None:
    route = routes.route("a.test", "/~service/a/", "" if kind == "host" else "a.test")
    assert route is not None
    assert route.kind == kind
    memos = (cgi._variable, cgi._variable_on_service_host)
    for memo in memos:
        memo.cache_clear()
    for number in range(2 * HEADERS_MAX):
        with pytest.raises(ClientError) as refused:
            block(route, (b"x%d-" % number + b"a" * cgi.FIELD_NAME_MAX, b"1"))
        assert refused.value.refusal.status == 431
    assert [memo.cache_info().currsize for memo in memos] == [0, 0]
    longest = b"x-" + b"a" * (cgi.FIELD_NAME_MAX - 2)
    assert b"HTTP_X_" + b"A" * (cgi.FIELD_NAME_MAX - 2) + b"\0value\0" in block(route, (longest, b"value"))
    assert 2 * cgi.FIELD_NAME_MAX < BYTES_EACH


def test_long_hosts_are_refused_before_they_are_remembered() -> None:
    flow._host_name.cache_clear()
    for number in range(2 * HEADERS_MAX):
        name = f"{number}." + "a" * routes.AUTHORITY_MAX
        assert routes.route(name, "/") is None
        assert routes.route("a.test", f"http://{name}/") is None
    assert flow._host_name.cache_info().currsize == 1  # a.test
    assert flow._host_name.cache_info().maxsize == REMEMBERED
    longest = "a" * routes.NAME_MAX
    assert routes.host_name(f"{longest}:65535") == longest
    assert routes.host_name(f"{longest}a:65535") is None
    assert routes.AUTHORITY_MAX < BYTES_EACH
