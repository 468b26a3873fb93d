"""Who waits for an answer is told once, whether it awaits it or takes it, and whatever becomes of the request then."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from edge.model import flow
from edge.model.services import Service
from edge.model.streams import Stream
from edge.vmm.wire.streams import Answer
from tests.support.playbook import release
from vmimage.errors import GuestError, Unavailable


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def stream(*, asked: bool = True) -> Stream:
    made = Stream(Service(release("a")), "GET", b"", True, 0.0)
    if asked:
        made.step("dispatch")
    return made


def answer(*, end: bool) -> Answer:
    return Answer(1, 1, end, 0, 0, 0, b"Status\x00200\x00\x00")


def test_a_taker_has_the_answer_as_soon_as_it_is_handed_over() -> None:
    async def test() -> None:
        made, taken = stream(), list[Answer | BaseException]()
        made.taker = taken.append
        made.on_answer(answer(end=True), 1.0)
        assert taken == [], "others' part comes first"
        made.hand_over(answer(end=True))
        assert taken == [answer(end=True)]
        assert made.taker is None, "nothing holds on to who has it"

    run(test)


def test_a_taker_is_told_of_a_failure_once_and_in_a_turn_of_its_own() -> None:
    async def test() -> None:
        made, taken = stream(asked=False), list[Answer | BaseException]()
        made.taker = taken.append
        refused = Unavailable("no worker")
        made.step("fail")
        made.tell(refused)
        assert taken == [], "whoever submits it may be in the middle of that"
        await asyncio.sleep(0)
        assert taken == [refused]

    run(test)


def test_an_answer_that_breaks_off_is_told_to_who_reads_it_and_not_to_the_taker_again() -> None:
    async def test() -> None:
        made, taken, said = stream(), list[Answer | BaseException](), list[object]()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        made.taker = taken.append
        made.on_answer(answer(end=False), 1.0)
        made.hand_over(answer(end=False))
        made.on_abort()
        await asyncio.sleep(0)
        assert taken == [answer(end=False)]
        with pytest.raises(GuestError, match="broke off"):
            await made.next_part()
        del made
        await asyncio.sleep(0)
        assert said == [], "no failure that nobody looks at"

    run(test)


def test_who_awaits_gets_the_answer_or_the_failure() -> None:
    async def test() -> None:
        served, refused, left = stream(), stream(), stream()
        served.on_answer(answer(end=True), 1.0)
        served.hand_over(answer(end=True))
        assert await served.answer == answer(end=True)
        refused.step("fail")
        refused.tell(Unavailable("waited"))
        assert isinstance(refused.answer.exception(), Unavailable)
        left.answer.cancel()
        left.on_answer(answer(end=True), 1.0)
        left.hand_over(answer(end=True))  # the client has left: no matter

    run(test)


@pytest.mark.parametrize("event", ["dispatch", "fail", "client_gone"])
def test_who_waits_for_a_machine_goes_on_when_there_is_one_or_will_be_none(event: flow.RequestEvent) -> None:
    async def test() -> None:
        made = stream(asked=False)
        waiting = asyncio.create_task(made.given())
        await asyncio.sleep(0)
        assert not waiting.done()
        made.step(event)
        made.wake()
        await asyncio.wait_for(waiting, 1)

    run(test)
