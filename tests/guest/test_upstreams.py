"""A guest's own requests, with the test in the place of the edge."""

import struct
from typing import Any

from edge.vmm.devices.ring import Record
from tests.support.guests import PROGRAMS, Guest, Response, head_block, image_of
from vmimage import abi

SOURCE = PROGRAMS / "upstream.c"
END = abi.FLAG_END


class Outside(Guest):
    """A guest whose exchanges the test sees."""

    def __init__(self) -> None:
        super().__init__(image_of(SOURCE))

    def begin(self, path: str = "/?url=http://a.test/x", **options: Any) -> tuple[int, int]:
        """A request, and the exchange it began."""
        stream = self.send(path, **options)
        self.run()
        assert self.exchanges[-1].type in (abi.RECORD_SUBREQUEST, abi.RECORD_BODY)
        return stream, self.exchanges[-1].stream

    def answer(self, number: int, body: bytes = b"page", *, end: bool = True, status: int = 200) -> None:
        head = head_block({"Status": str(status), "X-Answer": "42"})
        self.machine.offer(Record(abi.RECORD_HEAD, 0, number, head))
        self.machine.offer(Record(abi.RECORD_BODY, END if end else 0, number, body))
        self.run()

    def response(self, stream: int) -> Response:
        return self.responses[stream]


def test_a_request_and_its_answer() -> None:
    guest = Outside()
    stream, number = guest.begin()
    assert guest.exchanges == [
        Record(
            abi.RECORD_SUBREQUEST,
            END,
            number,
            head_block({"Method": "GET", "URL": "http://a.test/x", "X-From": "guest"}),
        )
    ]
    guest.answer(number, status=203)
    assert guest.response(stream).ended
    assert (guest.response(stream).status, bytes(guest.response(stream).body)) == (203, b"page")
    assert guest.response(stream).headers["x-answer"] == "42"
    assert not guest.machine.busy


def test_a_body_of_its_own_goes_under_credit() -> None:
    guest, data = Outside(), bytes(range(256)) * 1024
    stream = guest.send("/?url=http://a.test/x", method="POST", body=None)
    sent = position = 0
    while position < len(data) or sum(len(r.payload) for r in guest.exchanges if r.type == abi.RECORD_BODY) > sent:
        piece = data[position : position + min(abi.RECORD_PAYLOAD_MAX, guest.credit[stream])]
        if piece:
            position += len(piece)
            guest.push(stream, piece, end=position == len(data))
        guest.run()
        taken = sum(len(r.payload) for r in guest.exchanges if r.type == abi.RECORD_BODY)
        assert taken - sent <= abi.STREAM_WINDOW
        number = guest.exchanges[0].stream
        guest.machine.offer(Record(abi.RECORD_CREDIT, 0, number, struct.pack("<I", taken - sent)))
        sent = taken
    guest.run()
    assert b"".join(r.payload for r in guest.exchanges if r.type == abi.RECORD_BODY) == data
    assert guest.exchanges[-1].flags == END
    guest.answer(number)
    assert bytes(guest.response(stream).body) == b"page"


def test_many_wait_at_once_and_are_told_apart() -> None:
    guest = Outside()
    begun = [guest.begin(f"/?url=http://a.test/{n}") for n in range(8)]
    for n, (_, number) in reversed(list(enumerate(begun))):
        guest.answer(number, f"page {n}".encode())
    assert [bytes(guest.response(stream).body) for stream, _ in begun] == [f"page {n}".encode() for n in range(8)]


def test_a_failure_says_why() -> None:
    guest = Outside()
    stream, number = guest.begin()
    guest.machine.offer(Record(abi.RECORD_RESET, 0, number, b"connection refused"))
    guest.run()
    assert (guest.response(stream).status, bytes(guest.response(stream).body)) == (502, b"connection refused")


def test_a_client_that_leaves_gives_the_exchange_up() -> None:
    guest = Outside()
    stream, number = guest.begin()
    guest.machine.offer(Record(abi.RECORD_RESET, 0, stream, b""))
    guest.run()
    assert guest.exchanges[-1] == Record(abi.RECORD_RESET, 0, number, b"")
    assert not guest.machine.busy
    assert guest.get("/").status == 400, "the machine goes on"


def test_a_client_that_does_not_read_is_waited_for() -> None:
    """Body bytes in the HEAD record are outside of the window, for guest and edge alike: both see when it is full."""
    guest, piece = Outside(), bytes(abi.RECORD_PAYLOAD_MAX)
    stream, number = guest.begin()
    guest.machine.offer(Record(abi.RECORD_HEAD, 0, number, head_block({"Status": "200"})))
    for _ in range(6):
        guest.machine.offer(Record(abi.RECORD_BODY, 0, number, piece))
    guest.machine.offer(Record(abi.RECORD_BODY, END, number, b""))
    guest.run(credit=False)
    assert abi.STREAM_WINDOW <= len(guest.response(stream).body) < 6 * len(piece)
    guest.machine.offer(Record(abi.RECORD_CREDIT, 0, stream, struct.pack("<I", abi.STREAM_WINDOW)))
    guest.run()
    assert bytes(guest.response(stream).body) == piece * 6


def test_a_long_answer_comes_under_credit() -> None:
    guest, piece = Outside(), bytes(range(64)) * 256
    stream, number = guest.begin()
    guest.machine.offer(Record(abi.RECORD_HEAD, 0, number, head_block({"Status": "200"})))
    window, sent = abi.STREAM_WINDOW, 0
    for _ in range(40):
        assert window >= len(piece), "the guest gives credit for what it read"
        guest.machine.offer(Record(abi.RECORD_BODY, 0, number, piece))
        window, sent = window - len(piece), sent + len(piece)
        guest.run()
        for record in guest.exchanges:
            if record.type == abi.RECORD_CREDIT:
                window += struct.unpack("<I", record.payload)[0]
        guest.exchanges.clear()
    guest.machine.offer(Record(abi.RECORD_BODY, END, number, b""))
    guest.run()
    assert bytes(guest.response(stream).body) == piece * 40
    assert sent == len(piece) * 40
