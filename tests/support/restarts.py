"""What tests of restarts share: load that counts what fails, a service manager, and sockets that it holds."""

import http.client
import json
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.site.fetch import Client
from loadtest.site.server import Server

CONNECTIONS = 8
WAIT_S = 60  # that a connection may wait for a busy machine


@dataclass
class Outcome:
    """What a load met."""

    answered: int = 0
    refused: int = 0  # connections that were refused or broke
    wrong: int = 0  # answers with another status than 200

    @property
    def failed(self) -> tuple[int, int]:
        """Connections and answers that a client would complain of."""
        return self.refused, self.wrong


@contextmanager
def load(edge: Server, host: str) -> Iterator[Outcome]:
    """Ask an edge for `host` for as long as the block lasts, over kept connections; the outcome is there behind it."""
    found = Outcome()
    run = _wrk if shutil.which("wrk") else _clients
    with run(edge.url, host, found):
        yield found


@contextmanager
def _wrk(url: str, host: str, found: Outcome) -> Iterator[None]:
    words = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{10 * WAIT_S}s",
        "--timeout",
        f"{WAIT_S}s",
        "-H",
        f"Host: {host}",
        url,
    ]
    with subprocess.Popen([*words, "-H", f"Host: {host}", url], stdout=subprocess.PIPE, text=True) as wrk:
        try:
            yield
        finally:
            wrk.send_signal(signal.SIGINT)  # it says what it has met
            said = wrk.communicate(timeout=WAIT_S)[0]
    found.answered = _number(r"(\d+) requests in", said)
    found.refused = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", said)))
    found.wrong = _number(r"Non-2xx or 3xx responses: (\d+)", said)


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match[1]) if match else 0


@contextmanager
def _clients(url: str, host: str, found: Outcome) -> Iterator[None]:
    """The same where there is no wrk."""
    over, lock = threading.Event(), threading.Lock()

    def ask() -> None:
        with Client(url) as client:
            while not over.is_set():
                try:
                    status = client.get("/", host=host).status
                except (OSError, http.client.HTTPException):
                    status = 0
                with lock:
                    found.answered += status == 200
                    found.refused += status == 0
                    found.wrong += status not in (0, 200)

    threads = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(WAIT_S)


class Manager:
    """A service manager that hears what it is told."""

    def __init__(self, folder: Path) -> None:
        self._hears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = folder / "notify"
        self._hears.bind(str(path))
        self.environment = {"NOTIFY_SOCKET": str(path)}
        self.told: queue.Queue[list[str]] = queue.Queue()
        self.pings = 0
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        while data := self._hears.recv(1 << 16):
            lines = data.decode().split("\n")
            if lines == ["WATCHDOG=1"]:
                self.pings += 1
            else:
                self.told.put(lines)

    def next(self) -> list[str]:
        """What it is told next, but for signs of life."""
        return self.told.get(timeout=WAIT_S)


# Becomes the command of its arguments, with the sockets that it was given in the places where systemd puts them.
ACTIVATE = """
import os, sys
given, names, command = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]
high = [os.dup(int(number)) for number in given]
high = [os.dup2(number, 100 + place, inheritable=False) for place, number in enumerate(high)]
for place, number in enumerate(high):
    os.dup2(number, 3 + place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""


def activated(like: Server, held: Mapping[str, socket.socket], folder: Path) -> Server:
    """The same server, whose listeners somebody else holds, by the names that he gives them."""
    numbers = [each.fileno() for each in held.values()]
    words = [sys.executable, "-c", ACTIVATE, ",".join(map(str, numbers)), ":".join(held)]
    server = Server(f"{like.name}-held", [*words, *like.command], folder)
    server.descriptors = numbers
    return server


def successor(of: Server, folder: Path, *options: str) -> Server:
    """Another process by the same command line, with these options beside it."""
    return Server(f"{of.name}-next", [*of.command, *options], folder)


def wrong_with(body: bytes) -> list[str]:
    """Names of what is wrong, on a page of an edge."""
    return [entry["name"] for entry in json.loads(body)["conditions"]]
