"""Does the link of the load tester hold things up, lose and keep them as the wide area does, and count round trips?"""

import asyncio
import json
import os
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loadtest.site.server import Server
from loadtest.site.site import NUNATAK
from loadtest.wan.exchanges import Exchange, Log, longest_chain, round_trips
from loadtest.wan.fates import fate
from loadtest.wan.link import Bucket, Direction, Link
from loadtest.wan.orders import NoOrder, obey
from loadtest.wan.proxy import Proxy, Wan


def direction(link: Link, ready_s: float = 0.0) -> Direction:
    return Direction(link, Bucket(link.rate, link.burst_bytes), ready_s)


def test_half_a_round_trip_each_way_and_a_whole_one_before_a_connection_is_usable() -> None:
    link = Link(rtt_s=0.08)
    assert direction(link).leave_at(100, 5.0) == 5.04
    assert direction(link, ready_s=5.08).leave_at(100, 5.0) == pytest.approx(5.12)


def test_bytes_keep_their_order_whatever_their_size() -> None:
    link = Link(rtt_s=0.1, rate=1000, burst_bytes=100, window_bytes=300)
    one = direction(link)
    leave = [one.leave_at(size, at / 100) for at, size in enumerate([900, 1, 400, 2, 2, 50])]
    assert leave == sorted(leave)


def test_connections_share_the_rate_and_a_burst_passes_at_once() -> None:
    link = Link(rate=1000, burst_bytes=500)
    bucket = Bucket(link.rate, link.burst_bytes)
    first, second = Direction(link, bucket, 0), Direction(link, bucket, 0)
    assert first.leave_at(500, 0) == 0
    assert second.leave_at(500, 0) == 0.5
    assert first.leave_at(500, 0) == 1.0
    assert second.leave_at(500, 100) == 100, "and the bucket fills again, to its brim and no further"
    assert second.leave_at(500, 100) == 100.5


def test_a_window_doubles_with_each_round_trip_and_begins_anew_after_a_pause() -> None:
    one = direction(Link(rtt_s=1.0, window_bytes=1000))
    at = [one.leave_at(500, 10.0) - 0.5 for _ in range(14)]
    assert at == [10] * 2 + [11] * 4 + [12] * 8
    later = [one.leave_at(500, 100.0) - 0.5 for _ in range(3)]
    assert later == [100, 100, 101]


def test_a_window_that_is_not_used_up_does_not_grow() -> None:
    one = direction(Link(rtt_s=1.0, window_bytes=1000))
    assert [one.leave_at(400, at) - 0.5 for at in (1.0, 2.0, 3.0)] == [1, 2, 3]
    assert [one.leave_at(600, 3.0) - 0.5 for _ in range(2)] == [3, 4]


def test_fates_go_by_seed_and_number() -> None:
    link = Link(reset_share=0.25, stall_share=0.25, seed=7)
    fates = [fate(link, number) for number in range(400)]
    assert fates == [fate(link, number) for number in range(400)]
    lost, stopped = sum(f.reset_after is not None for f in fates), sum(f.stall_after is not None for f in fates)
    assert (lost, stopped) == (80, 101)
    assert fates != [fate(Link(reset_share=0.25, stall_share=0.25, seed=8), number) for number in range(400)]
    assert fate(Link(reset_after_bytes=9), 5).reset_after == 9


def test_a_link_with_negative_time_is_none() -> None:
    with pytest.raises(ValueError, match="rtt_s"):
        Link(rtt_s=-1)
    with pytest.raises(ValueError, match="together"):
        Link(reset_share=0.6, stall_share=0.6)


def exchange(sent_s: float, ended_s: float | None, *, waited: bool = False, opened_s: float = 0.0) -> Exchange:
    return Exchange(0, f"{sent_s:g}", sent_s, opened_s, waited, ended_s)


@pytest.mark.parametrize(
    ("exchanges", "count"),
    [
        ([], 0),
        ([exchange(0, 1)], 1),
        ([exchange(0, 1, waited=True)], 2),
        ([exchange(0, 1), exchange(1, 2), exchange(2, 3)], 3),
        ([exchange(0, 1), exchange(0, 1.1), exchange(0.5, 1.2)], 1),
        ([exchange(0, 1), exchange(1.5, 2, waited=True, opened_s=0.5), exchange(2, 3)], 3),
        ([exchange(0, 1), exchange(1, 9), exchange(2, 3), exchange(4, 5)], 3),
        ([exchange(0, 1), exchange(1, None)], 1),
    ],
    ids="none one connected chain parallel connected-meanwhile long-one-beside unanswered".split(),
)
def test_round_trips_are_those_that_had_to_follow_one_another(exchanges: list[Exchange], count: int) -> None:
    assert round_trips(longest_chain(exchanges[::-1])) == count


