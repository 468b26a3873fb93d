"""What an edge believes of the catalogue: which image each service and host is now, and nothing unverified.

python-tuf's `Updater` follows root, timestamp, snapshot and targets; the hash bins below, and the files of tenants that
these delegate to, are fetched when first asked for and checked by the same rules (named by the snapshot, hash,
signature, version, expiry). What is believed is a view that is replaced whole after everything in it has been checked,
and that is loaded again from disk at start:

- it never goes back a version, unless the trust root has taken the keys away that signed the present one: what a thief
  of the online keys has signed, however high its version, is forgotten then (TUF specification 5.3.11);
- when nothing has changed a refresh is one conditional GET; of several sources `edge.catalogue.asking` says which;
- past its expiry, entries of roles that were verified before stay usable and new roles are refused; a tenant's file
  that has ended leaves its services as they were, and holds up nobody else;
- what the operator holds (`vmimage.holds`) is not there, and the list is read before all else, also after it was lost;
- whatever fails, the view stays as it was;
- a folder that takes no more, a full disk, is no failure: what was verified is believed and counts from memory.

All methods block (call them through `asyncio.to_thread`) and may be called from several threads; a lookup in a bin that
is here takes microseconds and no lock. The folder belongs to one Catalogue.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final, Literal

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot

from edge.catalogue.ahead import wanted_ahead
from edge.catalogue.asking import Asking, MetadataSource
from edge.catalogue.metadata import (
    FILE_TIMEOUT_S,
    LIMITS,
    READ_TIMEOUT_S,
    CatalogueExpired,
    Fetcher,
    FollowingUpdater,
    translated,
)
from edge.catalogue.view import (
    Entry,
    Known,
    Role,
    View,
    as_before,
    holds_of,
    is_bin,
    known_tenants,
    refuse_older_services,
    refuse_older_view,
    said,
    verified,
)
from edge.common import log
from edge.common.counters import Counters
from edge.common.private import write_private
from vmimage.errors import OperatorError, VerificationError
from vmimage.holds import Holds
from vmimage.manifest import is_name
from vmimage.tenants import holder, tenant_of, tenant_role
from vmimage.trust import TARGETS_MAX, ServiceRecord, Trust, host_path, is_host, service_path

FETCHES_AT_ONCE: Final = 4

_logger: Final = log.logger("catalogue")


class Catalogue:
    """The verified catalogue of one origin."""

    def __init__(
        self,
        metadata_dir: Path,
        metadata: str | Sequence[MetadataSource],
        root_bytes: bytes,
        counters: Counters | None = None,
        *,
        ahead_bytes: int = 0,
        clock: Callable[[], float] = time.time,
        read_timeout_s: float = READ_TIMEOUT_S,
        file_timeout_s: float = FILE_TIMEOUT_S,
    ) -> None:
        """Load what was verified before; touches no network.

        :param metadata_dir: made if missing; what was verified stays here across restarts.
        :param metadata: where the TUF files are: sources in order, or the URL of one, as "http://origin/tuf/".
        :param root_bytes: the trust root that the operator gave this edge.
        :param ahead_bytes: see `wanted_ahead`. :param clock: seconds since 1970, for expiry.
        :raises OperatorError: the folder cannot be written, or `root_bytes` is no trust root.
        """
        self._dir, self._tuf = metadata_dir, metadata_dir / "tuf"
        sources = [MetadataSource(metadata, metadata)] if isinstance(metadata, str) else metadata
        self._root = root_bytes
        self._clock, self._counters, self._ahead_bytes = clock, counters or Counters(), ahead_bytes
        self._unkept: dict[str, bytes] = {}  # files of tuf/ by path, where the folder did not take them
        self._failing = False
        self._fetcher = Fetcher(read_timeout_s, file_timeout_s)
        self.asking = Asking(sources, self._counters, self._fetcher.anew)
        self._view: View | None = None
        self._ahead: tuple[View | None, list[str]] = None, []  # of a view, what is to be fetched before it is asked for
        self._refreshing = threading.Lock()
        self._growing = threading.Lock()
        try:
            (metadata_dir / "bins").mkdir(parents=True, exist_ok=True)
            self._tuf.mkdir(exist_ok=True)
            self._root_version = Metadata[Root].from_bytes(root_bytes).signed.version
            self._updater(sources[0].url)
        except OSError as error:
            raise OperatorError(
                f"a writable folder expected at {metadata_dir}: {error.strerror}: "
                "give its owner the folder, or name another --cache"
            ) from None
        except (RepositoryError, ValueError) as error:
            raise OperatorError(
                f"a trust root (root.json of `nunatak keygen`) expected, got: {error}: name another --trust"
            ) from None
        self._view = self._resume()

    @property
    def expired(self) -> bool:
        """Whether the origin has been silent, or frozen, for longer than its timestamp lasts."""
        view = self._view
        return view is None or self._now() >= view.expires

    @property
    def expired_for_s(self) -> float:
        """Since its date, in seconds; 0 before that, and where there is none."""
        view = self._view
        return max(0.0, (self._now() - view.expires).total_seconds()) if view is not None else 0.0

    def expiries(self) -> dict[str, datetime]:
        """When what is signed by hand ends, by role; of bins and tenants the first of those that are known here."""
        view = self._view
        if view is None:
            return {}
        with self._growing:
            return view.expiries()

    def refresh(self) -> bool:
        """Learn what has changed; whether anything of the services has.

        :raises OriginUnreachable, OriginTimeout, OriginError: no proper answer.
        :raises VerificationError: an answer that is not what the trust root demands, or one that is expired.
        """
        with self._refreshing:
            return self.asking.look(self._refresh_from)

    def _refresh_from(self, source: MetadataSource) -> bool:
        url, old = source.url + "timestamp.json", self._view
        with translated():
            data, etag = self._fetcher.poll(url, source.etag(old.signed[0]) if old is not None else None)
            if data is None:
                self._refuse_if_expired()
                return False
            self._fetcher.primed[url] = data
            updater = self._updater(source.url)
            updater.refresh()
            top = self._verified_top()
        new = self._parse(top, updater.root_version, updater.snapshot)
        outdated: list[Path] = []
        if old is not None:
            with self._growing:
                known = list(filter(is_bin, old.roles))
            refuse_older_view(old, new, known)
            outdated = self._carry_over(old, new)
        self._read_holds(new)
        self._write(self._dir / "catalogue.json", json.dumps(top).encode(), durable=True)
        source.gave(new.signed[0], etag if data == new.signed[0] else None)
        self._view = new
        for path in outdated:
            path.unlink(missing_ok=True)
        return old is None or old.snapshot.meta != new.snapshot.meta

    def find_service(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        """What the service is now, None when there is no such service.

        :param ask: whether the origin may be asked; else None also for what cannot be told without it, and at once.
        :raises OriginUnreachable, OriginTimeout, OriginError: not known here, and the origin gives no proper answer.
        :raises VerificationError: not known here, and the answer is not what the trust root demands, or is expired.
        """
        record = self._find(service_path(name), ask) if is_name(name) else None
        return record if record is not None and not record.withdrawn else None

    def find_withdrawn(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        """What is said of a service that there is no more, None when it is there or never was. Errors as find_service.

        :param ask: whether the origin may be asked where it is not known here.
        """
        record = self._find(service_path(name), ask) if is_name(name) else None
        return record if record is not None and record.withdrawn else None

    def find_host(self, host: str, *, ask: bool = True) -> ServiceRecord | None:
        """The service that answers for a host name (without port), None when there is none. As find_service."""
        return self._find(host_path(host.lower()), ask) if is_host(host.lower()) else None

    def holds(self) -> Holds:
        """What is held, as far as it is known here."""
        view = self._view
        return holds_of(view.roles.get(view.bin_of_holds)) if view is not None else Holds()

    def is_held(self, kind: Literal["host", "service"], name: str) -> bool:
        """Whether the service of that name, or that answers for that host, is held. Errors as find_service."""
        path = host_path(name.lower()) if kind == "host" else service_path(name)
        record = self._find(path, held=True) if is_host(name.lower()) or is_name(name) else None
        return record is not None and not record.withdrawn

    def _find(self, path: str, ask: bool = True, *, held: bool = False) -> ServiceRecord | None:
        """:param held: whether what is held is asked for, or what is not."""
        view = self._view
        if not ask and (view is None or not view.knows_holds):
            return None
        if view is None:
            self.refresh()
            view = self._view
            assert view is not None
        entry = self._entry(view, view.trust.bin_of(path), path, ask)
        tenant = holder(path, entry)
        if tenant is not None:
            entry = self._entry(view, tenant_role(tenant), path, ask)
        holds = holds_of(self._role(view, view.bin_of_holds, ask))  # asked for here where this disk has lost it
        return said(entry, holds, held=held)

    def fetch_ahead(self) -> bool:
        """Fetch a file that nobody has asked for, if all are wanted; whether there was one. Errors as find_service."""
        view, roles = self._view, self._ahead[1]
        if view is not None and view is not self._ahead[0]:
            roles = wanted_ahead(view.snapshot.meta, view.roles, self._ahead_bytes)[::-1]
            self._ahead = view, roles
        if view is None or not roles:
            return False
        self._role(view, roles.pop(), ask=True)
        return True

    def _entry(self, view: View, role: str, path: str, ask: bool) -> Entry | None:
        found = self._role(view, role, ask)
        return found.entries.get(path) if found is not None else None

    def _role(self, view: View, role: str, ask: bool) -> Role | None:
        """A bin or a tenant's file, None where there is none; or none here, if the origin may not be asked."""
        found = view.roles.get(role)
        if found is not None:
            return found
        file, tenant = view.file(role), tenant_of(role)
        if file is None:
            return None
        bin_ = self._role(view, view.bin_of_tenant(tenant), ask) if tenant is not None else None
        if not ask or (tenant is not None and (bin_ is None or bin_.delegation(tenant) is None)):
            return None
        self._refuse_if_expired()
        found = self._fetch(view, role, file, bin_)
        with self._growing:
            if view is self._view:
                view.roles[role] = found
        return found

    def _read_holds(self, view: View) -> None:
        """Before anything is looked up: what is held is not there, whoever keeps the list from this edge."""
        role = view.bin_of_holds
        file = view.file(role)
        if file is not None and role not in view.roles:
            view.roles[role] = self._fetch(view, role, file, None)

    def _carry_over(self, old: View, new: View) -> list[Path]:
        """Bring every role that is known here into the new view, so that nothing known is lost when the origin goes.

        Returns the files that the new view no longer needs.
        """
        with self._growing:
            known = dict(old.roles)
        same = old.trust.bin_keys == new.trust.bin_keys
        outdated = self._carry(old, new, {role: Known(known[role], None, same, same) for role in known if is_bin(role)})
        return outdated + self._carry(old, new, known_tenants(old, new, known))

    def _carry(self, old: View, new: View, known: Mapping[str, Known]) -> list[Path]:
        changed: list[tuple[str, MetaFile, Known]] = []
        outdated = []
        for role, was in known.items():
            before, file = old.file(role), new.file(role)
            if file == before and was.same_keys:
                new.roles[role] = was.role
            elif file is not None and before is not None:
                changed.append((role, file, was))
                if file.version != before.version:
                    outdated.append(self._path(role, before))
        with ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
            fetched = list(pool.map(lambda item: self._fetch_known(new, *item), changed))
        for (role, _, was), found in zip(changed, fetched, strict=True):
            if found is not None:
                if was.forward:
                    refuse_older_services(was.role, found)
                new.roles[role] = found
        return outdated

    def _fetch_known(self, view: View, role: str, file: MetaFile, was: Known) -> Role | None:
        """As `_fetch`, but that a tenant's file that has ended holds up nobody else."""
        try:
            return self._fetch(view, role, file, was.bin)
        except CatalogueExpired as error:
            if is_bin(role):
                raise
            _logger.warning(log.line("tenant_ended", role=role, error=error))
            return as_before(was)

    def _fetch(self, view: View, role: str, file: MetaFile, bin_: Role | None) -> Role:
        def fetch(source: MetadataSource) -> tuple[bytes, Role]:
            url = f"{source.url}{file.version}.{role}.json"
            with translated():
                data = self._fetcher.download_bytes(url, min(file.length or TARGETS_MAX, TARGETS_MAX))
            return data, verified(view, role, file, data, bin_)

        data, found = self.asking.file(fetch)
        if self._now() >= found.expires:
            raise CatalogueExpired(f"{role}: metadata that has not expired expected, got {found.expires}")
        self._write(self._path(role, file), data, durable=role == view.bin_of_holds)
        return found

    def _refuse_if_expired(self) -> None:
        view = self._view
        if view is not None and self._now() >= view.expires:
            raise CatalogueExpired(f"a catalogue that has not expired expected, got one that did at {view.expires}")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _updater(self, url: str) -> FollowingUpdater:
        held = self._view.signed if self._view is not None else None
        return FollowingUpdater(self._unkept, self._note, held, str(self._tuf), url, self._fetcher, LIMITS, self._root)

    # The folder: tuf/ is the Updater's; bins/<version>.<role>.json, of bins and tenants, are immutable; catalogue.json
    # names the view.

    def _verified_top(self) -> dict[str, str]:
        """The four top-level roles as the Updater left them."""
        return {role: self._read(self._tuf / f"{role}.json").decode() for role in ("timestamp", "snapshot", "targets")}

    def _read(self, path: Path) -> bytes:
        unkept = self._unkept.get(str(path))
        return path.read_bytes() if unkept is None else unkept

    def _parse(self, top: Mapping[str, str], last_root: int | None = None, snapshot: Snapshot | None = None) -> View:
        """The view that `top` says, signatures checked; expiry is not.

        :param last_root: its version; None: as far as there are any. :param snapshot: that of `top`, verified.
        """
        trust = Trust(self._roots(last_root), top["targets"].encode())
        timestamp = trust.verify_timestamp(top["timestamp"].encode())
        snapshot = snapshot or trust.verify_snapshot(top["snapshot"].encode())
        if timestamp.snapshot_meta.version != snapshot.version:
            raise VerificationError("timestamp and snapshot of one state expected")
        expires = min(timestamp.expires, snapshot.expires, trust.targets.expires, trust.root.expires)
        return View(trust, snapshot, timestamp.version, expires, (top["timestamp"].encode(), top["snapshot"].encode()))

    def _roots(self, last: int | None) -> list[bytes]:
        roots, first = [self._root], self._root_version + 1
        with suppress(FileNotFoundError):
            for version in count(first) if last is None else range(first, last + 1):
                roots.append(self._read(self._tuf / "root_history" / f"{version}.root.json"))
        return roots

    def _resume(self) -> View | None:
        """What an earlier process believed, None when there is nothing sound."""
        try:
            view = self._parse(json.loads((self._dir / "catalogue.json").read_bytes()))
        except (OSError, ValueError, TypeError, LookupError, AttributeError, VerificationError):
            return None
        for role in view.roles_of({path.name for path in (self._dir / "bins").iterdir()}):
            file, tenant = view.file(role), tenant_of(role)
            bin_ = view.roles.get(view.bin_of_tenant(tenant)) if tenant is not None else None
            try:
                if file is not None:
                    view.roles[role] = verified(view, role, file, self._path(role, file).read_bytes(), bin_)
            except (OSError, VerificationError):
                continue  # damaged: fetched when it is asked for
        return view

    def _path(self, role: str, file: MetaFile) -> Path:
        return self._dir / "bins" / f"{file.version}.{role}.json"

    def _write(self, path: Path, data: bytes, *, durable: bool = False) -> None:
        """:param durable: must outlive a power cut, so as not to go back a version; a lost bin is fetched again."""
        try:
            write_private(path, data, durable=durable)
            self._failing &= not durable
        except OSError as error:
            self._note(error)

    def _note(self, error: OSError) -> None:
        """The folder does not take something: said once, until it does again."""
        self._counters.add(self._counters.storage_errors, "catalogue")
        if not self._failing:
            _logger.error(log.line("catalogue_not_kept", folder=self._dir, error=error))
        self._failing = True
