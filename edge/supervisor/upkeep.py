"""What is done once a second: give up on what makes no progress, see that busy workers are alive, let go what rests.

Each duty is guarded by itself: one that fails is counted, and costs the others nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from edge.common.tasks import Tasks
from edge.content.records import Records
from edge.model.flow import Patience
from edge.supervisor.driver import Driver
from edge.supervisor.life import Life
from edge.supervisor.losses import Losses
from edge.workers.fleet import Fleet
from edge.workers.process import Worker

TICK_S: Final = 1.0


class Upkeep:
    """The tick of an edge."""

    def __init__(
        self,
        life: Life,
        losses: Losses,
        driver: Driver,
        fleet: Fleet,
        records: Records,
        tasks: Tasks,
        patience: Patience,
        wedged_s: float,
        rest_held: Callable[[], None],
    ) -> None:
        """:param patience: with a request that makes no progress.
        :param wedged_s: with a worker that does not answer.
        :param rest_held: has services on hold come to rest."""
        self._life, self._losses, self._driver = life, losses, driver
        self._fleet, self._records, self._tasks = fleet, records, tasks
        self._patience, self._wedged_s, self._rest_held = patience, wedged_s, rest_held
        self._loop = asyncio.get_running_loop()
        self._ticked = 0.0  # when the last tick was, which may be longer ago than TICK_S

    def reconfigure(self, patience: Patience, wedged_s: float) -> None:
        """From the next tick on."""
        self._patience, self._wedged_s = patience, wedged_s

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """Once."""
        life, now = self._life, self._loop.time()
        self._guarded(self._records.save)
        for worker in self._fleet:
            self._guarded(lambda worker=worker: self._look_after(worker))  # type: ignore[misc]
        self._ticked = now
        self._guarded(lambda: life.shrink(now))
        self._guarded(self._rest_held)
        self._guarded(self._fleet.let_go)
        self._guarded(lambda: self._losses.tick(now))
        self._guarded(lambda: life.waited(self._patience.answer_s, now))

    def _guarded(self, duty: Callable[[], None]) -> None:
        try:
            duty()
        except Exception as error:
            self._tasks.note("tick", error)
        self._driver.carry_out()

    def _look_after(self, worker: Worker) -> None:
        life, now = self._life, self._loop.time()
        busy = False
        for machine in list(worker.machines.values()):
            machine.log_lines = 0
            busy |= machine.used > self._ticked or bool(machine.streams) or life.residents.parking(machine)
            life.no_progress(machine, self._patience, now)
            life.rest(machine, now)
        if busy or worker.was_busy:  # once more after the last work: its statistics are then complete
            worker.ping(self._wedged_s)
        worker.was_busy = busy
