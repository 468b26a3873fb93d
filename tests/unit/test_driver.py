"""What is sent to a worker, and when. All parts are real, but for its process: what comes out of the socket is read."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from edge.common.counters import Counters
from edge.common.slices import Slices
from edge.common.tasks import Tasks
from edge.content.disk_tier import DiskTier
from edge.content.image import Image
from edge.content.images import Images
from edge.content.records import Records
from edge.content.seal import new_seal
from edge.devices.disks import Disks
from edge.devices.overlays import Overlays
from edge.devices.spool import Spool
from edge.model.flow import SHARED
from edge.model.services import Service
from edge.model.streams import Stream
from edge.supervisor.budget import Budget, cost_of
from edge.supervisor.driver import Driver
from edge.supervisor.life import Life
from edge.supervisor.quarantine import Quarantine
from edge.supervisor.waiting import Waiting
from edge.vmm.wire.frames import RawFrame
from edge.vmm.wire.images import NewImage
from edge.vmm.wire.machines import Open, Park
from edge.vmm.wire.messages import ToWorker
from edge.vmm.wire.streams import Head
from edge.workers.fleet import Fleet
from edge.workers.process import Worker
from tests.support.synthetic import BASE, image
from tests.support.wire import to_worker
from vmimage.parked import ParkedRecord
from vmimage.trust import ServiceRecord

DERIVED = image("guest", base=BASE.manifest).manifest


class OneWorker(Fleet):
    """A fleet whose one worker is no process."""

    worker: Worker

    def at_hand(self, service: Service, *, beside: bool = False) -> Worker:
        return self.worker


class Bench:
    """A driver with one worker, and a service whose image is in memory; of the worker, what it is told."""

    def __init__(self, folder: Path, room_for: int, records_bytes: int) -> None:
        counters, self.pool = Counters(), ThreadPoolExecutor(1)
        self.tasks = Tasks(counters)
        seal = new_seal()
        overlays = Overlays(folder / "written.db", 1 << 20, self.pool, seal, counters)
        nobody: Any = None  # nothing is fetched, reported, or asked of upstreams here
        self.images = Images(nobody, self.pool, 1 << 30, counters)
        self.records = Records(records_bytes, DiskTier(folder / "parked", 1 << 20, counters), seal, self.pool, counters)
        logs = Spool(folder / "logs", 1 << 20, "http://origin.test", "", counters)
        disks = Disks(nobody, self.pool, overlays, logs, 1 << 20, counters)
        budget = Budget(room_for * cost_of(DERIVED), 1 << 20)
        quarantine = Quarantine(lambda _: False)
        self.life = Life(budget, Waiting(1 << 20), quarantine, 8, disks.may_write, lambda _: False)
        self.fleet = OneWorker(0, self, (), lambda _: SHARED, self.tasks, Slices())
        self.worker = self.fleet.worker = Worker(0, self)
        known = self.life, self.fleet, self.images, self.records, disks
        self.driver = Driver(*known, nobody, nobody, {}, counters, self.tasks)

    async def begin(self) -> None:
        ours, self.theirs = socket.socketpair(socket.AF_UNIX)
        self.theirs.settimeout(1.0)  # for what never comes
        await asyncio.get_running_loop().create_unix_connection(lambda: self.worker, sock=ours)
        base = Image(1, BASE.manifest, None, b"in a frame, for once", -1, None)
        derived = Image(2, DERIVED, base, b"blob", -1, None)
        self.images.held.put(DERIVED.digest, derived, derived.cost_bytes)
        self.worker.alive = self.worker.give_at_once(base)
        await asyncio.sleep(0)
        self.theirs.recv(1 << 16)

    def service(self, name: str, *, state: bytes = b"") -> Service:
        """A service; with a state, one that is parked."""
        service = Service(ServiceRecord(name, (f"{name}.test",), DERIVED.digest, 100, 1, owner=name))
        if state:
            self.records.put(service.key, ParkedRecord(name, service.tenant, DERIVED.digest, 1, 1, (), state))
        return service

    def ask(self, service: Service) -> Stream:
        """A request, as `Supervisor.submit` has it."""
        stream = Stream(service, "GET", b"request", True, asyncio.get_running_loop().time())
        machine = self.life.asked(stream)
        assert machine is None
        self.driver.carry_out()
        return stream

    def over(self, stream: Stream) -> None:
        """Its answer has come, as `Routing` has it."""
        assert stream.machine is not None
        self.life.over(stream.machine, stream, 0.0)
        self.driver.carry_out()

    async def opened(self) -> None:
        """Whatever is being opened is there."""
        current = asyncio.current_task()
        assert current is not None
        await asyncio.wait(asyncio.all_tasks() - {current})

    async def told(self) -> list[ToWorker]:
        """What the worker is told in this turn of the loop."""
        await asyncio.sleep(0)
        return to_worker(self.theirs.recv(1 << 16))

    def on_frame(self, worker: Worker, frame: RawFrame) -> None:
        raise AssertionError("nobody says anything")

    def on_defect(self, worker: Worker, error: Exception) -> None:
        raise AssertionError(error)

    def on_lost(self, worker: Worker) -> None:
        raise AssertionError("it ends with the test")

    async def end(self) -> None:
        self.worker.alive = False
        self.theirs.close()
        await self.tasks.close()
        self.pool.shutdown()


def states(told: list[ToWorker]) -> list[bytes]:
    """What machines are opened with."""
    return [message.state for message in told if isinstance(message, Open)]


def play(
    folder: Path, run: Callable[[Bench], Awaitable[None]], *, room_for: int = 4, records_bytes: int = 1 << 20
) -> None:
    async def whole() -> None:
        bench = Bench(folder, room_for, records_bytes)
        await bench.begin()
        try:
            await run(bench)
        finally:
            await bench.end()

    asyncio.run(whole())


def test_what_is_in_memory_opens_in_the_turn_of_its_request_and_without_a_task(tmp_path: Path) -> None:
    async def run(bench: Bench) -> None:
        stream = bench.ask(bench.service("a", state=b"state"))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        told = await bench.told()
        assert [type(message) for message in told] == [NewImage, Open, Head]
        assert states(told) == [b"state"]
        assert (stream.state, stream.tier) == ("asked", "parked")

    play(tmp_path, run)


def test_who_is_parked_for_room_is_told_so_before_the_one_who_takes_it(tmp_path: Path) -> None:
    async def run(bench: Bench) -> None:
        first = bench.service("a")
        stream = bench.ask(first)
        await bench.told()
        bench.over(stream)
        bench.ask(bench.service("b"))
        assert [type(message) for message in await bench.told()] == [Park, Open, Head]

    play(tmp_path, run, room_for=1)


def test_a_record_that_is_on_disk_alone_is_waited_for(tmp_path: Path) -> None:
    async def run(bench: Bench) -> None:
        service = bench.service("a", state=b"state")
        await bench.records.flush()
        bench.ask(service)
        assert len(asyncio.all_tasks()) == 2
        await bench.opened()
        assert states(await bench.told()) == [b"state"]

    play(tmp_path, run, records_bytes=0)


def test_where_all_are_busy_one_waits_until_a_machine_is_idle(tmp_path: Path) -> None:
    async def run(bench: Bench) -> None:
        first, second = bench.service("a"), bench.service("b")
        stream = bench.ask(first)
        await bench.told()
        bench.ask(second)
        await asyncio.sleep(0)
        assert second.state == "opening"
        bench.over(stream)
        await bench.opened()
        assert [type(message) for message in await bench.told()] == [Park, Open, Head]

    play(tmp_path, run, room_for=1)
