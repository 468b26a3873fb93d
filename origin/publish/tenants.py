"""What the operator says of tenants: who they are and by whose keys, which names are theirs. Signed and submitted.

Decisions without I/O, as `origin.publish.publish`. All of it stands in bins, which the operator's publisher key signs;
a service that changes hands is written into its tenant's file at the same instant, signed by the tenant.
"""

import json
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import DelegatedRole, Delegations, TargetFile

from origin.model.exchange import Request, Response, expect
from origin.model.tenant_keys import Card
from origin.publish.authors import Tenant
from origin.publish.books import read_all, read_book, read_snapshot, services_of
from origin.publish.chain import Warn, newest, read_state, require_token
from origin.publish.entries import CONFLICTS_BORNE
from vmimage.canonical import is_name
from vmimage.errors import OriginError, PublisherError
from vmimage.tenancy import Book, owned, sign_tenant, tenant_target, with_tenant
from vmimage.tenants import HOSTS, Grant, grant_target, is_tenant_name, tenant_of, tenant_path, tenant_role
from vmimage.text import path_text
from vmimage.trust import ServiceRecord, Trust, host_path, service_path, sign_bin

Exchange = Generator[Sequence[Request], Sequence[Response], None]


@dataclass
class Edit:
    """What is to be another, by path and by tenant."""

    entries: dict[str, TargetFile | None] = field(default_factory=dict)
    keys: dict[str, tuple[tuple[Key, ...], int]] = field(default_factory=dict)  # and the threshold; none: it goes
    files: dict[str, bytes] = field(default_factory=dict)  # of tenants, signed by them, by role


@dataclass(frozen=True)
class Operator:
    """Who signs bins, and by when."""

    trust: Trust
    signer: Signer
    now: datetime
    warn: Warn = lambda _: None


def add(operator: Operator, card: Card) -> Exchange:
    """Let there be a tenant with keys of its own.

    :raises PublisherError: there is one already, or a service of the operator's is called so.
    """

    def revise(book: Book) -> Edit:
        if book.delegation(card.tenant) is not None:
            raise PublisherError(f"tenant {card.tenant}: a new name expected, it has keys: `nunatak tenant rekey`")
        if (record := book.record(service_path(card.tenant))) is not None and record.tenant == card.tenant:
            raise PublisherError(
                f"tenant {card.tenant}: a name that is no service's own tenant expected, got that of the service "
                f"{record.service}: `nunatak tenant move` brings both together"
            )
        return Edit(keys={card.tenant: (card.keys, card.threshold)})

    return (yield from change(operator, revise, [service_path(card.tenant)], [card.tenant]))


def rekey(operator: Operator, card: Card, *, only: bool) -> Exchange:
    """Let the keys of a card sign for its tenant: beside those that do, or in their place.

    :param only: in their place. What the tenant has published must be signed by the new ones then.
    :raises PublisherError: there is no such tenant.
    """

    def revise(book: Book) -> Edit:
        role = _role(book, card.tenant)
        bin_ = book.bin(tenant_path(card.tenant))
        assert bin_ is not None
        assert bin_.delegations is not None
        had = () if only else tuple(bin_.delegations.keys[keyid] for keyid in role.keyids)
        keys = {key.keyid: key for key in (*had, *card.keys)}
        return Edit(keys={card.tenant: (tuple(keys.values()), card.threshold if only else role.threshold)})

    return (yield from change(operator, revise, [], [card.tenant]))


def remove(operator: Operator, tenant: str) -> Exchange:
    """Let there be no such tenant any more; all its services are withdrawn.

    Names that it was given are free then, hosts among them, for who is called so later is another. Those that it has
    published under stay: their versions go on.

    :raises PublisherError: there is none.
    """
    known = yield from all_tenants(operator.trust)
    granted = [path for each in known if each.tenant == tenant for path in each.granted]

    def revise(book: Book) -> Edit:
        _role(book, tenant)
        free = [path for path in granted if path.startswith(HOSTS) or book.record(path) is None]
        return Edit(dict.fromkeys(free), {tenant: ((), 0)})

    return (yield from change(operator, revise, granted, [tenant]))


