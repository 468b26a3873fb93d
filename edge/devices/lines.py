"""Lines that guests say, with `nk_log` or on their consoles, and what is said of them: rationed, logged, and spooled.

Too many of one machine, or of all machines of a tenant, are counted and dropped before anything is made of them. What
a guest says is text that somebody else chose: it is decoded here, and escaped where it is shown (`edge.common.log`).
"""

import asyncio
from typing import Final

from edge.common import log
from edge.common.allowance import LOG_LINES, Allowance
from edge.common.counters import Counters
from edge.devices.spool import Spool
from edge.devices.tails import Tails
from edge.model.services import Machine, Service
from edge.vmm.devices.log import LINE_BYTES
from edge.vmm.wire.machines import Log

LINES_A_TICK: Final = 100  # of one machine; of its tenant see `allowance.LOG_LINES`
WAITING_BYTES: Final = 1 << 20  # of such lines of one service, for the origin

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

    def __init__(self, spool: Spool, counters: Counters) -> None:
        self._spool, self._counters = spool, counters
        self.tails: Final = Tails()
        self._allowed = Allowance(LOG_LINES, asyncio.get_running_loop().time)

    def on_log(self, machine: Machine, message: Log) -> None:
        """Take what a guest said, as much of it as it may say now; `machine.log_lines` is set back every tick."""
        service, said = machine.service, message.text
        allowed = LINES_A_TICK - machine.log_lines
        if allowed > 0:
            allowed = self._allowed.take(service.tenant, min(allowed, said.count(b"\n") + 1))
        lines, count = first_lines(said, allowed)
        machine.log_lines += len(lines)
        self._counters.log_lines_dropped += count - len(lines)
        texts = [line.decode("utf-8", "replace") for line in lines]
        with log.gathered():
            for text in texts:
                _logger.info(log.line("guest_log", service=service.name, text=text), extra={"text": text})
        self.tails.add(service.name, texts)
        kept = [text.encode() for text in texts]
        self._spool.append_all(service.name, "", kept, WAITING_BYTES, service.tenant)

    def tell(self, service: Service, text: str) -> None:
        """A line of the edge's own in the log of a service, for its publisher; the tenant pays for it."""
        if self._allowed.take(service.tenant):
            self.tails.add(service.name, [text])
            self._spool.append_all(service.name, "", [text.encode()], WAITING_BYTES, service.tenant)
        else:
            self._counters.log_lines_dropped += 1
