"""`make cache-tests CACHE_TESTS=CHECKOUT`: the tests of cache-tests.fyi on our edge and on other caches, as a table.

Who runs this brings the checkout, with the one package that its client needs:

    git clone --depth 1 https://github.com/http-tests/cache-tests && cd cache-tests && npm install --no-save undici@7

    python -m tests.cache_tests.run CHECKOUT [--only PATTERN] [--on nunatak,nginx] [--require] [--write]

What does not pass here is listed in build/cache-tests; `reasons` and docs/reference/cache-tests.md say why.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from tests.cache_tests.caches import LENIENT, OTHERS, OURS, edge, other, program_of, title
from tests.cache_tests.page import counts, passed, written
from tests.cache_tests.reasons import Results, failed, unexplained
from tests.wpt.runtimes import free_port, wait_for

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build" / "cache-tests"
DRIVER: Final = Path(__file__).with_name("driver.mjs")
AT_ONCE: Final = 6  # tests; each has one request under way
RUN_S: Final = 900.0
PAGE: Final = ROOT / "docs" / "reference" / "cache-tests.md"
REQUIRED, OPTIMAL = 155, 90  # tests that are to pass here; of the optimal, where an operator lets an edge guess


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="cache-tests.fyi here and elsewhere")
    parser.add_argument("checkout", type=Path, help="a checkout of http-tests/cache-tests, with undici installed in it")
    parser.add_argument("--only", default="", help="tests in whose name this pattern is found")
    parser.add_argument("--on", default=f"{OURS},{LENIENT},{','.join(OTHERS)}", help="caches, separated by commas")
    parser.add_argument("--require", action="store_true", help="exit with 1 if fewer pass here than are to")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    asked = parser.parse_args()
    checkout = asked.checkout.resolve()
    if not (checkout / "test-engine" / "cli.mjs").is_file():
        parser.error(f"{checkout}: a checkout of http-tests/cache-tests expected")
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    results: dict[str, Results] = {}
    for name in asked.on.split(","):
        if name in OTHERS and program_of(name) is None:
            print(f"{name}: NOT INSTALLED, LEFT OUT", file=sys.stderr)
            continue
        with _server(checkout) as server, _cache(name, server) as url:
            results[name] = _run(checkout, url, asked.only)
    print("\n".join(table(results)))
    for name in {OURS, LENIENT} & results.keys():
        (BUILD / f"{name}.tsv").write_text("".join(f"{line}\n" for line in failing(results[name])))
    if OURS in results and not asked.only:
        for line in unexplained(results[OURS]):
            print(f"without a reason, or a reason without a test: {line}", file=sys.stderr)
    if asked.write:
        titles = {name: title(name) for name in results}
        PAGE.write_text(written(PAGE.read_text(), results, titles, OURS, _which(checkout)))
    if asked.require and not is_enough(results):
        sys.exit(1)


def _which(checkout: Path) -> str:
    """The date and the commit of a checkout."""
    command = ["git", "-C", str(checkout), "log", "-1", "--format=%cs (%h)"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "an unknown day"


def _cache(name: str, server: str) -> AbstractContextManager[str]:
    folder = BUILD / name
    if name in OTHERS:
        return other(name, folder, server)
    return edge(folder, server, lenient=name == LENIENT)


@contextmanager
def _server(checkout: Path) -> Iterator[str]:
    """The tests' own server, which each test tells what to answer."""
    port = free_port()
    settings = {"protocol": "http", "port": str(port), "pidfile": str(BUILD / "server.pid")}
    environment = os.environ | {f"npm_config_{name}": value for name, value in settings.items()}
    with (BUILD / "server.log").open("wb") as log:
        command = ["node", "test-engine/server/server.mjs"]
        process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=log)
        try:
            wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _run(checkout: Path, url: str, only: str) -> Results:
    command = ["node", "--no-warnings", str(DRIVER), str(checkout), url, str(AT_ONCE), only]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=False)
    if done.returncode:
        sys.exit(f"the tests did not come to their end: {done.stderr[-2000:]}")
    told: Results = json.loads(done.stdout.splitlines()[-1])
    return told


def table(results: Mapping[str, Results]) -> Iterator[str]:
    """A line a cache: required and optimal tests that pass, and how many there are."""
    yield f"{'cache':28}{'required':>10}{'optimal':>10}"
    for name, told in results.items():
        yield f"{name:28}" + "".join(f"{cell:>10}" for cell in counts(told))


def failing(results: Results) -> Iterator[str]:
    """What does not pass of the required and the optimal: kind, test, verdict, what was wrong."""
    for test in failed(results):
        kind, verdict, message = results[test]
        yield f"{kind}\t{test}\t{verdict}\t{message}"


def is_enough(results: Mapping[str, Results]) -> bool:
    """Whether as many pass here as are to, and the others for a reason."""
    enough = passed(results[OURS])["required"] >= REQUIRED and passed(results[LENIENT])["optimal"] >= OPTIMAL
    return enough and not unexplained(results[OURS])


if __name__ == "__main__":
    main()
