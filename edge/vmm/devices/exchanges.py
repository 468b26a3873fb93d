"""Exchanges: the requests that a guest makes to upstreams, which it may have some of under way at once.

The guest chooses the number of an exchange and may use it again when that exchange is over, or after a reset of the
whole machine; outside of the machine a number is never used twice. What crosses on the way is dropped here, so that an
answer never reaches an exchange that it was not meant for.
"""

from dataclasses import dataclass
from typing import Final

from edge.vmm.devices.ring import Record
from edge.vmm.wire.frames import CREDIT_AMOUNT
from vmimage import abi
from vmimage.errors import GuestViolation
from vmimage.limit_errors import output_too_large

_NUMBERS: Final = abi.EXCHANGE_BIT - 1


@dataclass(slots=True)
class Exchange:
    """One request of the guest, and its answer."""

    guest_number: int
    outer_number: int
    request_ended: bool = False
    answer_ended: bool = False
    credit: int = abi.STREAM_WINDOW  # BODY bytes the guest may still send
    owed: int = 0  # BODY bytes delivered to the guest and not yet given credit for
    output_bytes: int = 0


class Exchanges:
    """All exchanges of one machine."""

    def __init__(self, output_limit: int) -> None:
        """:param output_limit: bytes that the guest may send on one exchange."""
        self._output_limit = output_limit
        self._by_guest: dict[int, Exchange] = {}
        self._by_outer: dict[int, Exchange] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._by_guest)

    def accept(self, record: Record) -> Record | None:
        """A record of the guest, checked, as it goes outside; None when it is for an exchange that is over.

        :raises GuestViolation: it breaks the rules of an exchange.
        :raises OutputTooLarge: it sent more than the limit.
        """
        kind, flags, number, payload = record
        exchange = self._by_guest.get(number)
        if kind == abi.RECORD_SUBREQUEST:
            if exchange is not None:
                raise GuestViolation(f"gate out: exchange {number:#x} begun twice")
            if len(self) >= abi.MAX_EXCHANGES:
                raise GuestViolation(f"gate out: at most {abi.MAX_EXCHANGES} exchanges expected")
            exchange = self._begin(number)
        elif kind not in (abi.RECORD_BODY, abi.RECORD_CREDIT, abi.RECORD_RESET):
            raise GuestViolation(f"gate out: a record of an exchange expected, got type {kind}")
        if exchange is None:
            return None
        if kind == abi.RECORD_RESET:
            self._end(exchange)
        elif kind == abi.RECORD_CREDIT:
            if len(payload) != CREDIT_AMOUNT.size or CREDIT_AMOUNT.unpack(payload)[0] > exchange.owed:
                raise GuestViolation(f"gate out: credit of at most {exchange.owed} expected on exchange {number:#x}")
            exchange.owed -= CREDIT_AMOUNT.unpack(payload)[0]
        else:
            self._take(exchange, record)
        return Record(kind, flags, exchange.outer_number, payload)

    def _take(self, exchange: Exchange, record: Record) -> None:
        if exchange.request_ended:
            raise GuestViolation(f"gate out: a request after its end on exchange {exchange.guest_number:#x}")
        size = len(record.payload)
        if record.type == abi.RECORD_BODY:
            exchange.credit -= size
            if exchange.credit < 0:
                raise GuestViolation(f"gate out: an exchange sent {-exchange.credit} bytes more than its window")
        exchange.output_bytes += size
        if exchange.output_bytes > self._output_limit:
            raise output_too_large("a request to an upstream", exchange.output_bytes, self._output_limit)
        exchange.request_ended = bool(record.flags & abi.FLAG_END)
        self._end_if_done(exchange)

    def of(self, outer_number: int) -> Exchange | None:
        """The exchange that a record from outside is for."""
        return self._by_outer.get(outer_number)

    def offer(self, record: Record) -> Record | None:
        """A record from outside as it goes to the guest; None when the exchange is over.

        Body bytes are owed credit for once they are in the ring, which is the gate's to say.
        """
        kind, flags, number, payload = record
        exchange = self._by_outer.get(number)
        if exchange is None:
            return None
        if kind == abi.RECORD_RESET:
            self._end(exchange)
        elif kind == abi.RECORD_CREDIT:
            exchange.credit += CREDIT_AMOUNT.unpack(payload)[0]
        else:
            exchange.answer_ended = bool(flags & abi.FLAG_END)
            self._end_if_done(exchange)
        return Record(kind, flags, exchange.guest_number, payload)

    def abandon(self) -> list[Record]:
        """The guest that began them is no more: what to say outside."""
        resets = [Record(abi.RECORD_RESET, 0, number, b"") for number in self._by_outer]
        self._by_guest.clear()
        self._by_outer.clear()
        return resets

    def _begin(self, number: int) -> Exchange:
        self._last = self._last + 1 & _NUMBERS
        exchange = Exchange(number, abi.EXCHANGE_BIT | self._last)
        self._by_guest[number] = self._by_outer[exchange.outer_number] = exchange
        return exchange

    def _end_if_done(self, exchange: Exchange) -> None:
        if exchange.request_ended and exchange.answer_ended:
            self._end(exchange)

    def _end(self, exchange: Exchange) -> None:
        del self._by_guest[exchange.guest_number], self._by_outer[exchange.outer_number]
