"""Frames come whole, in pieces, and from whoever lies: the same frames, or a ValueError; never another message."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vmm.wire import frames, messages
from edge.vmm.wire.disks import NewDisk
from edge.vmm.wire.fields import dump
from edge.vmm.wire.frames import RawFrame, Splitter
from edge.vmm.wire.images import Layout, NewImage
from edge.vmm.wire.machines import Died
from tests.support.wire import Frame, split
from tests.vectors import frames as examples
from vmimage import abi, disk, snapshot
from vmimage.drives import WRITTEN_MAX

FRAMES = st.lists(
    st.builds(
        Frame,
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=300),
    ),
    max_size=8,
)
FROM_WORKER: Mapping[str, Any] = examples.FROM_WORKER
TO_WORKER: Mapping[str, Any] = examples.TO_WORKER
REPORT, DISKS = FROM_WORKER["died"].report, TO_WORKER["open-parked"].disks
DIRECTIONS: tuple[tuple[Callable[[RawFrame], Any], Mapping[str, Any]], ...] = (
    (messages.to_worker, TO_WORKER),
    (messages.from_worker, FROM_WORKER),
)
EVERY = [(decode, name, message) for decode, all_of_them in DIRECTIONS for name, message in all_of_them.items()]


@given(FRAMES)
def test_frames_parse_to_what_was_packed(sent: list[Frame]) -> None:
    assert split(b"".join(frame.to_bytes() for frame in sent)) == sent


@given(FRAMES, st.integers(1, 40))
def test_frames_in_pieces_of_any_size_are_the_same_frames(sent: list[Frame], size: int) -> None:
    data = b"".join(frame.to_bytes() for frame in sent)
    splitter, got = Splitter(), []
    for start in range(0, len(data), size):
        got += splitter.feed(data[start : start + size])
    assert got == sent


@given(st.binary(max_size=400), st.integers(1, 400))
def test_arbitrary_bytes_are_frames_or_an_error_whole_or_in_two_pieces(data: bytes, cut: int) -> None:
    """Whole or in two pieces, the same frames come of it, or it is out of step."""
    whole: list[RawFrame] | None = None
    with suppress(ValueError):
        whole = Splitter().feed(data)
    splitter, pieces = Splitter(), list[RawFrame]()
    try:
        pieces += splitter.feed(data[:cut])
        pieces += splitter.feed(data[cut:])
    except ValueError:
        assert whole is None
    else:
        assert pieces == whole


def test_a_header_that_is_out_of_step_is_refused() -> None:
    for header in (
        frames.HEADER.pack(frames.PAYLOAD_MAX + 1, frames.PARKED, 0, 0, 1, 0),
        frames.HEADER.pack(0, frames.PARK, 0, 1, 1, 0),
    ):
        with pytest.raises(ValueError, match="expected"):
            Splitter().feed(header)


def test_what_would_be_refused_is_not_sent() -> None:
    largest = frames.pack(frames.PARKED, 0, 1, 0, bytes(frames.PAYLOAD_MAX))
    assert [len(frame.payload) for frame in split(largest)] == [frames.PAYLOAD_MAX]
    with pytest.raises(ValueError, match="at most"):
        frames.pack(frames.PARKED, 0, 1, 0, bytes(frames.PAYLOAD_MAX + 1))


def test_a_record_of_the_maximum_fits_an_open_with_all_that_goes_with_it() -> None:
    """Bytes that do not compress in every page, scratch disks as full as they may be, and JSON of the largest size."""
    record = snapshot.record_size(frames.RECORD_BYTES_MAX // abi.PAGE_SIZE)
    scratch = WRITTEN_MAX + WRITTEN_MAX // abi.PAGE_SIZE * 4 + abi.DISKS_MAX * 8
    stored = sum(size + size // 256 + 1024 for size in (record, scratch))  # zstd: ZSTD_compressBound
    assert stored + (1 << 20) < frames.PAYLOAD_MAX


# Every message.


@pytest.mark.parametrize(("decode", "name", "message"), EVERY, ids=[name for _, name, _ in EVERY])
def test_a_message_is_what_its_frame_says(decode: Callable[[RawFrame], Any], name: str, message: Any) -> None:
    (frame,) = split(message.to_bytes())
    assert decode(frame) == message
    assert type(decode(frame)) is type(message)


@pytest.mark.parametrize(("decode", "name", "message"), EVERY, ids=[name for _, name, _ in EVERY])
def test_flags_numbers_and_payloads_that_a_type_does_not_have(
    decode: Callable[[RawFrame], Any], name: str, message: Any
) -> None:
    """Whatever is decoded from a changed frame says just that frame: nothing in it was passed over."""
    (frame,) = split(message.to_bytes())
    for changed in (
        *(frame._replace(flags=flags) for flags in (1, 2, 3, 0x80, 0xFF)),
        *(frame._replace(first=number) for number in (0, 1, 2**31, 2**32 - 1)),
        *(frame._replace(second=number) for number in (0, 1, 2**31, 2**32 - 1)),
        *(frame._replace(payload=frame.payload + more) for more in (b"\0", b" ", bytes(4))),
        *(frame._replace(payload=frame.payload[:size]) for size in (0, 1, len(frame.payload) - 1)),
    ):
        with suppress(ValueError):
            assert split(decode(changed).to_bytes()) == [changed]


def test_no_machine_no_image_and_no_disk_has_the_number_0() -> None:
    numbered = {frames.HELLO, frames.PONG, frames.PING, frames.STOP}
    for decode, _, message in EVERY:
        (frame,) = split(message.to_bytes())
        if frame.type not in numbered:
            with pytest.raises(ValueError, match="expected"):
                decode(frame._replace(first=0))


BIT = abi.EXCHANGE_BIT
MORE = bytes(abi.RECORD_PAYLOAD_MAX + 1)
NONE = frames.with_head(b"")
OUT_OF_RANGE: tuple[tuple[Callable[[RawFrame], Any], Any], ...] = (
    (messages.from_worker, Frame(frames.HEAD, 1, 1, BIT | 3, bytes(9) + b"Status")),  # an answer to nobody's request
    (messages.from_worker, Frame(frames.HEAD, 1, 1, 3, bytes(8) + b"\x02Status")),  # an engine that there is not
    (messages.from_worker, Frame(frames.HEAD, 1, 1, 3, bytes(8))),
    (messages.from_worker, Frame(frames.HEAD, 1, 1, 3, bytes(9 + abi.HEAD_MAX) + MORE)),
    (messages.from_worker, Frame(frames.SOCKET, 1, 1, 0, b"\1text")),  # of no socket
    (messages.from_worker, Frame(frames.SOCKET, 1, 1, BIT | 3, b"\1text")),
    (messages.from_worker, Frame(frames.SOCKET, 2, 1, 3, b"\1text")),
    (messages.from_worker, Frame(frames.SOCKET, 0, 1, 3, b"\x08\xe8\x03")),  # half of a close
    (messages.from_worker, Frame(frames.SOCKET, 1, 1, 3, b"\x09ping")),
    (messages.from_worker, Frame(frames.SOCKET, 1, 1, 3, b"\1" + MORE)),
    (messages.from_worker, Frame(frames.BODY, 0, 1, 3, MORE)),
    (messages.from_worker, Frame(frames.CREDIT, 0, 1, 3, bytes(5))),
    (messages.from_worker, Frame(frames.RESET, 0, 1, 3, b"why")),
    (messages.from_worker, Frame(frames.RESET, 0, 1, BIT | 3, b"why")),
    (messages.from_worker, Frame(frames.SUBREQUEST, 1, 1, 3, b"Method\0GET\0\0")),  # on a stream of a request
    (messages.from_worker, Frame(frames.SUBREQUEST, 1, 1, BIT | 3, MORE)),
    (messages.from_worker, Frame(frames.PARKED, 0, 1, 0, NONE)),  # without a state
    (messages.from_worker, Frame(frames.PARKED, 0, 1, 0, NONE + b"scratch")),
    (messages.from_worker, Frame(frames.PARKED, 0, 1, 0, b"\5\0\0\0four")),
    (messages.from_worker, Frame(frames.BLOCK_WANT, 0, 9, disk.BLOCKS_MAX, b"")),
    (messages.from_worker, Frame(frames.KEEP, 0, 1, 7, b"\x08\0\0\0")),  # the ninth disk
    (messages.from_worker, Frame(frames.KEEP, 0, 1, 7, b"\0\0\0")),
    (messages.from_worker, Frame(frames.APPEND, 0, 1, 7, bytes(4 + abi.DISK_LENGTH_MAX + 1))),
    (messages.from_worker, Frame(frames.APPEND, 1, 1, 7, bytes(4) + b"a record to sync")),
    (messages.from_worker, Died(1, "no name", "", None, ())),
    (messages.from_worker, Died(1, "GuestFault", "m" * 1001, None, ())),
    (messages.from_worker, Died(1, "GuestFault", "", None, (BIT,))),
    (messages.from_worker, replace(FROM_WORKER["died"], report=replace(REPORT, frames=(2**64,)))),
    (messages.from_worker, replace(FROM_WORKER["died"], report=replace(REPORT, code="0F"))),
    (messages.from_worker, replace(FROM_WORKER["died"], report=replace(REPORT, unknown_calls={"x" * 65: 1}))),
    (messages.from_worker, replace(FROM_WORKER["pong"], resident=((0, 1),))),
    (messages.from_worker, replace(FROM_WORKER["pong"], grown=(1,) * 701)),
    (messages.from_worker, replace(FROM_WORKER["pong"], wakeups=2**63)),
    (messages.from_worker, replace(FROM_WORKER["hello"], engines=())),
    (messages.from_worker, replace(FROM_WORKER["hello"], pid=2**22 + 1)),
    (messages.to_worker, Frame(frames.RESET, 0, 1, 3, b"why")),  # that nobody waits is all there is to say
    (messages.to_worker, Frame(frames.HEAD, 0, 1, 3, MORE)),
    (messages.to_worker, replace(TO_WORKER["image-derived"], record=b"")),  # neither a record nor a memfd
    (messages.to_worker, replace(TO_WORKER["image-base"], record=b"both")),
    (messages.to_worker, NewImage(5, Layout("base", 4, 8 << 20, (), 1))),
    (messages.to_worker, NewImage(5, Layout("derived", None, 8 << 20, (), 1))),
    (messages.to_worker, NewImage(5, Layout("base", None, (8 << 20) + 4096, (), 1))),
    (messages.to_worker, replace(TO_WORKER["open"], weight=0)),
    (messages.to_worker, replace(TO_WORKER["open"], image=0)),
    (messages.to_worker, replace(TO_WORKER["open"], record_bytes=frames.RECORD_BYTES_MAX + 1)),
    (messages.to_worker, replace(TO_WORKER["open"], scratch=b"without a state")),
    (messages.to_worker, replace(TO_WORKER["open"], disks=DISKS[:1] * 9)),
    (messages.to_worker, replace(TO_WORKER["open"], disks=(replace(DISKS[0], number=None),))),
    (messages.to_worker, replace(TO_WORKER["open"], disks=(replace(DISKS[1], number=9),))),
    (messages.to_worker, Frame(frames.BLOCK, 0, 9, 4, b"short")),
    (messages.to_worker, Frame(frames.BLOCK, 1, 9, 4, bytes(abi.DISK_BLOCK_SIZE))),
    (messages.to_worker, Frame(frames.PAGES, 0, 1, 8, b"")),
    (messages.to_worker, Frame(frames.DISK_DONE, 0, 1, 7, b"\1\0\0\0")),
    (messages.to_worker, Frame(frames.DISK_DONE, 0, 1, 7, b"\0\xf0\xff\xff")),  # -4096
    (messages.to_worker, NewDisk(9, 0, 1)),
    (messages.to_worker, Frame(frames.PING, 0, 0, 0, b"")),
    (messages.to_worker, Frame(frames.PING, 0, 0, 0, b"\xff")),
)


@pytest.mark.parametrize("number", range(len(OUT_OF_RANGE)))
def test_what_no_field_may_hold(number: int) -> None:
    decode, wrong = OUT_OF_RANGE[number]
    with pytest.raises(ValueError, match="expected"):
        decode(*split(wrong.to_bytes()))


def test_what_is_said_in_one_direction_is_not_said_in_the_other() -> None:
    both = messages.TO_WORKER.keys() & messages.FROM_WORKER.keys()
    assert both == {frames.HEAD, frames.BODY, frames.CREDIT, frames.RESET}
    for type_ in range(256):
        for decode, table in ((messages.to_worker, messages.TO_WORKER), (messages.from_worker, messages.FROM_WORKER)):
            if type_ not in table:
                with pytest.raises(ValueError, match="a frame type"):
                    decode((type_, 0, 1, 0, b""))


FREE = {"registers", "unknown_calls"}  # whose keys are names that the worker finds


def changed_trees(tree: Any) -> Iterator[Any]:
    """JSON with one key misspelt, left out or added, or one value of another kind."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            rest = {other: kept for other, kept in tree.items() if other != key}
            yield rest
            yield {**rest, key + "s": value}
            yield from ({**rest, key: other} for other in (changed_trees(value) if key not in FREE else ["none"]))
        yield {**tree, "more": 1}
    elif isinstance(tree, list):
        yield {"a": tree}
        for place, value in enumerate(tree):
            yield from ([*tree[:place], other, *tree[place + 1 :]] for other in changed_trees(value))
    else:
        yield [tree]
        yield {}
        if isinstance(tree, int):
            yield from (-1, str(tree), tree + 0.5)


JSON = [(decode, name, message) for decode, name, message in EVERY if b'{"' in message.to_bytes()]


@pytest.mark.parametrize(("decode", "name", "message"), JSON, ids=[name for _, name, _ in JSON])
def test_a_misspelt_key_and_a_value_of_another_kind_fail_at_once(
    decode: Callable[[RawFrame], Any], name: str, message: Any
) -> None:
    (frame,) = split(message.to_bytes())
    with_length = frame.type in (frames.OPEN, frames.IMAGE)
    head, rest = frames.split_head(frame.payload) if with_length else (frame.payload, b"")
    count = 0
    for tree in changed_trees(json.loads(head)):
        data = dump(tree)
        payload = frames.with_head(data, rest) if with_length else data
        with pytest.raises(ValueError, match="expected"):
            decode(frame._replace(payload=payload))
        count += 1
    assert count > 5
