"""Steps of crypto.subtle in a machine, and JavaScript workers in machines of their own."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from edge.vmm.shells.shell import Image
from libos.runtimes import LANGUAGES
from origin.bake.bake import Baker
from tests.support.guests import Guest
from vmimage.manifest import DEFAULT_TERMS

WORKERS = Path(__file__).parents[1] / "guest" / "workers"


@cache
def baker() -> Baker:
    """One for the whole test process: it holds the base image of JavaScript."""
    return Baker(language=next(language for language in LANGUAGES if language.name == "js"))


@cache
def worker_image(worker: Path) -> Image:
    """The image of a worker in one file."""
    return baker().image(
        baker().bake_source(worker.read_bytes(), name="worker", env={}, terms=DEFAULT_TERMS, progress=print)
    )


class Subtle:
    """Steps of crypto.subtle in a machine: each a method and its arguments, bytes as they are."""

    def __init__(self) -> None:
        self.guest = Guest(worker_image(WORKERS / "subtle.js"), cpu_ms=600_000)

    def __call__(self, *steps: list[Any]) -> list[Any]:
        body = json.dumps(_out(list(steps))).encode()
        answer = self.guest.get("/", method="POST", body=body, CONTENT_TYPE="application/json")
        found = _in(json.loads(bytes(answer.body)))
        assert isinstance(found, list)
        return found


def _out(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [_out(item) for item in value]
    return {name: _out(item) for name, item in value.items()} if isinstance(value, dict) else value


def _in(value: Any) -> Any:
    if isinstance(value, list):
        return [_in(item) for item in value]
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"]) if set(value) == {"hex"} else {name: _in(v) for name, v in value.items()}
    return value


def of(step: int, part: str | None = None) -> dict[str, object]:
    """What an earlier step made, from 0: a result, or a key of a pair."""
    return {"of": step, **({"part": part} if part else {})}
