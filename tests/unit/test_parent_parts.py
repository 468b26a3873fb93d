"""What a parent decides without a network: circles, parts of blobs, and whose bytes have room in memory."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from aiohttp.test_utils import TestClient, TestServer

from edge.common.counters import Counters
from edge.common.fetching import Missing
from edge.content.blobs import Load, Ref
from edge.parent.blobs import Blobs
from edge.parent.hops import HOPS_MAX, answered, is_circle, onward
from edge.parent.pages import Pages
from edge.parent.ranges import Part, part_of
from edge.sources.health import FAILURES_MAX
from edge.sources.standing import Standing
from vmimage.errors import OriginBusy, OriginError
from vmimage.manifest import digest_of


@pytest.mark.parametrize(
    ("loop", "circle"),
    [
        ("", False),
        ("other", False),
        ("me", True),
        ("other, me;v=1 , third", True),
        ("menot, notme", False),
        (", ".join(f"p{n}" for n in range(HOPS_MAX + 1)), True),
        ("x" * 2000, True),
    ],
)
def test_circles(loop: str, circle: bool) -> None:
    assert is_circle(loop, "me") == circle


def test_each_hop_appends_and_changes_nothing() -> None:
    assert onward("a, b", "1.1 x", "me") == {"CDN-Loop": "a, b, me", "Via": "1.1 x, 1.1 nunatak-parent"}
    assert onward("", "", "me") == {"CDN-Loop": "me", "Via": "1.1 nunatak-parent"}
    assert answered("cdn; hit", "fwd=miss")["Cache-Status"] == "cdn; hit, nunatak-parent; fwd=miss"


@pytest.mark.parametrize(
    ("field", "part"),
    [
        ("bytes=0-", Part(0, 10)),
        ("bytes=3-5", Part(3, 6)),
        ("bytes=3-99", Part(3, 10)),
        ("bytes=-4", Part(6, 10)),
        ("bytes=-99", Part(0, 10)),
        *((field, None) for field in ("", "bytes=", "bytes=-", "bytes=5-3", "bytes=0-1,3-4", "lines=1-", "bytes=a-")),
    ],
)
def test_parts(field: str, part: Part | None) -> None:
    assert part_of(field, 10) == part


@pytest.mark.parametrize("field", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_parts_that_are_not_there(field: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        part_of(field, 10)


class Sizes:
    """A store of blobs of any size, each of which comes when it is let."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.let, self.begun = asyncio.Event(), asyncio.Event()
        self.let.set()

    def add(self, size: int) -> str:
        data = bytes([len(self.blobs)]) * size
        self.blobs[digest_of(data)] = data
        return digest_of(data)

    async def get(self, ref: Ref, load: Load) -> bytes:
        self.asked.append(ref.digest)
        if ref.digest not in self.blobs:
            raise Missing("none")
        load.from_origin = True
        load.admit(len(self.blobs[ref.digest]))
        self.begun.set()
        await self.let.wait()
        return self.blobs[ref.digest]


def played(play: Callable[[Blobs, Sizes], Awaitable[None]], memory: int = 100) -> None:
    async def run() -> None:
        sizes = Sizes()
        blobs = Blobs(sizes, memory, 60.0, Counters())
        await play(blobs, sizes)
        await blobs.close()

    asyncio.run(run())


def test_what_was_asked_for_lately_makes_room_and_what_is_sent_does_not() -> None:
    async def play(blobs: Blobs, sizes: Sizes) -> None:
        first, second, third = (sizes.add(60) for _ in range(3))
        await blobs.find("blobs", first)
        found = await blobs.find("blobs", second)
        assert (first in blobs.held, blobs.used_bytes) == (False, 60)
        with blobs.in_use(found.held):
            assert found.held.data == sizes.blobs[second]
            with pytest.raises(OriginBusy):
                await blobs.find("blobs", third)
            assert blobs.used_bytes == 60
        assert (await blobs.find("blobs", third)).how.startswith("fwd=miss")

    played(play)


def test_what_is_being_fetched_counts_before_it_is_here() -> None:
    async def play(blobs: Blobs, sizes: Sizes) -> None:
        first, second = sizes.add(60), sizes.add(60)
        sizes.let.clear()
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(blobs.find("blobs", first)) for _ in range(3)]
            await sizes.begun.wait()
            with pytest.raises(OriginBusy):
                await blobs.find("blobs", second)
            sizes.let.set()
        assert sizes.asked == [first, second], "one fetch for all who wait"
        assert sorted("collapsed" in task.result().how for task in waiting) == [False, True, True]
        assert blobs.used_bytes == 60

    played(play)


def test_one_that_never_has_room_and_one_that_is_nowhere() -> None:
    async def play(blobs: Blobs, sizes: Sizes) -> None:
        large, nowhere = sizes.add(101), digest_of(b"nowhere")
        for digest, error in ((large, OriginError), (nowhere, Missing), (nowhere, Missing)):
            with pytest.raises(error):
                await blobs.find("blobs", digest)
        assert sizes.asked == [large, nowhere], "it is remembered that it is nowhere"
        assert blobs.used_bytes == 0

    played(play)


class Named:
    """A source, by its name."""

    name = "far"


def test_health_says_in_plain_words_how_sources_are() -> None:
    """A parent is well until its last source rests, and well again when one gives something."""

    async def ask() -> list[tuple[str, str, list[str]]]:
        standing = Standing(["far"], Counters(), clock=lambda: 0.0, chance=lambda: 0.0)
        pages = Pages(Counters(), {"blobs": standing}, dict, "")
        said = []
        async with TestClient(TestServer(pages.app())) as client:
            for times in (0, FAILURES_MAX, -1):
                for _ in range(times):
                    standing.failed(Named(), OriginError("away"))
                if times < 0:
                    standing.succeeded(Named())
                found = json.loads(await (await client.get("/-/health")).read())
                said.append((found["status"], found["sources"]["blobs"][0]["state"], found["away"]))
        return said

    assert asyncio.run(ask()) == [("ok", "well", []), ("degraded", "resting", ["blobs"]), ("ok", "well", [])]
