"""One server process that is started, awaited and always stopped.

It writes a line with "ready on URL" when it listens; an edge, before that one, a line with where its operators' pages
are. Everything it writes is kept in a log, whose end is shown with the error when something goes wrong. What it has
started ends with it.
"""

import contextlib
import os
import queue
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

START_TIMEOUT_S: Final = 60.0  # generous: two busy cores, cold caches, a toolchain being unpacked beside it
STOP_TIMEOUT_S: Final = 15.0  # an edge drains and parks everything in this time
TAIL_LINES: Final = 25

_READY = re.compile(r"ready on ((?:http://|unix:)\S+)")
_ADMIN = re.compile(r"operators' pages on (.+)")


class ServerFailed(Exception):
    """The process is not ready in time, or does not do what it is asked; with the end of its log where that helps."""


class Server:
    """A process of ours with an address.

    :param name: what it is called in messages and in its log's file name.
    :param command: the whole command line.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self.command = list(command)
        self.log = folder / f"{name}.log"
        self.url = ""
        self.admin_url = ""  # of an edge, as `fetch.Client` takes it
        self.environment: Mapping[str, str] = {}  # beside this process's own
        self.descriptors: Sequence[int] = ()  # of ours that it is given
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    def cpu_s(self) -> float:
        """CPU time that its processes have had, in seconds."""
        return tree_cpu_s(self.pid)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process and wait until it is ready.

        :raises ServerFailed: it ended, or was not ready in START_TIMEOUT_S.
        """
        assert not self.running, f"{self.name} runs already"
        said: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**os.environ, **self.environment},
            pass_fds=self.descriptors,
        )
        self._reader = threading.Thread(target=self._copy_output, args=(self._process, said), daemon=True)
        self._reader.start()
        try:
            url = said.get(timeout=START_TIMEOUT_S)
        except queue.Empty:
            self.kill()
            raise ServerFailed(f"{self.name}: not ready in {START_TIMEOUT_S:.0f} s\n{self.tail()}") from None
        except BaseException:
            self.kill()
            raise
        if url is None:
            self.kill()
            raise ServerFailed(f"{self.name}: ended before it was ready\n{self.tail()}")
        self.url = url

    def stop(self) -> int | None:
        """Ask the process to finish (SIGTERM), then make it; its exit code, or `None` when it was never started."""
        if self._process is None:
            return None
        tree = self._tree()
        if tree:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        self._end(tree)
        return self._process.returncode

    def wait(self) -> int | None:
        """Wait for a process that was told to end; its exit code, or `None` when it was never started.

        :raises subprocess.TimeoutExpired: it did not.
        """
        return None if self._process is None else self._process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the process and its descendants at once."""
        self._end(self._tree())

    def _tree(self) -> list[int]:
        return process_tree(self.pid) if self.running else []

    def _end(self, tree: Sequence[int]) -> None:
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        if self._reader is not None:
            self._reader.join()  # the pipe's end is near: nobody is left who could write to it

    def tail(self) -> str:
        """The last lines of its log, each marked with its name."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        return "\n".join(f"  {self.name} | {line}" for line in lines[-TAIL_LINES:])

    def _copy_output(self, process: subprocess.Popen[str], said: "queue.Queue[str | None]") -> None:
        assert process.stdout is not None
        with self.log.open("a") as log, process.stdout as output:
            for line in output:
                log.write(line)
                log.flush()
                if found := _ADMIN.search(line):
                    self.admin_url = found.group(1)
                if found := _READY.search(line):
                    said.put(found.group(1))
        said.put(None)


def process_tree(pid: int) -> list[int]:
    """A process and its descendants, parents first; those that have ended are left out."""
    tree = [pid]
    for current in tree:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for children in Path(f"/proc/{current}/task").glob("*/children"):
                tree.extend(map(int, children.read_text().split()))
    return tree


def tree_memory_bytes(pid: int) -> int:
    """Memory of a process and its descendants that is theirs: shared pages are divided among those who share them.

    Source: "Pss" of /proc/PID/smaps_rollup (Linux 4.14), which counts shared memfds once over all who map them.
    """
    total = 0
    for current in process_tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{current}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) << 10
    return total


def tree_cpu_s(pid: int) -> float:
    """CPU time that a process and its descendants have had, in seconds, to a hundredth.

    Source: fields 14 and 15 of /proc/PID/stat, in clock ticks (proc_pid_stat(5)).
    """
    ticks = 0
    for current in process_tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{current}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
