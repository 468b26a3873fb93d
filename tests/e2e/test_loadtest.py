"""Do demo and bench, as a newcomer runs them, come through on this machine?"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from loadtest.peers.npm import PeerMissing, peer_cache
from loadtest.peers.peers import Bun, Cgi, Deno, Nginx, Peer, Wasmtime, Workerd
from loadtest.peers.wasm_peer import compile_page
from loadtest.site.fetch import Client
from loadtest.site.site import NUNATAK


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NUNATAK, *arguments], capture_output=True, text=True, timeout=240, check=False)


def test_demo_shows_every_step_and_exits_0() -> None:
    done = _run("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") == 10
    assert "first byte" in done.stdout
    assert [done.stdout.count(how) for how in ("kept: a hit", "kept: stale", "news, purged")] == [1, 1, 1]


def test_bench_measures_keeps_samples_reports_and_compares(tmp_path: Path) -> None:
    kept, page = tmp_path / "bench.json", tmp_path / "report" / "index.html"
    options = (
        "--quick",
        "--only",
        "parked",
        "--only",
        "wire",
        "--only",
        "stream",
        "--report",
        str(page.parent),
        "--trend",
        str(tmp_path / "t"),
        "--json",
    )
    done = _run("bench", *options, str(kept))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "data:image/png;base64," in page.read_text()
    assert (page.parent / "first-bytes.png").read_bytes().startswith(b"\x89PNG")
    faster = json.loads(kept.read_text())
    for row in faster["rows"]:
        row |= {"median": row["median"] / 1e6, "spread": [value / 1e6 for value in row["spread"]]}
    (tmp_path / "faster.json").write_text(json.dumps(faster))
    again = _run(
        "bench", *options, str(tmp_path / "again.json"), "--baseline", str(tmp_path / "faster.json"), "--strict"
    )
    assert again.returncode == 1, again.stdout + again.stderr
    assert "worse" in again.stdout
    rows = {row["name"]: row for row in json.loads(kept.read_text())["rows"]}
    streams = {"stream-first", "stream-chunk"}
    assert rows.keys() == {"parked-first-byte", "second-service-wire", "second-service-bytes", *streams}
    assert len(rows["parked-first-byte"]["samples"]) == 20
    assert 0 < rows["second-service-bytes"]["median"] < 16 << 10


def test_unknown_scenario_is_refused_by_name() -> None:
    done = _run("bench", "--only", "nothing")
    assert done.returncode == 1
    assert (
        done.stderr
        == "nunatak bench: scenario warm or hits or vmm or parked or stream or cold or wire or memory or scale or "
        "multitude or fairness or zipf or popularity or peers or js expected, got 'nothing'\n"
    )


def test_scenarios_are_listed() -> None:
    done = _run("bench", "--list")
    assert done.returncode == 0
    assert "visitors by Zipf's law" in done.stdout


def test_the_scale_experiment_meets_parked_machines_alone(tmp_path: Path) -> None:
    kept = tmp_path / "scale.json"
    done = _run("bench", "--quick", "--only", "scale", "--json", str(kept), "--report", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["name"]: row["median"] for row in json.loads(kept.read_text())["rows"]}
    for count in (20, 60):
        assert 0 < rows[f"scale-{count}-opens"] <= 1, "an answer opens one machine, or finds one that is there"
        assert rows[f"scale-{count}-hits"] == 100 * rows[f"scale-{count}-opens"], "and each that is opened was parked"


def test_throughput_by_number_of_services_is_measured_point_by_point(tmp_path: Path) -> None:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is needed: apt-get install wrk")
    kept = tmp_path / "zipf.json"
    done = _run("bench", "--quick", "--only", "zipf", "--json", str(kept), "--report", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["name"]: row["median"] for row in json.loads(kept.read_text())["rows"]}
    for count in (10, 100):
        assert rows[f"zipf-0.9-{count}-rate"] > 0
        shares = [rows[f"zipf-0.9-{count}-{tier}"] for tier in ("resident", "parked", "disk", "blob", "origin")]
        assert sum(shares) == pytest.approx(100)


@pytest.mark.parametrize("kind", [Workerd, Deno, Bun, Nginx, Wasmtime, Cgi])
def test_a_peer_answers_its_pages_by_any_name_and_its_cpu_time_is_known(kind: type[Peer], tmp_path: Path) -> None:
    try:
        with kind(tmp_path) as peer, Client(peer.url) as client:
            for page in kind.pages:
                answer = client.get(page, host="a.test")
                assert (answer.status, bool(answer.body)) == (200, True)
                assert (b"item 49 &lt;&quot;/page&quot;&gt;" in answer.body) == (page == "/page")
            while not peer.cpu_s():
                client.get("/", host="a.test")
    except PeerMissing as error:
        pytest.skip(str(error))


def test_a_fresh_webassembly_instance_answers_each_request(tmp_path: Path) -> None:
    for module in ("wasmtime", "ziglang"):
        pytest.importorskip(module, reason=f"{module} is needed: pip install {module}")
    with Wasmtime(tmp_path) as peer, Client(peer.url) as client:
        # An instance has a page for one request only.
        assert [client.get("/a").body for _ in range(3)] == [b"hello from /a\n"] * 3
        assert client.get("/").body == b"hello from /\n"


def test_the_webassembly_page_is_compiled_once_for_each_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ziglang", reason="ziglang is needed: pip install ziglang")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "page.c"
    source.write_text('__attribute__((export_name("page"))) int page(int length) { return length; }\n')
    first = compile_page(source)
    assert first.startswith(b"\0asm")
    assert compile_page(source) == first
    assert len(list(peer_cache().iterdir())) == 1
    source.write_text(source.read_text().replace("return length", "return length + 1"))
    assert compile_page(source) != first
    assert len(list(peer_cache().iterdir())) == 2
