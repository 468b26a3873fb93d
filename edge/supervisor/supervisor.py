"""The edge's one trusted party, put together: it knows every service, machine, record and worker.

A request for a resident machine goes `submit`, `Life.asked`, `Routing.on_frame`: one frame each way, nothing awaited.
What follows from what is decided in `life`, `residents`, `openings` and `losses`, and done by `driver`. No HTTP here:
`http` makes streams and reads answers.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from edge.cache.purges import Purge, Purges
from edge.cache.responses import Responses
from edge.catalogue.directory import Directory
from edge.common import log
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.config.options import EdgeConfig
from edge.config.secrets import APART
from edge.content.image import Image
from edge.content.images import Images
from edge.content.records import Records
from edge.devices.disks import Disks
from edge.devices.guest_cache import GuestCache
from edge.devices.lines import Lines
from edge.devices.secrets import Given
from edge.devices.upstreams import Upstreams
from edge.model.flow import OnHold, Patience
from edge.model.heard import Heard
from edge.model.services import Service
from edge.model.streams import Stream
from edge.supervisor.budget import Budget, worker_bytes
from edge.supervisor.driver import Driver
from edge.supervisor.fallback import changing
from edge.supervisor.holds import Holds
from edge.supervisor.leftovers import Leftovers
from edge.supervisor.life import Life
from edge.supervisor.losses import Losses
from edge.supervisor.orders import Orders
from edge.supervisor.quarantine import Quarantine
from edge.supervisor.reaping import Reaping
from edge.supervisor.reports import Reports
from edge.supervisor.routing import Routing
from edge.supervisor.upkeep import Upkeep
from edge.supervisor.waiting import Waiting, waiting_bytes
from edge.supervisor.window import Window
from edge.vmm.wire.streams import Head
from edge.workers.fleet import Fleet
from edge.workers.process import COMMAND, Worker
from vmimage.errors import NunatakError
from vmimage.trust import ServiceRecord

PARK_S: Final = 10.0  # at the end, for all machines together; one takes about a millisecond

_logger: Final = log.logger("supervisor")
_machines_logger: Final = log.logger("machines")


class Supervisor:
    """Owner of all state of an edge but its HTTP connections."""

    def __init__(
        self,
        config: EdgeConfig,
        counters: Counters,
        directory: Directory,
        images: Images,
        records: Records,
        disks: Disks,
        worker_command: Sequence[str] = COMMAND,
        secrets: Given | None = None,
        responses: Responses | None = None,
    ) -> None:
        """:param secrets: of services; None: no service has any.
        :param responses: answers that are kept; None: none are."""
        self.config, self.counters = config, counters
        self.directory, self.images, self.records, self.disks = directory, images, records, disks
        self.tasks = Tasks(counters)
        self.responses = responses if responses is not None else Responses(0, 0, Purges(), counters)
        self.quarantine = Quarantine(config.isolates)
        limit = str(worker_bytes(config.resident_bytes))
        command = (*worker_command, "--engine", config.engine, "--kvm-ring0", config.kvm_ring0)
        command = (*command, "--memory-bytes", limit)
        self.workers = Fleet(config.worker_count, self, command, self.quarantine.place, self.tasks, disks.slices)
        patience = Patience(config.request_timeout, config.stream_timeout)
        self.upstreams = Upstreams(config.upstream_policy, config.origin_timeout, patience, counters)
        self.upstreams.own_cache = GuestCache(self.responses, counters)
        self.lines = Lines(disks.logs, counters, images)
        self.tails = self.lines.tails
        self.reports = Reports(images, self.lines)
        self.life = Life(
            Budget(config.resident_bytes, config.parked_bytes),
            Waiting(waiting_bytes(config.memory)),
            self.quarantine,
            config.max_queue,
            disks.may_write,
            lambda machine: bool(self.upstreams.of(machine)),
            config.crash_pause,
        )
        self.driver = Driver(
            self.life,
            self.workers,
            images,
            records,
            disks,
            self.upstreams,
            self.reports,
            config.tenant_weights,
            counters,
            self.tasks,
        )
        self._losses = Losses(self.life)
        self._orders, self.holds = Orders(self.life), Holds(config.cache / "holds.json")
        self._held = self.holds.names
        reaping = Reaping(self._losses, self.driver, self.quarantine, self.workers, self.reports, counters, self.tasks)
        self._upkeep = Upkeep(
            self.life,
            self._losses,
            self.driver,
            self.workers,
            records,
            self.tasks,
            patience,
            config.wedged,
            self._rest_held,
        )
        self.on_lost = reaping.on_lost
        self._loop = asyncio.get_running_loop()
        self.window = Window(self._loop.time())
        self.routing = Routing(self.life, self.driver, disks, self.upstreams, self.lines, self.window)
        self.on_frame = self.routing.on_frame
        self.draining = False
        self.source_states: Callable[[], Mapping[str, Sequence[Mapping[str, str]]]] = dict  # by what they are for
        self.heard = Heard()
        self.serves_on: Sequence[str] = ()  # where clients come in, as operators are told
        self._asked, self._out, self._carry_out = self.life.asked, self.life.out, self.driver.carry_out
        directory.on_change = self._on_change
        self.secrets = secrets
        if secrets is not None:
            secrets.on_change = self._on_secrets
        self.on_met: Callable[[Service], None] = lambda _: None  # a service is known, another than it was, or gone
        self.release_of: Callable[[str], Mapping[str, object] | None] = lambda _: None  # that is under way of a service
        self.troubles: Callable[[], tuple[Sequence[str], Sequence[str]]] = lambda: ((), ())  # of these, a line each
        self.settings_troubles: Callable[[], tuple[Sequence[str], Sequence[str]]] = lambda: ((), ())  # of the fleet's
        self.settings_said: Callable[[], Mapping[str, object]] = dict  # the same, and who said what
        self.settings_number: Callable[[], int] = int  # of the version in force
        self.fleet_secret = b""  # that edges of one operator have in common, where they have one
        directory.on_release, self.driver.fallback.is_held = self._on_release, directory.holds
        directory.on_look = Leftovers(directory, disks.overlays, records, self.tasks).look
        images.on_drop = self._on_image_drop

    async def start(self) -> None:
        """Bring up the workers and look at the catalogue; an origin that is away is no obstacle.

        :raises OperatorError: no worker came up.
        """
        await self.workers.start()
        self.tasks.keep("catalogue", lambda: self.directory.watch(lambda: self.config.refresh))
        self.tasks.keep("tick", self._upkeep.run)
        self.tasks.keep("logs", self.disks.logs.ship)
        self.tasks.spawn("holds", self._meet_held())
        secrets = self.secrets
        if secrets is not None and self.config.secrets:
            self.tasks.keep("secrets", lambda: secrets.watch(lambda: self.config.refresh))

    def reconfigure(self, config: EdgeConfig) -> None:
        """Go by other options from now on: of those that an edge takes up while it runs (`edge.config.reload`)."""
        self.config = config
        patience = Patience(config.request_timeout, config.stream_timeout)
        self.upstreams.reconfigure(config.upstream_policy, patience)
        self._upkeep.reconfigure(patience, config.wedged)
        self.life.max_queue, self.life.crash_pause_max_s = config.max_queue, config.crash_pause
        self.quarantine.isolates, self.driver.weights = config.isolates, config.tenant_weights
        self.disks.logs.token = config.log_secret

    def failing(self) -> list[str]:
        """The edge's own work that fails, a line each."""
        owners = (self, self.directory, self.images, self.disks, self.disks.logs, self.upstreams)
        return [line for owner in owners for line in owner.tasks.health()]

    # Requests, from `http`.

    def submit(self, stream: Stream) -> None:
        """Give a request to its service's machine, or queue it until there is one. See `stream.taker`, `answer`.

        :raises Unavailable: the service is on hold or backing off, or too many wait for it, or too much for its tenant.
        :raises OverBudget: no machine of the service can be here.
        """
        stream.service.requests += 1
        self.counters.requests += 1
        if self._held and stream.service.name in self._held:
            raise OnHold(f"{stream.service.name}: on hold")
        try:
            machine = self._asked(stream)
        finally:
            if self._out:
                self._carry_out()
        if machine is not None:
            machine.worker.send(Head.encode(machine.number, stream.number, stream.whole, stream.payload))

    def abandon(self, stream: Stream, error: Exception | None = None) -> None:
        """Nobody wants the rest: the client left or is at fault, or what came of it is not fit to pass on.

        :param error: what the one who still waits for the answer gets.
        """
        self.life.abandoned(stream, error, self._loop.time())
        stream.wake()
        self._carry_out()

    def park(self, service: Service) -> "asyncio.Future[None] | None":
        """Ask for an idle machine's record; None if there is no such machine. The future is done when it is here."""
        return self.driver.park(service)

    # Orders of operators; see `orders`.

    def restart(self, service: Service) -> int | None:
        """Have a service begin anew from its image; how many machines go, None while one is being opened."""
        versions = [version for version in (service, service.candidate) if version is not None]
        if not all(map(self._orders.may_restart, versions)):
            return None
        machines = sum(map(self._orders.restart, versions))
        self._carry_out()
        return machines

    def hold(self, service: Service) -> None:
        """Let a service not run until it is released, also after a restart of the edge.

        :raises OperatorError: too many are on hold.
        :raises OSError: that cannot be kept; nothing has changed.
        """
        self.holds.add(service.name, time.time())
        self._rest_held()

    def release(self, name: str) -> None:
        """Let a service run again.

        :raises OSError: as `hold`.
        """
        self.holds.discard(name)

    def _rest_held(self) -> None:
        for name in self.holds:
            service = self.directory.by_name.get(name)
            for version in (service, service.candidate) if service is not None else ():
                if version is not None and not self._orders.at_rest(version):
                    self._orders.rest(version)
        self._carry_out()

    async def _meet_held(self) -> None:
        """Know the services on hold again, so that operators see them: after a start no other is known before asked."""
        for name in self.holds:
            with suppress(NunatakError):
                await self.directory.find("service", name)

    def _on_change(self, service: Service, release: ServiceRecord | None) -> None:
        """The catalogue names another version of a service, or none."""
        _machines_logger.info(
            log.line(
                "service_changed",
                service=service.name,
                old=service.release.manifest_digest,
                new=release.manifest_digest if release else "none",
            )
        )
        changing(service, release)
        self.life.changed(service, release)
        self.responses.purge(Purge("service", service.name), self._loop.time())
        if release is None:
            self.on_met(service)
        self._carry_out()

    def _on_release(self, service: Service) -> None:
        service.refused = None
        self._give(service)
        self.on_met(service)

    def try_again(self, service: Service) -> None:
        """Let a version that did not come up be the one that is served, since it can be had now."""
        refused = service.refused
        if refused is not None:
            self._on_change(service, refused)
            service.release = refused
            self._on_release(service)

    def replace(self, service: Service) -> None:
        """Let the machines of a candidate that is not meant any more go, as those of an old version do."""
        self.life.changed(service, service.release)
        self._carry_out()

    def _give(self, service: Service) -> None:
        """A service is known, or is another release: it has the secrets that are there for it."""
        if self.secrets is not None:
            service.secrets = self.secrets.of(service.name, service.tenant)

    def _on_secrets(self, holder: str) -> None:
        """A service has other secrets: machines that were started with the old ones go, as those of old versions do."""
        service = self.directory.by_name.get(holder.partition(APART)[0])
        if service is None or self.secrets is None:
            return
        if service.secrets.mark != self.secrets.of(service.name, service.tenant).mark:
            for version in (service, service.candidate):
                if version is not None:
                    self.life.changed(version, version.release)
                    self._give(version)
            self._carry_out()

    # Workers.

    def _on_image_drop(self, image: Image) -> None:
        for worker in self.workers:
            worker.drop(image, for_good=True)

    def on_defect(self, worker: Worker, error: Exception) -> None:
        """A frame of a worker met a mistake of ours: counted, and blamed on nobody."""
        self.tasks.note("worker_frames", error)

    # The end.

    async def drain(self) -> None:
        """Park every machine, write every record, stop the workers. Requests in flight have ended before."""
        self.draining = True
        self.workers.leave()
        parks = self.counters.parks
        await self.driver.park_all(PARK_S)
        self._losses.states(machine for worker in self.workers for machine in worker.machines.values())
        self._carry_out()
        kept = await self.records.flush()
        if lost := self.records.unsaved:
            self.counters.records_lost += lost
            _logger.error(log.line("records_lost", count=lost, why="the disk did not take them"))
        await self.tasks.close()
        await self.workers.stop()
        await self.upstreams.close()
        await self.disks.close()
        self.images.close()
        self.directory.close()
        _logger.info(log.line("drained", parked=self.counters.parks - parks, records=kept))
