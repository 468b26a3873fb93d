"""Logs and audit lines in a bucket: several origins append, and nothing is lost, torn, or there in another order."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest

from origin.registry import log_lines
from origin.registry.audit import BucketAudit, FileAudit
from origin.registry.log_lines import BucketLines, FolderLines, Lines
from origin.registry.names import Submitter
from origin.storage.memory import Memory

OPERATOR = Submitter(operator=True)
EDGE = "0" * 16


@pytest.fixture
def bucket() -> Memory:
    return Memory()


def line(number: int, pad: int = 0) -> bytes:
    return json.dumps({"service": "shop", "text": number, "pad": "x" * pad}).encode() + b"\n"


def numbers(data: bytes) -> list[int]:
    return [json.loads(each)["text"] for each in data.splitlines()]


def all_of(lines: Lines, service: str = "shop") -> list[int]:
    """Read as a publisher does, from the beginning to the end."""
    found: list[int] = []
    place = 0
    while True:
        data, place = lines.read(service, place)
        if not data:
            return found
        found += numbers(data)


def test_lines_that_two_origins_take_are_read_through_either(bucket: Memory) -> None:
    first, second = BucketLines(bucket), BucketLines(bucket)
    places = [0, 0]
    for number in range(1, 10):
        writer = (first, second)[number % 2]
        assert writer.keep(EDGE, number, {"shop": line(number), "other": line(-number)})
        for index, reader in enumerate((first, second)):
            data, places[index] = reader.read("shop", places[index])
            assert numbers(data) == [number]
            assert reader.read("shop", places[index]) == (b"", places[index])
    assert all_of(first) == all_of(BucketLines(bucket)) == list(range(1, 10))
    assert second.read("shop", len(line(1))) == (b"".join(map(line, range(2, 10))), places[0])
    assert (first.has("shop"), first.has("nobody")) == (True, False)
    assert first.read("nobody", 5) == (b"", 5)


def test_a_batch_is_taken_once(bucket: Memory) -> None:
    first, second = BucketLines(bucket), BucketLines(bucket)
    assert first.keep(EDGE, 2, {"shop": line(2)})
    assert not second.keep(EDGE, 2, {"shop": line(2)})
    assert not second.keep(EDGE, 1, {"shop": line(1)})
    assert second.keep("f" * 16, 1, {"shop": line(1)})
    assert all_of(first) == [2, 1]


def test_many_who_append_at_once_lose_nothing(bucket: Memory) -> None:
    origins = [BucketLines(bucket) for _ in range(4)]
    together = Barrier(len(origins))

    def append(index: int) -> None:
        together.wait()
        for number in range(20):
            assert origins[index].keep(str(index), number + 1, {"shop": line(100 * index + number)})

    with ThreadPoolExecutor(len(origins)) as pool:
        list(pool.map(append, range(len(origins))))
    found = all_of(BucketLines(bucket))
    assert len(found) == 80
    for index in range(len(origins)):
        assert [number for number in found if number // 100 == index] == [100 * index + n for n in range(20)]


def test_old_lines_go_and_who_was_away_appends_at_the_end(bucket: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "FILE_BYTES", 1000)
    monkeypatch.setattr(log_lines, "BELIEVED_S", -1.0)
    away, busy = BucketLines(bucket), BucketLines(bucket)
    away.keep("a", 1, {"shop": line(1)})
    for number in range(2, 50):
        busy.keep("b", number, {"shop": line(number, pad=100)})
    away.keep("a", 2, {"shop": line(50)})
    found = all_of(BucketLines(bucket))
    assert found == list(range(found[0], 51))
    assert 40 > found[0] > 1
    assert sum(each.size for each in bucket.list("logs/services/shop")) < 4 * 1000


def test_a_log_that_is_longer_than_an_answer_is_read_in_pieces(bucket: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "READ_BYTES", 500)
    lines = BucketLines(bucket)
    for batch in range(6):
        lines.keep(
            EDGE, batch + 1, {"shop": b"".join(line(10 * batch + number) for number in range(10 if batch else 40))}
        )
    assert len(all_of(lines)) == 90
    data, _ = lines.read("shop", 0)
    assert 0 < len(data) <= 500


def test_a_forgotten_log_begins_anew(bucket: Memory) -> None:
    lines = BucketLines(bucket)
    lines.keep(EDGE, 1, {"shop": line(1)})
    lines.forget("shop")
    assert not lines.has("shop")
    lines.keep(EDGE, 2, {"shop": line(2)})
    assert all_of(lines) == [2]


def test_places_are_the_same_as_in_a_folder(bucket: Memory, tmp_path: Path) -> None:
    folder = FolderLines(tmp_path / "logs")
    both: tuple[Lines, Lines] = (folder, BucketLines(bucket))
    for number in range(1, 4):
        for each in both:
            each.keep(EDGE, number, {"shop": line(number)})
    for place in (0, len(line(1)), 2 * len(line(1)), 3 * len(line(1)), 1000):
        assert both[0].read("shop", place) == both[1].read("shop", place)


# Audit lines.


def test_audit_lines_of_several_origins_are_read_in_their_order(bucket: Memory) -> None:
    now = [datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC)]
    first, second = (BucketAudit(bucket, lambda: now[0]) for _ in range(2))
    for number in range(6):  # over the turn of a year
        (first, second)[number % 2].write(OPERATOR, [{"what": "publish", "service": "shop", "number": number}])
        first.write(OPERATOR, [{"what": "publish", "service": "other"}, {"what": "push", "more": {"service": "shop"}}])
        now[0] += timedelta(seconds=0.5)
    first.write(OPERATOR, [])
    found = [json.loads(each) for each in second.of_service("shop").splitlines()]
    assert [each["number"] for each in found] == list(range(6))
    assert {each.key[:14] for each in bucket.list("audit")} == {"audit/2026-12/", "audit/2027-01/"}
    assert BucketAudit(bucket, lambda: now[0] + timedelta(days=400)).of_service("shop") == b""


def test_lines_of_the_folder_that_a_bucket_was_come_first(bucket: Memory, tmp_path: Path) -> None:
    at = datetime(2026, 6, 1, tzinfo=UTC)
    FileAudit(tmp_path / "audit.jsonl", lambda: at).write(OPERATOR, [{"service": "shop", "number": 1}])
    bucket.put("audit.jsonl", (tmp_path / "audit.jsonl").read_bytes())
    audit = BucketAudit(bucket, lambda: at)
    audit.write(OPERATOR, [{"service": "shop", "number": 2}])
    assert [json.loads(each)["number"] for each in audit.of_service("shop").splitlines()] == [1, 2]


def test_what_is_read_of_audit_lines_is_bounded(bucket: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("origin.registry.audit.OBJECTS", 5)
    now = [datetime(2026, 6, 1, tzinfo=UTC)]
    audit = BucketAudit(bucket, lambda: now[0])
    for number in range(9):
        audit.write(OPERATOR, [{"service": "shop", "number": number}])
        now[0] += timedelta(seconds=1)
    assert [json.loads(each)["number"] for each in audit.of_service("shop").splitlines()] == [4, 5, 6, 7, 8]
    [size] = {each.size for each in bucket.list("audit")}
    monkeypatch.setattr("origin.registry.audit.READ_BYTES", 2 * size)
    bucket.put("audit/2026-06/99-by-another.jsonl", bytes(2 * size + 1))
    assert [json.loads(each)["number"] for each in audit.of_service("shop").splitlines()] == [7, 8]
