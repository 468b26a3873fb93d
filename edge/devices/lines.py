"""Lines that guests say, with `nk_log` or on their consoles, and what is said of them: rationed, logged, and spooled.

Too many of one machine, or of all machines of a tenant, are counted and dropped before anything is made of them. What
a guest says is text that somebody else chose: it is decoded here, and escaped where it is shown (`edge.common.log`).

A position in a program's text becomes one in the file that it was made of (`edge.devices.names`). While the table for
that is on its way, the service's lines wait for it, in their order, and are few.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from edge.common import log
from edge.common.allowance import LOG_LINES, Allowance
from edge.common.counters import Counters
from edge.content.images import Images
from edge.devices.names import Names
from edge.devices.spool import Spool
from edge.devices.tails import Tails
from edge.devices.traces import Traces
from edge.model.services import Machine, Service
from edge.vmm.devices.log import LINE_BYTES
from edge.vmm.wire.machines import Log
from vmimage.manifest import Blob
from vmimage.sources import SourceTable

LINES_A_TICK: Final = 100  # of one machine; of its tenant see `allowance.LOG_LINES`
WAITING_BYTES: Final = 1 << 20  # of such lines of one service, for the origin
HELD_LINES: Final = 400  # of one service, while its table is fetched: then they go as they are

_POSITION: Final = re.compile(r"\.[a-z]{1,4}:[0-9]")  # of some program
_logger: Final = log.logger("guest")


def first_lines(data: bytes, most: int) -> tuple[list[bytes], int]:
    """The first lines of what a guest wrote, and how many there are in all; those that are not asked for cost nothing.

    :param most: how many to give; each is cut at `LINE_BYTES`.
    """
    count = data.count(b"\n") + bool(data and not data.endswith(b"\n"))
    kept = min(count, most)
    lines = data.split(b"\n", kept)[:kept] if kept > 0 else []
    return [line.removesuffix(b"\r")[:LINE_BYTES] for line in lines], count


class Lines:
    """Those of all guests of an edge."""

    def __init__(self, spool: Spool, counters: Counters, images: Images) -> None:
        self._spool, self._counters, self._tasks = spool, counters, images.tasks
        clock = asyncio.get_running_loop().time
        self._allowed = Allowance(LOG_LINES, clock)
        self._names = Names(images, clock)
        self._held: dict[str, list[tuple[Blob | None, str]]] = {}  # by service, while a table is fetched
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self.traces = Traces()
        self.tails: Final = Tails()

    def on_log(self, machine: Machine, message: Log) -> None:
        """Take what a guest said, as much of it as it may say now; `machine.log_lines` is set back every tick."""
        service, said = machine.service, message.text
        allowed = LINES_A_TICK - machine.log_lines
        if allowed > 0:
            allowed = self._allowed.take(service.tenant, min(allowed, said.count(b"\n") + 1))
        lines, count = first_lines(said, allowed)
        machine.log_lines += len(lines)
        self._counters.log_lines_dropped += count - len(lines)
        self._name(service, machine.image.manifest.sources, [line.decode("utf-8", "replace") for line in lines])

    def tell(self, service: Service, text: str) -> None:
        """A line of the edge's own in the log of a service, for its publisher; the tenant pays for it."""
        if self._allowed.take(service.tenant):
            self.tails.add(service.name, [text])
            self._spool.append_all(service.name, "", [text.encode()], WAITING_BYTES, service.tenant)
        else:
            self._counters.log_lines_dropped += 1

    async def settled(self, service: Service) -> None:
        """Until no line of the service waits for its names."""
        task = self._waiting.get(service.name)
        if task is not None:
            await asyncio.wait([task])

    def _name(self, service: Service, sources: Blob | None, texts: list[str]) -> None:
        held = self._held.get(service.name)
        if held is not None:
            held += [(sources, text) for text in texts]
            if len(held) > HELD_LINES:
                self._let_go(service, sources, None)
        elif sources is None or not any(_POSITION.search(text) for text in texts):
            self._say(service, texts)
        elif (table := self._names.here(sources)) is not None:
            self._say(service, [table.named(text) for text in texts])
        elif self._names.may_load(service.name):
            self._held[service.name] = [(sources, text) for text in texts]
            self._waiting[service.name] = self._tasks.spawn("names", self._fetch(service, sources))
        else:
            self._say(service, texts)

    async def _fetch(self, service: Service, sources: Blob) -> None:
        table: SourceTable | None = None
        try:
            table = await self._names.table(sources, service.name)
        finally:
            self._waiting.pop(service.name, None)
            self._let_go(service, sources, table)

    def _let_go(self, service: Service, sources: Blob | None, table: SourceTable | None) -> None:
        held = self._held.pop(service.name, ())
        self._say(service, [text if table is None or of != sources else table.named(text) for of, text in held])

    def _say(self, service: Service, texts: Sequence[str]) -> None:
        with log.gathered():
            for text in texts:
                _logger.info(log.line("guest_log", service=service.name, text=text), extra={"text": text})
        self.traces.add(service.name, texts)
        self.tails.add(service.name, texts)
        self._spool.append_all(service.name, "", [text.encode() for text in texts], WAITING_BYTES, service.tenant)
