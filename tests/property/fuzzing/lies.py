"""What a hostile worker says to a real supervisor, while clients ask for services of both its workers."""

import http.client
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Publication, Site, example
from tests.property.fuzzing.session import Failure

SERVICES: Final = tuple(f"s{number:02}" for number in range(40))  # more than there is memory for
CLIENTS: Final = 4
CALM_S: Final = 60.0  # in which all is well once the liar is gone
RESIDENT_MAX: Final = 400 << 20  # bytes: an edge with four small services has 80 MiB
STATUSES: Final = frozenset((200, 204, 302, 421, 500, 502, 503, 504, 507, 508))


def run(folder: Path, seed: int, lives: int, patience_s: float) -> Counter[str]:
    """Lies of so many lives of a hostile worker, or for as long; what clients got.

    :raises Failure: the edge is not as it should be, meanwhile or afterwards.
    """
    ends: Counter[str] = Counter()
    with Site(folder, edges=0) as site:
        image = site.build(example("hello"))
        site.publish_batch(Publication(image, service, (f"{service}.test",)) for service in SERVICES)
        state = folder / "state"
        state.mkdir()
        program = [sys.executable, "-m", "tests.property.fuzzing.edge_beside_liar"]
        command = [*program, str(state), str(seed), site.origin.url, str(site.keys / "root.json")]
        with Server("edge-beside-liar", command, folder) as edge:
            until = time.monotonic() + patience_s
            told = state / "lives"

            def ask(place: int) -> None:
                count = 0
                while time.monotonic() < until and not (told.exists() and told.stat().st_size >= lives):
                    ends[_ask(edge, SERVICES[(place + count) % len(SERVICES)])] += 1
                    count += 1

            clients = [threading.Thread(target=ask, args=(place,)) for place in range(CLIENTS)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            ends["lives"] = told.stat().st_size if told.exists() else 0
            (state / "stop").touch()
            if not edge.running:
                raise Failure("died", "the edge ended", edge.tail())
            _refuse_size(edge)
            _all_well(edge)
    return ends


def _ask(edge: Server, service: str) -> str:
    """How one request ends; a word that begins with "right" where its own machine answered."""
    try:
        with Client(edge.url) as client:
            answer = client.get("/", host=f"{service}.test")
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    if answer.status not in STATUSES:
        raise Failure("protocol", f"{service}: a status that we have expected, got {answer.status}")
    if answer.status == 200 and answer.body.startswith(b"hello from /, request "):
        return "right"
    return f"{answer.status} {answer.error}".strip()


def _refuse_size(edge: Server) -> None:
    status = Path(f"/proc/{edge.pid}/status").read_text()
    high = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))
    if high > RESIDENT_MAX:
        raise Failure("memory", f"at most {RESIDENT_MAX} bytes resident expected, got {high}", edge.tail())


def _all_well(edge: Server) -> None:
    """With the liar gone every service answers right, twice in a row."""
    until = time.monotonic() + CALM_S
    for service in SERVICES:
        row = 0
        while row < 2:
            word = _ask(edge, service)
            row = row + 1 if word == "right" else 0
            if time.monotonic() > until:
                raise Failure("neighbour", f"{service}: right answers expected, got {word}", edge.tail())
            if word != "right":
                time.sleep(0.1)
