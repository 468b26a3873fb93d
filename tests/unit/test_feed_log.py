"""The log of events: is each number given once, also by several origins on one store, and is a cut seen?"""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root

from origin.fleet.log import Log
from origin.storage.blobs import BlobStore, Changed, Data
from origin.storage.caching import Cached
from origin.storage.files import Files
from origin.storage.memory import Memory
from vmimage.errors import OperatorError
from vmimage.feed import EVENT_MAX, Event, parse_event, sign_event
from vmimage.purges import Purge
from vmimage.trust import KEY_ROLES, initial_metadata

SIGNERS = {role: CryptoSigner.generate_ed25519() for role in KEY_ROLES}
ROOT = Metadata[Root].from_bytes(initial_metadata(SIGNERS, datetime.now(UTC))["1.root.json"]).signed


def log_of(store: BlobStore, kept: int = 10_000) -> Log:
    return Log(store, lambda: ROOT, kept)


def event(origin: str, number: int, text: str, role: str = "snapshot") -> bytes:
    """The purge of a tag, as an origin signs it."""
    return sign_event(Event(origin, number, "purge", {"purges": [Purge("tag", "", text).to_json()]}, 0), SIGNERS[role])


def add(log: Log, text: str) -> int:
    return log.append(lambda number: event(log.origin, number, text))[-1][0]


def said(found: list[tuple[int, bytes]]) -> list[tuple[int, str]]:
    return [(number, parse_event(data, ROOT).purges[0].selector) for number, data in found]


def test_events_are_numbered_from_one_and_found_after_any(tmp_path: Path) -> None:
    log = log_of(Files(tmp_path / "store"))
    assert [add(log, "x") for _ in range(3)] == [1, 2, 3]
    assert said(log.after(1)) == [(2, "x"), (3, "x")]
    assert log.after(3) == []


def test_the_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    files = Files(tmp_path / "store")
    before = log_of(files)
    add(before, "x")
    after = log_of(files)
    assert after.origin == before.origin
    assert said(after.look()) == [(1, "x")]
    assert add(after, "y") == 2


def test_two_origins_on_one_store_give_each_number_once() -> None:
    memory = Memory()
    logs = [log_of(memory), log_of(memory)]
    assert logs[0].origin == logs[1].origin
    given: list[int] = []

    def add_many(log: Log, text: str) -> None:
        given.extend(add(log, f"{text}{turn}") for turn in range(50))

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
    logs = [log_of(memory), log_of(memory)]
    add(logs[0], "x")
    assert said(logs[1].append(lambda number: event(logs[1].origin, number, "y"))) == [(1, "x"), (2, "y")]


def test_an_answer_of_the_store_that_was_lost_gives_no_second_number() -> None:
    class Forgetful(Memory):
        def put_if_absent(self, key: str, data: Data, content_type: str = "") -> bool:
            super().put_if_absent(key, data, content_type)
            return False

    log = log_of(Forgetful())
    assert [add(log, "x"), add(log, "y")] == [1, 2]


def test_old_events_go_and_the_first_that_is_left_tells_it() -> None:
    memory = Memory()
    log = log_of(memory, kept=3)
    for _ in range(5):
        add(log, "x")
    assert [number for number, _ in log.after(0)] == [3, 4, 5]
    assert [number for number, _ in log_of(memory, kept=3).look(2)] == [3, 4, 5], "those before are gone from the store"


def forged(origin: str, number: int, kind: str) -> bytes:
    """What somebody may put under a number, who can write to the bucket and has no key."""
    other = event(origin, number + 1, "theirs")
    return {
        "nothing": b"",
        "too large": bytes(EVENT_MAX + 1),
        "no JSON": b"x" * 1000,
        "another's signature": event(origin, number, "theirs", "timestamp"),
        "another store's": event("f" * 32, number, "theirs"),
        "another number's": other,
    }[kind]


@pytest.mark.parametrize(
    "kind", ["nothing", "too large", "no JSON", "another's signature", "another store's", "another number's"]
)
def test_what_is_no_event_is_told_to_nobody_and_makes_room_for_the_next(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = Memory()
    log, other = log_of(Cached(bucket)), log_of(Cached(bucket))
    add(log, "a")
    bucket.put("feed/2.json", forged(log.origin, 2, kind))
    for _ in range(3):
        assert said(other.look()) in ([(1, "a")], [])
        assert said(other.after(0)) == [(1, "a")]
    assert other.refused == 1
    assert add(log, "b") == 2
    assert said(other.look()) == [(2, "b")], "the origin that has seen the other object sees what took its place"
    assert said(other.after(0)) == [(1, "a"), (2, "b")]
    assert log.refused == 1
    assert [record.name for record in caplog.records] == ["origin.fleet.log"] * 2


def test_however_many_objects_are_no_events_they_cost_a_log_line_and_no_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bucket = Memory()
    log = log_of(bucket)
    for number in range(1, 101):
        bucket.put(f"feed/{number}.json", b"{}")
        assert add(log, "x") == number
    assert log.refused == 100
    assert len(caplog.records) == 1
    log.forget_cached()
    for number in range(1, 101):
        bucket.put(f"feed/{number}.json", b"{}")
    assert log.after(0) == []


def test_who_is_always_faster_is_said_and_hinders_nobody_for_ever() -> None:
    class Contested(Memory):
        hostile = True

        def swap(self, key: str, old: str | None, data: bytes) -> str:
            if self.hostile:
                self.put(key, b"{}")
                raise Changed
            return super().swap(key, old, data)

    bucket = Contested()
    log = log_of(bucket)
    bucket.put("feed/1.json", b"{}")
    with pytest.raises(OSError, match=r"feed/1\.json"):
        add(log, "x")
    bucket.hostile = False
    assert add(log, "x") == 1


def test_an_event_of_another_origin_is_never_replaced() -> None:
    class Slow(Memory):
        """Between the look and the write of one origin the other writes."""

        swaps = 0

        def swap(self, key: str, old: str | None, data: bytes) -> str:
            self.swaps += 1
            if self.swaps == 1:
                add(logs[1], "theirs")
            return super().swap(key, old, data)

    bucket = Slow()
    logs = [log_of(bucket), log_of(bucket)]
    bucket.put("feed/1.json", b"{}")
    found = logs[0].append(lambda number: event(logs[0].origin, number, "mine"))
    assert said(found) == [(1, "theirs"), (2, "mine")]


def test_a_number_that_was_given_is_not_given_again_though_its_event_is_gone() -> None:
    bucket = Memory()
    log, other = log_of(bucket), log_of(bucket)
    for text in "abc":
        add(log, text)
    bucket.put("feed/3.json", b"{}")
    assert said(other.append(lambda number: event(other.origin, number, "d"), 3)) == [(1, "a"), (2, "b"), (4, "d")]


def test_events_of_a_key_that_the_root_no_longer_trusts_are_not_given_out() -> None:
    roots = [ROOT]
    log = Log(Memory(), lambda: roots[-1])
    add(log, "x")
    assert len(log.after(0)) == 1
    newer = (
        Metadata[Root]
        .from_bytes(
            initial_metadata({role: CryptoSigner.generate_ed25519() for role in KEY_ROLES}, datetime.now(UTC))[
                "1.root.json"
            ]
        )
        .signed
    )
    newer.version = 2
    roots.append(newer)
    assert log.after(0) == []


def test_a_store_with_something_else_there_is_refused() -> None:
    memory = Memory()
    memory.put_if_absent("feed/origin.json", b"[]")
    with pytest.raises(OperatorError, match="identifier of a feed"):
        log_of(memory)
