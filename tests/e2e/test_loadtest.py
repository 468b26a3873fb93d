"""Do demo and bench, as a newcomer runs them, come through on this machine?"""

import json
import subprocess
from pathlib import Path

from loadtest.site import NUNATAK


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NUNATAK, *arguments], capture_output=True, text=True, timeout=110, check=False)


def test_demo_shows_every_step_and_exits_0() -> None:
    done = _run("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") == 7
    assert "first byte" in done.stdout


def test_bench_measures_and_keeps_samples(tmp_path: Path) -> None:
    kept = tmp_path / "bench.json"
    done = _run("bench", "--quick", "--only", "parked", "--only", "wire", "--json", str(kept))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["name"]: row for row in json.loads(kept.read_text())["rows"]}
    assert rows.keys() == {"parked-first-byte", "second-service-wire", "second-service-bytes"}
    assert len(rows["parked-first-byte"]["samples"]) == 20
    assert 0 < rows["second-service-bytes"]["median"] < 16 << 10


def test_unknown_experiment_is_refused_by_name() -> None:
    done = _run("bench", "--only", "nothing")
    assert done.returncode == 1
    assert (
        done.stderr == "nunatak bench: experiment warm or vmm or parked or cold or wire or memory or scale expected, "
        "got 'nothing'\n"
    )
