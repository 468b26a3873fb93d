"""The rules of an exchange."""

import struct

import pytest

from edge.config.upstream_policy import UpstreamRefused
from edge.devices.subrequests import FIELDS_MAX, parse_subrequest
from edge.vmm.devices.exchanges import Exchanges
from edge.vmm.devices.ring import Record
from vmimage import abi
from vmimage.errors import GuestViolation, OutputTooLarge

BIT = abi.EXCHANGE_BIT
END = abi.FLAG_END


def sub(number: int, flags: int = END) -> Record:
    return Record(abi.RECORD_SUBREQUEST, flags, BIT | number, b"block")


def begun(exchanges: Exchanges, number: int, flags: int = END) -> int:
    """The number that an exchange has outside."""
    record = exchanges.accept(sub(number, flags))
    assert record is not None
    return record.stream


def credit(number: int, amount: int) -> Record:
    return Record(abi.RECORD_CREDIT, 0, number, struct.pack("<I", amount))


def test_an_exchange_ends_when_both_sides_have() -> None:
    exchanges = Exchanges(1 << 20)
    outer = begun(exchanges, 5, 0)
    assert exchanges.accept(Record(abi.RECORD_BODY, END, BIT | 5, b"q")) == Record(abi.RECORD_BODY, END, outer, b"q")
    assert exchanges.offer(Record(abi.RECORD_HEAD, 0, outer, b"h")) == Record(abi.RECORD_HEAD, 0, BIT | 5, b"h")
    assert len(exchanges) == 1
    assert exchanges.offer(Record(abi.RECORD_BODY, END, outer, b"a")) == Record(abi.RECORD_BODY, END, BIT | 5, b"a")
    assert len(exchanges) == 0


def test_a_late_answer_never_reaches_a_new_exchange_of_the_same_number() -> None:
    exchanges = Exchanges(1 << 20)
    first = begun(exchanges, 5)
    exchanges.accept(Record(abi.RECORD_RESET, 0, BIT | 5, b""))
    second = begun(exchanges, 5)
    assert first != second
    assert exchanges.offer(Record(abi.RECORD_HEAD, END, first, b"of the first")) is None
    assert exchanges.offer(Record(abi.RECORD_HEAD, END, second, b"h")) is not None


def test_what_is_abandoned_is_told_outside_and_nothing_reaches_the_next_guest() -> None:
    exchanges = Exchanges(1 << 20)
    outer = begun(exchanges, 1)
    assert exchanges.abandon() == [Record(abi.RECORD_RESET, 0, outer, b"")]
    assert exchanges.offer(Record(abi.RECORD_HEAD, END, outer, b"h")) is None
    assert begun(exchanges, 1) != outer


def test_more_than_the_window_is_a_violation() -> None:
    exchanges = Exchanges(1 << 30)
    begun(exchanges, 1, 0)
    piece = bytes(abi.RECORD_PAYLOAD_MAX)
    for _ in range(abi.STREAM_WINDOW // len(piece)):
        exchanges.accept(Record(abi.RECORD_BODY, 0, BIT | 1, piece))
    with pytest.raises(GuestViolation, match="window"):
        exchanges.accept(Record(abi.RECORD_BODY, 0, BIT | 1, b"x"))


def test_credit_lets_the_guest_send_on() -> None:
    exchanges = Exchanges(1 << 30)
    outer = begun(exchanges, 1, 0)
    body = Record(abi.RECORD_BODY, 0, BIT | 1, bytes(abi.RECORD_PAYLOAD_MAX))
    for _ in range(40):
        assert exchanges.accept(body) == Record(abi.RECORD_BODY, 0, outer, body.payload)
        assert exchanges.offer(credit(outer, len(body.payload))) == credit(BIT | 1, len(body.payload))
    for _ in range(abi.STREAM_WINDOW // len(body.payload)):  # as much as without any credit, and no more
        exchanges.accept(body)
    with pytest.raises(GuestViolation, match="window"):
        exchanges.accept(body)


@pytest.mark.parametrize(
    "records",
    [
        [sub(1), sub(1)],
        [sub(1), Record(abi.RECORD_BODY, 0, BIT | 1, b"after the end")],
        [Record(abi.RECORD_HEAD, 0, BIT | 1, b"")],
        [Record(9, 0, BIT | 1, b"")],
        [sub(1), credit(BIT | 1, 1)],
        [sub(1), Record(abi.RECORD_CREDIT, 0, BIT | 1, b"abc")],
        [sub(number) for number in range(abi.MAX_EXCHANGES + 1)],
    ],
    ids=["twice", "after the end", "head", "unknown", "credit not owed", "credit malformed", "too many"],
)
def test_records_out_of_order_or_beyond_the_limits_are_violations(records: list[Record]) -> None:
    exchanges = Exchanges(1 << 20)
    for record in records[:-1]:
        exchanges.accept(record)
    with pytest.raises(GuestViolation):
        exchanges.accept(records[-1])


def test_the_output_limit_holds_here_too() -> None:
    exchanges = Exchanges(8)
    begun(exchanges, 1, 0)
    with pytest.raises(OutputTooLarge):
        exchanges.accept(Record(abi.RECORD_BODY, 0, BIT | 1, b"123456789"))


def test_fields_of_the_connection_are_not_taken_from_the_guest() -> None:
    block = b"Method\0POST\0URL\0https://a.test/\0Host\0b.test\0X-Own\0yes\0Transfer-Encoding\0chunked\0\0"
    assert parse_subrequest(block) == ("POST", "https://a.test/", [("X-Own", "yes")])


@pytest.mark.parametrize("method", ["GET", "PROPFIND", "QUERY", "link", "BASELINE-CONTROL"])
def test_methods_are_the_upstreams_business(method: str) -> None:
    block = f"Method\0{method}\0URL\0https://a.test/\0\0".encode()
    assert parse_subrequest(block) == (method, "https://a.test/", [])


def test_as_many_fields_as_a_browser_sends_are_passed_on() -> None:
    block = b"Method\0GET\0URL\0https://a.test/\0" + b"X\0a\0" * FIELDS_MAX + b"\0"
    assert parse_subrequest(block)[2] == [("X", "a")] * FIELDS_MAX


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Method\0GET\0\0",
        b"URL\0https://a.test\0Method\0GET\0\0",
        b"Method\0GET\0URL\0https://a.test\0X\0a\r\nHost: b\0\0",
        b"Method\0GET\0URL\0https://a.test\0X:\0a\0\0",
        b"Method\0GET\0URL\0https://a.test\0X\0\0",
        b"Method\0CONNECT\0URL\0https://a.test\0\0",
        b"Method\0GET\0URL\0https://a.test\0X\0a\0",
        b"Method\0GET\0URL\0\xff\0\0",
        b"Method\0GET\0URL\0https://a.test\0" + b"X\0a\0" * (FIELDS_MAX + 1) + b"\0",
        b"Method\0trace\0URL\0https://a.test\0\0",
        b"Method\0G ET\0URL\0https://a.test\0\0",
        b"Method\0\0URL\0https://a.test\0\0",
        b"Method\0" + b"A" * 33 + b"\0URL\0https://a.test\0\0",
    ],
)
def test_malformed_blocks_are_refused(block: bytes) -> None:
    with pytest.raises(UpstreamRefused):
        parse_subrequest(block)
