"""Lines of programs with the names of their files: their order while a table is fetched, and how often one is."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from edge.common.allowance import NAMINGS
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.devices.lines import HELD_LINES, Lines
from edge.devices.spool import Spool
from edge.vmm.wire.machines import Log
from vmimage.errors import OriginUnreachable
from vmimage.manifest import SOURCES_TYPE, Blob, digest_of
from vmimage.sources import SourceMap

STACK = b"uncaught: Error: a\n    at f (worker.js:1:1)\n    for GET / (a-1)\n"


class Images:
    """Sources by digest, handed out when they are let go."""

    def __init__(self) -> None:
        self.tasks = Tasks(Counters())
        self.blobs: dict[str, bytes] = {}
        self.gets: Counter[str] = Counter()
        self.open = asyncio.Event()

    def sources(self, name: str) -> Blob:
        data = SourceMap("worker.js", (name,)).encode()
        blob = Blob(SOURCES_TYPE, digest_of(data), len(data))
        self.blobs[blob.digest] = data
        return blob

    async def blob(self, blob: Blob, party: str) -> bytes:
        self.gets[blob.digest] += 1
        await self.open.wait()
        if blob.digest not in self.blobs:
            raise OriginUnreachable("it is down")
        return self.blobs[blob.digest]


def guest(service: str, sources: Blob | None) -> Any:
    return SimpleNamespace(
        service=SimpleNamespace(name=service, tenant=service),
        image=SimpleNamespace(manifest=SimpleNamespace(sources=sources)),
        log_lines=0,
    )


def said(folder: Path, test: Callable[[Lines, Images], Awaitable[None]]) -> list[tuple[str, str]]:
    """What is in the logs of services after a test."""

    async def run() -> None:
        spool, images = Spool(folder, 1 << 24, "http://127.0.0.1:1", "", Counters()), Images()
        await test(Lines(spool, Counters(), images), images)  # type: ignore[arg-type]
        await images.tasks.close()
        spool.close()

    asyncio.run(run())
    lines = b"".join(file.read_bytes() for file in sorted(folder.glob("*.jsonl"))).splitlines()
    return [(line["service"], line["text"]) for line in map(json.loads, lines)]


def test_lines_wait_for_their_names_in_their_order_and_others_do_not_wait(tmp_path: Path) -> None:
    async def test(lines: Lines, images: Images) -> None:
        machine, other = guest("shop", images.sources("src/a.ts")), guest("other", None)
        lines.on_log(machine, Log(1, b"before\n"))
        lines.on_log(machine, Log(1, STACK))
        lines.on_log(machine, Log(1, b"after, of worker.js:7\n"))
        lines.on_log(other, Log(2, b"at worker.js:7 of nobody\n"))
        assert lines.traces.of("shop", ["a-1"]) is None
        images.open.set()
        await lines.settled(machine.service)
        lines.on_log(machine, Log(1, STACK))
        assert list(images.gets.values()) == [1], "the table is here"
        trace = lines.traces.of("shop", ["a-1"])
        assert trace is not None
        assert trace.frames == ("f (src/a.ts:1:1)",)

    named = ["uncaught: Error: a", "    at f (src/a.ts:1:1)", "    for GET / (a-1)"]
    assert said(tmp_path, test) == [
        ("shop", "before"),
        ("other", "at worker.js:7 of nobody"),
        *(("shop", text) for text in (*named, "after, of src/a.ts:7", *named)),
    ]


def test_without_a_table_lines_are_as_the_program_wrote_them_and_it_is_asked_for_seldom(tmp_path: Path) -> None:
    async def test(lines: Lines, images: Images) -> None:
        machine = guest("shop", images.sources("src/a.ts"))
        images.blobs.clear()
        images.open.set()
        for _ in range(20):
            lines.on_log(machine, Log(1, b"at worker.js:1:1\n"))
            await lines.settled(machine.service)
        assert list(images.gets.values()) == [int(NAMINGS.burst)]

    assert said(tmp_path, test) == [("shop", "at worker.js:1:1")] * 20


def test_a_line_of_the_version_before_is_not_named_by_the_table_of_the_next(tmp_path: Path) -> None:
    async def test(lines: Lines, images: Images) -> None:
        old, new = guest("shop", images.sources("old.ts")), guest("shop", images.sources("new.ts"))
        new.service = old.service
        lines.on_log(old, Log(1, b"worker.js:1\n"))
        lines.on_log(new, Log(2, b"worker.js:2\n"))
        images.open.set()
        await lines.settled(old.service)

    assert said(tmp_path, test) == [("shop", "old.ts:1"), ("shop", "worker.js:2")]


def test_few_lines_wait(tmp_path: Path) -> None:
    async def test(lines: Lines, images: Images) -> None:
        blob = images.sources("src/a.ts")
        for tenant in range(9):  # each with lines to say; of one service, as if a tick were over
            machine = guest("shop", blob)
            machine.service.tenant = f"tenant {tenant}"
            lines.on_log(machine, Log(1, b"worker.js:1\n" * 50))
        assert lines.traces.of("shop", []) is None
        await asyncio.sleep(0)
        images.open.set()
        await lines.settled(machine.service)

    lines = said(tmp_path, test)
    assert len(lines) == 450
    assert lines.count(("shop", "worker.js:1")) > HELD_LINES, "those went as they were, before the table came"
