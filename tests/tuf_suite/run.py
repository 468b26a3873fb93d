"""`make tuf-conformance`: the conformance suite of TUF against what edges follow origins with, at two depths.

The suite is a commit of theupdateframework/tuf-conformance, fetched by git; or the folder that TUF_CONFORMANCE names, a
checkout or a bare repository, whose commit must be the same. It needs `git` and `faketime`. Its sandbox is
build/tuf-conformance.

    python -m tests.tuf_suite.run [--suite FOLDER] [--only PATTERN] [--level updater|catalogue]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

from tests.tuf_suite.client import LEVEL

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build" / "tuf-conformance"
SUITE: Final = "https://github.com/theupdateframework/tuf-conformance"
COMMIT: Final = "eec841c186f81f2d9d8d30460c7e7deefa615f9e"

GRAPHS: Final = "an edge knows bins and tenants' files, and walks no other graph of delegations"
SHA256: Final = "records name images by SHA-256 alone"
BINS: Final = "top-level targets delegate to no hash bins"
# Tests that cannot hold, each with the reason; one that holds all the same fails the run.
INAPPLICABLE: Final[dict[str, dict[str, str]]] = {
    "updater": {},
    "catalogue": {
        "test_static_repository": BINS,
        "test_download_with_hash_algorithms[hashes1]": SHA256,
        "test_unusual_role_name": GRAPHS,
        "test_graph_traversal": GRAPHS,
        "test_cached_role_is_verified_against_current_delegator": GRAPHS,
        **{
            f"test_targetfile_search[{which}]": GRAPHS
            for which in (
                "no delegations",
                "targetpath matches wildcard",
                "targetpath with separators x",
                "targetpath with separators y",
                "targetpath is not delegated by all roles in the chain",
                "targetpath matches question mark wildcard",
            )
        },
    },
}


def main() -> int:
    """The exit status: 0 when every test came out as it should."""
    parser = argparse.ArgumentParser(description="tuf-conformance against what edges follow origins with")
    parser.add_argument(
        "--suite", default=os.environ.get("TUF_CONFORMANCE", ""), help="a checkout, or a bare repository"
    )
    parser.add_argument("--only", default="", help="tests whose names match, as pytest's -k")
    parser.add_argument("--level", choices=INAPPLICABLE, action="append", help="one of the depths")
    asked = parser.parse_args()
    for program in ("git", "faketime"):
        if shutil.which(program) is None:
            parser.error(f"{program} expected, not installed")
    suite = _fetched(Path(asked.suite) if asked.suite else None)
    failed = [level for level in asked.level or INAPPLICABLE if _run(suite, level, asked.only) != 0]
    return 1 if failed else 0


def _fetched(given: Path | None) -> Path:
    """The suite's files at its pinned commit."""
    shutil.rmtree(BUILD, ignore_errors=True)
    suite = BUILD / "suite"
    suite.mkdir(parents=True)
    repository = given
    if repository is None:
        repository = BUILD / "repository"
        _git(["init", "--quiet", "--bare", str(repository)])
        _git(["-C", str(repository), "fetch", "--quiet", "--depth", "1", SUITE, COMMIT])
    archive = _git(["-C", str(repository), "archive", "--format=tar", COMMIT])
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(suite, filter="data")
    return suite


def _git(words: Sequence[str]) -> bytes:
    return subprocess.run(["git", *words], check=True, stdout=subprocess.PIPE).stdout


def _run(suite: Path, level: str, only: str) -> int:
    print(f"\n{level}: {len(INAPPLICABLE[level])} that cannot hold", flush=True)
    for name, why in INAPPLICABLE[level].items():
        print(f"  {name}: {why}", flush=True)
    client = _client(level)
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-r",
        "fEx",
        "-p",
        "no:cacheprovider",
        "-c",
        str(suite / "pyproject.toml"),
    ]
    words += ["-p", "tests.tuf_suite.delegations"] if level == "catalogue" else []
    words += ["-k", only] if only else []
    words += ["--entrypoint", str(client), str(suite / "tuf_conformance")]
    environment = os.environ | {"PYTHONPATH": f"{suite}:{ROOT}", LEVEL: level}
    return subprocess.run(words, cwd=suite, env=environment, check=False).returncode


def _client(level: str) -> Path:
    """The program that the suite starts, which looks for tests that cannot hold beside it."""
    client = BUILD / f"{level}-client"
    client.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.tuf_suite.client "$@"\n')
    client.chmod(0o755)
    Path(f"{client}.xfails").write_text("".join(f"{name}\n" for name in INAPPLICABLE[level]))
    return client


if __name__ == "__main__":
    sys.exit(main())
