"""An edge that is replaced while clients ask: none is refused, and what machines knew goes over. And how one ends."""

import errno
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from tests.support.edges import PATIENCE_S, admin, eventually, metrics
from tests.support.fronts import free_port
from tests.support.restarts import Manager, activated, load, successor


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An origin with services; tests start edges of their own."""
    with Site(tmp_path_factory.mktemp("restarts"), edges=0, edge_config={"refresh": 0.2}) as site:
        for name in ("hello", "neighbour"):
            site.publish(site.build(example(name)), name)
        yield site


@pytest.fixture
def edge(origin: Site) -> Iterator[Server]:
    """An edge of one test."""
    running = origin.add_edge()
    yield running
    running.stop()


def asked(edge: Server, url: str = "", host: str = "hello.test") -> tuple[int, str]:
    """:param url: where it listens; the first such place where it is empty."""
    with Client(url or edge.url) as client:
        answer = client.get("/", host=host)
    return answer.status, answer.body.decode()


def count(edge: Server) -> int:
    """How many requests the machine of `hello` remembers."""
    status, text = asked(edge)
    assert status == 200
    return int(text.rpartition(" ")[2])


def test_an_edge_takes_anothers_place_under_load(origin: Site, edge: Server) -> None:
    after = successor(edge, origin.folder, "--take-over")
    try:
        with load(edge, "hello.test") as outcome:
            eventually(lambda: count(edge) > 100, "the load is there")
            before = count(edge)
            after.start()
            assert edge.wait() == 0
            assert count(after) > before
            seen = count(after)
            eventually(lambda: count(after) > seen + 100, "the load is there still")
        assert after.url == edge.url, "on the same listener, where port 0 was asked for"
        assert outcome.failed == (0, 0)
        assert outcome.answered > 200
        assert "event=listeners_taken" in edge.log.read_text()
        assert "event=taking_over" in after.log.read_text()
    finally:
        after.stop()


def test_a_unix_socket_goes_over_and_is_removed_by_the_last(origin: Site, edge: Server) -> None:
    path = origin.folder / "public.sock"
    edge.stop()
    edge.command[edge.command.index("--listen") + 1] = f"unix:{path}"
    edge.start()
    after = successor(edge, origin.folder, "--take-over")
    try:
        after.start()
        assert edge.wait() == 0
        assert edge.url == after.url == f"unix:{path}"
        assert count(after) == 1
    finally:
        after.stop()
    assert not path.exists()


def test_each_place_goes_over_and_others_are_opened_and_left(origin: Site, edge: Server) -> None:
    """One by the same words, one by others, one that is new; and one that nobody wants any more."""
    edge.stop()
    kept, behind, left, new = (free_port() for _ in range(4))
    path = origin.folder / "kept.sock"
    at = edge.command.index("--listen")
    before = (f"127.0.0.1:{kept}", f"127.0.0.1:{behind}", f"127.0.0.1:{left}", f"unix:{path}")
    edge.command[at : at + 2] = [word for place in before for word in ("--listen", place)]
    edge.start()
    after = successor(edge, origin.folder, "--take-over", "--trusted-proxies", "127.0.0.1")
    places = (f"127.0.0.1:{kept}", f"127.0.0.1:{behind},proxy", f"127.0.0.1:{new}", f"unix:{path},mode=600")
    after.command[at : at + 8] = [word for place in places for word in ("--listen", place)]
    try:
        assert [asked(edge, url)[0] for url in urls(kept, behind, left)] == [200] * 3
        after.start()
        assert edge.wait() == 0
        assert [asked(after, url)[0] for url in urls(kept, new)] == [200] * 2
        assert (asked(after, f"unix:{path}")[0], path.stat().st_mode & 0o777) == (200, 0o600)
        with socket.create_connection(("127.0.0.1", behind)) as proxy:
            proxy.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: hello.test\r\n\r\n")
            assert proxy.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        assert socket.socket().connect_ex(("127.0.0.1", left)) == errno.ECONNREFUSED
        (said,) = [line for line in after.log.read_text().splitlines() if "event=taking_over" in line]
        assert all(place in said for place in before)
    finally:
        after.stop()
    assert not path.exists()


def urls(*ports: int) -> list[str]:
    return [f"http://127.0.0.1:{port}" for port in ports]


def test_a_managers_sockets_have_names_and_what_holds_there(origin: Site, edge: Server) -> None:
    edge.stop()
    at = edge.command.index("--listen")
    edge.command[at : at + 2] = [
        "--listen",
        "fd:public",
        "--listen",
        "fd:front,proxy",
        "--trusted-proxies",
        "127.0.0.1",
    ]
    with socket.create_server(("127.0.0.1", 0)) as public, socket.create_server(("127.0.0.1", 0)) as front:
        held = activated(edge, {"front": front, "public": public}, origin.folder)
        with held:
            assert held.url == f"http://127.0.0.1:{public.getsockname()[1]}"
            assert asked(held)[0] == 200
            with socket.create_connection(front.getsockname()) as proxy:
                proxy.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: hello.test\r\n\r\n")
                assert proxy.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_an_edge_that_drains_is_not_ready_before_it_refuses_a_connection(origin: Site) -> None:
    edge = origin.add_edge(config={"drain_delay": 600})
    os.kill(edge.pid, signal.SIGTERM)
    eventually(lambda: admin(edge, "ready").status == 503, "it is not ready")
    for _ in range(2):
        with Client(edge.url) as client:
            answer = client.get("/", host="hello.test")
            assert (answer.status, answer.headers["connection"]) == (200, "close"), "on a new connection"
    edge.kill()


def test_an_edge_is_not_replaced_by_accident_and_one_that_is_gone_leaves_nothing_in_the_way(
    origin: Site, edge: Server
) -> None:
    offers = origin.folder / edge.name / "handover.sock"
    done = subprocess.run(edge.command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "another edge uses it (--take-over takes its place)" in done.stderr
    assert count(edge) == 1
    edge.kill()
    assert offers.is_socket()
    edge.command.append("--take-over")  # of nobody
    edge.start()
    assert asked(edge)[0] == 200
    assert edge.stop() == 0
    assert not offers.exists()


def test_listeners_of_a_service_manager_outlive_the_edge(origin: Site, edge: Server, tmp_path: Path) -> None:
    edge.stop()
    manager = Manager(tmp_path)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as public, socket.socket(socket.AF_UNIX) as private:
        private.bind(str(tmp_path / "operators.sock"))
        private.listen()
        held = activated(edge, {"nunatak-edge.socket": public, "admin": private}, origin.folder)
        held.environment = {**manager.environment, "WATCHDOG_USEC": "400000"}
        held.start()
        try:
            assert held.url == f"http://127.0.0.1:{public.getsockname()[1]}"
            assert manager.next() == ["READY=1", f"STATUS=serving on {held.url}"]
            assert held.admin_url == f"unix:{tmp_path / 'operators.sock'}"
            eventually(lambda: manager.pings > 2, "signs of life")
            os.kill(held.pid, signal.SIGHUP)
            told = manager.next()
            assert (told[0], told[1].partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
            assert manager.next()[0] == "READY=1"
            with load(held, "hello.test") as outcome:
                eventually(lambda: count(held) > 100, "the load is there")
                before = count(held)
                assert held.stop() == 0
                assert manager.next()[0] == "STOPPING=1"
                held.start()
                assert manager.next()[0] == "READY=1"
                assert count(held) > before
            assert outcome.failed == (0, 0)
            assert outcome.answered > 100
        finally:
            held.stop()
        assert (tmp_path / "operators.sock").is_socket(), "it is not the edge's to remove"


def test_operators_pages_are_not_opened_by_a_listener_of_another_kind(origin: Site, edge: Server) -> None:
    """A socket with an address needs a token; that of a file goes by its mode."""
    edge.stop()
    with socket.create_server(("127.0.0.1", 0)) as public:
        wrong = activated(edge, {"admin": public}, origin.folder)
        done = subprocess.run(
            wrong.command, pass_fds=wrong.descriptors, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 2
    assert "Unix sockets expected of the service manager" in done.stderr
    assert "ready on" not in done.stdout


# How an edge ends.


def test_a_client_is_told_with_its_answer_that_it_was_the_last(edge: Server) -> None:
    with Client(edge.url) as client:
        assert "connection" not in client.get("/", host="hello.test").headers
        os.kill(edge.pid, signal.SIGTERM)
        eventually(lambda: "event=draining" in edge.log.read_text(), "it drains")
        answer = client.get("/", host="hello.test")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert edge.wait() == 0


def test_a_second_signal_ends_what_the_first_would_wait_for(origin: Site) -> None:
    edge = origin.add_edge(config={"drain": 600, "request_timeout": 600})
    assert asked(edge, host="neighbour.test")[0] == 200
    with socket.create_connection(("127.0.0.1", int(edge.url.rpartition(":")[2]))) as waiting:
        waiting.sendall(b"GET /sleep?ms=900000 HTTP/1.1\r\nHost: neighbour.test\r\n\r\n")
        eventually(lambda: metrics(edge)["streams"] == 1, "it is in flight")
        os.kill(edge.pid, signal.SIGTERM)
        os.kill(edge.pid, signal.SIGTERM)  # the same wish
        eventually(lambda: "event=draining in_flight=1" in edge.log.read_text(), "it drains")
        assert edge.running

        def again() -> bool:
            if edge.running:
                os.kill(edge.pid, signal.SIGTERM)
            return not edge.running

        eventually(again, "it ends")
    assert edge.wait() == 128 + signal.SIGTERM
    assert "event=ended_at_once" in edge.log.read_text()


# What is read again.


def test_a_configuration_is_taken_up_or_named_or_left(origin: Site, edge: Server) -> None:
    file, moved = origin.folder / f"{edge.name}.toml", origin.folder / "moved.log"
    before = file.read_text()

    def reload(text: str, event: str) -> str:
        """What the log says of it."""
        seen = len(edge.log.read_text())
        file.write_text(before + text)
        os.kill(edge.pid, signal.SIGHUP)
        eventually(lambda: f"event={event}" in edge.log.read_text()[seen:], event)
        return edge.log.read_text()[seen:]

    def post() -> int:
        with Client(edge.url) as client:
            return client.request("POST", "/", host="hello.test", body=b"0123456789").status

    assert post() == 200
    reload(f'max_body = 9\ndisk = "2GiB"\nworkers = 1\nlog = "{moved}"\n', "hangup")
    eventually(lambda: moved.exists() and "event=restart_needed" in moved.read_text(), "the log is another file")
    said = moved.read_text()
    assert 'event=reloaded changed="log max_body"' in said
    assert "event=restart_needed options=disk" in said, "given by command line, or as it was: not named"
    assert post() == 413
    file.write_text(before)
    os.kill(edge.pid, signal.SIGHUP)
    eventually(lambda: post() == 200, "as it was")
    line = before.count("\n") + 1
    for text, why in (
        ("max_body = \n", f"{file}"),
        ('max_body = "many"\n', f"{file}:{line}: max_body"),
        ("no_such = 1\n", f"{file}:{line}: no_such"),
        ('trusted_proxies = "nowhere"\n', f"{file}:{line}: trusted_proxies"),
        ('admin_hosts = "a b"\nmax_body = 9\n', "'a b'"),
        ('log = "nowhere/edge.log"\nmax_body = 9\n', "nowhere/edge.log"),
    ):
        (found,) = [each for each in reload(text, "not_reloaded").splitlines() if "not_reloaded" in each]
        assert why in found
        assert post() == 200, "all of it stays as it was"


# Origins.


def test_an_origins_listeners_outlive_it_and_it_reads_its_file_again(tmp_path: Path) -> None:
    with Site(tmp_path / "site", edges=0) as site:
        site.origin.stop()
        at = site.origin.command.index("--token-file")
        first = site.origin.command[at + 1]
        file, token, manager = tmp_path / "origin.toml", tmp_path / "new-token", Manager(tmp_path)
        site.origin.command[at : at + 2] = ["--config", str(file)]
        file.write_text(f'token_file = "{first}"\n')
        token.touch(0o600)
        token.write_text("another-token-of-publishers")

        def upload() -> int:
            with Client(held.url) as client:
                fields = {"Authorization": "Bearer another-token-of-publishers"}
                return client.request("POST", "/v2/images/blobs/uploads/", headers=fields).status

        def reload(text: str, line: str) -> None:
            seen = len(held.log.read_text())
            file.write_text(text)
            os.kill(held.pid, signal.SIGHUP)
            eventually(lambda: line in held.log.read_text()[seen:], line)
            assert [manager.next()[0], manager.next()[0]] == ["RELOADING=1", "READY=1"]

        with socket.create_server(("127.0.0.1", 0)) as public:
            held = activated(site.origin, {"listen": public}, tmp_path)
            held.environment = {**manager.environment, "WATCHDOG_USEC": "400000"}
            with held:
                assert held.url == f"http://127.0.0.1:{public.getsockname()[1]}"
                assert manager.next() == ["READY=1", f"STATUS=serving on {held.url}"]
                eventually(lambda: manager.pings > 2, "signs of life")
                assert upload() == 401
                wanted = f'token_file = "{token}"\ntimestamp-minutes = 30\n'
                reload(wanted, "a restart is needed for timestamp_minutes")
                assert upload() == 202
                for text, why in (
                    (f'token_file = "{first}"\nlisten = 1.5\n', f"{file}:2: listen"),
                    ('no_such = "x"\n', f"{file}:1: no_such"),
                    ('token_file = "nowhere"\n', "nowhere"),
                ):
                    reload(text, "the tokens stay as they were")
                    assert why in held.log.read_text().splitlines()[-1]
                    assert upload() == 202
                assert held.stop() == 0
                assert manager.next()[0] == "STOPPING=1"
            file.write_text(wanted)
            with socket.create_connection(public.getsockname(), timeout=PATIENCE_S) as waiting:
                waiting.sendall(b"GET /tuf/timestamp.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
                with held:
                    assert waiting.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n"), "who came meanwhile is answered"
