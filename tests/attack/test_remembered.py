"""Clients that make up names: do what the edge remembers of them, and so its memory, have a bound?"""

import pytest

from edge.config.proxies import networks
from edge.front import cgi
from edge.front.senders import REMEMBERED_MAX, Senders
from edge.model import routes
from edge.model.flow import ClientError
from edge.model.routes import Route
from tests.support.memory import kept_bytes

REMEMBERED = 1024  # of each kind
BYTES_EACH = 1 << 10  # of one that is remembered, with what it leads to
MANY = 4 * REMEMBERED
SENDER = Senders().of("192.0.2.1", ())
LITTLE = 64 << 10  # what is kept of names that are not remembered: errors, and the parser's own odds and ends


def block(route: Route, *fields: tuple[bytes, bytes]) -> bytes:
    return cgi.request_block(route, "GET", (1, 1), fields, 80, SENDER, b"id", None)


@pytest.mark.parametrize("kind", ["host", "service"])
def test_names_of_fields_take_a_bounded_room_and_long_ones_none(kind: str) -> None:
    route = routes.route("a.test", "/~service/a/", "" if kind == "host" else "a.test")
    assert route is not None
    assert route.kind == ("service" if kind == "service" else "nobody")
    longest = b"x-" + b"a" * (cgi.FIELD_NAME_MAX - 2)
    assert b"HTTP_X_" + b"A" * (cgi.FIELD_NAME_MAX - 2) + b"\0value\0" in block(route, (longest, b"value"))

    def too_long() -> None:
        for number in range(MANY):
            with pytest.raises(ClientError) as refused:
                block(route, (b"x%d-" % number + b"a" * cgi.FIELD_NAME_MAX, b"1"))
            assert refused.value.refusal.status == 431

    def as_long_as_may_be() -> None:
        for number in range(MANY):
            block(route, ((b"x%d-" % number).ljust(cgi.FIELD_NAME_MAX, b"a"), b"1"))

    assert kept_bytes(too_long) < LITTLE
    assert LITTLE < kept_bytes(as_long_as_may_be) < REMEMBERED * BYTES_EACH


def test_hosts_take_a_bounded_room_and_long_ones_none() -> None:
    longest = "a" * routes.NAME_MAX
    assert routes.host_name(f"{longest}:65535") == longest
    assert routes.host_name(f"{longest}a:65535") is None

    def too_long() -> None:
        for number in range(MANY):
            name = f"{number}." + "a" * routes.AUTHORITY_MAX
            assert routes.route(name, "/") is None
            assert routes.route("a.test", f"http://{name}/") is None

    def as_long_as_may_be() -> None:
        for number in range(MANY):
            assert routes.route(f"{number}.".ljust(routes.NAME_MAX, "a"), "/") is not None

    assert kept_bytes(too_long) < LITTLE
    assert LITTLE < kept_bytes(as_long_as_may_be) < REMEMBERED * BYTES_EACH


@pytest.mark.parametrize("name", [b"X-Forwarded-For", b"Forwarded"])
def test_what_proxies_say_of_clients_takes_a_bounded_room_and_much_of_it_none(name: bytes) -> None:
    senders = Senders(networks("10.0.0.0/8"))
    start = b"for=192.0.2.1;x=" if name == b"Forwarded" else b"192.0.2.1, "

    def say(size: int) -> None:
        for number in range(MANY):
            assert senders.of("10.0.0.1", [(name, start.ljust(size - 8, b"1") + b"%08d" % number)]).passes

    assert kept_bytes(lambda: say(REMEMBERED_MAX + 1)) < LITTLE
    assert LITTLE < kept_bytes(lambda: say(REMEMBERED_MAX)) < REMEMBERED * 2 * BYTES_EACH
