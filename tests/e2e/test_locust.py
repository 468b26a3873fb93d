"""Does the locustfile load a real site, count what came of it, and tell good from bad by its exit code?"""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.site.site import LOOPBACK, Site
from loadtest.traffic.zipf import DECILES
from tests.support.edges import metrics

SERVICES = 30
LOCUSTFILE = Path(__file__).resolve().parents[2] / "loadtest" / "traffic" / "locustfile.py"
LOCUST = (sys.executable, "-m", "locust", "-f", str(LOCUSTFILE))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("locust"), edge_config={"refresh": 0.2}) as running:
        running.world("c=3,js=2,lua=1", SERVICES, "world")
        yield running


def _command(site: Site, *options: str, services: int = SERVICES, seconds: int = 3) -> list[str]:
    users = ["--headless", "-u", "10", "-r", "10", "-t", f"{seconds}s", "--think", "0.02", "--stop-timeout", "20"]
    return [*LOCUST, "--host", site.edges[0].url, "--services", str(services), *users, *options]


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def _requests(site: Site) -> float:
    return metrics(site.edges[0])["requests_total"]


def _outcome(path: Path) -> dict[str, Any]:
    outcome = json.loads(path.read_text())
    assert isinstance(outcome, dict)
    return outcome


def test_a_load_of_all_kinds_of_traffic_is_met_and_counted(site: Site, tmp_path: Path) -> None:
    before, kept = _requests(site), tmp_path / "outcome.json"
    traffic = "--alpha 1 --drift 60 --flash 0.2 --flash-every 6 --flash-for 2 --scan 0.05 --wonders 0.05 --post 0.2"
    done = _run(_command(site, *traffic.split(), "--outcome", str(kept), "--max-p99-ms", "20000", seconds=8))
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = _outcome(kept)
    assert outcome["failures"] == 0
    assert outcome["not_met"] == []
    assert outcome["requests"] == sum(outcome["tiers"].values()) > 300
    assert _requests(site) - before >= outcome["requests"]
    assert outcome["tiers"]["origin"] >= SERVICES // 2, "wonders and scan meet what nobody has asked for"
    groups = outcome["groups"]
    assert {"flash", "scan", "wonder", *DECILES} == groups.keys()
    assert groups["scan"]["requests"] <= SERVICES
    assert groups["wonder"]["requests"] <= SERVICES // 2
    assert groups["d01"]["requests"] > 2 * groups["d10"]["requests"]
    assert all(0 < group["p50_ms"] <= group["p99_ms"] for group in groups.values())
    assert "POST" in done.stderr


def test_errors_of_the_edge_are_classed_and_end_with_exit_code_1(site: Site, tmp_path: Path) -> None:
    kept = tmp_path / "outcome.json"
    done = _run(_command(site, "--alpha", "0", "--outcome", str(kept), services=2 * SERVICES))
    assert done.returncode == 1, done.stdout + done.stderr
    outcome = _outcome(kept)
    assert outcome["tally"]["errors"].keys() == {"421 unknown_service"}
    assert outcome["failures"] == outcome["tally"]["errors"]["421 unknown_service"] > 0
    assert "NOT MET: failures: at most 0.000% of requests expected" in done.stdout
    forgiven = _run(_command(site, "--alpha", "0", "--max-failure-ratio", "0.9", services=2 * SERVICES))
    assert forgiven.returncode == 0, forgiven.stdout + forgiven.stderr


def test_a_p99_that_nobody_can_reach_ends_with_exit_code_1(site: Site) -> None:
    done = _run(_command(site, "--alpha", "2", "--max-p99-ms", "0.01"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "NOT MET: p99 of d01: at most 0.01 ms expected" in done.stdout


def test_nobody_who_answers_ends_with_exit_code_1(site: Site) -> None:
    command = _command(site)
    command[command.index("--host") + 1] = f"http://{LOOPBACK}:1"
    done = _run(command)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no answer: ConnectionRefusedError" in done.stdout


def test_options_that_make_no_traffic_are_refused(site: Site) -> None:
    done = _run(_command(site, "--scan", "0.6", "--wonders", "0.6"))
    assert done.returncode == 1
    assert "locustfile: shares of flash, scan and wonders" in done.stderr


def _free_port() -> str:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        return str(taken.getsockname()[1])


def test_a_worker_has_the_masters_options_and_the_master_its_counts(site: Site, tmp_path: Path) -> None:
    before, kept, port = _requests(site), tmp_path / "outcome.json", _free_port()
    command = _command(site, "--post", "0", "--scan", "0.1", "--alpha", "0.5", "--outcome", str(kept), seconds=5)
    command += ["--master", "--master-bind-host", LOOPBACK, "--master-bind-port", port, "--expect-workers", "2"]
    workers = [*LOCUST, "--worker", "--master-host", LOOPBACK, "--master-port", port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as master:
        generators = [subprocess.Popen(workers, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) for _ in range(2)]
        try:
            said, _ = master.communicate(timeout=90)
            assert [generator.wait(timeout=20) for generator in generators] == [0, 0]
        finally:
            master.kill()
            for generator in generators:
                generator.kill()
                generator.wait()
    assert master.returncode == 0, said
    outcome = _outcome(kept)
    assert outcome["generators"] == 2
    assert _requests(site) - before == outcome["requests"] > 100, "every request is counted once"
    assert outcome["groups"]["scan"]["requests"] == SERVICES, "both workers together make one pass"
