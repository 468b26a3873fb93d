"""What a tenant signs, and what the catalogue says of a name wherever it says it: values over roles that were verified.

A tenant's file has a target "services/NAME" for each of its services, as bins have them, but for two things: whose
the service is, the role says and no field; and hosts have no targets of their own, a record lists them. Which of them
lead there, the operator's index says (`vmimage.tenants`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import DelegatedRole, Delegations, TargetFile, Targets

from vmimage.errors import PublisherError, VerificationError
from vmimage.holds import HOLDS_PATH, Holds
from vmimage.signed import load_metadata, refusing, sign
from vmimage.tenants import PATHS, SERVICES, Grant, delegation, holder, tenant_path, tenant_role
from vmimage.trust import (
    OFFLINE_LIFETIME,
    ServiceRecord,
    Trust,
    history_of,
    host_path,
    make_targets,
    parse_entry,
    parse_target,
    service_path,
)

SERVICES_MAX: Final = 1000  # of one tenant: 0.5 MB, 5 ms to parse and verify


def verify_tenant(bin_: Targets | None, tenant: str, data: bytes) -> Targets:
    """A tenant's file, signed as its bin says, every entry of it well-formed.

    :param bin_: that delegates to it, verified.
    :raises VerificationError: otherwise.
    """
    role = tenant_role(tenant)
    if bin_ is None or delegation(bin_, tenant) is None:
        raise VerificationError(f"{role}: a tenant that the operator has added expected")
    metadata = load_metadata(Targets, data)
    with refusing(role):
        bin_.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    signed = metadata.signed
    if signed.delegations is not None:
        raise VerificationError(f"{role}: no further delegations expected")
    if len(signed.targets) > SERVICES_MAX:
        raise VerificationError(f"{role}: at most {SERVICES_MAX} services expected, got {len(signed.targets)}")
    entries_of(tenant, signed)
    return signed


def entries_of(tenant: str, signed: Targets) -> dict[str, ServiceRecord]:
    """What a tenant's file says, by the path of each service and of each host that a service lists.

    :raises VerificationError: an entry is malformed, or two services list one host.
    """
    entries: dict[str, ServiceRecord] = {}
    for path, target in signed.targets.items():
        record = parse_target(path, target)
        if not path.startswith(SERVICES) or record.owner:
            raise VerificationError(f"{path[:300]}: a service expected, and no field that says whose it is")
        record = owned(record, tenant)
        for each in (path, *map(host_path, record.hosts)):
            if each in entries:
                raise VerificationError(f"{each}: one service of {tenant} expected, got two")
            entries[each] = record
    return entries


def owned(record: ServiceRecord, tenant: str) -> ServiceRecord:
    """A record as a tenant's."""
    return replace(record, owner=tenant if tenant != record.service else "")


def tenant_target(record: ServiceRecord, history: tuple[str, ...]) -> TargetFile:
    """The entry that says `record` in the file of its tenant.

    :raises PublisherError: a name or host that cannot be published.
    """
    return make_targets(replace(record, owner=""), history)[service_path(record.service)]


def sign_tenant(
    tenant: str,
    previous: Targets | None,
    changes: Mapping[str, TargetFile | None],
    signers: Sequence[Signer],
    now: datetime,
) -> bytes:
    """The next version of a tenant's file: `previous` with `changes` by path, None removing one.

    :raises PublisherError: it would hold more than SERVICES_MAX services.
    """
    targets = {**(previous.targets if previous else {}), **changes}
    kept = {path: target for path, target in sorted(targets.items()) if target is not None}
    if len(kept) > SERVICES_MAX:
        raise PublisherError(
            f"at most {SERVICES_MAX} services of tenant {tenant} expected, got {len(kept)}: withdrawn ones count; ask "
            "the operator for a second tenant"
        )
    version = previous.version + 1 if previous else 1
    return sign(Targets(version=version, expires=now + OFFLINE_LIFETIME, targets=kept), *signers)


def with_tenant(bin_: Targets | None, tenant: str, keys: Iterable[Key], threshold: int) -> Delegations | None:
    """What a bin delegates once a tenant has these keys; without keys there is no such tenant any more."""
    before = bin_.delegations if bin_ is not None else None
    roles = dict(before.roles or {}) if before is not None else {}
    known = {**(before.keys if before is not None else {}), **{key.keyid: key for key in keys}}
    keyids = [key.keyid for key in keys]
    roles.pop(tenant_role(tenant), None)
    if keyids:
        roles[tenant_role(tenant)] = DelegatedRole(tenant_role(tenant), keyids, threshold, True, list(PATHS))
    used = {keyid for role in roles.values() for keyid in role.keyids}
    return Delegations({keyid: known[keyid] for keyid in sorted(used)}, roles) if roles else None


class Book:
    """What one state of the catalogue says of any path: whose it is, and the record."""

    def __init__(self, trust: Trust, role: Callable[[str], Targets | None]) -> None:
        """:param role: a bin or a tenant's file by role name, verified; None where there is none."""
        self.trust, self.role = trust, role
        self._of_tenants: dict[str, Mapping[str, ServiceRecord]] = {}

    def bin(self, path: str) -> Targets | None:
        """The bin of a path."""
        return self.role(self.trust.bin_of(path))

    def entry(self, path: str) -> ServiceRecord | Grant | Holds | None:
        """What the bin of a path says of it."""
        bin_ = self.bin(path)
        target = bin_.targets.get(path) if bin_ is not None else None
        return parse_entry(path, target) if target is not None else None

    def holds(self) -> Holds:
        """What is held."""
        entry = self.entry(HOLDS_PATH)
        return entry if isinstance(entry, Holds) else Holds()

    def delegation(self, tenant: str) -> DelegatedRole | None:
        """Who signs for a tenant, None when there is none of this name."""
        return delegation(self.bin(tenant_path(tenant)), tenant)

    def holder(self, path: str) -> str | None:
        """The tenant that may say what a path is, None where it is the operator or nobody."""
        tenant = holder(path, self.entry(path))
        return tenant if tenant is not None and self.delegation(tenant) is not None else None

    def record(self, path: str) -> ServiceRecord | None:
        """What the path of a service or a host is, None when it is nothing."""
        entry = self.entry(path)
        tenant = holder(path, entry)
        if tenant is not None:
            return self._entries(tenant).get(path)
        return entry if isinstance(entry, ServiceRecord) else None

    def history(self, service: str) -> tuple[str, ...]:
        """Digests of earlier images of a service, the newest last."""
        path = service_path(service)
        tenant = self.holder(path)
        signed = self.role(tenant_role(tenant)) if tenant is not None else self.bin(path)
        target = signed.targets.get(path) if signed is not None else None
        return history_of(target) if target is not None else ()

    def images(self, service: str) -> tuple[str, ...]:
        """Digests of the images that a service has or had: the present one, a candidate, earlier ones."""
        record = self.record(service_path(service))
        if record is None:
            return ()
        candidate = () if record.candidate is None else (record.candidate.digest,)
        return (record.manifest_digest, *candidate, *self.history(service))

    def _entries(self, tenant: str) -> Mapping[str, ServiceRecord]:
        if tenant not in self._of_tenants:
            known = self.delegation(tenant) is not None
            signed = self.role(tenant_role(tenant)) if known else None
            self._of_tenants[tenant] = entries_of(tenant, signed) if signed is not None else {}
        return self._of_tenants[tenant]
