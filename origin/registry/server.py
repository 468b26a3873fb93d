"""The origin over HTTP: an OCI registry, and the TUF catalogue beside it.

    /v2/...                    see `origin/registry/oci.py`
    /tuf/<file>.json           GET, HEAD, conditional
    POST /tuf/roles            {role: signed metadata as text, ...} with a token: bins, and the operator's root and
                               targets; all of them or none
    POST /tuf/check            {"roles": the same, "coming": {manifest: bytes}}: whether that would be published
    POST /prune                remove what nobody needs, with the operator's token, see `origin/registry/prune.py`
    /log/<file>                GET: the log of snapshots, see `origin/registry/transparency.py`
    GET /audit/<service>       who changed it and when, with a token that may read its log
    GET /whoami                whose the token is and what it opens, see `origin/registry/whoami.py`

Errors are the JSON of the OCI distribution specification 1.1. What may be published, `origin/registry/roles.py`
decides; what is durable, `origin/registry/store.py` guarantees. Blocking work runs in threads, one change of the
catalogue at a time.
"""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from tuf.api.metadata import Root, Timestamp

from origin.model.elsewhere import Elsewhere
from origin.model.tokens import Tokens
from origin.registry.answers import answer_errors
from origin.registry.audit import Entry, changes, open_audit, service_of
from origin.registry.deciding import Deciding
from origin.registry.door import Door
from origin.registry.elsewhere import Registries
from origin.registry.files import CatalogueFiles
from origin.registry.hosts import one_host
from origin.registry.ledger import Ledger, Lost
from origin.registry.listening import listen, take_over, unlisten
from origin.registry.logs import Logs
from origin.registry.names import Submitter
from origin.registry.oci import Registry
from origin.registry.oidc import Verifier
from origin.registry.parts import Part
from origin.registry.prune import Pruned, Pruning, Rules, kept_images, long_gone, parse_rules
from origin.registry.refusal import OciError
from origin.registry.renewals import VersionConflict
from origin.registry.roles import Online, Published, due, renew_after
from origin.registry.store import Store
from origin.registry.submissions import parse_check, parse_roles
from origin.registry.transparency import SnapshotLog
from origin.registry.use import PruneUnderWay
from origin.registry.whoami import answering
from vmimage.errors import VerificationError
from vmimage.holds import Holds
from vmimage.renewal import ended, ending
from vmimage.trust import ServiceRecord, host_path, service_path

ROLES_BODY_MAX: Final = 160 << 20  # bytes: 256 bins of 1,000 entries of 450 bytes, quoted once more
RULES_BODY_MAX: Final = 4096  # bytes of what a prune is asked for
PRUNED_AT_ONCE: Final = 200  # manifests, while nobody can publish: less than a second
PRUNE_PAUSE_S: Final = 0.01  # in which those who wait come in
SHUTDOWN_S: Final = 10.0  # what requests under way get to finish
LOOK_S: Final = 15.0  # at the clock, which may be set, at least so often: whether the timestamp is due
BUCKET_THREADS: Final = 64  # round trips to a bucket at once
RACES_BORNE: Final = 50  # other origins that were first, each of which costs reading and signing again
WARNED_EVERY: Final = timedelta(days=1)

NOBODY: Final = Submitter()
_LOG = logging.getLogger(__name__)


