"""What it costs to count a request that is over, to tell of it, and to log it: `python -m tests.support.telling_costs`.

Processor time of the event loop's thread, the median of some rounds. The thread that writes rests meanwhile; what a
line costs it is told apart.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from edge.access import writer
from edge.access.access_log import AccessLog
from edge.access.lines import combined_line, json_line
from edge.front.request import Request
from edge.model.services import Service
from edge.model.streams import Stream
from tests.support.desk import Desk, config
from tests.support.playbook import release

ROUNDS: Final = 9
REQUESTS: Final = 2000  # in a round
REST_S: Final = 0.4  # between two, in which what was gathered is written
FIELDS: Final = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0",
    "Accept: text/html,application/xhtml+xml",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Referer: http://a.test/",
    "Cookie: a=b; c=d",
)


async def main() -> None:
    """Measure and print."""
    desk = Desk()
    for name, made in {"kept answer": _hit, "guest's answer": _run}.items():
        request, stream = made(desk)

        def over(request: Request = request, stream: Stream | None = stream) -> None:
            desk.telling.begin(request)
            request.last = stream
            desk.telling.tell(request)

        print(f"{name}: counted {await _cost_us(over):.2f} us", end="")
        stop = desk.telling.listen(lambda _: None)
        print(f", and told {await _cost_us(over):.2f} us", end="")
        stop()
        with tempfile.TemporaryDirectory() as folder:
            log = AccessLog(config(access_log=str(Path(folder) / "log")), desk.counters, desk.telling.listen)
            print(f", and logged {await _cost_us(over, log.reopen):.2f} us")
            await log.close()
        stop = desk.telling.listen(desk.told.append)
        over()
        stop()
    for line in (json_line, combined_line):
        cost_us = await _cost_us(partial(line, desk.told[-1], "192.0.2.1"))
        print(f"{line.__name__}, in the thread that writes: {cost_us:.2f} us")
    assert not desk.counters.access_log_lost


def _hit(desk: Desk) -> tuple[Request, None]:
    request = desk.met(*FIELDS)
    request.service, request.status, request.cache = Service(release("shop")), 200, "hit"
    return request, None


def _run(desk: Desk) -> tuple[Request, Stream]:
    request = desk.met(*FIELDS)
    request.service, request.status = Service(release("shop")), 200
    desk.marks.variables(request)
    stream = Stream(request.service, "GET", b"", True, 1.0)
    stream.cost = (0, 350, 0)
    return request, stream


async def _cost_us(call: Callable[[], Any], between: Callable[[], None] = lambda: None) -> float:
    """:param between: rounds: what was gathered is written."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(REQUESTS):
            call()
        rounds.append((time.thread_time() - began) / REQUESTS * 1e6)
        between()
        await asyncio.sleep(REST_S)
    return statistics.median(rounds)


if __name__ == "__main__":
    writer.GATHER_S = 60.0  # type: ignore[misc]  # longer than a round: it writes when it is told to
    asyncio.run(main())
