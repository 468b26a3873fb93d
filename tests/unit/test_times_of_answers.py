"""What operators are told of a service's times is what it took, also where that is less than a loop can tell."""

import asyncio
import time
from pathlib import Path

import uvloop

from edge.model.services import Machine
from edge.model.streams import Stream
from edge.vmm.wire.frames import HEAD, HEADER
from edge.vmm.wire.streams import Answer
from edge.workers.process import Worker
from tests.support.connections import Transport
from tests.support.idle_edge import idle_edge
from tests.support.playbook import MACHINE_BYTES, image

TOOK_S = 0.0002


def pass_time() -> None:
    """As long as an answer takes."""
    ends = time.monotonic() + TOOK_S
    while time.monotonic() < ends:
        pass


def test_an_answer_within_a_millisecond_took_its_time(tmp_path: Path) -> None:
    """The time of uvloop's loop is in whole milliseconds, and answers take less."""

    async def scenario() -> None:
        async with idle_edge(tmp_path, "hello") as supervisor:
            service, worker = supervisor.directory.by_name["hello"], Worker(0, supervisor)
            worker.connection_made(Transport())  # type: ignore[arg-type]
            machine = worker.machines[1] = Machine(1, service, image(), worker, 0.0)
            supervisor.life.budget.tier.put(1, machine, MACHINE_BYTES)
            service.machine, service.state = machine, "resident"
            loop = asyncio.get_running_loop()
            for _ in range(40):
                stream = Stream(service, "GET", b"", True, loop.time())
                stream.taker = lambda _: None
                supervisor.submit(stream)
                pass_time()
                answer = Answer.encode(1, stream.number, True, 0, 0, 0, b"Status\x00200 OK\0\0")
                supervisor.on_frame(worker, (HEAD, 1, 1, stream.number, answer[HEADER.size :]))
            figures = supervisor.window.of(service, loop.time())
            assert figures.p50_ms is not None
            assert figures.p50_ms >= TOOK_S * 1e3 * 7 / 8, "a figure is an eighth off at most"

    uvloop.run(scenario())
