"""Somebody who is no operator wants an operator's page: a web page, a name server, a client of a front, a neighbour.

After each attempt the edge is as it was: it is not drained, nothing is parked, and the audit log says who tried.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from tests.support.edges import PATIENCE_S, eventually

TOKEN = "a-token-of-operators"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PLACES = 32  # connections that the listener holds
FEEDS_MAX = 16  # of them for those who follow


@pytest.fixture(scope="module")
def fort(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An edge with its pages on a Unix socket, one with them on an address; each has a machine that could be parked."""
    folder = tmp_path_factory.mktemp("fort")
    (folder / "token").write_text(TOKEN)
    (folder / "token").chmod(0o600)
    with Site(folder, edges=1) as running:
        on_address = {"admin_listen": "127.0.0.1:0", "admin_token": str(folder / "token"), "admin_hosts": "ops.test"}
        running.add_edge(config=on_address)
        running.publish(running.build(example("hello")), "kept")
        for edge in running.edges:
            with Client(edge.url) as client:
                assert client.get("/", host="kept.test").status == 200
        yield running


def audited(site: Site, edge: Server) -> list[dict[str, object]]:
    try:
        return [json.loads(line) for line in (site.folder / edge.name / "audit.jsonl").read_text().splitlines()]
    except FileNotFoundError:
        return []


def state(edge: Server) -> str:
    """The kept service's, as an operator sees it."""
    with Client(edge.admin_url) as client:
        answer = client.request("GET", "/-/services", headers=BEARER)
    assert answer.status == 200
    return str(json.loads(answer.body)["services"][0]["state"])


def attempt(site: Site, edge: Server, headers: dict[str, str], expected: int) -> None:
    """Every page and order under these fields."""
    before = len(audited(site, edge))
    with Client(edge.admin_url) as client:
        for page in ("health", "metrics", "services", "service", "view", "reports", "workers", "feed", "lines"):
            answer = client.request("GET", f"/-/{page}", headers=headers)
            assert (answer.status, answer.body.startswith(b"%d " % expected)) == (expected, True)
        for page in ("park", "restart", "hold", "release", "drain"):
            assert client.request("POST", f"/-/{page}", headers=headers).status == expected
    assert state(edge) == "resident"
    noted = audited(site, edge)[before:]
    assert all(entry["status"] in (401, 403) for entry in noted)


FROM_A_PAGE = [
    {"Host": "attacker.test", "Origin": "http://attacker.test", "Content-Type": "text/plain"},
    {"Origin": "null"},
    {"Host": "127.0.0.1:9", "Origin": "http://127.0.0.1"},
    {"Host": "localhost", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Host": "127.0.0.1", "Sec-Fetch-Site": "same-site"},
    {"Host": "127.0.0.1", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
]


@pytest.mark.parametrize("headers", FROM_A_PAGE, ids=str)
def test_a_web_page_is_refused_on_a_socket_and_on_an_address_even_with_the_token(
    fort: Site, headers: dict[str, str]
) -> None:
    for edge in fort.edges:
        attempt(fort, edge, {**BEARER, **headers}, 403)


def test_on_a_socket_a_page_of_the_same_origin_is_no_operator_s(fort: Site) -> None:
    for host in ("localhost", "127.0.0.1:9100", "attacker.test"):
        attempt(fort, fort.edges[0], {"Host": host, "Sec-Fetch-Site": "same-origin"}, 403)
        attempt(fort, fort.edges[0], {"Host": host, "Origin": f"http://{host}"}, 403)


def test_the_console_s_files_hold_nothing_and_may_do_nothing_but_ask_their_own_edge(fort: Site) -> None:
    edge = fort.edges[1]
    with Client(edge.admin_url) as client:
        for file in ("", "/console.css", "/console.js", "/door.js"):
            answer = client.request("GET", f"/-/console{file}", headers={"Sec-Fetch-Site": "same-origin"})
            assert (answer.status, b"kept.test" in answer.body) == (200, False)
            policy = answer.headers["content-security-policy"]
            assert "unsafe" not in policy
            assert policy.startswith("default-src 'none'; script-src 'self';")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert b"<script>" not in answer.body
            assert b" style=" not in answer.body
        embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        assert client.request("GET", "/-/console/console.js", headers=embedded).status == 403
        assert client.request("GET", "/-/console", headers={"Host": "attacker.test"}).status == 403
        for nowhere in ("/-/console/../services", "/-/console/%2e%2e/pages.py", "/-/console/index.html", "/-/console/"):
            assert client.request("GET", nowhere).status == 404
        assert client.request("POST", "/-/console", headers=BEARER).status == 405


def test_who_follows_without_end_leaves_places_for_calls(fort: Site) -> None:
    parts = urlsplit(fort.edges[1].admin_url)
    following = []
    for _ in range(PLACES):
        connection = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)
        following.append(connection)
        ask = f"GET /-/feed HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        connection.sendall(ask.encode())
        if not connection.recv(1 << 16).startswith(b"HTTP/1.1 200"):
            break
    assert len(following) == FEEDS_MAX + 1
    with Client(fort.edges[1].admin_url) as client:
        assert client.request("GET", "/-/health", headers=BEARER).status == 200
        assert client.request("GET", "/-/feed", headers=BEARER).error == "feeds_full"
    for connection in following:
        connection.close()

    def has_a_place() -> bool:
        with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S) as connection:
            connection.sendall(ask.encode())
            return connection.recv(1 << 16).startswith(b"HTTP/1.1 200")

    eventually(has_a_place, "those who followed are seen to have left")


