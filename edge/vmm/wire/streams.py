"""Frames of requests and exchanges: one machine's number, one stream's, and what the gate says of it.

A stream's number is the gate's (`vmimage.abi`): with EXCHANGE_BIT it names an exchange, a request of the guest's own.
These are the frames of every request, so they are tuples, and made and read without anything between. Payloads are the
gate's and are passed through: of a head, the key-value block and the first body bytes.
"""

from struct import Struct
from typing import Final, NamedTuple

from edge.vmm.wire.frames import BODY, CREDIT, CREDIT_AMOUNT, HEAD, HEADER, RESET, SOCKET, SUBREQUEST
from vmimage import abi
from vmimage.errors import FormatError
from vmimage.sockets import check_piece

ENGINES: Final = ("unicorn", "kvm")  # by the number that stands in an Answer
_TIMING: Final = Struct("<IIB")  # before the payload of an Answer: microseconds, microseconds, engine
_TIMING_BYTES: Final = _TIMING.size
_BIT: Final = abi.EXCHANGE_BIT
_MAX: Final = abi.RECORD_PAYLOAD_MAX
_ANSWER_MAX: Final = abi.HEAD_MAX + abi.RECORD_PAYLOAD_MAX  # a head of several records, and body bytes in the last
_MICROSECONDS: Final = 0xFFFF_FFFF

_CREDIT_BYTES: Final = CREDIT_AMOUNT.size

_new = tuple.__new__  # what a NamedTuple's own constructor calls, in half of its time
_header = HEADER.pack
_answer = Struct(HEADER.format + _TIMING.format[1:]).pack  # two headers in one
_credit = Struct(HEADER.format + CREDIT_AMOUNT.format[1:]).pack


class Head(NamedTuple):
    """To the worker: a request begins, or the answer to an exchange of the guest."""

    machine: int
    stream: int
    end: bool  # it is all there is in this direction
    payload: bytes

    @staticmethod
    def encode(machine: int, stream: int, end: bool, payload: bytes) -> bytes:
        """The frame of such a value, which need not be made for that."""
        size = len(payload)
        if size > _MAX:
            _refuse_size(size)
        return _header(size, HEAD, end, 0, machine, stream) + payload

    def to_bytes(self) -> bytes:
        """The frame."""
        return self.encode(*self)


class Answer(NamedTuple):
    """From the worker: a guest's answer begins."""

    machine: int
    stream: int  # of a request
    end: bool  # it is the whole answer
    restore_us: int  # that bringing the machine up took, for its first answer
    guest_us: int  # CPU time of the guest since its last answer
    engine: int  # where it ran, a place in ENGINES
    payload: bytes

    @staticmethod
    def encode(
        machine: int, stream: int, end: bool, restore_us: int, guest_us: int, engine: int, payload: bytes
    ) -> bytes:
        """The frame of such a value; times beyond 71 minutes are said as that."""
        size = len(payload)
        if size > _ANSWER_MAX:
            _refuse_size(size)
        restore_us = restore_us if restore_us < _MICROSECONDS else _MICROSECONDS
        guest_us = guest_us if guest_us < _MICROSECONDS else _MICROSECONDS
        return _answer(size + _TIMING_BYTES, HEAD, end, 0, machine, stream, restore_us, guest_us, engine) + payload

    def to_bytes(self) -> bytes:
        """The frame."""
        return self.encode(*self)


class Body(NamedTuple):
    """Both ways: more bytes of a body."""

    machine: int
    stream: int
    end: bool
    payload: bytes

    @staticmethod
    def encode(machine: int, stream: int, end: bool, payload: bytes) -> bytes:
        """The frame of such a value."""
        size = len(payload)
        if size > _MAX:
            _refuse_size(size)
        return _header(size, BODY, end, 0, machine, stream) + payload

    def to_bytes(self) -> bytes:
        """The frame."""
        return self.encode(*self)


class Credit(NamedTuple):
    """Both ways: so many more body bytes may be sent."""

    machine: int
    stream: int
    amount: int

    @staticmethod
    def encode(machine: int, stream: int, amount: int) -> bytes:
        """The frame of such a value."""
        return _credit(_CREDIT_BYTES, CREDIT, 0, 0, machine, stream, amount)

    def to_bytes(self) -> bytes:
        """The frame."""
        return self.encode(*self)


