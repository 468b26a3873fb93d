"""The `nunatak` command with workers that are `scripted_worker`: `scripted FOLDER ARGUMENT...`."""

import sys
from functools import partial
from pathlib import Path

from edge import main, serve

folder = sys.argv.pop(1)
command = (sys.executable, str(Path(__file__).parent / "scripted_worker.py"), folder)
serve.serve = partial(serve.serve, worker_command=command)
main.main()
