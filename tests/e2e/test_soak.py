"""Does a short soak of a real site fail nothing, grow nothing, and evict from every tier?"""

import json
import subprocess
from pathlib import Path

from loadtest.site.site import NUNATAK

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_short_soak_is_without_error_growth_or_an_idle_tier(tmp_path: Path) -> None:
    kept, plot = tmp_path / "soak.json", tmp_path / "soak.png"
    options = ["--minutes", "0.34", "--services", "150", "--load", "0.3", "--json", str(kept), "--plot", str(plot)]
    done = subprocess.run([*NUNATAK, "soak", *options], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(kept.read_text())
    assert found["not_met"] == []
    assert found["failures"] == 0
    assert found["requests"] == sum(sample["requests"] for sample in found["samples"]) > 500
    assert found["groups"]["scan"]["requests"] > 10
    assert found["groups"]["flash"]["requests"] > 10
    assert found["tiers"].keys() == {"resident", "parked", "disk", "blob", "origin"}
    assert all(found["evictions"].values())
    assert found["generator"] == "python -m loadtest.traffic.paced (open loop)"
    assert 0 < found["rate_per_s"] < found["capacity_per_s"]
    assert found["costs"]["cpu_s_per_million_requests"] > 0
    assert found["costs"]["parked_bytes_per_thousand"] > 0
    assert plot.read_bytes().startswith(PNG)
    assert "a million requests:" in done.stdout