class Origin:
    """The state of a running origin: its store and what its catalogue says now."""

    def __init__(
        self,
        store: Store,
        metadata: dict[str, bytes],
        online: Online | Callable[[Root], Online],
        *,
        token: str | None,
        logs: Logs | None = None,
        tokens: Tokens | None = None,
        verifier: Verifier | None = None,
        registries: Sequence[Elsewhere] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Resume what the store holds, or found it with `metadata` ("1.root.json", "1.targets.json").

        :param online: the keys that stay here, or what finds those that a root trusts.
        :param token: the operator's: what uploads of all tenants must show; None refuses them.
        :param tokens: of tenants, for uploads of their own. :param verifier: of tokens that issuers make for them.
        :param logs: where edges' logs go; None takes none.
        :param registries: in which images may be that services name.
        :raises OperatorError: the store belongs to other keys.
        """
        self._store, self._clock, self._logs = store, clock, logs
        self._audit = open_audit(store, clock)
        self._find_online: Callable[[Root], Online] = (lambda _: online) if isinstance(online, Online) else online
        self._door = Door(token, tokens, verifier)
        self._registry = Registry(store, self._door, self._audit, lambda: self._state.book())
        self._changing = threading.Lock()
        self._pruning = threading.Lock()
        self._warned_at: datetime | None = None
        self._ending: list[str] = []  # roles that end soon, a line each
        self.on_published: Callable[[Published, Published], None] = lambda _before, _after: None  # in any thread
        self.parts: list[Part] = []  # of the application, beside what is here
        self.door, self.audit, self.authorise = self._door, self._audit, self._authorise_reader  # for these
        self._ledger = Ledger(store, metadata, self._find_online, clock)
        self._registries = Registries(store, registries)
        self._deciding = Deciding(store, self._ledger, self._registries, self._find_online, clock)
        self._log = SnapshotLog(store.blobs, store.read_metadata)
        self._enter()

    @property
    def _state(self) -> Published:
        return self._ledger.state

    def make_app(self) -> web.Application:
        """The aiohttp application, with the loop that renews the timestamp."""
        app = web.Application(middlewares=[answer_errors, one_host, self._door.look], client_max_size=ROLES_BODY_MAX)
        app.add_routes(
            [
                *self._registry.routes(),
                web.post("/tuf/roles", self._submit_roles),
                web.post("/tuf/check", self._check_roles),
                web.get("/whoami", answering(self._door)),
                web.post("/prune", self._prune),
                web.get("/audit/{service}", self._read_audit),
                *CatalogueFiles(self._store, self._log).routes(),
            ]
        )
        if self._logs is not None:
            app.add_routes(self._logs.routes(self._authorise_reader))
        for part in self.parts:
            part.join(app)
        app.cleanup_ctx.append(self._renewing)
        return app

    @property
    def online(self) -> Online:
        """The keys that stay here, of the newest root."""
        return self._ledger.online

    @property
    def root(self) -> Root:
        """The newest one."""
        return self._state.trust.root

    @property
    def timestamp(self) -> Timestamp:
        """The one that edges are given now."""
        return self._state.timestamp

    def record(self, service: str = "", *, host: str = "") -> ServiceRecord | None:
        """What the catalogue says of a service now, or of the one that answers for a host. Blocks while it is read."""
        return self._state.book().record(host_path(host) if host else service_path(service))

    def holds(self) -> Holds:
        """What the operator holds now, with pins and fleet settings. Blocks while it is read."""
        return self._state.book().holds()

    def change_tokens(self, token: str | None, log_token: str | None, verifier: Verifier | None = None) -> None:
        """Ask for these from now on: uploads for the first, edges' logs for the second; None refuses them all."""
        self._door.token, self._door.verifier = token, verifier
        if self._logs is not None:
            self._logs.token = log_token

    def publish_roles(self, submitted: dict[str, bytes], submitter: Submitter = NOBODY) -> None:
        """Check and publish what was newly signed, durably. Blocks.

        :raises VerificationError: as `roles.accept`; nothing has changed.
        :raises OperatorError: a new root trusts online keys that are not here.
        """
        self._look(submitted, submitter, {})
        for _ in range(RACES_BORNE):
            with self._changing, suppress(Lost):
                published = self._publish(submitted, submitter)
                break
        else:
            raise VersionConflict(f"a moment without other origins expected, got {RACES_BORNE} that were first")
        self.on_published(*published)

    def _publish(self, submitted: dict[str, bytes], submitter: Submitter) -> tuple[Published, Published]:
        """The states before and after. :raises Lost: another origin was first."""
        self._ledger.catch_up()
        state, files, new = self._deciding.decide(submitted, submitter, {})
        entries = list(changes(state, new, submitted))
        self._audit.write(submitter, entries)
        try:
            self._ledger.advance(files, new)
        except (OSError, Lost) as error:
            with suppress(OSError):
                failed = str(error) or "another origin published first"
                self._audit.write(submitter, [entry | {"failed": failed} for entry in entries])
            raise
        self._enter()
        return state, new

    def check_roles(self, submitted: dict[str, bytes], submitter: Submitter, coming: Mapping[str, int]) -> None:
        """See whether `publish_roles` would publish it, once some manifests are here; nothing changes. Blocks.

        :param coming: bytes of these manifests, by digest.
        :raises VerificationError, OperatorError: as `publish_roles`.
        """
        self._look(submitted, submitter, coming)
        with self._changing:
            self._ledger.catch_up()
            self._deciding.decide(submitted, submitter, coming)

    def _look(self, submitted: dict[str, bytes], submitter: Submitter, coming: Mapping[str, int]) -> None:
        """Ask other registries for manifests, where there are some, while nobody waits for it."""
        if self._registries.allowed:
            with self._changing:
                self._ledger.catch_up()
            self._deciding.look(submitted, submitter, coming)

    def prune(self, rules: Rules, submitter: Submitter = NOBODY) -> tuple[Pruned, list[str]]:
        """Remove what nobody needs; what went, and services that were withdrawn for so long that nothing is kept.

        Blocks; publishers come in between.

        :raises OciError: it is done already at this moment.
        :raises OperatorError: a manifest or a bin cannot be read.
        """

        def note(*entries: Entry) -> None:
            if not rules.dry_run:
                self._audit.write(submitter, entries)

        if not self._pruning.acquire(blocking=False):
            raise OciError(409, "DENIED", "one prune at a time expected, another is under way")
        try:
            now = self._clock()
            note({"what": "prune", **asdict(rules)})
            pruning = Pruning(self._store, rules, now.timestamp(), self._registry.repositories)
            pruning.look()
            seen, withdrawn = 0, list[str]()
            while True:
                with self._changing:
                    if self._store.shared:
                        self._ledger.catch_up()
                    if self._state.snapshot.version != seen:
                        seen, withdrawn = self._state.snapshot.version, []
                        for signed in self._state.all_signed():
                            pruning.keep(kept_images([signed], rules, now))
                            withdrawn += long_gone([signed], rules, now)
                    gone = pruning.remove(PRUNED_AT_ONCE)
                if not gone:
                    break
                note(*({"what": "pruned", "manifest": digest} for digest in gone))
                time.sleep(PRUNE_PAUSE_S)
            pruning.blobs()
            if not rules.dry_run:
                self._registry.repositories.tidy()
            note({"what": "pruned", "blobs": pruning.result.blobs, "bytes": pruning.result.freed_bytes})
            return pruning.result, sorted(withdrawn)
        except PruneUnderWay:
            raise OciError(409, "DENIED", "one prune at a time expected, another origin is at it") from None
        finally:
            self._pruning.release()

    def renew(self) -> None:
        """Sign a fresh timestamp, durably, unless another origin has. Blocks."""
        with self._changing, suppress(Lost):
            self._ledger.renew()
            self._enter()

    def renew_if_due(self) -> None:
        """Take up what other origins have published, and renew the timestamp if nobody has for long. Blocks."""
        with self._changing:
            if self._store.shared:
                self._ledger.catch_up()
            if due(self._state, self._ledger.online, self._clock()):
                with suppress(Lost):
                    self._ledger.renew()
            self._enter()

    def _enter(self) -> None:
        """Enter what counts now in the log of snapshots; whatever hinders it, the next turn tries again."""
        try:
            self._log.follow(self._state, self._ledger.online.snapshot)
        except (OSError, VerificationError) as error:
            _LOG.error("log of snapshots not written: %s", error)

    def stamp(self, fields: Mapping[str, Any]) -> None:
        """Sign a fresh timestamp that says these beside the fields of TUF, unless another origin has. Blocks."""
        with self._changing, suppress(Lost):
            self._ledger.renew(fields)

    def warn(self) -> None:
        """Say once a day which roles end soon; they are signed by hand. Blocks for as long as all bins take to read."""
        now = self._clock()
        if self._warned_at is not None and timedelta(0) <= now - self._warned_at < WARNED_EVERY:
            return
        self._warned_at, state = now, self._state
        known = state.expiries()
        self._ending = [*ended(known, now), *ending(known, now)]
        for line in self._ending:
            _LOG.warning(line)

    async def _renewing(self, _: web.Application) -> AsyncIterator[None]:
        """Renew in a thread of its own, for as long as the application runs."""
        if self._store.shared:  # each request waits for round trips, in a thread
            pool = ThreadPoolExecutor(BUCKET_THREADS, "bucket")
            asyncio.get_running_loop().set_default_executor(pool)
        stop = threading.Event()

        def renew_again() -> None:
            ending = False
            while not ending:
                try:
                    self.renew_if_due()
                    self.warn()
                except OSError as error:  # a full disk: edges go on with what they have; the next turn may succeed
                    _LOG.error("timestamp not renewed: %s", error)
                except Exception:  # whatever it is, the next turn may succeed, and without it every edge stops
                    _LOG.exception("timestamp not renewed")
                ending = stop.wait(min(LOOK_S, renew_after(self._ledger.online).total_seconds()))

        thread = threading.Thread(target=renew_again, name="renew", daemon=True)
        thread.start()
        yield
        stop.set()
        await asyncio.to_thread(thread.join)
        self._registry.close()

    async def _submit_roles(self, request: web.Request) -> web.Response:
        submitter = self._door.submitter(request)
        submitted = parse_roles(await request.read())
        await asyncio.to_thread(self.publish_roles, submitted, submitter)
        return web.json_response({"roles": sorted(submitted), "ending": self._ending}, status=201)

    async def _check_roles(self, request: web.Request) -> web.Response:
        submitter = self._door.submitter(request)
        submitted, coming = parse_check(await request.read())
        await asyncio.to_thread(self.check_roles, submitted, submitter, coming)
        return web.json_response({"roles": sorted(submitted)})

    async def _prune(self, request: web.Request) -> web.Response:
        self._door.operator(request, "to prune")
        body = await request.read()
        if len(body) > RULES_BODY_MAX:
            raise OciError(413, "SIZE_INVALID", f"at most {RULES_BODY_MAX} bytes expected")
        rules = parse_rules(body)
        pruned, services = await asyncio.to_thread(self.prune, rules, self._door.submitter(request))
        if self._logs is not None and not rules.dry_run:
            await self._logs.forget(services)
        return web.json_response({**asdict(pruned), "logs": services, "dry_run": rules.dry_run})

    async def _read_audit(self, request: web.Request) -> web.Response:
        service = service_of(request.match_info["service"])
        await self._authorise_reader(request, service)
        lines = await asyncio.to_thread(self._audit.of_service, service)
        headers = {"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"}
        return web.Response(body=lines, headers=headers)

    async def _authorise_reader(self, request: web.Request, service: str) -> bool:
        """Whether there is or was such a service.

        :raises OciError: the request may not read what it has logged, or what was done to it.
        """
        submitter = self._door.submitter(request)
        record = await asyncio.to_thread(self.record, service)
        if submitter.tenant and (record is None or record.tenant != submitter.tenant):
            raise OciError(403, "DENIED", f"a service of tenant {submitter.tenant}, whose token was shown, expected")
        return record is not None


async def serve(
    origin: Origin,
    host: str | Path,
    port: int,
    ready: Callable[[str], None],
    stop: asyncio.Event,
    given: Sequence[socket.socket] = (),
) -> None:
    """Serve until `stop` is set, then let requests under way finish.

    :param host: a name or address, or the path of a Unix socket.
    :param ready: called once with the URL that is listened on.
    :param given: sockets that listen already, in place of `host` and `port`.
    :raises OperatorError: it cannot be listened on.
    """
    runner = web.AppRunner(origin.make_app(), access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        ready(await take_over(runner, given) if given else await listen(runner, host, port))
        await stop.wait()
    finally:
        await runner.cleanup()
        if not given:
            unlisten(host)
