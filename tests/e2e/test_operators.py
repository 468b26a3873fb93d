"""The operators' own door: the command, the socket, the token, what is noted, signals, and who may read the cache."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from loadtest.site.fetch import Client
from loadtest.site.server import Server, ServerFailed
from loadtest.site.site import NUNATAK, CommandFailed, Site, example
from tests.support.edges import PATIENCE_S, admin, eventually, metrics

TOKEN = "a-token-of-operators"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NUNATAK, "admin", *arguments], capture_output=True, text=True, timeout=60, check=False)


def cache_of(site: Site, edge: Server) -> Path:
    return site.folder / edge.name


def audit(site: Site, edge: Server) -> list[dict[str, object]]:
    return [json.loads(line) for line in (cache_of(site, edge) / "audit.jsonl").read_text("ascii").splitlines()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_on_a_public_listener_the_pages_are_paths_of_the_site(site: Site, image: Callable[..., Path]) -> None:
    edge = site.edges[0]
    site.publish(image("hello"), "op-site")
    forwarded = {"X-Forwarded-For": "203.0.113.9", "Origin": "http://attacker.test"}
    with Client(edge.url) as client:
        for page in ("health", "metrics", "services", "reports", "workers", "park", "drain", "no-such"):
            for method in ("GET", "POST"):
                ours = client.request(method, f"/-/{page}", host="op-site.test", headers=forwarded)
                assert ours.status == 200
                assert ours.body.startswith(f"hello from /-/{page},".encode())
                for host in ("127.0.0.1", "nobody.test"):
                    nobodys = client.request(method, f"/-/{page}", host=host, headers=forwarded)
                    assert (nobodys.status, nobodys.error) == (421, "unknown_service")
    assert admin(edge, "health").status == 200, "nothing has drained it"


def test_ps_lists_services_and_top_watches_them(site: Site, image: Callable[..., Path]) -> None:
    edge, cache = site.edges[0], str(cache_of(site, site.edges[0]))
    site.publish(image("hello"), "op-seen")

    def said(*words: str) -> str:
        done = subprocess.run([*NUNATAK, *words], capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    with Client(edge.url) as client:
        assert client.get("/", host="op-seen.test").status == 200
        listed = said("ps", "--cache", cache)
        rows = [line.split() for line in listed.splitlines() if line.startswith("op-seen ")]
        assert len(rows) == 1, listed
        row = rows[0]
        assert (row[1], row[2], row[-1]) == ("resident", "0", "1")
        watched = said("top", "--cache", cache, "--match", "op-seen", "--interval", "0.2", "--looks", "2")
    assert watched.startswith("ok")
    assert "op-seen" in watched
    assert "workers: 0: " in watched
    assert "root ends in " in watched
    for wrong in (
        ("ps", "--cache", "/nowhere"),
        ("ps",),
        ("top", "--cache", cache, "--sort", "size"),
        ("ps", "--url", "x"),
    ):
        refused = subprocess.run([*NUNATAK, *wrong], capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 2
        assert refused.stderr.startswith("nunatak: ")
        assert refused.stderr.count("\n") == 1


def test_the_command_prints_pages_and_gives_orders(own_site: Site, image: Callable[..., Path]) -> None:
    edge, cache = own_site.edges[0], str(cache_of(own_site, own_site.edges[0]))
    own_site.publish(own_site.build(example("hello")), "op-hello")
    with Client(edge.url) as client:
        assert client.get("/", host="op-hello.test").status == 200
    assert json.loads(command("health", "--cache", cache).stdout)["status"] == "ok"
    assert json.loads(command("services", "--cache", cache).stdout)["services"][0]["state"] == "resident"
    parked = command("park", "--service", "op-hello", "--socket", cache + "/admin.sock")
    assert (parked.returncode, json.loads(parked.stdout)["parked"]) == (0, 1)
    unknown = command("park", "--service", "no\nsuch", "--cache", cache)
    assert (unknown.returncode, unknown.stdout.startswith("404 ")) == (1, True)
    assert command("no-such", "--cache", cache).returncode == 1
    assert command("drain", "--cache", cache).returncode == 0
    assert edge.wait() == 0
    away = command("health", "--cache", cache)
    assert (away.returncode, "No such file" in away.stderr) == (2, True)
    assert command("health").returncode == 2
    noted = audit(own_site, edge)
    assert [(entry["path"], entry["query"], entry["status"]) for entry in noted] == [
        ("/-/park", "service=op-hello", 200),
        ("/-/park", "service=no%0Asuch", 404),
        ("/-/drain", "", 202),
    ]
    for entry in noted:
        who = entry["who"]
        assert isinstance(who, dict)
        assert (who["uid"], who["pid"] > 1, entry["method"]) == (os.getuid(), True, "POST")


def test_what_is_in_the_cache_folder_is_for_its_owner(own_site: Site) -> None:
    edge = own_site.edges[0]
    cache = cache_of(own_site, edge)
    assert admin(edge, "park", "POST").status == 200
    assert (mode(cache), mode(cache / "admin.sock"), mode(cache / "audit.jsonl")) == (0o700, 0o600, 0o600)
    assert not [path for path in cache.rglob("*") if path.is_file() and mode(path) & 0o077]
    edge.stop()
    cache.chmod(0o755)
    own_site.restart(edge)
    assert mode(cache) == 0o700
    assert "event=cache_made_private" in edge.log.read_text()


def test_a_socket_that_a_killed_edge_left_is_replaced_and_a_live_one_is_not(own_site: Site) -> None:
    edge = own_site.edges[0]
    socket = cache_of(own_site, edge) / "admin.sock"
    edge.kill()
    assert socket.is_socket()
    own_site.restart(edge)
    assert admin(edge, "health").status == 200
    with pytest.raises(ServerFailed, match="another process listens there"):
        own_site.add_edge(config={"admin_listen": f"unix:{socket}"})
    assert admin(edge, "health").status == 200
    edge.stop()
    assert not socket.exists()


def test_a_cache_folder_with_a_path_too_long_for_a_socket_address(own_site: Site, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / "cache"
    edge = own_site.edges[0]
    edge.stop()
    at = edge.command.index("--cache") + 1
    edge.command[at] = str(deep)
    own_site.restart(edge)
    assert edge.admin_url == f"unix:{deep}/admin.sock"
    assert admin(edge, "health").status == 200
    assert "status" in json.loads(command("health", "--cache", str(deep)).stdout)


@pytest.mark.parametrize(
    ("config", "mode", "message"),
    [
        ({"admin_listen": "127.0.0.1:0"}, 0o600, "admin_token: a file with a token expected"),
        ({"admin_listen": "127.0.0.1:0", "admin_token": "TOKEN"}, 0o640, "mode 0600 expected"),
        ({"admin_listen": "127.0.0.1:0", "admin_token": "TOKEN"}, 0o604, "mode 0600 expected"),
        ({"admin_listen": "127.0.0.1:0", "admin_token": "EMPTY"}, 0o600, "one word of 16 to 256 printable characters"),
        ({"admin_listen": "127.0.0.1:0", "admin_token": "no-such"}, 0o600, "a file expected at no-such"),
        ({"admin": "127.0.0.0/8"}, 0o600, "operators' pages have a listener of their own"),
        ({"service_host": "names.test:80"}, 0o600, "without a port expected"),
        ({"admin_hosts": "a b"}, 0o600, "without a port expected"),
    ],
)
def test_an_edge_whose_door_would_stand_open_does_not_start(
    site: Site, tmp_path: Path, config: dict[str, str], mode: int, message: str
) -> None:
    for name, text in (("TOKEN", TOKEN), ("EMPTY", "\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
        config = {key: value.replace(name, str(tmp_path / name)) for key, value in config.items()}
    file = tmp_path / "edge.toml"
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items()))
    options = ["--origin", site.origin.url, "--trust", str(site.keys / "root.json"), "--cache", str(tmp_path / "cache")]
    done = subprocess.run(
        [*NUNATAK, "edge", *options, "--listen", "127.0.0.1:0", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, message in done.stderr, "ready on" in done.stdout) == (2, True, False)


def test_a_hangup_has_an_edge_read_anew_what_it_read_once(own_site: Site, tmp_path: Path) -> None:
    token = tmp_path / "operators-token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    config: Mapping[str, int | float | str | bool] = {
        "admin_listen": "127.0.0.1:0",
        "admin_token": str(token),
        "refresh": 3600,
    }
    edge = own_site.add_edge(config=config)

    def health(secret: str, method: str = "GET", page: str = "health") -> int:
        with Client(edge.admin_url) as client:
            return client.request(method, f"/-/{page}", headers={"Authorization": f"Bearer {secret}"}).status

    own_site.publish(own_site.build(example("hello")), "op-hup")
    with Client(edge.url) as client:
        assert client.get("/", host="op-hup.test").body.startswith(b"hello from")
        own_site.publish(own_site.build(example("clock")), "op-hup")
        log = cache_of(own_site, edge) / "audit.jsonl"
        assert health(TOKEN, "POST", "park") == 200
        log.rename(log.with_name("moved"))
        token.write_text("another-" + TOKEN)
        os.kill(edge.pid, signal.SIGHUP)
        eventually(lambda: not client.get("/", host="op-hup.test").body.startswith(b"hello"), "the new version")
    assert (health(TOKEN), health("another-" + TOKEN)) == (401, 200)
    assert health("another-" + TOKEN, "POST", "park") == 200
    assert len(audit(own_site, edge)) == len(log.with_name("moved").read_text().splitlines()) == 1
    token.chmod(0o644)  # not to be trusted: what was in use stays
    os.kill(edge.pid, signal.SIGHUP)
    eventually(lambda: "event=not_reloaded" in edge.log.read_text(), "a line says so")
    assert health("another-" + TOKEN) == 200
    assert edge.running


def test_a_hangup_has_an_origin_read_its_tokens_anew(own_site: Site) -> None:
    image, token = own_site.build(example("hello")), own_site.keys / "token"
    old = token.read_text()
    own_site.publish(image, "op-one")
    token.write_text("another-token-of-publishers")
    os.kill(own_site.origin.pid, signal.SIGHUP)
    eventually(lambda: "the tokens were read again" in own_site.origin.log.read_text(), "a line says so")
    own_site.publish(image, "op-two")
    token.write_text(old)
    with pytest.raises(CommandFailed, match="got 401"):
        own_site.publish(image, "op-three")
    token.write_text("short")
    os.kill(own_site.origin.pid, signal.SIGHUP)
    eventually(lambda: "the tokens stay as they were" in own_site.origin.log.read_text(), "a line says so")
    token.write_text("another-token-of-publishers")
    own_site.publish(image, "op-three")
    assert metrics(own_site.edges[0])["workers"] == 1


def test_when_trust_ends_is_told(site: Site, image: Callable[..., Path]) -> None:
    edge = site.edges[0]
    site.publish(image("hello"), "op-ends")
    with Client(edge.url) as client:
        assert client.get("/", host="op-ends.test").status == 200
    year_s, now = 365 * 86400, time.time()
    for role in ("root", "targets", "bins"):
        left_s = metrics(edge)[f"{role}_expires_timestamp_seconds"] - now
        assert 0.9 * year_s < left_s <= year_s
    assert "expires" not in admin(edge, "health").body.decode()


def order(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NUNATAK, "ctl", *words], capture_output=True, text=True, timeout=60, check=False)


def test_a_service_on_hold_does_not_run_until_it_is_released_whatever_becomes_of_the_edge(
    own_site: Site, tmp_path: Path
) -> None:
    edge, cache = own_site.edges[0], str(cache_of(own_site, own_site.edges[0]))
    own_site.publish(own_site.build(example("hello")), "op-held")

    def answer() -> tuple[int, str]:
        with Client(edge.url) as client:
            found = client.get("/", host="op-held.test")
        return found.status, found.error

    assert order("hold", "op-nobody", "--cache", cache).returncode == 1
    held = order("hold", "op-held", "--cache", cache)
    assert (held.returncode, held.stdout) == (0, "op-held: on hold\n"), "nobody has asked for it yet"
    assert answer() == (503, "on_hold")
    assert metrics(edge)["opens_total"] == 0
    assert order("release", "op-held", "--cache", cache).returncode == 0
    assert answer() == (200, "")
    order("hold", "op-held", "--cache", cache)
    eventually(lambda: _entry(edge, "op-held")["tier"] == "parked", "it comes to rest")
    edge.kill()
    own_site.restart(edge)
    eventually(lambda: _entry(edge, "op-held").get("held_since") is not None, "it is known before it is asked for")
    assert answer() == (503, "on_hold")
    listed = subprocess.run(
        [*NUNATAK, "ps", "--cache", cache, "--only", "held"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.splitlines()[1].startswith("op-held ")
    assert "on hold" in listed.stdout
    again = order("release", "op-held", "--cache", cache)
    assert (again.returncode, answer()) == (0, (200, ""))
    twice = order("release", "op-held", "--cache", cache)
    assert (twice.returncode, "not_held" in twice.stderr or "404" in twice.stderr) == (1, True)


def _entry(edge: Server, name: str) -> dict[str, object]:
    found = json.loads(admin(edge, f"service?service={name}").body)["service"]
    assert found is None or isinstance(found, dict)
    return found or {}


def test_a_service_that_is_restarted_begins_from_its_image(site: Site, image: Callable[..., Path]) -> None:
    edge, cache = site.edges[0], str(cache_of(site, site.edges[0]))
    site.publish(image("hello"), "op-anew")
    with Client(edge.url) as client:
        assert client.get("/", host="op-anew.test").status == 200
        parked = order("park", "op-anew", "--cache", cache)
        assert (parked.stdout, _entry(edge, "op-anew")["tier"]) == ("parked: 1\n", "parked")
        assert client.get("/", host="op-anew.test").tier == "parked"
        done = order("restart", "op-anew", "--cache", cache)
        assert (done.returncode, "machines that go: 1" in done.stdout) == (0, True)
        assert client.get("/", host="op-anew.test").tier == "blob"
    entry = _entry(edge, "op-anew")
    assert (entry["requests"], entry["hits"] in (1.0, 0.6667), entry["p50_ms"] is not None) == (3, True, True)


def test_orders_go_to_an_edge_on_an_address_with_the_token(own_site: Site, tmp_path: Path) -> None:
    token = tmp_path / "operators-token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    edge = own_site.add_edge(config={"admin_listen": "127.0.0.1:0", "admin_token": str(token)})
    at = ("--url", edge.admin_url, "--token", str(token))
    parked = order("park", *at)
    assert (parked.returncode, parked.stdout) == (0, "parked: 0\n")
    assert audit(own_site, edge)[-1]["who"] == {"address": "127.0.0.1"}
    token.write_text("another-token-altogether")
    refused = order("park", *at)
    assert (refused.returncode, refused.stderr.startswith("401 ")) == (1, True)
    for wrong in (at[:2], at[2:], ("--url", "ftp://x", *at[2:]), (*at, "--cache", str(tmp_path))):
        assert order("park", *wrong).returncode == 2


def test_a_feed_brings_views_and_lines_until_its_reader_leaves(site: Site, image: Callable[..., Path]) -> None:
    edge = site.edges[0]
    site.publish(image("crash"), "op-fed")
    with (
        closing(_followed(edge, "feed?match=op-fed")) as views,
        closing(_followed(edge, "lines?service=op-fed")) as lines,
    ):
        assert json.loads(_event(views, "view"))["services"] == []
        assert json.loads(_event(lines, "following")) == {"service": "op-fed"}
        with Client(edge.url) as client:
            assert client.get("/null", host="op-fed.test").status == 502
        (_, said), *_ = json.loads(_event(lines, "lines"))["lines"]
        assert said.startswith("nunatak: the machine ended at GET /null")
        while not (services := json.loads(_event(views, "view"))["services"]):
            pass
        assert (services[0]["service"], services[0]["crashes"]) == ("op-fed", 1)


def _followed(edge: Server, page: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE_S)
    folder, name = os.path.split(edge.admin_url.removeprefix("unix:"))
    at = os.open(folder, os.O_RDONLY)
    connection.connect(f"/proc/self/fd/{at}/{name}")
    os.close(at)
    connection.sendall(f"GET /-/{page} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def _event(connection: socket.socket, kind: str) -> str:
    """The data of the next event of a kind."""
    got = b""
    while not (found := re.search(rb"event: %b\ndata: (.*)\n\n" % kind.encode(), got)):
        more = connection.recv(1 << 16)
        assert more, "it ended"
        got += more
    return found[1].decode()
