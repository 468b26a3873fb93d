"""An edge that is replaced while clients ask: none is refused, and what machines knew goes over. And how one ends."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from tests.support.edges import PATIENCE_S, admin, eventually, metrics
from tests.support.restarts import Manager, activated, load, successor


def asked(edge: Server, path: str = "/", host: str = "hello.test") -> tuple[int, str]:
    with Client(edge.url) as client:
        answer = client.get(path, host=host)
    return answer.status, answer.body.decode()


def count(edge: Server) -> int:
    """How many requests the machine of `hello` remembers."""
    status, text = asked(edge)
    assert status == 200
    return int(text.rpartition(" ")[2])


def publish(site: Site, name: str = "hello") -> Server:
    site.publish(site.build(example(name)), name)
    edge = site.edges[-1]
    assert asked(edge, host=f"{name}.test")[0] == 200
    return edge


def test_an_edge_takes_anothers_place_under_load(own_site: Site) -> None:
    edge = publish(own_site)
    after = successor(edge, own_site.folder, "--take-over")
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


def test_where_none_runs_there_is_nothing_to_take_over(own_site: Site) -> None:
    edge = own_site.edges[0]
    edge.kill()
    edge.command.append("--take-over")
    own_site.restart(edge)
    eventually(lambda: admin(edge, "ready").status == 200, "it serves")


def test_an_edge_is_not_replaced_by_accident(own_site: Site) -> None:
    edge = own_site.edges[0]
    done = subprocess.run(edge.command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "another edge uses it (--take-over takes its place)" in done.stderr
    eventually(lambda: admin(edge, "ready").status == 200, "it serves on")


def test_listeners_of_a_service_manager_outlive_the_edge(own_site: Site, tmp_path: Path) -> None:
    first = publish(own_site)
    first.stop()
    manager = Manager(tmp_path)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as public, socket.socket(socket.AF_UNIX) as private:
        private.bind(str(tmp_path / "operators.sock"))
        private.listen()
        edge = activated(first, {"nunatak-edge.socket": public, "admin": private}, own_site.folder)
        edge.environment = {**manager.environment, "WATCHDOG_USEC": "400000"}
        edge.start()
        try:
            assert edge.url == f"http://127.0.0.1:{public.getsockname()[1]}"
            assert manager.next() == ["READY=1", f"STATUS=serving on {edge.url}"]
            assert edge.admin_url == f"unix:{tmp_path / 'operators.sock'}"
            eventually(lambda: manager.pings > 2, "signs of life")
            os.kill(edge.pid, signal.SIGHUP)
            told = manager.next()
            assert (told[0], told[1].partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
            assert manager.next()[0] == "READY=1"
            with load(edge, "hello.test") as outcome:
                eventually(lambda: count(edge) > 100, "the load is there")
                before = count(edge)
                assert edge.stop() == 0
                assert manager.next()[0] == "STOPPING=1"
                edge.start()
                assert manager.next()[0] == "READY=1"
                assert count(edge) > before
            assert outcome.failed == (0, 0)
            assert outcome.answered > 100
        finally:
            edge.stop()
        assert (tmp_path / "operators.sock").is_socket(), "it is not the edge's to remove"


def test_operators_pages_are_not_opened_by_a_listener_of_another_kind(own_site: Site) -> None:
    """A socket with an address needs a token; that of a file goes by its mode."""
    edge = own_site.edges[0]
    edge.stop()
    with socket.create_server(("127.0.0.1", 0)) as public:
        wrong = activated(edge, {"admin": public}, own_site.folder)
        words = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(
            wrong.command,
            pass_fds=wrong.descriptors,
            text=True,
            timeout=60,
            check=False,
            **words,  # type: ignore[call-overload]
        )
    assert done.returncode == 2
    assert "Unix sockets expected of the service manager" in done.stdout
    assert "ready on" not in done.stdout


def test_an_origins_listeners_outlive_it(own_site: Site, tmp_path: Path) -> None:
    origin, manager = own_site.origin, Manager(tmp_path)
    origin.stop()
    with socket.create_server(("127.0.0.1", 0)) as public:
        held = activated(origin, {"listen": public}, own_site.folder)
        held.environment = {**manager.environment, "WATCHDOG_USEC": "400000"}
        for _ in range(2):
            held.start()
            assert held.url == f"http://127.0.0.1:{public.getsockname()[1]}"
            assert manager.next() == ["READY=1", f"STATUS=serving on {held.url}"]
            with Client(held.url) as client:
                assert client.get("/tuf/timestamp.json").status == 200
            eventually(lambda: manager.pings > 2, "signs of life")
            os.kill(held.pid, signal.SIGHUP)
            assert [manager.next()[0], manager.next()[0]] == ["RELOADING=1", "READY=1"]
            assert held.stop() == 0
            assert manager.next()[0] == "STOPPING=1"
            with socket.create_connection(public.getsockname(), timeout=PATIENCE_S):
                pass  # it waits for the next one


# How an edge ends.


def test_a_client_is_told_with_its_answer_that_it_was_the_last(own_site: Site) -> None:
    edge = publish(own_site)
    with Client(edge.url) as client:
        assert "connection" not in client.get("/", host="hello.test").headers
        os.kill(edge.pid, signal.SIGTERM)
        eventually(lambda: "event=draining" in edge.log.read_text(), "it drains")
        answer = client.get("/", host="hello.test")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert edge.wait() == 0


def test_a_second_signal_ends_what_the_first_would_wait_for(own_site: Site) -> None:
    own_site.edges[0].stop()
    edge = own_site.add_edge(config={"drain": 600, "request_timeout": 600})
    publish(own_site, "neighbour")
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


def test_an_ended_edge_left_nothing_that_keeps_the_next_from_starting(own_site: Site) -> None:
    edge = own_site.edges[0]
    edge.kill()
    assert (own_site.folder / edge.name / "handover.sock").is_socket()
    own_site.restart(edge)
    assert edge.stop() == 0
    assert not (own_site.folder / edge.name / "handover.sock").exists()


# What is read again.


def test_a_configuration_is_taken_up_or_named_or_left(own_site: Site) -> None:
    edge = publish(own_site)
    file = own_site.folder / f"{edge.name}.toml"
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
    moved = own_site.folder / "moved.log"
    reload(f'max_body = 9\ndisk = "2GiB"\nworkers = 1\nlog = "{moved}"\n', "hangup")
    eventually(lambda: moved.exists() and "event=restart_needed" in moved.read_text(), "the log is another file")
    said = moved.read_text()
    assert 'event=reloaded changed="log max_body"' in said
    assert "event=restart_needed options=disk" in said, "given by command line, or as it was: not named"
    assert post() == 413
    assert edge.running
    file.write_text(before)
    os.kill(edge.pid, signal.SIGHUP)
    eventually(lambda: post() == 200, "as it was")
    for text, why in (
        ("max_body = \n", str(file)),
        ('max_body = "many"\n', "max_body"),
        ("no_such = 1\n", "no_such"),
        ('trusted_proxies = "nowhere"\n', "trusted_proxies"),
        ('admin_hosts = "a b"\nmax_body = 9\n', "'a b'"),
        ('log = "nowhere/edge.log"\nmax_body = 9\n', "nowhere/edge.log"),
    ):
        (line,) = [each for each in reload(text, "not_reloaded").splitlines() if "not_reloaded" in each]
        assert why in line
        assert post() == 200, "all of it stays as it was"


@pytest.mark.parametrize("page", ["health", "ready"])
def test_pages_are_for_operators_only(site: Site, page: str) -> None:
    with Client(site.edges[0].url) as client:
        assert client.get(f"/-/{page}", host="nobody.test").status == 421
