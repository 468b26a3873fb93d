"""Frames as a test sees them: raw, to be changed, or as the messages that they are."""

from typing import NamedTuple

from edge.vmm.wire import messages
from edge.vmm.wire.frames import Splitter, pack
from edge.vmm.wire.messages import FromWorker, ToWorker


class Frame(NamedTuple):
    """One frame, with whatever is in it."""

    type: int
    flags: int
    first: int
    second: int
    payload: bytes

    def to_bytes(self) -> bytes:
        return pack(*self)


def split(data: bytes) -> list[Frame]:
    """All frames of bytes that hold nothing else at their beginning."""
    return [Frame(*raw) for raw in Splitter().feed(bytes(data))]


def to_worker(data: bytes) -> list[ToWorker]:
    """What a supervisor said."""
    return [messages.to_worker(raw) for raw in Splitter().feed(bytes(data))]


def from_worker(data: bytes) -> list[FromWorker]:
    """What a worker said."""
    return [messages.from_worker(raw) for raw in Splitter().feed(bytes(data))]
