"""WebSockets of JavaScript workers at the gate: what is told of one, what goes to its client, and when no more does."""

import json
from pathlib import Path

import pytest

from edge.model import sockets
from edge.vmm.devices.ring import Record
from tests.support.guests import Guest, Response
from tests.support.workers import worker_image
from vmimage import abi
from vmimage.sockets import close_of

WORKER = Path(__file__).parents[1] / "e2e" / "workers" / "sockets.js"
END = abi.FLAG_END
RUN = "run"


class Worker(Guest):
    """A machine, and what it says to clients of its sockets, by their numbers."""

    def __init__(self, parked: bytes | None = None) -> None:
        super().__init__(worker_image(WORKER), parked=parked)
        self.said: list[tuple[int, int, int, bytes]] = []  # number, kind, flags, data

    def collect(self, credit: bool) -> bool:
        pieces = [record for record in self.machine.records if record.type == abi.RECORD_SOCKET]
        self.said += [(piece.stream, piece.payload[0], piece.flags, piece.payload[1:]) for piece in pieces]
        self.machine.records[:] = [record for record in self.machine.records if record.type != abi.RECORD_SOCKET]
        return super().collect(credit) or bool(pieces)

    def open(self, kind: str, number: int, lineage: int = 0, *, name: str = "") -> int:
        """Offer a socket; the status of the answer."""
        about = {"NUNATAK_SOCKET": str(number), "NUNATAK_LINEAGE": f"{RUN}-{lineage}"}
        answer = self.get(f"/{kind}", QUERY_STRING=f"name={name}", **about)
        return answer.status

    def tell(
        self,
        kind: sockets.Event,
        number: int,
        body: bytes = b"",
        *,
        taken: int = 0,
        lineage: int = 0,
        code: int = 0,
        clean: bool = False,
    ) -> None:
        """Tell it something of a socket, as a request that it answers."""
        block = sockets.event(kind, number, RUN, lineage, taken, code=code, clean=clean)
        self.last_stream = stream = self.last_stream + 1
        self.responses[stream], self.credit[stream] = Response(), abi.STREAM_WINDOW
        self.machine.offer(Record(abi.RECORD_HEAD, 0 if body else END, stream, block))
        for at in range(0, len(body), abi.RECORD_PAYLOAD_MAX):
            part = body[at : at + abi.RECORD_PAYLOAD_MAX]
            self.push(stream, part, end=at + len(part) == len(body))
            self.run()
        self.run()
        assert (self.responses[stream].status, self.responses[stream].ended) == (200, True)

    def heard(self, number: int) -> list[bytes]:
        """Whole messages to a client."""
        found: list[bytes] = []
        parts = b""
        for whose, _, flags, data in self.said:
            if whose == number:
                parts += data
                if flags & END:
                    found.append(parts)
                    parts = b""
        return found

    def log_text(self) -> str:
        """What it logged."""
        return self.log.decode()

    def told(self) -> list[str]:
        """What the worker says that it was told."""
        return list(json.loads(bytes(self.get("/log").body))["log"])


@pytest.fixture
def worker(engine: str) -> Worker:
    return Worker()


def test_a_socket_is_taken_and_answers(worker: Worker) -> None:
    assert worker.open("echo", 7) == 101
    worker.tell("text", 7, "grüße".encode())
    worker.tell("binary", 7, b"\x00\xff")
    worker.tell("text", 7)
    assert worker.said == [
        (7, abi.SOCKET_TEXT, END, "grüße".encode()),
        (7, abi.SOCKET_BINARY, END, b"\x00\xff"),
        (7, abi.SOCKET_TEXT, END, b""),
    ]


def test_a_large_message_comes_in_parts_and_is_whole(worker: Worker) -> None:
    worker.open("echo", 7)
    worker.tell("text", 7, b"x" * 60_000)
    assert worker.heard(7) == [b"x" * 60_000]
    assert [flags for _, _, flags, _ in worker.said] == [0, 0, 0, END]


def test_no_more_is_sent_than_the_window_has_and_the_rest_follows(worker: Worker) -> None:
    worker.open("large", 7)
    worker.tell("text", 7, b"100000")
    assert sum(len(data) for *_, data in worker.said) == sockets.WINDOW
    worker.tell("taken", 7, taken=20_000)
    assert sum(len(data) for *_, data in worker.said) == sockets.WINDOW + 20_000
    worker.tell("taken", 7, taken=sockets.WINDOW)
    assert worker.heard(7) == [b"x" * 100_000]


def test_a_client_that_takes_nothing_costs_the_machine_a_bound(worker: Worker) -> None:
    worker.open("large", 7, name="slow")
    for _ in range(6):
        worker.tell("text", 7, b"1000000")
    number, kind, flags, data = worker.said[-1]
    assert (number, kind, flags) == (7, abi.SOCKET_CLOSE, END)
    assert close_of(b"\x08" + data) == (1013, "the client reads too slowly")


def test_a_close_goes_out_once_and_its_echo_ends_the_socket(worker: Worker) -> None:
    worker.open("close", 7, name="it")
    worker.tell("text", 7, b'[3001, "why"]')
    worker.tell("text", 7, b'[3002, "again"]')
    assert [(kind, close_of(b"\x08" + data)) for _, kind, _, data in worker.said] == [(8, (3001, "why"))]
    worker.tell("close", 7, b"bye", code=3001, clean=True)
    assert worker.told() == ["it 3001 bye true"]
    worker.tell("text", 7, b'[3002, "again"]')
    assert len(worker.said) == 1


def test_another_lineage_says_that_all_are_gone(worker: Worker) -> None:
    worker.open("echo", 7, name="a")
    worker.open("echo", 8, name="b")
    worker.tell("text", 9, b"nobody's", lineage=0)
    assert worker.told() == []
    assert worker.open("echo", 10, 1, name="c") == 101
    assert worker.told() == ["a error", "a 1006  false", "b error", "b 1006  false"]
    worker.tell("text", 10, b"x", lineage=1)
    assert worker.heard(10) == [b"x"]


def test_sockets_are_part_of_a_machine_that_is_parked(worker: Worker) -> None:
    worker.open("count", 7)
    worker.tell("text", 7, b"")
    there = Worker(parked=worker.park())
    there.tell("text", 7, b"")
    assert there.heard(7) == [b"2"]


@pytest.mark.parametrize(("path", "said"), [("/echo", "did not contain the header"), ("/plain", "")])
def test_a_request_that_asks_for_none_gets_none(worker: Worker, path: str, said: str) -> None:
    answer = worker.get(path)
    assert (answer.status, said in worker.log_text()) == (500 if said else 200, True)


def test_a_pair_is_also_between_two_of_one_machine(worker: Worker) -> None:
    said = json.loads(bytes(worker.get("/pair").body))
    ends = ["b hears one", "b hears 2 bytes", "b closed 3000 done true"], ["a hears two", "a closed 3000 done true"]
    assert [[line for line in said if line.startswith(name)] for name in "ba"] == list(ends)
    assert said[5:] == ["3 3", "TypeError: Can't call WebSocket send() after close()."]
