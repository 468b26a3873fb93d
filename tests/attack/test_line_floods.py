"""Guests that say lines without end: what is kept has bounds by machine and tenant, and one sync is for all who ask."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.common.allowance import LOG_LINES
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.devices.lines import LINES_A_TICK, Lines, first_lines
from edge.devices.spool import Spool
from edge.vmm.devices.log import LINE_BYTES
from edge.vmm.wire.machines import Log
from tests.attack.flooding import Worker, machine, run


@pytest.mark.parametrize(
    ("data", "most", "lines", "count"),
    [
        (b"", 5, [], 0),
        (b"a\nb\n", 5, [b"a", b"b"], 2),
        (b"a\nb", 5, [b"a", b"b"], 2),
        (b"a\r\nb", 1, [b"a"], 2),
        (b"\n\n\n", 2, [b"", b""], 3),
        (b"a\nb\nc\n", 0, [], 3),
        (b"a\nb\nc\n", -4, [], 3),
        (b"x" * (LINE_BYTES + 9) + b"\ny\n", 2, [b"x" * LINE_BYTES, b"y"], 2),
    ],
)
def test_only_lines_that_are_kept_are_split(data: bytes, most: int, lines: list[bytes], count: int) -> None:
    assert first_lines(data, most) == (lines, count)


@pytest.mark.usefixtures("time_stands")
def test_lines_without_end_are_counted_and_dropped_by_machine_and_by_tenant(tmp_path: Path) -> None:
    counters, worker = Counters(), Worker()
    spool = Spool(tmp_path, 1 << 30, "http://127.0.0.1:1", "", counters)

    async def test() -> None:
        lines = Lines(spool, counters, SimpleNamespace(tasks=Tasks(counters)))  # type: ignore[arg-type]
        evil = [machine(number, "mallory", worker) for number in range(8)]
        for guest in evil:
            lines.on_log(guest, Log(guest.number, b"\n" * 1_000_000))
        burst = int(LOG_LINES.burst)
        full, none = burst // LINES_A_TICK, 8 - burst // LINES_A_TICK
        assert [guest.log_lines for guest in evil] == [LINES_A_TICK] * full + [0] * none
        assert counters.log_lines_dropped == 8_000_000 - burst
        lines.on_log(machine(9, "alice", worker), Log(9, b"hello\nworld\n"))

    run(test)
    spool.close()
    written = b"".join(file.read_bytes() for file in tmp_path.glob("*.jsonl"))
    taken = [(line["service"], line["text"]) for line in map(json.loads, written.splitlines())]
    assert len(taken) == int(LOG_LINES.burst) + 2
    assert taken[-2:] == [("alice-9", "hello"), ("alice-9", "world")]


def test_lines_of_one_tenant_leave_room_for_those_of_others(tmp_path: Path) -> None:
    """However many logs it has: the origin is away, and nothing of what waits goes."""
    spool = Spool(tmp_path / "spool", 1 << 20, "http://127.0.0.1:1", "", Counters())

    def flood(tenant: str) -> int:
        return sum(spool.append(f"{tenant}{n % 50}", "", bytes(1000), 1 << 20, tenant) for n in range(2000))

    first, second, third = flood("mallory"), flood("eve"), flood("trudy")
    assert first > second > third > 0
    assert spool.append("hers", "", b"one line", 1 << 20, "alice")
    assert spool.used_bytes < 1 << 20
    spool.close()


def test_one_sync_is_enough_for_all_who_ask_while_another_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        spool = Spool(tmp_path, 1 << 20, "http://127.0.0.1:1", "", Counters())
        synced: list[int] = []
        monkeypatch.setattr("edge.devices.spool.os.fsync", synced.append)
        assert await asyncio.gather(*(spool.sync() for _ in range(100))) == [0] * 100
        assert len(synced) == 2, "the first, and one more that began after all others had asked"
        assert await spool.sync() == 0
        assert len(synced) == 3

    run(test)
