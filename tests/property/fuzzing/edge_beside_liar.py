"""An edge of two workers, one of which is hostile: `edge_beside_liar FOLDER SEED ORIGIN ROOT`. See `hostile_worker`."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

from edge import flow
from edge.config import load_config
from edge.serve import serve

PAUSE_S = 0.05  # after a worker's end, so that the next one lies soon


def _soon(*_: Any, **__: Any) -> tuple[int, float]:
    return 1, PAUSE_S


def main() -> None:
    """Serve until SIGTERM."""
    folder, seed, origin, root = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    flow.after_crash = _soon
    options = {
        "origin": origin,
        "trust": root,
        "cache": str(Path(folder) / "edge"),
        "listen": "127.0.0.1:0",
        "workers": "2",
        "memory": "32MiB",  # machines are parked and opened all the time, so that the liar gets its share of them
        "negative": "0",
        "refresh": "0.5",
        "request_timeout": "2",
        "engine": "unicorn",
    }
    command = (sys.executable, "-m", "tests.property.fuzzing.hostile_worker", folder, seed)
    asyncio.run(serve(load_config(None, options), worker_command=command))


if __name__ == "__main__":
    main()
