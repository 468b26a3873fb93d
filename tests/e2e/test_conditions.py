"""Each condition of an edge that can be brought about, as operators and load balancers are told of it."""

import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Timestamp

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import NUNATAK, Site, example
from origin.keys import load_signer
from tests.support.edges import admin, eventually, metrics
from tests.support.restarts import wrong_with
from vmimage.trust import sign_timestamp


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An origin with a service; each test starts an edge of its own."""
    with Site(tmp_path_factory.mktemp("conditions"), edges=0) as site:
        for name in ("hello", "neighbour"):
            site.publish(site.build(example(name)), name)
        yield site


@contextmanager
def edge(site: Site, folder: Path, **options: str) -> Iterator[Server]:
    """An edge of the site, with these options in place of those that it would have."""
    given = {"origin": site.origin.url, "trust": str(site.keys / "root.json"), "cache": str(folder / "cache")}
    given |= {"listen": "127.0.0.1:0", "workers": "1", "refresh": "0.2", "negative": "0"} | options
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    with Server("edge", [*NUNATAK, "edge", *words], folder) as running:
        yield running


def says(one: Server, question: str, status: int, *names: str) -> bool:
    """Whether an edge answers so."""
    answer = admin(one, question)
    return (answer.status, wrong_with(answer.body)) == (status, list(names))


def serves(one: Server) -> int:
    with Client(one.url) as client:
        return client.get("/", host="hello.test").status


def test_an_edge_that_is_well_loses_a_worker_and_drains(origin: Site, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| `(nunatak_\w+)` \|(?: [^|]*\|)?? ([^|]+) \|$", text, re.MULTILINE))
    with edge(origin, tmp_path, drain="60") as one:
        eventually(lambda: says(one, "ready", 200), "it has seen the catalogue")
        for question in ("health", "ready"):
            answer = admin(one, question)
            assert answer.headers["content-type"] == "application/json"
            sources = [{"source": origin.origin.url, "state": "well", "error": ""}]
            expected = {"status": "ok", "conditions": [], "sources": {"blobs": sources, "catalogue": sources}}
            assert json.loads(answer.body) == expected
        command = [*NUNATAK, "admin", "ready", "--cache", str(tmp_path / "cache")]
        assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0

        exposed = dict(re.findall(r"^# HELP (nunatak_\w+) (.*)$", admin(one, "metrics").body.decode(), re.MULTILINE))
        assert len(exposed) > 50
        assert exposed == documented, "the reference names the metrics that an edge has"

        (worker,) = json.loads(admin(one, "workers").body)["workers"]
        os.kill(worker["pid"], signal.SIGKILL)
        eventually(lambda: says(one, "ready", 503, "no_worker"), "it is gone")
        eventually(lambda: says(one, "health", 200), "another has taken its place")

        with socket.create_connection(("127.0.0.1", int(one.url.rpartition(":")[2]))) as waiting:
            waiting.sendall(b"GET /sleep?ms=3000 HTTP/1.1\r\nHost: neighbour.test\r\n\r\n")
            eventually(lambda: metrics(one)["streams"] == 1, "it is in flight")
            os.kill(one.pid, signal.SIGTERM)
            eventually(lambda: says(one, "ready", 503, "draining"), "it is told")
            assert says(one, "health", 503, "draining")
            assert waiting.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n"), "what is in flight is finished"
        assert one.wait() == 0


def test_a_root_of_other_keys(origin: Site, tmp_path: Path) -> None:
    origin.run("keygen", str(tmp_path / "keys"))
    with edge(origin, tmp_path, trust=str(tmp_path / "keys" / "root.json")) as one:
        eventually(lambda: says(one, "ready", 503, "wrong_root"), "it is told")
        assert says(one, "health", 200, "wrong_root"), "a new process would be told the same"
        (entry,) = json.loads(admin(one, "ready").body)["conditions"]
        assert "root.json" in entry["do"]
        assert "is it another origin's?" in entry["what"]
        command = [*NUNATAK, "admin", "ready", "--cache", str(tmp_path / "cache")]
        assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 1


def test_an_origin_that_was_never_seen(origin: Site, tmp_path: Path) -> None:
    with edge(origin, tmp_path, origin="http://127.0.0.1:9") as one:
        eventually(lambda: "Connection refused" in admin(one, "ready").body.decode(), "it has asked")
        assert says(one, "ready", 503, "origin_never_seen")
        assert says(one, "health", 200, "origin_never_seen")


@contextmanager
def mirror(site: Site, folder: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    """What the origin has now."""
    shutil.copytree(site.store, folder / "mirror")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder / "mirror"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def renew(site: Site, timestamp: Path, lifetime: timedelta) -> None:
    """Sign a timestamp for so long, which nobody renews."""
    before = Metadata[Timestamp].from_bytes(timestamp.read_bytes()).signed
    signer = load_signer(site.keys, "timestamp")
    timestamp.write_bytes(sign_timestamp(before, before.snapshot_meta, signer, datetime.now(UTC), lifetime))


def test_a_catalogue_past_its_date_for_longer_than_an_operator_allows(origin: Site, tmp_path: Path) -> None:
    with mirror(origin, tmp_path) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with edge(origin, tmp_path, origin=url, source=f"files+{url}", catalogue_stale="1s") as one:
            eventually(lambda: serves(one) == 200, "it has the catalogue and the image, as files")
            timestamp = tmp_path / "mirror" / "tuf" / "timestamp.json"
            renew(origin, timestamp, timedelta(seconds=2))
            wrong = ("catalogue_expired", "catalogue_stale", "source_away")
            eventually(lambda: says(one, "ready", 503, *wrong), "it takes no more")
            assert serves(one) == 503
            assert says(one, "health", 200, *wrong)
            renew(origin, timestamp, timedelta(hours=1))
            eventually(lambda: serves(one) == 200, "there is a newer one")


def test_a_catalogue_past_its_date_and_an_origin_that_is_gone(origin: Site, tmp_path: Path) -> None:
    with mirror(origin, tmp_path) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with edge(origin, tmp_path, origin=url) as one:
            eventually(lambda: says(one, "ready", 200), "it has a catalogue")
            renew(origin, tmp_path / "mirror" / "tuf" / "timestamp.json", timedelta(seconds=5))
            eventually(lambda: says(one, "ready", 200, "catalogue_expired"), "nobody renews it")
            eventually(lambda: metrics(one)["catalogue_expired"] == 1, "the metric says so too")
            server.shutdown()
            server.server_close()
            eventually(lambda: says(one, "ready", 200, "origin_away", "catalogue_expired"), "nobody is there")


def test_a_full_disk(origin: Site, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("A FULL DISK IS NOT TESTED HERE: no tmpfs can be mounted")
    try:
        with edge(origin, tmp_path, cache=str(place / "cache")) as one:
            eventually(lambda: says(one, "ready", 200), "it is well")
            fill = ["dd", "if=/dev/zero", f"of={place}/filler", "bs=4k"]
            subprocess.run(fill, capture_output=True, check=False)
            assert says(one, "ready", 200, "disk_full"), "it serves on"
            assert serves(one) == 200
            (place / "filler").unlink()
            assert says(one, "health", 200)
            subprocess.run(fill, capture_output=True, check=False)
            assert one.stop() == 0
            assert "event=records_lost count=1" in one.log.read_text(), "what a machine knew is not lost without a word"
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
