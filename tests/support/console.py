"""`nunatak console` as an operator starts it."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.site.site import NUNATAK


class Console:
    """One that runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.link = self._next_link()
        self.url = self.link.split("/-/")[0]

    def _next_link(self) -> str:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if found := re.search(r"http://\S+#key=\S+", line):
                return found[0]
        raise AssertionError("no link")

    def another_link(self) -> str:
        """As who presses Enter in its terminal."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._next_link()


@contextmanager
def console(cache: Path) -> Iterator[Console]:
    """The console of the edge that has this cache folder, until the block is left."""
    command = [*NUNATAK, "console", "--cache", str(cache)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield Console(process)
        finally:
            process.kill()