def grant(operator: Operator, tenant: str, services: Iterable[str], hosts: Iterable[str]) -> Exchange:
    """Give names to a tenant. Whether it holds these hosts is for the caller to see (`origin.publish.proof`).

    :raises PublisherError: a name that somebody has, or no such tenant.
    """
    named = list(services)
    if wrong := [name for name in named if not is_name(name)]:
        raise PublisherError(f"--service: 1 to 63 of a-z 0-9 . _ - expected, got {wrong[0]!r}")
    paths = [*map(service_path, named), *map(host_path, hosts)]

    def revise(book: Book) -> Edit:
        _role(book, tenant)
        for path in paths:
            entry = book.entry(path)
            if isinstance(entry, ServiceRecord) or (isinstance(entry, Grant) and entry.tenant != tenant):
                name, whose = path_text(path), entry.tenant
                raise PublisherError(f"{name}: a free name expected, got one of {whose}: `nunatak tenant revoke` it")
        return Edit({path: grant_target(path, tenant) for path in paths if book.entry(path) is None})

    return (yield from change(operator, revise, paths, [tenant]))


def revoke(operator: Operator, services: Iterable[str], hosts: Iterable[str]) -> Exchange:
    """Take names back that were given to tenants: hosts lead nowhere then, though services list them.

    :raises PublisherError: a name that was not given to one, or of a service that is published.
    """
    paths = [*map(service_path, services), *map(host_path, hosts)]

    def revise(book: Book) -> Edit:
        for path in paths:
            if not isinstance(book.entry(path), Grant):
                name = path_text(path)
                raise PublisherError(f"{name}: a name that a tenant was given expected: `nunatak tenant list` has them")
        return Edit(dict.fromkeys(paths))

    return (yield from change(operator, revise, paths, []))


def move(operator: Operator, services: Sequence[str], tenant: Tenant, card: Card | None = None) -> Exchange:
    """Let services of the operator's own be a tenant's from their next version on, and their hosts with them.

    :param tenant: with enough of its keys to sign. :param card: of a tenant that is added at the same instant.
    :raises PublisherError: a service that is a tenant's already, or none.
    """
    role = tenant_role(tenant.name)

    def revise(book: Book) -> Edit:
        edit = Edit()
        if card is not None and book.delegation(tenant.name) is None:
            edit.keys[tenant.name] = card.keys, card.threshold
        else:
            tenant.require_trusted(book)
        theirs: dict[str, TargetFile | None] = {}
        for service in services:
            path = service_path(service)
            entry = book.entry(path)
            if not isinstance(entry, ServiceRecord):
                raise PublisherError(
                    f"a service of the operator's own expected, got {service!r}: `nunatak services list` has them"
                )
            record = owned(replace(entry, version=entry.version + 1), tenant.name)
            theirs[path] = tenant_target(record, (*book.history(service), entry.manifest_digest))
            edit.entries |= {each: grant_target(each, tenant.name) for each in (path, *map(host_path, entry.hosts))}
        edit.files[role] = sign_tenant(tenant.name, book.role(role), theirs, tenant.signers, operator.now)
        return edit

    return (yield from change(operator, revise, map(service_path, services), [tenant.name], with_hosts=True))


def resign(tenant: Tenant, trust: Trust, now: datetime, warn: Warn) -> Exchange:
    """Sign a tenant's file anew as it is, good for a year: by new keys, or before it ends.

    :raises PublisherError: keys that do not count, or nothing is published.
    """
    trust = yield from newest(trust, tenant, now, warn)
    yield from require_token()
    role = tenant_role(tenant.name)
    for _ in range(CONFLICTS_BORNE):
        snapshot = yield from read_snapshot(trust)
        book = yield from read_book(trust, snapshot.meta, [], [tenant.name])
        tenant.require_trusted(book)
        if (before := book.role(role)) is None:
            raise PublisherError(
                f"tenant {tenant.name}: a service that is published expected, it has none: publish one first"
            )
        if (yield from _submitted({role: sign_tenant(tenant.name, before, {}, tenant.signers, now)})):
            return
    raise _conflicts()


def keys_of(tenant: str, trust: Trust) -> Generator[Sequence[Request], Sequence[Response], Sequence[str]]:
    """Identifiers of the keys that sign for a tenant.

    :raises PublisherError: there is no such tenant.
    :raises OriginError, VerificationError: as `all_tenants`.
    """
    state = yield from read_state(trust)
    book = yield from read_book(state.trust, state.snapshot.meta, [], [tenant])
    return sorted(_role(book, tenant).keyids)


@dataclass(frozen=True)
class Known:
    """A tenant as the catalogue has it."""

    tenant: str
    keyids: tuple[str, ...]
    threshold: int
    expires: datetime | None  # of its file; None: it has published nothing
    services: tuple[str, ...]
    granted: tuple[str, ...]  # paths


