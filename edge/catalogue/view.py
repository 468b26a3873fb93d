"""One state of the catalogue as an edge believes it: verified roles as values, and what may follow upon what.

A view's bins and its tenants' files are loaded one by one, as names in them are asked for. What fetches them and when
is `edge.catalogue.catalogue`'s business.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from tuf.api.metadata import DelegatedRole, MetaFile, Snapshot, Targets

from edge.catalogue.metadata import still_signed, translated
from vmimage.errors import VerificationError
from vmimage.holds import HOLDS_PATH, Holds
from vmimage.renewal import expiries
from vmimage.tenancy import entries_of, verify_tenant
from vmimage.tenants import Grant, delegation, signers_of, tenant_of, tenant_path
from vmimage.trust import ServiceRecord, Trust, parse_entry

Entry = ServiceRecord | Grant | Holds


class Role(NamedTuple):
    """What a verified bin, or a tenant's file, says, and until when it may be taken anew."""

    entries: Mapping[str, Entry]
    expires: datetime
    delegator: Targets | None = None  # of a bin that has tenants: their keys, and nothing else
    signers: tuple[int, tuple[str, ...]] = (0, ())  # of a tenant's file: how many of which keys sign it

    def delegation(self, tenant: str) -> DelegatedRole | None:
        """Who signs for a tenant of this bin."""
        return delegation(self.delegator, tenant)


@dataclass(frozen=True)
class View:
    """One consistent state of the catalogue. `roles` grows; all else stays as it is."""

    trust: Trust
    snapshot: Snapshot
    timestamp_version: int
    expires: datetime
    signed: tuple[bytes, bytes]  # the timestamp and the snapshot, as they came
    roles: dict[str, Role] = field(default_factory=dict)

    def file(self, role: str) -> MetaFile | None:
        """What the snapshot says of a role's file, None when there is none."""
        return self.snapshot.meta.get(f"{role}.json")

    @property
    def bin_of_holds(self) -> str:
        """The role that says what is held."""
        return self.trust.bin_of(HOLDS_PATH)

    @property
    def knows_holds(self) -> bool:
        """Whether what is held is known here: a disk may have lost it."""
        role = self.bin_of_holds
        return role in self.roles or self.file(role) is None

    def roles_of(self, names: Collection[str]) -> list[str]:
        """Roles whose present files have these names, bins first."""
        roles = (
            name.removesuffix(".json") for name, file in self.snapshot.meta.items() if f"{file.version}.{name}" in names
        )
        return sorted(roles, key=lambda role: tenant_of(role) is not None)

    def bin_of_tenant(self, tenant: str) -> str:
        """The role that says who signs for a tenant."""
        return self.trust.bin_of(tenant_path(tenant))

    def expiries(self) -> dict[str, datetime]:
        """When what is signed by hand ends, by what it is called; of many the first of those that are loaded."""
        bins = [found.expires for role, found in self.roles.items() if is_bin(role)]
        tenants = [found.expires for role, found in self.roles.items() if not is_bin(role)]
        return expiries(self.trust, bins, tenants)


class Known(NamedTuple):
    """A role of one view on its way into the next."""

    role: Role
    bin: Role | None  # of a tenant's file: the bin that delegates to it in the next view
    same_keys: bool  # sign it in both views
    forward: bool  # its versions may not go back


def holds_of(bin_of_holds: Role | None) -> Holds:
    """What is held.

    :param bin_of_holds: that of `View.bin_of_holds`, None where there is none.
    """
    entry = bin_of_holds.entries.get(HOLDS_PATH) if bin_of_holds is not None else None
    return entry if isinstance(entry, Holds) else Holds()


def said(entry: Entry | None, holds: Holds, *, held: bool) -> ServiceRecord | None:
    """What an entry says of a service that is held, or of one that is not; None where it is another matter."""
    if not isinstance(entry, ServiceRecord):
        return None
    entry = pinned(entry, holds)
    return entry if bool(holds.reason(entry.manifest_digest, entry.service, entry.tenant)) is held else None


def pinned(record: ServiceRecord, holds: Holds) -> ServiceRecord:
    """A record without the candidate that is held, and with the image that the operator pins it to."""
    pin = holds.pins.get(record.service)
    if pin is not None and not record.withdrawn:
        same = pin.digest == record.manifest_digest
        snapshot = record.snapshot if same else None
        return replace(record, manifest_digest=pin.digest, manifest_size=pin.size, snapshot=snapshot, candidate=None)
    candidate = record.candidate
    if candidate is not None and holds.reason(candidate.digest, record.service, record.tenant):
        return replace(record, candidate=None)
    return record


