"""WebSockets of JavaScript workers, at the gate: what is told of one, what goes to its client, and when no more does."""

import json
from functools import cache
from pathlib import Path

import pytest

from edge.model import sockets
from edge.vmm.devices.ring import Record
from edge.vmm.shells.shell import Image
from libos.runtimes import LANGUAGES
from origin.bake.bake import Baker
from tests.support.guests import Guest, Response
from vmimage import abi
from vmimage.manifest import DEFAULT_TERMS
from vmimage.sockets import close_of

WORKER = Path(__file__).parents[1] / "e2e" / "workers" / "sockets.js"
END = abi.FLAG_END
RUN = "run"


@cache
def image() -> Image:
    baker = Baker(language=next(language for language in LANGUAGES if language.name == "js"))
    return baker.image(
        baker.bake_source(WORKER.read_bytes(), name="worker", env={}, terms=DEFAULT_TERMS, progress=print)
    )


class Worker(Guest):
    """A machine, and what it says to clients of its sockets, by their numbers."""

    def __init__(self) -> None:
        super().__init__(image())
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

    def log(self) -> list[str]:
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
