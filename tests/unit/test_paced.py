"""Does the paced generator keep its rate and count what is slow, wrong or lost, beside a server that is all of that?"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from loadtest.site.site import LOOPBACK
from loadtest.traffic.paced import Order, generator
from loadtest.traffic.tally import Tally
from loadtest.traffic.zipf import Shape
from tests.support.edges import PATIENCE_S

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Status: nunatak; fwd=uri-miss; detail=resident\r\n%b\r\nok"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    b"Cache-Status: nunatak; fwd=uri-miss; detail=parked\r\n\r\n2\r\nok\r\n"
)

Handler = Callable[[socket.socket, str], bool]


@contextmanager
def _server(handler: Handler) -> Iterator[str]:
    """Calls `handler` with the connection and the service's name for each GET; closes when that is false."""

    def serve(connection: socket.socket) -> None:
        with connection:
            received = b""
            while more := connection.recv(1 << 16):
                received += more
                while b"\r\n\r\n" in received:
                    head, _, received = received.partition(b"\r\n\r\n")
                    if not handler(connection, head.split(b"/")[2].decode()):
                        return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server((LOOPBACK, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _load(
    url: str, rate: float, *, connections: int = 8, seconds: float = 1.5, services: int = 4
) -> tuple[Tally, dict[str, int]]:
    order = Order(url, "s", Shape(services), rate, seconds, 0.5, connections, post=0.0)
    tally, again = Tally(), dict[str, int]()
    with generator(order) as reports:
        for report in reports:
            tally.merge(report.tally)
            for tier, count in report.again.items():
                again[tier] = again.get(tier, 0) + count
    return tally, again


def _answer(connection: socket.socket, service: str) -> bool:
    connection.sendall(OK % f"X-World: {service}\r\n".encode())
    return True


def test_the_rate_is_kept_and_every_request_is_counted() -> None:
    served: list[str] = []

    def count(connection: socket.socket, service: str) -> bool:
        served.append(service)
        return _answer(connection, service)

    with _server(count) as url:
        tally, again = _load(url, 200, connections=1)  # each is answered before the next is sent
    assert tally.requests == len(served)
    assert 200 < tally.requests < 400, "300 arrivals by chance"
    assert not tally.failures
    assert tally.tiers == {"resident": len(served)}
    assert again == {"resident": tally.requests - 4}, "all but the first of each service"


def test_a_service_is_met_again_by_requests_sent_after_its_first_answer() -> None:
    served: list[str] = []
    second = threading.Event()

    def hold_the_first(connection: socket.socket, service: str) -> bool:
        served.append(service)
        if len(served) == 2:
            second.set()
        return second.wait(PATIENCE_S) and _answer(connection, service)

    with _server(hold_the_first) as url:
        tally, again = _load(url, 200, connections=2, services=1)
    assert again == {"resident": len(served) - 2}, "two were under way before there was an answer"
    assert tally.requests == len(served)


def test_without_a_rate_the_server_sets_it() -> None:
    with _server(_answer) as url:
        tally, _ = _load(url, 0, connections=2, seconds=0.5)
    assert tally.requests > 100
    assert not tally.failures


def test_a_pause_is_counted_for_all_who_wait() -> None:
    served: list[str] = []

    def pause(connection: socket.socket, service: str) -> bool:
        served.append(service)
        if len(served) == 20:
            threading.Event().wait(1.0)  # what the test is about: it passes for those who wait
        return _answer(connection, service)

    with _server(pause) as url:
        tally, _ = _load(url, 100, connections=1, seconds=2.0)
    assert tally.times.quantile(0.9) > 200, "requests that were due in the pause waited, though they were not sent"
    assert not tally.failures


@pytest.mark.parametrize("close", [True, False])
def test_chunks_are_read_and_connections_that_close_are_opened_again(close: bool) -> None:
    def chunks(connection: socket.socket, _: str) -> bool:
        connection.sendall(CHUNKED)
        connection.sendall(b"0\r\n\r\n")
        return not close

    with _server(chunks) as url:
        tally, _ = _load(url, 50)
    assert tally.requests > 30
    assert tally.tiers["parked"] == tally.requests - tally.failures
    assert tally.failures == 0


def test_errors_are_classed() -> None:
    def wrong(connection: socket.socket, service: str) -> bool:
        match service[-1]:
            case "0":
                return False
            case "1":
                return _answer(connection, "s-00003")
            case "2":
                connection.sendall(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nX-Nunatak-Error: guest_fault\r\n\r\n")
                return True
            case _:
                return _answer(connection, service)

    with _server(wrong) as url:
        tally, _ = _load(url, 100)
    assert tally.errors.keys() == {"no answer: connection closed", "another service answered", "502 guest_fault"}
    assert tally.tiers.total() + tally.failures == tally.requests
