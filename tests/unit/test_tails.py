"""The last lines of services, and who follows them: in order, bounded, and those of one service alone."""

import asyncio

from edge.common.following import WAITING_MAX
from edge.devices.tails import LINES_MAX, SERVICES_MAX, TEXT_MAX, Line, Tails


def tails() -> Tails:
    return Tails(clock=lambda: 7.0)


def test_who_follows_sees_the_last_lines_and_then_each_that_comes() -> None:
    async def play() -> None:
        said = tails()
        said.add("shop", ["one", "two"])
        said.add("blog", ["not this"])
        with said.follow("shop") as follower:
            assert await follower.next() == ([Line(7.0, "one"), Line(7.0, "two")], 0)
            waiting = asyncio.ensure_future(follower.next())
            await asyncio.sleep(0)
            assert not waiting.done()
            said.add("blog", ["nor this"])
            said.add("shop", ["three"])
            assert await waiting == ([Line(7.0, "three")], 0)

    asyncio.run(play())


def test_who_does_not_keep_up_loses_the_oldest_and_is_told_how_many() -> None:
    async def play() -> None:
        said = tails()
        with said.follow("shop") as slow, said.follow("shop") as quick:
            for number in range(WAITING_MAX + 3):
                said.add("shop", [str(number)])
                assert await quick.next() == ([Line(7.0, str(number))], 0)
            lines, lost = await slow.next()
            assert (len(lines), lines[0].text, lines[-1].text, lost) == (WAITING_MAX, "3", str(WAITING_MAX + 2), 3)
            said.add("shop", ["next"])
            assert await slow.next() == ([Line(7.0, "next")], 0)

    asyncio.run(play())


def test_what_is_kept_is_bounded_by_services_lines_and_characters() -> None:
    async def play() -> None:
        said = tails()
        for number in range(SERVICES_MAX + 1):
            said.add(f"s{number}", ["x" * (TEXT_MAX + 9)] * (LINES_MAX + 9))
        with said.follow("s0") as first, said.follow(f"s{SERVICES_MAX}") as last:
            assert not asyncio.ensure_future(first.next()).done()
            lines, lost = await last.next()
            assert (len(lines), len(lines[0].text), lost) == (LINES_MAX, TEXT_MAX, 0)

    asyncio.run(play())
