"""Which service a name or a host means now: what was looked up, on top of the signed catalogue.

A request path that knows its service pays one dictionary look-up; everything else goes to the catalogue in one thread.
A name is unknown only under a catalogue that was looked at after the request for it came, so what was published before
the request is found. Such looks are shared by all who wait, and rationed; what led nowhere is remembered for a moment,
so a flood of unknown names stays cheap.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Final, TypeVar

from cachetools import TTLCache

from edge.catalogue.names import Kind, Names
from edge.common import log
from edge.common.allowance import Allowance, Rate
from edge.common.counters import Counters
from edge.common.single_flight import SingleFlight
from edge.common.tasks import Tasks
from edge.model.flow import OnHold
from edge.model.services import Service
from vmimage.errors import (
    CatalogueStale,
    NunatakError,
    OriginBusy,
    OriginTimeout,
    OriginUnreachable,
    Unavailable,
    UnknownService,
)
from vmimage.renewal import ended, ending
from vmimage.trust import ServiceRecord

BUSY_MAX_S: Final = 300.0  # that an origin is left alone, whatever it asks for: a mirror may not freeze an edge
LOOKUPS_MAX: Final = 256  # at once; more are refused, since the one thread would be seconds behind
REMEMBERED_MAX: Final = 10_000  # names that led nowhere
# A look at the catalogue is one conditional GET. A name that was not asked for before waits for its look; one that led
# nowhere a moment ago is looked up again while that is seldom, for who asks, publishes and asks again.
LOOKS: Final = Rate(5, 50)
REPEATED_LOOKS: Final = Rate(1, 10)
AGAIN_S: Final = 10.0  # until what could not be looked up at a change is tried again, at a look

NOWHERE: Final = (UnknownService, OnHold)  # what the catalogue says of a name, and no failure to ask it

_logger: Final = log.logger("directory")
_T = TypeVar("_T")


class Directory:
    """Services by name and by host.

    :param service_host: under which every service may be asked for by its name, unless the catalogue gives that host to
        a service; "" for none.
    """

    def __init__(
        self,
        catalogue: Names,
        counters: Counters,
        negative_s: float,
        service_host: str = "",
        *,
        stale_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stale_s = stale_s  # after its date, for which services go on; 0: without end
        self.overdue = False  # it is past its date for longer than that
        self.service_host = service_host  # "" while the catalogue gives it to a service
        self.names_served = False  # at `service_host`: it is known to be no service's own
        self._configured_host: Final = service_host
        self._changes = 0  # of the catalogue
        self._checked_at = -1  # that number, when the service host was looked up last
        self.tasks = Tasks(counters)
        self._lookups: SingleFlight[tuple[Kind, str], Service] = SingleFlight(self.tasks, "look_up")
        self._checks: SingleFlight[None, None] = SingleFlight(self.tasks, "service_host")
        self._refreshes: SingleFlight[None, bool] = SingleFlight(self.tasks, "refresh")
        self.by_name: dict[str, Service] = {}
        self.by_host: dict[str, Service] = {}
        self._catalogue, self._counters = catalogue, counters
        self._thread = ThreadPoolExecutor(1, "catalogue")
        self._nowhere: TTLCache[tuple[Kind, str], NunatakError] = TTLCache(REMEMBERED_MAX, negative_s)
        self._looks: SingleFlight[None, None] = SingleFlight(self.tasks, "look")
        self._looked_at = -math.inf  # when the last look at the catalogue that succeeded began
        self._pace, self._repeats = Allowance(LOOKS, clock), Allowance(REPEATED_LOOKS, clock)
        self._clock = clock
        self._awake = asyncio.Event()
        self._warned_on: date | None = None
        self.look_error: NunatakError | None = None  # why the last look at the catalogue failed
        self._asked_back_at = 0.0  # by an origin that was busy
        self.on_change: Callable[[Service, ServiceRecord | None], None] = lambda _service, _release: None
        self.on_release: Callable[[Service], None] = lambda _service: None  # it is known, or another than before
        self.on_look_up: Callable[[], None] = lambda: None  # somebody asks for a name that is not known here
        self.on_look: Callable[[], None] = lambda: None  # the first one that succeeded, and each that found changes
        self._looked = False
        self._taking = asyncio.Lock()
        self._take_over_at = math.inf  # when services take over what they have not yet of what has changed

    @property
    def expired(self) -> bool:
        """Whether the catalogue is past its date."""
        return self._catalogue.expired

    @property
    def expiries(self) -> Mapping[str, datetime]:
        """When what is signed by hand ends, by role, as far as it is known."""
        return self._catalogue.expiries()

    @property
    def looked_ago_s(self) -> float | None:
        """Since the last look at the catalogue that succeeded; None when there was none since the edge started."""
        return None if self._looked_at == -math.inf else self._clock() - self._looked_at

    def ending(self) -> list[str]:
        """What has ended or ends soon of that, a line each with what to do."""
        now, known = datetime.now(UTC), self.expiries
        return [*ended(known, now), *ending(known, now)]

    def goes_by_name(self, names_a_host: bool) -> bool:
        """Whether services that are known are served by their names.

        :param names_a_host: who asks names a host, too.
        """
        return not self.overdue and (self.names_served or not names_a_host)

    async def find(self, kind: Kind, name: str) -> Service:
        """The service, asking the catalogue if it must; one look-up however many wait.

        There is none only where the catalogue did not have it at some time after this call.

        :raises UnknownService: there is none.
        :raises OnHold: there is one, which the operator of the origin holds.
        :raises CatalogueStale: it has been past its date for too long.
        :raises OriginError: the catalogue cannot be asked, or what it says does not verify.
        """
        if self.overdue:
            raise CatalogueStale(f"{kind} {name!r}: past the catalogue's date by more than catalogue_stale")
        known = (self.by_host if kind == "host" else self.by_name).get(name)
        if known is not None:
            return known
        key = (kind, name)
        error = self._nowhere.get(key)
        if error is not None and not (isinstance(error, NOWHERE) and self._repeats.take("")):
            raise error.with_traceback(None)  # else each raise of what is remembered adds its frames to the last
        if key not in self._lookups and len(self._lookups) >= LOOKUPS_MAX:
            raise Unavailable(f"{LOOKUPS_MAX} catalogue look-ups under way")
        asked_at = self._clock()
        self.on_look_up()
        while True:
            try:
                return await self._lookups.do(key, lambda: self._find(kind, name))
            except NOWHERE:
                if self._looked_at >= asked_at:
                    raise  # else this look began before the request, for another one

    async def _find(self, kind: Kind, name: str) -> Service:
        try:
            release = await self._look_up(kind, name)
            if release is None:
                await self._looks.do(None, self._look)
                release = await self._look_up(kind, name)
            if release is None:
                held = await self.ask(lambda names: names.is_held(kind, name))
                raise OnHold(f"{kind} {name!r}") if held else UnknownService(f"{kind} {name!r}")
        except NunatakError as error:
            self._nowhere[kind, name] = error
            if not isinstance(error, NOWHERE):
                self._counters.add(self._counters.origin_errors, error.counter)
                _logger.error(log.line("lookup_failed", kind=kind, name=name, error=error))
            raise
        self._nowhere.pop((kind, name), None)
        service = self.by_name.get(release.service)
        if service is None:
            service = self.by_name[release.service] = Service(release)
            self.on_release(service)
        if kind == "host":
            self.by_host[name] = service
        return service

    async def _look(self) -> None:
        """One look at the catalogue for all names that are waited for, when it is time for another."""
        await asyncio.sleep(self._pace.owe("", 1))
        await self.refresh()

    async def serves_names(self) -> bool:
        """Whether `service_host` belongs to no service, asking the catalogue if it must.

        :raises OriginError: the catalogue cannot be asked, or what it says does not verify.
        """
        while self._configured_host and self._checked_at != self._changes:
            await self._checks.do(None, self._check_host)
        return self.names_served

    async def _check_host(self) -> None:
        """See whose the service host is. Until that is known nothing is served there by name."""
        host, changes = self._configured_host, self._changes
        if not host or self._checked_at == changes:
            return
        error = self._nowhere.get(("host", host))
        if error is not None and not isinstance(error, NOWHERE):
            raise error.with_traceback(None)
        try:
            owner = await self._look_up("host", host)
            taken = owner is not None or await self.ask(lambda names: names.is_held("host", host))
        except NunatakError as error:
            self.names_served, self.service_host = False, host
            self._nowhere["host", host] = error
            raise
        if changes != self._changes:
            return  # who changed the catalogue looks again
        self._checked_at = changes
        if taken and self.service_host:
            _logger.warning(log.line("service_host_taken", host=host, service=owner.service if owner else "on hold"))
        elif not taken and not self.names_served:
            _logger.info(log.line("service_host_open", host=host))
        self.names_served, self.service_host = not taken, "" if taken else host

    async def _look_up(self, kind: Kind, name: str) -> ServiceRecord | None:
        find = self._catalogue.find_host if kind == "host" else self._catalogue.find_service
        known = find(name, ask=False)
        return known or await asyncio.get_running_loop().run_in_executor(self._thread, find, name)

    async def refresh(self) -> bool:
        """Look at the catalogue; `on_change` is called for each known service that is not what it was.

        :raises OriginError: the origin cannot be asked, or its metadata does not verify.
        """
        return await self._refreshes.do(None, self._noted_refresh)

    async def _noted_refresh(self) -> bool:
        try:
            changed = await self._refresh()
        except NunatakError as error:
            self.look_error = error
            raise
        self.look_error = None
        return changed

    async def _refresh(self) -> bool:
        loop = asyncio.get_running_loop()
        began = self._clock()
        if began < self._asked_back_at:
            raise OriginBusy("the origin has asked to be left alone for a while", self._asked_back_at - began)
        self._counters.catalogue_refreshes += 1
        try:
            changed = await loop.run_in_executor(self._thread, self._catalogue.refresh)
        except OriginBusy as error:
            self._asked_back_at = self._clock() + min(error.wait_s, BUSY_MAX_S)
            raise
        self._looked_at = began
        self._take_over_at = began if changed else self._take_over_at
        overdue = began >= self._take_over_at
        if not overdue and self._looked:
            return False
        if overdue:
            await self.review()
        self._looked = True
        self.on_look()
        return changed

    async def review(self) -> None:
        """Have all that is known here looked up again in the catalogue as it is, without a look at the origin's."""
        async with self._taking:
            await self._take_over()

    async def _take_over(self) -> None:
        loop = asyncio.get_running_loop()
        self._counters.catalogue_changes += 1
        self._nowhere.clear()
        self._changes += 1
        with suppress(NunatakError):  # the next request for a service by its name asks again, and is told why not
            await self._check_host()
        services, hosts = list(self.by_name.values()), list(self.by_host.items())
        by_name, by_host, error = await loop.run_in_executor(self._thread, self._look_up_changed, services, hosts)
        for host, release in by_host:
            if release is None or release.service not in self.by_name:
                self.by_host.pop(host, None)
            else:
                self.by_host[host] = self.by_name[release.service]
        for service, release in by_name:
            if release is None:
                del self.by_name[service.name]
            old = service.release
            if release is None or _machine_facts(release) != _machine_facts(old):
                self.on_change(service, release)
            if release is not None:
                service.release = release
                self.on_release(service)
        self._take_over_at = math.inf if error is None else self._clock() + AGAIN_S
        if error is not None:
            self._counters.add(self._counters.origin_errors, error.counter)
            _logger.error(log.line("not_taken_over", again_s=AGAIN_S, error=error))

    def holds(self, release: ServiceRecord) -> bool:
        """Whether the operator of the origin holds it, as far as it is known here; waits for nothing."""
        return bool(self._catalogue.holds().reason(release.manifest_digest, release.service, release.tenant))

    @property
    def fleet_settings(self) -> object:
        """The fleet settings as they are signed, unchecked; None where there are none. Waits for nothing."""
        return self._catalogue.holds().settings

    async def ask(self, work: Callable[[Names], _T]) -> _T:
        """What somebody finds out of the catalogue, in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._catalogue)

    def _look_up_changed(
        self, services: list[Service], hosts: list[tuple[str, Service]]
    ) -> tuple[list[tuple[Service, ServiceRecord | None]], list[tuple[str, ServiceRecord | None]], NunatakError | None]:
        """What is not as it was: in this thread, so that the event loop pays for changes and not for all services.

        What the catalogue cannot say now counts as it was; the last is why not, None where all was said.
        """
        failed: list[NunatakError] = []

        def find(kind: Kind, name: str, before: ServiceRecord) -> ServiceRecord | None:
            if failed and isinstance(failed[-1], OriginUnreachable | OriginTimeout):
                return before  # each of the others might wait for as long
            try:
                return self._catalogue.find_host(name) if kind == "host" else self._catalogue.find_service(name)
            except NunatakError as error:
                failed.append(error)
                return before

        now = [(service, find("service", service.name, service.release)) for service in services]
        at = [(host, service, find("host", host, service.release)) for host, service in hosts]
        return (
            [(service, release) for service, release in now if release != (service.refused or service.release)],
            [(host, release) for host, service, release in at if release is None or release.service != service.name],
            failed[-1] if failed else None,
        )

    async def watch(self, interval_s: Callable[[], float]) -> None:
        """Refresh for ever. What was verified is served however long the origin is away.

        :param interval_s: between two looks, asked for after each.
        """
        failing = ""
        while True:
            pause_s = interval_s()
            self._awake.clear()  # whoever wakes it during the look is heard after it
            try:
                if await self.refresh():
                    _logger.info(log.line("catalogue_changed", services=len(self.by_name)))
                failing = ""
                self._warn()
                await self._check_host()  # after the first look, which may find what was known before
                await self._fetch_ahead()
            except NunatakError as error:
                self._counters.add(self._counters.origin_errors, error.counter)
                if str(error) != failing:
                    _logger.warning(log.line("refresh_failed", error=error))
                failing = str(error)
                if isinstance(error, OriginBusy):
                    pause_s = max(pause_s, self._asked_back_at - self._clock())
            self._judge()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), pause_s)

    async def _fetch_ahead(self) -> None:
        """Learn what nobody has asked for, a file at a time: look-ups and a look that is wanted wait for one."""
        with suppress(NunatakError):  # who asks for what is in it is told why not
            while not self._awake.is_set() and await self.ask(lambda names: names.fetch_ahead()):
                pass

    def _judge(self) -> None:
        """Whether services still go on, after each look: who asks for them does not ask the catalogue."""
        overdue, self.overdue = self.overdue, 0.0 < self._stale_s < self._catalogue.expired_for_s
        if overdue != self.overdue:
            _logger.warning(log.line("catalogue_stale" if self.overdue else "catalogue_fresh", bound_s=self._stale_s))

    def _warn(self) -> None:
        """Once a day, by whatever clock: whoever sets it back reads the line again."""
        if (today := datetime.now(UTC).date()) != self._warned_on:
            self._warned_on = today
            for line in self.ending():
                _logger.warning(log.line("catalogue_ends", what=line))

    def look_now(self) -> None:
        """Have `watch` refresh without waiting for its time."""
        self._awake.set()

    def close(self) -> None:
        """End the thread, and what waits for it."""
        self._refreshes.cancel()
        self._looks.cancel()
        self._lookups.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)


def _machine_facts(release: ServiceRecord) -> tuple[object, ...]:
    """What a machine goes with: where one of these changes it ends, and another tenant finds none of its memory."""
    return release.manifest_digest, release.written, release.tenant
