"""Registries of others, for tests: Debian's docker-registry in a process of its own."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loadtest.site.fetch import Client
from vmimage.manifest import canonical_json

PATIENCE_S = 30.0
USER, PASSWORD = "publisher", "secret"
HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"  # bcrypt of the password


@contextmanager
def running_registry(folder: Path, *, mirror_of: str = "", password: bool = False) -> Iterator[str]:
    """A registry on loopback; the value is its URL.

    :param mirror_of: URL of a registry that it pulls from and keeps; "": it has its own content.
    :param password: whether it wants one, of all.
    """
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("REGISTRIES OF OTHERS ARE NOT TESTED HERE: docker-registry is not installed")
    folder.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if mirror_of:
        config["proxy"] = {"remoteurl": mirror_of}
    if password:
        (folder / "htpasswd").write_text(HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    (folder / "config.yml").write_bytes(canonical_json(config))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log, cwd=folder)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, server, folder / "log")
        yield url
    finally:
        server.terminate()
        server.wait()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with Client(url) as client:
                assert client.get("/v2/").status in (200, 401)
                return
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
