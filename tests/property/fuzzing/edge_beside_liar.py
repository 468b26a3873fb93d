"""An edge of two workers, one of which is hostile: `edge_beside_liar FOLDER SEED ORIGIN ROOT`. See `hostile_worker`."""

import asyncio
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from edge.common import backoff
from edge.common.slices import Slices
from edge.config.options import load_settings
from edge.model.flow import SHARED, Place
from edge.running import Own
from edge.serve import serve
from edge.supervisor import quarantine
from edge.workers import fleet
from edge.workers.process import Owner, Worker
from tests.property.fuzzing.hostile_worker import REAL

PAUSE_S = 0.05  # after a worker's end, also in quarantine, so that the next one lies soon
CONFINED_S = 1.0  # of a service that was blamed, so that it is soon among those that the liar can get


def _soon(*_: Any, **__: Any) -> tuple[int, float]:
    return 1, PAUSE_S


def _worker(
    index: int, owner: Owner, command: tuple[str, ...], place: Place = SHARED, slices: Slices | None = None
) -> Worker:
    """Who lies is among those for all: in quarantine it would have but one service, and seldom a request."""
    return Worker(index, owner, command if place == SHARED else REAL, place, slices)


INSTEAD: Final[dict[ModuleType, dict[str, object]]] = {
    fleet: {"Worker": _worker, "QUARANTINE_GAP_S": PAUSE_S, "UNUSED_S": CONFINED_S},
    quarantine: {
        "PAUSE_FIRST_S": PAUSE_S,
        "PAUSE_MAX_S": PAUSE_S,
        "HEALTHY_FIRST_S": CONFINED_S,
        "HEALTHY_MAX_S": CONFINED_S,
        "TENANT_SERVICES": sys.maxsize,  # one publisher has all services here
    },
}


def main() -> None:
    """Serve until SIGTERM."""
    folder, seed, origin, root = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    backoff.after_crash = _soon
    for module, others in INSTEAD.items():
        vars(module).update(others)
    options = {
        "origin": origin,
        "trust": root,
        "cache": str(Path(folder) / "edge"),
        "listen": "127.0.0.1:0",
        "workers": "2",
        "memory": "32MiB",  # machines are parked and opened all the time, so that the liar gets its share of them
        "negative": "0",
        "refresh": "0.5",
        "request_timeout": "1",
        "wedged": "2",
        "engine": "unicorn",
    }
    command = (sys.executable, "-m", "tests.property.fuzzing.hostile_worker", folder, seed)
    asyncio.run(serve(Own(*load_settings(None, options, {})), worker_command=command))


if __name__ == "__main__":
    main()