def known_tenants(old: View, new: View, roles: Mapping[str, Role]) -> dict[str, Known]:
    """The files of tenants among what is known that go on into the next view, whose bins are there already.

    :raises VerificationError: one goes back a version, and no key of its tenant was taken away.
    """
    found: dict[str, Known] = {}
    for role, known in roles.items():
        tenant, before = tenant_of(role), old.file(role)
        bin_ = new.roles.get(new.bin_of_tenant(tenant)) if tenant is not None else None
        by = bin_.delegation(tenant) if bin_ is not None and tenant is not None else None
        if by is not None and before is not None:  # else it is a bin, or the operator has removed the tenant
            forward = not key_taken_away(known, by)
            if forward:
                refuse_older(role, before, new.file(role))
            found[role] = Known(known, bin_, signers_of(by) == known.signers, forward)
    return found


def as_before(known: Known) -> Role | None:
    """A tenant's file in the place of one that has ended: what was verified before stays, and is asked for again.

    None where a key of the tenant was taken away: what that has signed is forgotten.
    """
    return known.role._replace(signers=(0, known.role.signers[1])) if known.forward else None


def is_bin(role: str) -> bool:
    """Whether a role below the top-level targets is a bin, and not a tenant's file."""
    return tenant_of(role) is None


def verified(view: View, role: str, file: MetaFile, data: bytes, bin_: Role | None) -> Role:
    """What a bin or a tenant's file says, if it is the one that the snapshot names.

    :param bin_: of a tenant's file: the bin that delegates to it.
    :raises VerificationError: it is not.
    """
    with translated():
        file.verify_length_and_hashes(data)
    tenant = tenant_of(role)
    if tenant is None:
        signed = view.trust.verify_bin(role, data)
        entries: Mapping[str, Entry] = {p: parse_entry(p, t) for p, t in signed.targets.items()}
        delegator = Targets(delegations=signed.delegations) if signed.delegations is not None else None
        found = Role(entries, signed.expires, delegator)
    else:
        signed = verify_tenant(bin_.delegator if bin_ is not None else None, tenant, data)
        by = bin_.delegation(tenant) if bin_ is not None else None
        found = Role(entries_of(tenant, signed), signed.expires, signers=signers_of(by) if by is not None else (0, ()))
    if signed.version != file.version:
        raise VerificationError(f"{role}: version {file.version} expected, got {signed.version}")
    return found


def refuse_older_view(old: View, new: View, known: Collection[str]) -> None:
    """Versions go up.

    :param known: the bins of the old view that are loaded.
    :raises VerificationError: one went back, and no key that signed the present one was taken away.
    """
    if still_signed(new.trust.root, *old.signed) and (
        new.timestamp_version < old.timestamp_version or new.snapshot.version < old.snapshot.version
    ):
        raise VerificationError(f"snapshot {old.snapshot.version} expected, got {new.snapshot.version}")
    if old.trust.bin_keys != new.trust.bin_keys:
        return  # their versions too are what another key says
    for role in known:  # the publisher has signed these: no online key, old or new, may take them back
        if (before := old.file(role)) is not None:
            refuse_older(role, before, new.file(role))


def refuse_older(role: str, before: MetaFile, after: MetaFile | None) -> None:
    """Of a role whose keys are those that they were: its versions go up, whatever online keys sign.

    :raises VerificationError: they do not.
    """
    if after is None or after.version < before.version:
        got = after.version if after is not None else "none"
        raise VerificationError(f"{role}: version {before.version} or later expected, got {got}")


def refuse_older_services(before: Role, after: Role) -> None:
    """The same for each service in it.

    :raises VerificationError: a service has an earlier version, or the same with another image.
    """
    for path, old in before.entries.items():
        new = after.entries.get(path)
        if isinstance(old, ServiceRecord) and isinstance(new, ServiceRecord) and old.service == new.service:
            same = new.version == old.version
            if new.version < old.version or (same and new.manifest_digest != old.manifest_digest):
                raise VerificationError(f"{path}: a version after {old.version} expected, got {new.version}")


def key_taken_away(before: Role, after: DelegatedRole) -> bool:
    """Whether a key of a tenant is its no more: then what it has signed, however high its version, is forgotten."""
    return not set(before.signers[1]) <= set(after.keyids)
