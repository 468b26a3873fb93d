"""The `nunatak` command with nothing done against instructions that abort Unicorn; all else is the product.

The build does not look for them, and workers let the library abort. What is known is contained; the end of a worker
must still harm nobody but the service that brought it about, since the next way to end one is not known.
"""

import sys
from functools import partial
from pathlib import Path

from edge import main, serve
from origin.bake import instructions

command = (sys.executable, str(Path(__file__).with_name("uncontained_worker.py")))
instructions.questionable = lambda code: iter(())
serve.serve = partial(serve.serve, worker_command=command)
main.main()
