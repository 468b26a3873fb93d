"""Background tasks: nothing that goes wrong in one is silent, and what must go on goes on."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from edge.common import tasks as tasks_module
from edge.common.counters import Counters
from edge.common.tasks import Tasks


def run(play: Callable[[Tasks, Counters], Coroutine[Any, Any, None]]) -> None:
    async def played() -> None:
        counters = Counters()
        tasks = Tasks(counters)
        await play(tasks, counters)
        await tasks.close()

    asyncio.run(played())


async def fails() -> None:
    raise ZeroDivisionError("by zero")


def test_a_failure_is_logged_counted_and_a_matter_of_health(caplog: pytest.LogCaptureFixture) -> None:
    async def play(tasks: Tasks, counters: Counters) -> None:
        await asyncio.wait([tasks.spawn("work", fails())])
        await asyncio.sleep(0)
        assert counters.task_failures == {"work": 1}
        assert tasks.health() == ["work: failed 0 s ago: ZeroDivisionError: by zero"]

    with caplog.at_level(logging.ERROR):
        run(play)
    assert "event=task_failed task=work" in caplog.text
    assert "Traceback" in caplog.text


def test_a_failure_is_no_matter_of_health_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "RECENT_S", 0.0)

    async def play(tasks: Tasks, counters: Counters) -> None:
        await asyncio.wait([tasks.spawn("work", fails())])
        await asyncio.sleep(0.001)
        assert tasks.health() == []
        assert counters.task_failures == {"work": 1}

    run(play)


def test_who_awaits_a_task_gets_its_error_and_it_is_not_told_twice() -> None:
    async def play(tasks: Tasks, counters: Counters) -> None:
        with pytest.raises(ZeroDivisionError):
            await tasks.spawn("work", fails(), awaited=True)
        assert counters.task_failures == {}

    run(play)


def test_a_loop_that_fails_is_started_again_after_a_pause_and_says_so_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    really_sleep = asyncio.sleep
    states: list[list[str]] = []

    async def play(tasks: Tasks, counters: Counters) -> None:
        async def sleep(delay_s: float) -> None:
            pauses.append(delay_s)
            states.append(tasks.health())
            await really_sleep(0)

        monkeypatch.setattr(asyncio, "sleep", sleep)
        turns = 0

        async def loop() -> None:
            nonlocal turns
            turns += 1
            if turns < 8:
                raise OSError(f"turn {turns}")
            await asyncio.get_running_loop().create_future()

        tasks.keep("loop", loop)
        while turns < 8:
            await really_sleep(0)
        assert counters.task_failures == {"loop": 7}
        assert states[0] == ["loop: down, is started again: OSError: turn 1"]
        assert tasks.health()[0].startswith("loop: failed 0 s ago"), "it is up"

    run(play)
    assert pauses[:2] == [tasks_module.RESTART_S] * 2
    assert pauses == sorted(pauses)
    assert pauses[-1] > tasks_module.RESTART_S


def test_a_loop_that_returns_has_ended_and_one_that_is_cancelled_has_not_failed() -> None:
    async def play(tasks: Tasks, counters: Counters) -> None:
        turns: list[str] = []

        async def once() -> None:
            turns.append("once")

        async def for_ever() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                turns.append("cancelled")

        ended, runs = tasks.keep("once", once), tasks.keep("for_ever", for_ever)
        await ended
        await asyncio.sleep(0)
        await tasks.close()
        assert runs.cancelled()
        assert turns == ["once", "cancelled"]
        assert counters.task_failures == {}

    run(play)


def test_one_that_closes_all_from_within_does_not_wait_for_itself() -> None:
    async def play(tasks: Tasks, counters: Counters) -> None:
        await asyncio.wait_for(tasks.spawn("end", tasks.close()), 5)

    run(play)
