"""Requests that wait for what the disk has of kept answers: one look for many, and nobody waits for what is not his."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from edge.cache.asked import Asked
from edge.common.fair_room import SHARE
from edge.front.looks import LOOKS_MAX, Looks
from edge.front.nobody import Nobody
from edge.front.reached import DIRECTLY
from edge.front.request import Request
from tests.support.kept_store import HOUR, KeptStore, asked

SIZE = 2048  # bytes of a request


class Waiting:
    """Requests, and what became of each."""

    def __init__(self, store: KeptStore, room: int = 1 << 20) -> None:
        self.looks, self.over = Looks(store.responses, store.below, room), list[Request]()
        self._came = asyncio.Event()

    def wait(self, page: Asked, request: Request | None = None, tenant: str = "t") -> tuple[Request, bool]:
        made = request or Request(Nobody("192.0.2.1", DIRECTLY))
        return made, self.looks.wait(made, page, tenant, SIZE, self._resume)

    def _resume(self, request: Request, alone: bool) -> None:
        assert alone is request.alone
        self.over.append(request)
        self._came.set()

    async def all_over(self, number: int) -> None:
        while len(self.over) < number:
            self._came.clear()
            await self._came.wait()


def play(folder: Path, story: Callable[[KeptStore], Awaitable[None]]) -> None:
    async def told() -> None:
        store = KeptStore(folder)
        await story(store)
        await store.close()

    asyncio.run(told())


def test_many_who_want_the_same_cause_one_look(tmp_path: Path) -> None:
    async def story(store: KeptStore) -> None:
        page = asked("/a")
        await store.put_on_disk(page)
        waiting = Waiting(store)
        requests = [waiting.wait(page) for _ in range(200)]
        assert all(waits for _, waits in requests)
        await waiting.all_over(200)
        assert waiting.over == [request for request, _ in requests], "in their order, each once"
        assert all(request.looked for request in waiting.over)
        assert store.counters.cache_disk == {"written": 1, "hit": 1}
        assert store.responses.holds(page)

    play(tmp_path, story)


def test_who_wants_another_variant_looks_for_it(tmp_path: Path) -> None:
    async def story(store: KeptStore) -> None:
        red, blue, green = (asked("/a", (b"Foo", colour)) for colour in (b"red", b"blue", b"green"))
        for page in (red, blue):
            await store.put_on_disk(page, HOUR._replace(vary=(b"foo",)))
        waiting = Waiting(store)
        first, second, third = (waiting.wait(page)[0] for page in (red, blue, green))
        await waiting.all_over(3)
        assert [request.looked for request in (first, second, third)] == [True, False, False]
        assert [store.responses.holds(page) for page in (red, blue)] == [True, False]
        for page, request in ((blue, second), (green, third)):
            assert waiting.wait(page, request)[1]
        await waiting.all_over(5)
        assert second.looked
        assert store.responses.holds(blue)
        while not third.looked:
            assert waiting.wait(green, third)[1]
            await waiting.all_over(len(waiting.over) + 1)
        assert not waiting.wait(green, third)[1], "once"

    play(tmp_path, story)


def test_many_who_want_a_variant_each_are_taken_twice_and_no_more(tmp_path: Path) -> None:
    """A look that finds one of them is for one; were all others to wait for the next, they would be taken for each."""
    many = 40

    async def story(store: KeptStore) -> None:
        pages = [asked("/a", (b"Foo", b"%d" % number)) for number in range(many)]
        await store.put_on_disk(pages[0], HOUR._replace(vary=(b"foo",)))
        waiting = Waiting(store)
        requests = [waiting.wait(page)[0] for page in pages]
        await waiting.all_over(many)
        for page, request in zip(pages, requests, strict=True):
            assert request.looked or waiting.wait(page, request)[1]
        await waiting.all_over(2 * many - 1)
        assert all(request.looked for request in requests), "each for its own"
        assert store.counters.cache_disk == {"written": 1, "hit": 1, "miss": many - 1}

    play(tmp_path, story)


def test_nobody_waits_for_what_cannot_be_there(tmp_path: Path) -> None:
    async def story(store: KeptStore) -> None:
        await store.put_on_disk(asked("/a"))
        waiting = Waiting(store)
        assert not waiting.wait(asked("/never"))[1]
        assert waiting.wait(asked("/a", (b"X-Original-Url", b"other")))[1], "the index knows URIs only"
        await waiting.all_over(1)
        assert waiting.over[0].looked
        assert store.counters.cache_disk["miss"] == 1

    play(tmp_path, story)


def test_so_many_wait_and_no_more(tmp_path: Path) -> None:
    async def story(store: KeptStore) -> None:
        pages = [asked(f"/{number}") for number in range(LOOKS_MAX + 1)]
        for page in pages:
            await store.put_on_disk(page)
        most = LOOKS_MAX * SHARE // (SHARE + 1)  # of one tenant
        waiting = Waiting(store, room=(LOOKS_MAX + SHARE + 1) * SIZE)
        assert [waiting.wait(page)[1] for page in pages] == [True] * most + [False] * (LOOKS_MAX + 1 - most)
        assert [waiting.wait(pages[0])[1] for _ in range(SHARE + 1)] == [True] * SHARE + [False], "there is no room"
        assert waiting.wait(pages[-1], tenant="other")[1], "for whose room others have taken nothing"
        await waiting.all_over(most + SHARE + 1)
        assert waiting.wait(pages[-1])[1], "the room is free again"
        await waiting.all_over(most + SHARE + 2)

    play(tmp_path, story)