@pytest.mark.parametrize("host", ["attacker.test", "localhost", "127.0.0.1.attacker.test", "10.0.0.1", ""])
def test_a_name_that_was_pointed_here_is_refused_even_with_the_token(fort: Site, host: str) -> None:
    attempt(fort, fort.edges[1], {**BEARER, "Host": host}, 403)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer ", "Host": "ops.test"},
    ],
    ids=str,
)
def test_nobody_is_believed_for_an_address(fort: Site, headers: dict[str, str]) -> None:
    attempt(fort, fort.edges[1], headers, 401)


def test_an_operator_is_answered_under_each_name_of_the_listener(fort: Site) -> None:
    edge = fort.edges[1]
    for host in ("127.0.0.1", urlsplit(edge.admin_url).netloc, "[::1]:9", "ops.test", "OPS.test.:1"):
        with Client(edge.admin_url) as client:
            assert client.request("GET", "/-/health", headers={**BEARER, "Host": host}).status == 200


def test_who_tried_is_noted_with_address_or_user_and_no_token(fort: Site) -> None:
    unix, address = fort.edges
    for edge in fort.edges:
        with Client(edge.admin_url) as client:
            client.request("POST", "/-/drain?x=1", headers={"Origin": "http://attacker.test"})
            client.request("POST", "/-/no-such", headers=BEARER)
    assert (audited(fort, unix)[-1]["who"], audited(fort, unix)[-1]["status"]) == (
        {"uid": os.getuid(), "pid": os.getpid()},
        404,
    )
    assert (audited(fort, address)[-1]["who"], audited(fort, address)[-1]["status"]) == ({"address": "127.0.0.1"}, 404)
    for edge in fort.edges:
        folder = fort.folder / edge.name
        assert TOKEN not in (folder / "audit.jsonl").read_text() + edge.log.read_text()


@pytest.mark.skipif(os.getuid() != 0, reason="another user is needed: run as root")
def test_another_user_of_the_machine_does_not_get_to_the_socket(fort: Site) -> None:
    path = fort.edges[0].admin_url.removeprefix("unix:")
    program = (
        "import os, socket, sys\n"
        "folder, name = os.path.split(sys.argv[1])\n"
        "at = os.open(folder, os.O_RDONLY)\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "for path in (f'/proc/self/fd/{at}/{name}', sys.argv[1]):\n"
        "    try:\n"
        "        socket.socket(socket.AF_UNIX).connect(path)\n"
        "        print('connected')\n"
        "    except PermissionError:\n"
        "        print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\nrefused\n"


@pytest.mark.parametrize("which", [0, 1], ids=["Unix socket", "address"])
def test_who_fills_the_listener_or_sends_bodies_holds_nobody_else_up(fort: Site, which: int) -> None:
    edge = fort.edges[which]
    many = []
    for _ in range(PLACES + 4):  # those of tests before may not be seen to have left yet
        if which:
            parts = urlsplit(edge.admin_url)
            many.append(socket.create_connection((parts.hostname or "", parts.port), timeout=PATIENCE_S))
        else:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(PATIENCE_S)
            folder, name = os.path.split(edge.admin_url.removeprefix("unix:"))
            at = os.open(folder, os.O_RDONLY)
            connection.connect(f"/proc/self/fd/{at}/{name}")
            os.close(at)
            many.append(connection)
        with suppress(ConnectionError):
            many[-1].sendall(b"GET /-/he")  # and no end
    with Client(edge.admin_url) as client:  # one that has asked nothing yet makes room
        assert client.request("GET", "/-/health", headers=BEARER).status == 200
    with Client(edge.url) as client:
        assert client.get("/", host="kept.test").status == 200
    for connection in many:
        connection.close()

    def has_a_place() -> bool:
        with suppress(ConnectionError):
            return state(edge) == "resident"
        return False

    eventually(has_a_place, "those who left are seen to have left")
    with Client(edge.admin_url) as client:
        answer = client.request("POST", "/-/park", headers=BEARER, body=b"x" * 100_000)
        assert (answer.status, answer.error) == (413, "no_body_expected")
    assert state(edge) == "resident"


def test_a_malformed_request_is_refused_and_the_connection_closed(fort: Site) -> None:
    parts = urlsplit(fort.edges[1].admin_url)
    for data in (b"GARBAGE\r\n\r\n", b"GET /-/health HTTP/1.1\r\n\r\n", b"POST /-/drain HTTP/1.1\r\nHost: a b\r\n\r\n"):
        with socket.create_connection((parts.hostname or "", parts.port), timeout=PATIENCE_S) as connection:
            connection.sendall(data)
            got = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        assert got.startswith(b"HTTP/1.1 400 ")
    assert state(fort.edges[1]) == "resident"
