"""The gate: requests in, responses out, over two rings, with flow control and the rules of a stream.

A stream is one request and its response. Toward the guest it is offered (queued here), opened (its HEAD is in the
ring) and ended; the other way the guest sends HEAD, BODY..., the last with FLAG_END. A stream is forgotten when the
response has ended or either side resets it; what the guest still says of a forgotten stream is dropped, since the two
may cross. Streams whose number has EXCHANGE_BIT are the guest's own requests: see `exchanges`.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from edge.vmm.devices.exchanges import Exchange, Exchanges
from edge.vmm.devices.ring import Record, RingConsumer, RingProducer, encode_record, parse_records
from edge.vmm.turns.charges import RECORD_NS, Account
from edge.vmm.wire.frames import CREDIT_AMOUNT
from vmimage import abi, requests, sockets
from vmimage.errors import FormatError, GuestViolation, Unmovable
from vmimage.limit_errors import output_too_large
from vmimage.requests import OpenRequests, OpenStream


@dataclass(slots=True)
class Stream:
    """One request that the guest has been told of."""

    request_ended: bool = False
    response_started: bool = False
    credit: int = abi.STREAM_WINDOW  # BODY bytes the guest may still send
    owed: int = 0  # request bytes delivered and not yet given credit for
    output_bytes: int = 0
    head: bytes = b""  # of a response, of which more HEAD records follow


class _Queued(NamedTuple):
    """A record that waits for room in the ring. What is delivered may be given credit for, and not before."""

    data: bytes
    owner: Stream | Exchange | None = None
    owed: int = 0  # by the owner, once it is in the ring


class Gate:
    """The gate of one machine."""

    def __init__(
        self,
        ram: memoryview,
        *,
        max_streams: int,
        output_limit: int,
        single_use: bool = False,
        account: Account | None = None,
    ) -> None:
        """:param ram: all of guest memory.
        :param single_use: after one stream no other is opened before `renew`.
        :param account: of what its records cost outside; `drain` stops when a turn's worth is used up.
        """
        self._account = account or Account(limited=False)
        self._taken: deque[Record] = deque()  # from the guest, of which `drain` has not told
        self._in = RingProducer(ram[abi.GATE_IN_ADDRESS : abi.GATE_IN_ADDRESS + abi.GATE_SIZE])
        self._out = RingConsumer(ram[abi.GATE_OUT_ADDRESS : abi.GATE_OUT_ADDRESS + abi.GATE_SIZE], "gate out")
        self._max_streams = max_streams
        self._output_limit = output_limit
        self._single_use = single_use
        self._used = False
        self.streams: dict[int, Stream] = {}
        self.exchanges = Exchanges(output_limit)
        self.completed = 0  # streams whose response ended, ever
        self._ready: deque[_Queued] = deque()  # for streams that are open
        self._waiting: dict[int, list[Record]] = {}  # streams not yet opened

    @property
    def in_head(self) -> int:
        """The VMM's position in the ring to the guest."""
        return self._in.head

    @property
    def out_tail(self) -> int:
        """The VMM's position in the ring from the guest."""
        return self._out.tail

    @property
    def used(self) -> bool:
        """Whether the guest has had its one request."""
        return self._single_use and self._used and not self.streams

    def renew(self) -> list[Record]:
        """The guest is a fresh machine: nothing that was meant for the old one reaches it, requests that wait do.

        :returns: what the old one leaves to be said outside.
        """
        self._ready.clear()
        self._taken.clear()
        self._used = False
        return self.exchanges.abandon()

    def save(self, charged_ns: int) -> OpenRequests | None:
        """What is open, as a value; None when nothing is.

        :raises Unmovable: exchanges are open or still heard of, records wait to be told of, or more is queued than a
            record may hold.
        """
        ready = tuple(record for queued in self._ready for record in parse_records(queued.data, 0, len(queued.data)))
        if self.exchanges or self.backlog or any(record.stream & abi.EXCHANGE_BIT for record in ready):
            raise Unmovable("no requests to upstreams under way expected")
        if any(stream.head for stream in self.streams.values()):
            raise Unmovable("no response's head of which a part is here expected")
        used = self._single_use and self._used
        if not (self.streams or ready or self._waiting or used):
            return None
        streams = tuple(
            OpenStream(number, s.request_ended, s.response_started, s.credit, s.owed, s.output_bytes)
            for number, s in sorted(self.streams.items())
        )
        waiting = tuple(record for records in self._waiting.values() for record in records)
        saved = OpenRequests(streams, ready, waiting, used, charged_ns)
        try:
            requests.check(saved)
        except FormatError as error:
            raise Unmovable(str(error)) from None
        return saved

    def check(self, opened: OpenRequests) -> None:
        """:raises FormatError: requests that are not within the limits of this machine."""
        sent = max((stream.output_bytes for stream in opened.streams), default=0)
        if len(opened.streams) > self._max_streams or sent > self._output_limit:
            raise FormatError(
                f"record: at most {self._max_streams} streams of {self._output_limit} bytes expected, "
                f"got {len(opened.streams)} with {sent}"
            )
        once = opened.used or not opened.streams if self._single_use else not opened.used
        if not once or (self._single_use and len(opened.streams) > 1):
            raise FormatError("record: requests of a machine that serves as many as this one expected")

    def restore(self, opened: OpenRequests) -> None:
        """Go on with what `save` returned and `check` took, in a gate that is new."""
        self._used = opened.used
        for s in opened.streams:
            self.streams[s.number] = Stream(s.request_ended, s.response_started, s.credit, s.owed, s.output_bytes)
        for record in opened.ready:
            owed = len(record.payload) if record.type in (abi.RECORD_HEAD, abi.RECORD_BODY) else 0
            self._ready.append(_Queued(encode_record(*record), self.streams.get(record.stream), owed))
        for record in opened.waiting:
            self._waiting.setdefault(record.stream, []).append(record)

    def set_positions(self, in_head: int, out_tail: int) -> None:
        """Continue where a snapshot left off."""
        self._in.head, self._out.tail = in_head, out_tail

    def pending(self, guest_tail: int) -> bool:
        """Whether records wait for the guest in the ring."""
        return self._in.used(guest_tail) > 0

    @property
    def busy(self) -> bool:
        """Whether a stream or an exchange is open, or anything waits to be told, either way."""
        return bool(self.streams or self._ready or self._waiting or self.exchanges or self._taken)

    @property
    def queued(self) -> bool:
        """Whether something waits for room in the ring, or for a stream to end."""
        return bool(self._ready or self._waiting)

    @property
    def backlog(self) -> bool:
        """Whether it sent what `drain` has not told of: the guest is not entered before that is done."""
        return bool(self._taken)

    def never_seen(self) -> list[int]:
        """Streams that were offered and that the guest has not been told of."""
        return list(self._waiting)

    def expects_more(self) -> bool:
        """Whether any open stream waits for something from outside of the machine."""
        return bool(self.exchanges) or any(
            not stream.request_ended or stream.credit <= 0 for stream in self.streams.values()
        )

    def offer(self, record: Record) -> None:
        """Queue a record from outside. HEAD begins a stream; of an unknown stream everything else is dropped."""
        number = record.stream
        if number & abi.EXCHANGE_BIT:
            exchange = self.exchanges.of(number)
            known = self.exchanges.offer(record)
            if known is not None:
                owed = len(record.payload) if record.type == abi.RECORD_BODY else 0
                self._ready.append(_Queued(encode_record(*known), exchange, owed))
            return
        stream = self.streams.get(number)
        if stream is None:
            waiting = self._waiting.get(number)
            if record.type == abi.RECORD_HEAD and waiting is None:
                self._waiting[number] = [record]
            elif waiting is not None:
                if record.type == abi.RECORD_RESET:
                    del self._waiting[number]
                else:
                    waiting.append(record)
            return
        if record.type == abi.RECORD_CREDIT:
            stream.credit += CREDIT_AMOUNT.unpack(record.payload)[0]
        self._enqueue(stream, record)

    def _enqueue(self, stream: Stream, record: Record) -> None:
        kind, flags, number, payload = record
        owed = 0
        if kind == abi.RECORD_HEAD or kind == abi.RECORD_BODY:
            owed = len(payload)
            stream.request_ended |= bool(flags & abi.FLAG_END)
        self._ready.append(_Queued(encode_record(kind, flags, number, payload), stream, owed))
        if record.type == abi.RECORD_RESET:
            self.streams.pop(record.stream, None)

    def fill(self, guest_tail: int) -> None:
        """Move what is queued into the ring, as far as there is room and streams may be opened."""
        push, ready = self._in.push, self._ready
        while True:
            while ready:
                data, owner, owed = ready[0]
                if not push(data, guest_tail):
                    return
                if owed and owner is not None:
                    owner.owed += owed
                ready.popleft()
            if not self._waiting or len(self.streams) >= self._max_streams or (self._single_use and self._used):
                return
            self._used = True
            number = next(iter(self._waiting))
            stream = self.streams[number] = Stream()
            for record in self._waiting.pop(number):
                if record.type == abi.RECORD_CREDIT:
                    stream.credit += CREDIT_AMOUNT.unpack(record.payload)[0]
                self._enqueue(stream, record)

    def drain(self, guest_head: int) -> list[Record]:
        """What the guest sent since the last time, checked, for the world outside; what is left then is `backlog`.

        :raises GuestViolation: it breaks the rules of the ring or of a stream.
        :raises OutputTooLarge: a response body passed the limit.
        """
        start, taken = self._out.tail, self._taken
        if start != guest_head:
            taken.extend(parse_records(self._out.take(guest_head), start, abi.GATE_SIZE))
        told = []
        while taken and not self._account.used_up:
            record = self._accept(taken.popleft())
            if record is not None:
                told.append(record)
                cost_ns = RECORD_NS.get(record.type)
                if cost_ns is not None:
                    self._account.add(cost_ns)
        return told

    def _accept(self, record: Record) -> Record | None:
        kind, flags, number, payload = record
        if flags & ~abi.FLAG_END and (flags != abi.FLAG_MORE or kind != abi.RECORD_HEAD):
            raise GuestViolation(f"gate out: flags of a record of type {kind} expected, got {flags:#x}")
        if kind == abi.RECORD_LOG:
            return record
        if number & abi.EXCHANGE_BIT:
            return self.exchanges.accept(record)
        if kind == abi.RECORD_SOCKET:
            return _socket_piece(record)
        stream = self.streams.get(number)
        if stream is None:
            if kind not in (abi.RECORD_HEAD, abi.RECORD_BODY, abi.RECORD_RESET, abi.RECORD_CREDIT):
                raise GuestViolation(f"gate out: a known record type expected, got {kind}")
            return None
        if kind == abi.RECORD_HEAD:
            if stream.response_started:
                raise GuestViolation(f"gate out: a second HEAD on stream {number}")
            if flags == abi.FLAG_MORE or stream.head:
                return self._head_part(stream, record)
            stream.response_started = True
        elif kind == abi.RECORD_BODY:
            if not stream.response_started:
                raise GuestViolation(f"gate out: BODY before HEAD on stream {number}")
            stream.credit -= len(payload)
            if stream.credit < 0:
                raise GuestViolation(f"gate out: stream {number} sent {-stream.credit} bytes more than its window")
        elif kind == abi.RECORD_CREDIT:
            if len(payload) != CREDIT_AMOUNT.size or CREDIT_AMOUNT.unpack(payload)[0] > stream.owed:
                raise GuestViolation(f"gate out: credit of at most {stream.owed} expected on stream {number}")
            stream.owed -= CREDIT_AMOUNT.unpack(payload)[0]
            return None if stream.request_ended else record
        elif kind == abi.RECORD_RESET:
            self.completed += 1
            del self.streams[number]
            return record
        else:
            raise GuestViolation(f"gate out: a known record type expected, got {kind}")
        return self._told(stream, record)

    def _head_part(self, stream: Stream, record: Record) -> Record | None:
        """A HEAD of several: they leave as one, when the last is here."""
        stream.head += record.payload
        most = abi.HEAD_MAX if record.flags == abi.FLAG_MORE else abi.HEAD_MAX + abi.RECORD_PAYLOAD_MAX
        if len(stream.head) > most:
            raise GuestViolation(f"gate out: a head of at most {abi.HEAD_MAX} bytes expected on stream {record.stream}")
        if record.flags == abi.FLAG_MORE:
            return None
        whole = Record(record.type, record.flags, record.stream, stream.head)
        stream.head, stream.response_started = b"", True
        return self._told(stream, whole)

    def _told(self, stream: Stream, record: Record) -> Record:
        """More of a response leaves."""
        number = record.stream
        stream.output_bytes += len(record.payload)
        if stream.output_bytes > self._output_limit:
            raise output_too_large("a response", stream.output_bytes, self._output_limit)
        if record.flags & abi.FLAG_END:
            self.completed += 1
            del self.streams[number]
            if not stream.request_ended:  # nobody wants the rest of the request
                self._ready.append(_Queued(encode_record(abi.RECORD_RESET, 0, number, b"")))
        return record


def _socket_piece(record: Record) -> Record:
    if not record.stream:
        raise GuestViolation("gate out: the number of a socket expected, got 0")
    try:
        sockets.check_piece(record.flags, record.payload)
    except FormatError as error:
        raise GuestViolation(f"gate out: {error}") from None
    return record
