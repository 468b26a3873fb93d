"""JavaScript workers in machines of their own, without an edge around them."""

import json
import time
from functools import cache
from pathlib import Path
from typing import Any, Final

from edge.vmm.machine.machine import Idle
from edge.vmm.shells.shell import Image
from libos.runtimes import LANGUAGES
from origin.bake.bake import Baker
from tests.support.guests import RUNS_MAX, Guest, wait_until
from vmimage.manifest import DEFAULT_TERMS

WORKERS: Final = Path(__file__).parents[1] / "guest" / "workers"
SOON_NS: Final = 1_000_000_000  # what waits for longer waits for something else than its own timer


@cache
def baker() -> Baker:
    """One for the whole test process: it holds the base image of JavaScript."""
    return Baker(language=next(language for language in LANGUAGES if language.name == "js"))


@cache
def worker_image(source: Path | bytes, **env: str) -> Image:
    """The image of a worker in one file, or of one as a text."""
    text = source if isinstance(source, bytes) else source.read_bytes()
    return baker().image(baker().bake_source(text, name="worker", env=env, terms=DEFAULT_TERMS, progress=print))


class RestingWorker(Guest):
    """A machine that is run until nothing happens soon."""

    def run(self, *, credit: bool = True) -> None:
        for _ in range(RUNS_MAX):
            outcome = self.machine.run()
            if isinstance(outcome, Idle) and not self.collect(credit):
                if outcome.until_ns is None or outcome.until_ns > time.monotonic_ns() + SOON_NS:
                    return
                wait_until(outcome.until_ns)
        raise AssertionError("the worker does not come to rest")

    def json(self, path: str) -> Any:
        """The body of an answer, as JSON."""
        return json.loads(bytes(self.get(path).body))
