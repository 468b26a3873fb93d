"""`make wpt WPT=CHECKOUT`: web-platform-tests on our runtime, workerd and Node, in one run, as a table by folder.

Who runs this brings the checkout: `git clone --depth 1 https://github.com/web-platform-tests/wpt`. Of its folders
those that suite.py names are enough, with resources/, common/, interfaces/ and tools/. Workers, images and results are
kept under build/wpt; failing.tsv there says what does not pass here, why, and where it does.

    python -m tests.wpt.run CHECKOUT [--only PATTERN] [--on nunatak,workerd,node]
"""

import argparse
import re
import shutil
import subprocess
import sys
import urllib.error
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from loadtest.peers.npm import PeerMissing
from tests.wpt.figures import OURS, Outcome, Subtest, failing, rows, subtests, table
from tests.wpt.runtimes import Node, Ours, Runtime, Workerd, free_port, wait_for
from tests.wpt.suite import GROUPS, Suite

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build" / "wpt"
SERVER: Final = Path(__file__).parent / "server.py"
AT_ONCE: Final = 2


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="web-platform-tests here and elsewhere")
    parser.add_argument("checkout", type=Path, help="a checkout of web-platform-tests")
    parser.add_argument("--only", default="", help="tests in whose group and path this pattern is found")
    parser.add_argument("--on", default=f"{OURS},workerd,node", help="runtimes, separated by commas")
    asked = parser.parse_args()
    if not (asked.checkout / "resources" / "testharness.js").is_file():
        parser.error(f"{asked.checkout}: a checkout of web-platform-tests expected, found no resources/testharness.js")
    port, workers = free_port(), BUILD / "workers"
    shutil.rmtree(BUILD, ignore_errors=True)
    workers.mkdir(parents=True)
    suite = Suite(asked.checkout, port)
    for group in GROUPS:
        suite.write(group, workers)
    suite.runs = [run for run in suite.runs if re.search(asked.only, f"{run.group} {run.test}")]
    with _server(asked.checkout, port):
        results = {name: _ask(name, suite, workers, port) for name in asked.on.split(",") if _is_here(name)}
    print(table(rows(results)))
    if OURS in results:
        (BUILD / "failing.tsv").write_text("".join(f"{line}\n" for line in failing(results)))
        print(f"\nwhat does not pass here: {BUILD / 'failing.tsv'}")


def _is_here(name: str) -> bool:
    if name == "node" and shutil.which("node") is None:
        print("node: not installed, left out", file=sys.stderr)
        return False
    return True


def _ask(name: str, suite: Suite, workers: Path, port: int) -> dict[Subtest, Outcome]:
    """All runs on one runtime; none where it cannot be had."""
    groups = sorted({run.group for run in suite.runs})
    with ExitStack() as stack:
        make: dict[str, Callable[[], Runtime]] = {
            OURS: lambda: stack.enter_context(Ours(workers, groups, port, BUILD / "site")),
            "workerd": lambda: Workerd(workers),
            "node": lambda: Node(workers),
        }
        runtime = make[name]()
        found: dict[Subtest, Outcome] = {}

        def one(number: int) -> Sequence[Sequence[str | None]]:
            run = suite.runs[number]
            try:
                return runtime.ask(run)
            except (OSError, urllib.error.URLError, ValueError, PeerMissing) as error:
                print(f"{name}: {run.test}{run.variant}: {error}", file=sys.stderr)
                return []

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for run, told in zip(suite.runs, pool.map(one, range(len(suite.runs))), strict=True):
                found.update(subtests(run.test, run.variant, told))
    return found


@contextmanager
def _server(checkout: Path, port: int) -> Iterator[None]:
    log = (BUILD / "server.log").open("wb")
    process = subprocess.Popen([sys.executable, str(SERVER), str(checkout), str(port)], stdout=log, stderr=log)
    try:
        wait_for(port)
        yield
    finally:
        process.kill()
        process.wait()
        log.close()


if __name__ == "__main__":
    main()