class Reset(NamedTuple):
    """To the worker: nobody waits for the answer any more, or an exchange failed. From the worker: the guest aborts."""

    machine: int
    stream: int
    reason: bytes = b""  # why an exchange failed, UTF-8; only to the worker

    def to_bytes(self) -> bytes:
        """The frame."""
        machine, stream, reason = self
        return _header(len(reason), RESET, 0, 0, machine, stream) + reason


class Subrequest(NamedTuple):
    """From the worker: an exchange begins."""

    machine: int
    stream: int  # with EXCHANGE_BIT
    end: bool  # the request has no body
    payload: bytes  # a key-value block

    def to_bytes(self) -> bytes:
        """The frame."""
        machine, stream, end, payload = self
        return _header(len(payload), SUBREQUEST, end, 0, machine, stream) + payload


class Piece(NamedTuple):
    """From the worker: what a guest sends to the client of a socket, whole or in part."""

    machine: int
    socket: int
    end: bool  # the last of its message
    payload: bytes  # {u8 abi.SOCKET_*, bytes}

    def to_bytes(self) -> bytes:
        """The frame."""
        machine, socket, end, payload = self
        return _header(len(payload), SOCKET, end, 0, machine, socket) + payload


def _refuse_size(size: int) -> None:
    raise ValueError(f"a gate's payload of at most {_MAX} bytes expected, got {size}")


# Decoders: of flags, first and second number, payload. Each raises ValueError.


def parse_head(flags: int, machine: int, stream: int, payload: bytes) -> Head:
    if flags > 1 or not machine or len(payload) > _MAX:
        _refuse("HEAD", flags, machine, stream, payload)
    return _new(Head, (machine, stream, flags == 1, payload))


def parse_answer(flags: int, machine: int, stream: int, payload: bytes) -> Answer:
    if flags > 1 or not machine or stream >= _BIT or not 0 <= len(payload) - _TIMING_BYTES <= _ANSWER_MAX:
        _refuse("HEAD from a worker", flags, machine, stream, payload)
    restore_us, guest_us, engine = _TIMING.unpack_from(payload)
    if engine >= len(ENGINES):
        raise ValueError(f"HEAD from a worker: an engine below {len(ENGINES)} expected, got {engine}")
    return _new(Answer, (machine, stream, flags == 1, restore_us, guest_us, engine, payload[_TIMING_BYTES:]))


def parse_body(flags: int, machine: int, stream: int, payload: bytes) -> Body:
    if flags > 1 or not machine or len(payload) > _MAX:
        _refuse("BODY", flags, machine, stream, payload)
    return _new(Body, (machine, stream, flags == 1, payload))


def parse_credit(flags: int, machine: int, stream: int, payload: bytes) -> Credit:
    if flags or not machine or len(payload) != CREDIT_AMOUNT.size:
        _refuse("CREDIT", flags, machine, stream, payload)
    return _new(Credit, (machine, stream, CREDIT_AMOUNT.unpack(payload)[0]))


def parse_reset(flags: int, machine: int, stream: int, payload: bytes) -> Reset:
    if flags or not machine or len(payload) > (_MAX if stream >= _BIT else 0):
        _refuse("RESET", flags, machine, stream, payload)
    return _new(Reset, (machine, stream, payload))


def parse_abort(flags: int, machine: int, stream: int, payload: bytes) -> Reset:
    """RESET from a worker, which says no reason."""
    if flags or not machine or payload:
        _refuse("RESET from a worker", flags, machine, stream, payload)
    return _new(Reset, (machine, stream, payload))


def parse_subrequest(flags: int, machine: int, stream: int, payload: bytes) -> Subrequest:
    if flags > 1 or not machine or stream < _BIT or len(payload) > _MAX:
        _refuse("SUBREQUEST", flags, machine, stream, payload)
    return _new(Subrequest, (machine, stream, flags == 1, payload))


def parse_piece(flags: int, machine: int, socket: int, payload: bytes) -> Piece:
    if flags > 1 or not machine or not 0 < socket < _BIT:
        _refuse("SOCKET", flags, machine, socket, payload)
    try:
        check_piece(flags, payload)
    except FormatError as error:
        raise ValueError(f"SOCKET: {error}") from None
    return _new(Piece, (machine, socket, flags == 1, payload))


def _refuse(what: str, flags: int, machine: int, stream: int, payload: bytes) -> None:
    raise ValueError(
        f"{what}: flags, a machine, a stream and a payload that it may have expected, "
        f"got {flags:#x}, {machine}, {stream:#x} and {len(payload)} bytes"
    )
