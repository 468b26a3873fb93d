"""What a worker says is read and taken in bounded amounts, in order, and nothing of it is lost."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from edge.common.slices import SLICE_S, Slices
from edge.vmm.devices.log import LINE_BYTES, PART_BYTES, PART_LINES, in_parts
from edge.vmm.wire import frames
from edge.workers.intake import READ_BYTES, Intake
from tests.support.wire import Frame

PIECE_S = 2**-12  # what a frame takes here; sums of it are exact
PIECES = math.ceil(SLICE_S / PIECE_S)


class Connection:
    """A socket with bytes in it, read as an event loop does, and the clock of the slices."""

    def __init__(self, data: bytes = b"") -> None:
        self.data, self.reading, self.closing = data, True, False
        self.now_s, self.pauses = 0.0, 0
        self.taken: list[Frame] = []
        self.read = 0  # frames of which all is read
        self.waited: list[int] = []  # how many of them were not taken, at each read
        self._splitter = frames.Splitter()
        self.intake = Intake(Slices(lambda: self.now_s), self.take)
        self.intake.connected(self)  # type: ignore[arg-type]

    def take(self, frame: frames.RawFrame) -> None:
        self.now_s += PIECE_S
        self.taken.append(Frame(*frame))

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False
        self.pauses += 1

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def poll(self) -> int:
        """One turn's look at the socket; libuv reads on for as long as it may."""
        read = 0
        while self.reading and self.data:
            self.waited.append(self.read - len(self.taken))
            size = min(len(self.data), READ_BYTES)
            self.intake.buffer[:size] = self.data[:size]
            self.read += len(self._splitter.feed(self.data[:size]))
            self.data = self.data[size:]
            read += size
            self.intake.updated(size)
        return read

    @property
    def busy(self) -> bool:
        """Whether there is more to read or to take."""
        return bool(self.data) or self.read > len(self.taken) or not self.reading

    async def read_all(self) -> list[int]:
        """Bytes that were read in each turn until all is taken."""
        reads = []
        while self.busy:
            reads.append(self.poll())
            await asyncio.sleep(0)
        return reads


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def log_frames(count: int, size: int = 20) -> list[Frame]:
    return [Frame(frames.LOG, 0, number, 0, b"x" * size) for number in range(count)]


def packed(sent: list[Frame]) -> bytes:
    return b"".join(frames.pack(*frame) for frame in sent)


@pytest.mark.parametrize(("count", "size"), [(1, 5), (1000, 20), (8000, 20), (50, 60_000), (9, 127_000)])
def test_all_frames_are_taken_in_order_and_no_turn_reads_or_takes_much(count: int, size: int) -> None:
    async def test() -> None:
        sent = log_frames(count, size)
        link = Connection(packed(sent))
        before, most = 0, 0
        while link.busy:
            assert link.poll() <= READ_BYTES
            await asyncio.sleep(0)
            most, before = max(most, len(link.taken) - before), len(link.taken)
        assert link.taken == sent
        assert most <= PIECES, "a slice's worth"
        assert set(link.waited) == {0}, "nothing is read while frames wait"

    run(test)


def test_others_run_while_a_thousand_lines_are_taken() -> None:
    async def test() -> None:
        parts = list(in_parts(b"line\n" * 1000))
        link = Connection(packed([Frame(frames.LOG, 0, 1, 0, part) for part in parts]))
        turns = len(await link.read_all())
        assert turns >= len(parts) // PIECES
        assert b"".join(frame.payload for frame in link.taken) == b"line\n" * 1000

    run(test)


def test_what_was_said_before_the_end_is_taken() -> None:
    async def test() -> None:
        link = Connection(packed(log_frames(100)))
        link.poll()
        assert len(link.taken) < 100
        link.closing = True
        link.intake.end()
        assert len(link.taken) == 100
        await asyncio.sleep(0)

    run(test)


def test_what_a_killed_worker_said_is_dropped() -> None:
    async def test() -> None:
        link = Connection(packed(log_frames(100)))
        link.poll()
        taken = len(link.taken)
        link.closing = True
        link.intake.drop()
        link.intake.end()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(link.taken) == taken
        assert not link.reading, "a connection that closes is not read again"

    run(test)


@pytest.mark.parametrize("type_", [frames.LOG, frames.KEEP, frames.HEAD, frames.DIED, 200])
def test_only_records_and_statistics_may_be_large(type_: int) -> None:
    async def test() -> None:
        header = frames.HEADER.pack(frames.SMALL_MAX + 1, type_, 0, 0, 1, 1)
        with pytest.raises(ValueError, match="at most"):
            Connection(header).poll()
        with pytest.raises(ValueError, match="at most"):
            Connection(packed(log_frames(1)) + header).poll()
        large = Connection(frames.pack(frames.PARKED, 0, 1, 0, bytes(frames.SMALL_MAX + 1)))
        await large.read_all()
        assert len(large.taken) == 1

    run(test)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"one",
        b"one\ntwo",
        b"\n" * 1000,
        b"x" * 100 + b"\n" + b"y" * 10,
        (b"z" * (LINE_BYTES - 1) + b"\n") * 40,
    ],
)
def test_lines_in_parts_are_the_same_lines(text: bytes) -> None:
    parts = list(in_parts(text))
    assert b"".join(parts) == text
    assert all(len(part) <= PART_BYTES + LINE_BYTES and part.count(b"\n") <= PART_LINES for part in parts)
    assert all(part.endswith(b"\n") for part in parts[:-1])
    assert all(parts)


def test_of_a_long_line_only_what_is_kept_is_sent() -> None:
    assert b"".join(in_parts(b"x" * 100_000 + b"\nend")) == b"x" * LINE_BYTES + b"\nend"
