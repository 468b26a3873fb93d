"""The log of events: is each number given once, also by several origins on one store, and is a cut seen?"""

import threading
from pathlib import Path

import pytest

from origin.fleet.log import Log
from origin.storage.blobs import Data
from origin.storage.files import Files
from origin.storage.memory import Memory
from vmimage.errors import OperatorError
from vmimage.feed import EVENT_MAX


def add(log: Log, text: str) -> int:
    return log.append(lambda number: f"{number} {text}".encode())[-1][0]


def test_events_are_numbered_from_one_and_found_after_any(tmp_path: Path) -> None:
    log = Log(Files(tmp_path / "store"))
    assert [add(log, "x") for _ in range(3)] == [1, 2, 3]
    assert log.after(1) == [(2, b"2 x"), (3, b"3 x")]
    assert log.after(3) == []


def test_the_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    files = Files(tmp_path / "store")
    before = Log(files)
    add(before, "x")
    after = Log(files)
    assert after.origin == before.origin
    assert after.look() == [(1, b"1 x")]
    assert add(after, "y") == 2


def test_two_origins_on_one_store_give_each_number_once() -> None:
    memory = Memory()
    logs = [Log(memory), Log(memory)]
    assert logs[0].origin == logs[1].origin
    given: list[int] = []

    def add_many(log: Log, text: str) -> None:
        given.extend(add(log, f"{text} {turn}") for turn in range(50))

    threads = [threading.Thread(target=add_many, args=(log, text)) for log, text in zip(logs, "xy", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, 101))
    for log in logs:
        log.look()
        assert [number for number, _ in log.after(0)] == list(range(1, 101))


def test_what_another_origin_added_meanwhile_is_told_with_ones_own() -> None:
    memory = Memory()
    logs = [Log(memory), Log(memory)]
    add(logs[0], "x")
    assert logs[1].append(lambda number: b"%d y" % number) == [(1, b"1 x"), (2, b"2 y")]


def test_an_answer_of_the_store_that_was_lost_gives_no_second_number() -> None:
    class Forgetful(Memory):
        def put_if_absent(self, key: str, data: Data, content_type: str = "") -> bool:
            super().put_if_absent(key, data, content_type)
            return False

    log = Log(Forgetful())
    assert [add(log, "x"), add(log, "y")] == [1, 2]


def test_old_events_go_and_the_first_that_is_left_tells_it() -> None:
    memory = Memory()
    log = Log(memory, kept=3)
    for _ in range(5):
        add(log, "x")
    assert [number for number, _ in log.after(0)] == [3, 4, 5]
    assert [number for number, _ in Log(memory, kept=3).look(2)] == [3, 4, 5], "those before are gone from the store"


def test_what_is_no_event_is_not_read_whole_and_hinders_nobody_for_ever() -> None:
    """Others may write to a bucket: they can stop the feed, which is then said, and cost no more than an event does."""
    memory = Memory()
    log, other = Log(memory), Log(memory)
    add(log, "x")
    memory.put("feed/2.json", bytes(EVENT_MAX + 1))
    assert other.look() == [(1, b"1 x")]
    assert other.after(0) == [(1, b"1 x")]
    with pytest.raises(OSError, match=r"feed/2\.json"):
        add(log, "y")
    memory.delete("feed/2.json")
    assert add(log, "y") == 2


def test_a_store_with_something_else_there_is_refused() -> None:
    memory = Memory()
    memory.put_if_absent("feed/origin.json", b"[]")
    with pytest.raises(OperatorError, match="identifier of a feed"):
        Log(memory)
