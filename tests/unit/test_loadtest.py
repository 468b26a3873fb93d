"""Does the harness start, await, stop and measure as demo, bench and the end-to-end tests rely on?"""

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.report.rows import Measurement, Row
from loadtest.site.fetch import Client, fetch
from loadtest.site.server import Server, ServerFailed, tree_memory_bytes
from loadtest.traffic import pressure

# Starts a child in a session of its own, tells its number, says that it is ready; leaves the child behind on SIGTERM.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
print("child", child.pid, flush=True)
print("test ready on http://127.0.0.1:1", flush=True)
child.wait()
"""

WRK_SAYS = """Running 3s test @ http://127.0.0.1:36261/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.11ms  715.41us  14.02ms   94.57%
    Req/Sec    15.02k     1.74k   16.60k    90.00%
  Latency Distribution
     50%  980.00us
     75%    2.04ms
     90%    2.41ms
     99%    5.82ms
  45010 requests in 3.02s, 7.13MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 4
Requests/sec:  14921.17
Transfer/sec:      2.36MB
"""


def _python(code: str, folder: Path) -> Server:
    return Server("test", [sys.executable, "-c", code], folder)


def test_server_that_ends_early_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match=r"ended before it was ready\n  test \| no such key"):
        _python("import sys; sys.exit('no such key')", tmp_path).start()


def test_stopping_a_server_ends_what_it_started(tmp_path: Path) -> None:
    with _python(PARENT, tmp_path) as server:
        assert server.url == "http://127.0.0.1:1"
        child = int(server.log.read_text().split()[1])
        handle = os.pidfd_open(child)
        assert os.getsid(child) == child
        assert tree_memory_bytes(server.pid) > tree_memory_bytes(child) > 0
    assert not server.running
    poll = select.poll()  # the descriptor may be above 1023
    poll.register(handle, select.POLLIN)
    ended = poll.poll(10_000)
    os.close(handle)
    assert ended, f"process {child} outlives the one that started it"


def test_error_inside_the_block_stops_the_server(tmp_path: Path) -> None:
    server = _python(PARENT, tmp_path)
    with pytest.raises(RuntimeError, match="on purpose"), server:
        raise RuntimeError("on purpose")
    assert not server.running


def test_wrk_figures_are_read_with_their_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrk = tmp_path / "wrk"
    wrk.write_text(f"#!/bin/sh\ncat <<'END'\n{WRK_SAYS}END\n")
    wrk.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    figures = pressure.press("http://127.0.0.1:36261/")
    assert figures == pressure.Pressure(45010, 14921.17, p50_ms=0.98, p99_ms=5.82, errors=7)


def test_python_client_presses_a_real_server_and_counts_what_fails(tmp_path: Path) -> None:
    with Server("bare", [sys.executable, "-m", "loadtest.peers.bare"], tmp_path) as bare:
        command = [sys.executable, "-m", "loadtest.traffic.pressure"]
        good, bad = (
            pressure.Pressure(**json.loads(subprocess.check_output([*command, bare.url + path, "4", "0.2"])))
            for path in ("/", "/nothing-here")
        )
        with Client(bare.url) as client:
            answers = [client.get("/") for _ in range(3)]
    assert good.errors == 0
    assert good.requests_per_s > 0
    assert 0 < good.p50_ms <= good.p99_ms
    assert bad.errors > 0
    assert {answer.status for answer in answers} == {200}
    assert all(0 < answer.first_byte_ms <= answer.total_ms for answer in answers)
    with pytest.raises(ConnectionRefusedError):
        fetch(bare.url)


@pytest.mark.parametrize(
    ("better", "reach", "met"),
    [("higher", 2.0, True), ("higher", 3.0, False), ("lower", 2.0, True), ("lower", 1, False)],
)
def test_a_promise_is_kept_by_the_median(better: str, reach: float, met: bool) -> None:
    row = Row("n", "title", "ms", "higher" if better == "higher" else "lower", reach)
    assert Measurement(row, [9.0, 1.0, 2.0], "again").met is met


def test_spread_is_quartiles_or_extremes() -> None:
    row = Row("n", "title", "ms", "lower")
    assert Measurement(row, [1.0, 5.0], "again").spread == (1.0, 5.0)
    assert Measurement(row, [float(n) for n in range(1, 12)], "again").spread == (3.0, 9.0)
    assert Measurement(row, [1.0], "again").met is None
