"""The access log of a running edge: a line for each request, whatever came of it; rotated, changed, complete."""

import getpass
import grp
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.common.durations import NAME
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.edges import admin, eventually, raw

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tests" / "guest" / "programs" / "says.c"
LOGROTATE = shutil.which("logrotate") or shutil.which("logrotate", path="/usr/sbin")
HOST = "says.test"
KEPT = {"Say": "Cache-Control: max-age=60"}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An origin with a service; tests start edges of their own."""
    with Site(tmp_path_factory.mktemp("access"), edges=0, edge_config={"refresh": 0.2}) as site:
        site.publish(site.build(PROGRAM, name="says"), "says", HOST, tenant="acme")
        yield site


def edge_with(origin: Site, log: Path | str, **options: str) -> Server:
    return origin.add_edge(config={"access_log": str(log), **options})


def get(edge: Server, path: str, host: str = HOST, fields: Mapping[str, str] = {}) -> int:
    with Client(edge.url) as client:
        return client.request("GET", path, host=host, headers=fields).status


def objects(log: Path) -> list[dict[str, Any]]:
    """Whole lines, as they are so far."""
    return [json.loads(line) for line in log.read_text("ascii").splitlines(True) if line.endswith("\n")]


def counted(edge: Server) -> dict[tuple[str, ...], int]:
    """How many requests of each kind the histogram has."""
    families = text_string_to_metric_families(admin(edge, "metrics").body.decode())
    (family,) = [family for family in families if family.name == NAME]
    return {
        tuple(each.labels[label] for label in ("service", "result", "tier", "status")): int(each.value)
        for each in family.samples
        if each.name == f"{NAME}_count"
    }


def leave(edge: Server, request: bytes) -> None:
    """Send this, wait until it is taken, and go."""
    host, _, port = edge.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request)
        eventually(lambda: b"nunatak_streams 1.0" in admin(edge, "metrics").body, "a guest has it")


def test_every_request_has_a_line_and_is_counted(origin: Site, tmp_path: Path) -> None:
    edge = edge_with(origin, tmp_path / "log")
    assert get(edge, "/a", fields={**KEPT, "User-Agent": "x", "Referer": "http://b.test/"}) == 200
    assert get(edge, "/a") == 200
    assert get(edge, "/b?c=d", fields={"Code": "404"}) == 404
    assert get(edge, "/", host="nobody.test") == 421
    assert b" 400 " in raw(edge, b"no request\r\n\r\n")
    leave(edge, b"GET /slow HTTP/1.1\r\nHost: says.test\r\nWait: 20000\r\n\r\n")
    eventually(lambda: len(objects(tmp_path / "log")) == 6, "it is over")
    assert get(edge, "/crash", fields={"Crash": "now"}) == 502
    eventually(lambda: len(objects(tmp_path / "log")) == 7, "a line each")
    lines = objects(tmp_path / "log")

    def column(*keys: str) -> list[tuple[Any, ...]]:
        return [tuple(line.get(key) for key in keys) for line in lines]

    assert column("method", "host", "target", "protocol", "status", "whole") == [
        ("GET", HOST, "/a", "HTTP/1.1", 200, True),
        ("GET", HOST, "/a", "HTTP/1.1", 200, True),
        ("GET", HOST, "/b?c=d", "HTTP/1.1", 404, True),
        ("GET", "nobody.test", "/", "HTTP/1.1", 421, True),
        (None, None, None, None, 400, True),
        ("GET", HOST, "/slow", "HTTP/1.1", 0, False),
        ("GET", HOST, "/crash", "HTTP/1.1", 502, True),
    ]
    assert column("service", "tenant", "cache", "error") == [
        ("says", "acme", "miss", None),
        ("says", "acme", "hit", None),
        ("says", "acme", "miss", None),
        (None, None, None, "unknown_service"),
        (None, None, None, "bad_request"),
        ("says", "acme", None, None),
        ("says", "acme", None, "guest_fault"),
    ]
    assert column("agent", "referer")[:2] == [("x", "http://b.test/"), (None, None)]
    assert {line["client"] for line in lines} == {"127.0.0.1"}
    assert len({line["id"] for line in lines}) == 7
    assert lines[0]["tier"] == "origin"
    assert "tier" not in lines[1]
    assert [line["body_bytes"] for line in lines[:2]] == [len(b"run 1, at most 1 at once\n")] * 2
    assert lines[5]["sent_bytes"] == 0
    assert counted(edge) == {
        ("says", "miss", "origin", "2xx"): 1,
        ("says", "hit", "", "2xx"): 1,
        ("says", "miss", "resident", "4xx"): 1,
        ("", "edge", "", "4xx"): 2,
        ("says", "edge", "", "5xx"): 1,
        ("says", "gone", "", ""): 1,
    }
    edge.stop()


def test_a_hangup_has_it_go_elsewhere_and_say_other_things(origin: Site, tmp_path: Path) -> None:
    edge = edge_with(origin, tmp_path / "log")
    assert get(edge, "/one") == 200
    eventually(lambda: len(objects(tmp_path / "log")) == 1, "a line")
    (tmp_path / "log").rename(tmp_path / "log.1")
    os.kill(edge.pid, signal.SIGHUP)
    eventually((tmp_path / "log").exists, "it is begun anew without a request")
    file = origin.folder / f"{edge.name}.toml"
    other = file.read_text().replace(str(tmp_path / "log"), str(tmp_path / "other"))
    file.write_text(f'{other}\naccess_log_format = "combined"\naccess_log_clients = "network"\n')
    os.kill(edge.pid, signal.SIGHUP)
    eventually((tmp_path / "other").exists, "it goes there")
    assert get(edge, "/two", fields={"User-Agent": 'a "b" \\'}) == 200
    edge.stop()
    assert re.fullmatch(
        r'127\.0\.0\.0 - - \[[^\]]+\] "GET /two HTTP/1\.1" 200 \d+ "-" "a \\"b\\" \\\\"\n',
        (tmp_path / "other").read_text(),
    )
    assert (tmp_path / "log").read_text() == ""


def test_what_was_asked_last_is_written_before_the_end(origin: Site) -> None:
    edge = edge_with(origin, "-")
    for number in range(20):
        assert get(edge, f"/{number}") == 200
    edge.stop()
    said = [json.loads(line) for line in edge.log.read_text().splitlines() if line.startswith("{")]
    assert [line["target"] for line in said] == [f"/{number}" for number in range(20)]


def test_no_line_is_lost_when_logrotate_comes(origin: Site, tmp_path: Path) -> None:
    if LOGROTATE is None:
        pytest.skip("ROTATION IS NOT TESTED HERE: apt-get install logrotate")
    folder = tmp_path / "logs"
    folder.mkdir(0o750)
    recipe = (ROOT / "docs" / "deploy" / "logrotate").read_text()
    recipe = recipe.replace("/var/log/nunatak", str(folder))
    recipe = recipe.replace("su nunatak nunatak", f"su {getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}")
    assert str(folder) in recipe
    assert "su nunatak" not in recipe
    (tmp_path / "recipe").write_text(recipe)
    log = folder / "access.log"
    edge = edge_with(origin, log)
    for round_ in range(3):
        assert get(edge, f"/{round_}") == 200
        eventually(lambda: log.exists() and bool(log.read_text()), "a line")
        subprocess.run([LOGROTATE, "-f", "-s", str(tmp_path / "state"), str(tmp_path / "recipe")], check=True)
        assert not log.exists()
    assert get(edge, "/3") == 200
    edge.stop()
    packed = subprocess.run(["gzip", "-cd", f"{log}.3.gz", f"{log}.2.gz"], check=True, capture_output=True).stdout
    lines = packed.decode() + (folder / "access.log.1").read_text() + log.read_text()
    assert [json.loads(line)["target"] for line in lines.splitlines()] == ["/0", "/1", "/2", "/3"]
