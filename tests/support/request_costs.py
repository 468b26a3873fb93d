"""What the supervisor's part of a request costs, without sockets: `python -m tests.support.request_costs`.

From the bytes of a head to those of the answer, in processor time of the event loop's thread: everything an edge does
for a resident machine's page, but for system calls, on a client's transport and a worker's that are lists. It is
steadier than a throughput, and shows what each change of the way takes or gives. `NUNATAK_COMPILED=must` measures
compiled modules, `--calls` counts the calls of Python's functions in place of time.
"""

import asyncio
import collections
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvloop

from edge.compiled.finder import install

install()

from edge.front.connection import Connection  # noqa: E402  # after those that are compiled can be found
from edge.front.http import Front  # noqa: E402
from edge.front.reached import Reached  # noqa: E402
from edge.model.services import Machine, Service  # noqa: E402
from edge.supervisor.supervisor import Supervisor  # noqa: E402
from edge.vmm.wire.frames import HEAD, HEADER  # noqa: E402
from edge.vmm.wire.streams import Answer  # noqa: E402
from edge.workers.process import Worker  # noqa: E402
from tests.support.connections import Transport  # noqa: E402
from tests.support.idle_edge import idle_edge  # noqa: E402
from tests.support.playbook import MACHINE_BYTES, image  # noqa: E402

ROUNDS: Final = 25
REQUESTS: Final = 400  # in a round
BATCH: Final = 16  # requests whose answers come together
HOST: Final = "hello.test"
HEADS: Final = {
    "bare head": (),
    "browser's head": (
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0",
        "Accept: text/html,application/xhtml+xml",
        "Accept-Language: en-US,en;q=0.5",
        "Accept-Encoding: gzip, deflate, br",
        "Referer: http://hello.test/",
        "Cookie: a=b; c=d",
        "Connection: keep-alive",
    ),
}
BLOCK: Final = b"Status\x00200 OK\0Content-Type\0text/plain; charset=utf-8\0\0"
BODY: Final = b"hello from a virtual page\n"
_ANSWER: Final = Answer.encode(1, 1, True, 0, 57, 0, BLOCK + BODY)[HEADER.size :]  # the frame's payload


class _Wire(Transport):
    """What is written to it last."""

    def write(self, data: bytes) -> None:
        self.written = data


async def main(count: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        async with idle_edge(Path(folder), "hello", keeps=True) as supervisor:
            front = Front(supervisor, supervisor.config, supervisor.counters)
            service = supervisor.directory.by_name["hello"]
            supervisor.directory.by_host[HOST] = service
            worker = _resident(supervisor, service)
            for name, fields in HEADS.items():
                head = "\r\n".join(("GET / HTTP/1.1", f"Host: {HOST}", *fields, "", "")).encode()
                batch = _batch(front, supervisor, worker, head)
                for _ in range(50):
                    batch()
                    await asyncio.sleep(0)
                print(f"{name}: {_calls(batch)}" if count else f"{name}: {await _cost_us(batch)}")


def _resident(supervisor: Supervisor, service: Service) -> Worker:
    """A worker without a process, in which the service's machine is."""
    worker = Worker(0, supervisor)
    worker.connection_made(_Wire())  # type: ignore[arg-type]
    machine = Machine(1, service, image(), worker, 0.0)
    worker.machines[1] = machine
    supervisor.life.budget.tier.put(1, machine, MACHINE_BYTES)
    service.machine, service.state = machine, "resident"
    return worker


def _batch(front: Front, supervisor: Supervisor, worker: Worker, head: bytes) -> Callable[[], None]:
    """So many connections ask once, and all are answered."""
    connections = []
    for _ in range(BATCH):
        connection = front.connection(Reached(8080))
        connection.connection_made(_Wire())  # type: ignore[arg-type]
        connections.append(connection)
    machine, on_frame = worker.machines[1], supervisor.on_frame

    def ask(connections: Sequence[Connection]) -> None:
        for connection in connections:
            connection.data_received(head)
        for number in list(machine.streams):
            on_frame(worker, (HEAD, 1, 1, number, _ANSWER))

    for connection in connections:  # the first of a page is waited for by the others, until it is known not to be kept
        ask([connection])
    return lambda: ask(connections)


async def _cost_us(batch: Callable[[], None]) -> str:
    rounds = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(REQUESTS // BATCH):
            batch()
        rounds.append((time.thread_time() - began) / REQUESTS * 1e6)
        await asyncio.sleep(0)  # frames leave
    return f"{statistics.median(rounds):.1f} us a request (least {min(rounds):.1f}, most {max(rounds):.1f})"


def _calls(batch: Callable[[], None]) -> str:
    found: collections.Counter[str] = collections.Counter()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            found[f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}"] += 1

    sys.setprofile(profile)
    try:
        batch()
    finally:
        sys.setprofile(None)
    lines = [f"  {count / BATCH:6.2f} {name}" for name, count in found.most_common()]
    return "\n".join((f"{sum(found.values()) / BATCH:.1f} calls of Python's functions a request", *lines))


if __name__ == "__main__":
    gc.freeze()
    uvloop.run(main("--calls" in sys.argv[1:]))