def test_what_is_sent_after_an_answer_is_another_exchange() -> None:
    log = Log()
    log.sent(1, b"GET /a HTTP/1.1\r\n", 0.0, opened_s=0.0, waited=True)
    log.sent(1, b"Host: x\r\n\r\n", 0.1, opened_s=0.0, waited=False)
    log.came_back(1, 10, 1.0)
    log.came_back(1, 20, 2.0)
    log.sent(1, b"GET /b HTTP/1.1\r\n", 2.0, opened_s=0.0, waited=False)
    first, second = log.exchanges
    assert (first.what, first.up_bytes, first.down_bytes, first.ended_s) == ("GET /a HTTP/1.1", 28, 30, 2.0)
    assert (second.what, second.ended_s, second.round_trips) == ("GET /b HTTP/1.1", None, 1)


@contextmanager
def echo() -> Iterator[str]:
    """A server that sends back what it gets, and ends with who asked; its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve(connection: socket.socket) -> None:
            with connection:
                try:
                    while data := connection.recv(1 << 16):
                        connection.sendall(data)
                except OSError:
                    pass

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def connect(wan: Wan) -> socket.socket:
    host, _, port = wan.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(30)
    return connection


def receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := connection.recv(1 << 16)):
        data += more
    return data


def test_what_passes_is_unchanged_and_its_round_trips_are_counted() -> None:
    sent = bytes(range(256)) * 1000
    with echo() as to, Wan(to, Link(rtt_s=0.02, window_bytes=14_600)) as wan, connect(wan) as connection:
        connection.sendall(b"first")
        assert receive(connection, 5) == b"first"
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection, len(sent) + 1) == sent, "and then the end of it"
        first, second = wan.taken()
    assert first.waited
    assert second.sent_s - first.opened_s >= 0.04, "a round trip for the connection, and one for what was sent"
    assert (first.down_bytes, second.down_bytes) == (5, len(sent))
    assert round_trips(longest_chain([first, second])) == 3


def test_nothing_passes_a_partition_and_nothing_is_lost_by_it() -> None:
    with echo() as to, Wan(to, Link()) as wan, connect(wan) as before:
        before.sendall(b"a")
        assert receive(before, 1) == b"a"
        wan.partition()
        before.sendall(b"b")
        with connect(wan) as during:
            during.sendall(b"c")
            for connection in (before, during):
                connection.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
                connection.settimeout(30)
            wan.partition(False)
            assert (receive(before, 1), receive(during, 1)) == (b"b", b"c")


def test_a_connection_is_lost_after_so_many_bytes_and_the_next_one_too() -> None:
    with echo() as to, Wan(to, Link(reset_after_bytes=10)) as wan:
        for number in (1, 2):
            with connect(wan) as connection:
                connection.sendall(b"0123456789")
                assert receive(connection, 10) == b"0123456789"
                connection.sendall(b"x")
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
            assert (wan.connections, wan.resets) == (number, number)


def test_all_connections_are_lost_by_order() -> None:
    with echo() as to, Wan(to, Link()) as wan, connect(wan) as one, connect(wan) as two:
        for connection in (one, two):
            connection.sendall(b"x")
            assert receive(connection, 1) == b"x"
        assert wan.reset_all() == 2
        for connection in (one, two):
            with pytest.raises(ConnectionResetError):
                connection.recv(1)


def test_orders_change_the_link_and_say_how_it_is() -> None:
    async def play() -> None:
        proxy = Proxy(("127.0.0.1", 1), Link())
        assert obey(proxy, "rtt 20")["rtt_ms"] == 20
        assert obey(proxy, "rate 8")["rate_mbit"] == 8
        assert proxy.link == Link(rtt_s=0.02, rate=1e6)
        assert obey(proxy, "partition")["partitioned"] is True
        assert obey(proxy, "heal")["partitioned"] is False
        for line in ("", "rtt", "rtt -1", "rate x", "rtt nan nan", "drop"):
            with pytest.raises(NoOrder):
                obey(proxy, line)

    asyncio.run(play())


def test_the_command_takes_signals_and_orders(tmp_path: Path) -> None:
    control = tmp_path / "wan.sock"
    with echo() as to:
        options = ["--to", to, "--rtt", "1", "--control", str(control)]
        with Server("wan", [*NUNATAK, "wan", *options], tmp_path) as server, socket.socket(socket.AF_UNIX) as orders:
            orders.connect(str(control))
            said = orders.makefile("rw")

            def order(line: str) -> dict[str, Any]:
                said.write(line + "\n")
                said.flush()
                found = json.loads(said.readline())
                assert isinstance(found, dict)
                return found

            assert stat.S_IMODE(control.stat().st_mode) == 0o600
            os.kill(server.pid, signal.SIGUSR1)
            while not order("status")["partitioned"]:
                pass  # a round trip each, until the signal has come
            assert order("heal")["partitioned"] is False
            assert "expected" in order("nonsense")["error"]
        assert server.stop() == 0
    assert not control.exists()