def all_tenants(trust: Trust) -> Generator[Sequence[Request], Sequence[Response], list[Known]]:
    """Every tenant with keys of its own, by name.

    :raises OriginError, VerificationError: the origin's metadata are not what `trust` leads to.
    """
    state = yield from read_state(trust)
    meta = state.snapshot.meta
    book = yield from read_all(state.trust, meta)
    bins = [bin_ for name in meta if state.trust.is_bin(name[:-5]) and (bin_ := book.role(name[:-5])) is not None]
    granted: dict[str, list[str]] = {}
    for path in sorted(path for bin_ in bins for path in bin_.targets):
        if isinstance(entry := book.entry(path), Grant):
            granted.setdefault(entry.tenant, []).append(path)
    found = []
    for role in (role for bin_ in bins if bin_.delegations for role in (bin_.delegations.roles or {}).values()):
        tenant, signed = tenant_of(role.name) or "", book.role(role.name)
        services = sorted(path.removeprefix(service_path("")) for path in (signed.targets if signed else ()))
        keys, ends = tuple(sorted(role.keyids)), signed.expires if signed else None
        found.append(Known(tenant, keys, role.threshold, ends, tuple(services), tuple(granted.get(tenant, ()))))
    return sorted(found, key=lambda known: known.tenant)


def claims(trust: Trust) -> Generator[Sequence[Request], Sequence[Response], dict[str, list[str]]]:
    """Services of the operator's own by the tenant that they are said to be of, where that can have keys.

    :raises OriginError, VerificationError: as `all_tenants`.
    """
    state = yield from read_state(trust)
    book = yield from read_all(state.trust, state.snapshot.meta)
    found: dict[str, list[str]] = {}
    for path in sorted(services_of(book, state.snapshot.meta)):
        if isinstance(entry := book.entry(path), ServiceRecord) and is_tenant_name(entry.tenant):
            found.setdefault(entry.tenant, []).append(entry.service)
    return found


def _role(book: Book, tenant: str) -> DelegatedRole:
    role = book.delegation(tenant)
    if role is None:
        raise PublisherError(f"a tenant expected, got {tenant!r}: `nunatak tenant list` has them")
    return role


def change(
    operator: Operator,
    revise: Callable[[Book], Edit],
    paths: Iterable[str],
    tenants: Sequence[str],
    *,
    with_hosts: bool = False,
) -> Exchange:
    """Sign and submit what `revise` says of bins, again if another was first.

    :param paths: that it looks at, with the hosts of services among them where that is said.
    """
    paths = list(paths)
    trust = yield from newest(operator.trust, operator.signer, operator.now, operator.warn)
    yield from require_token()
    for _ in range(CONFLICTS_BORNE):
        snapshot = yield from read_snapshot(trust)
        book = yield from read_book(trust, snapshot.meta, paths, tenants)
        if with_hosts:
            hosts = {host for path in paths if (record := book.record(path)) is not None for host in record.hosts}
            book = yield from read_book(trust, snapshot.meta, [*paths, *map(host_path, hosts)], tenants)
        signed = _signed(book, revise(book), operator)
        if not signed or (yield from _submitted(signed)):
            return
    raise _conflicts()


def _signed(book: Book, edit: Edit, operator: Operator) -> dict[str, bytes]:
    """The files that an edit changes, by role."""
    entries: dict[str, dict[str, TargetFile | None]] = {}
    for path, target in edit.entries.items():
        entries.setdefault(book.trust.bin_of(path), {})[path] = target
    delegations: dict[str, Delegations | None] = {}
    for tenant, (keys, threshold) in edit.keys.items():
        role = book.trust.bin_of(tenant_path(tenant))
        delegations[role] = with_tenant(book.role(role), tenant, keys, threshold)
    signed = dict(edit.files)
    for role in sorted(entries.keys() | delegations.keys()):
        before = book.role(role)
        kept = before.delegations if before is not None else None
        args = before, entries.get(role, {}), operator.signer, operator.now
        signed[role] = sign_bin(*args, delegations.get(role, kept))
    return signed


def _submitted(signed: dict[str, bytes]) -> Generator[Sequence[Request], Sequence[Response], bool]:
    """Whether it is published; not where another was first."""
    body = json.dumps({role: data.decode() for role, data in signed.items()}).encode()
    [response] = yield [Request("POST", "/tuf/roles", body, "application/json")]
    if response.status == 409:
        return False
    expect(response, 201, "catalogue")
    return True


def _conflicts() -> OriginError:
    return OriginError(
        f"catalogue: a moment without other publishers expected, got {CONFLICTS_BORNE} conflicts: run it again"
    )
