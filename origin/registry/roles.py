"""The origin's part in trust: which newly signed roles may be published, and the snapshot and timestamp over them.

Decides and signs; writes nothing, and reads only what is published, through what its caller gave it. Whose the names
in bins and tenants' files are is `origin.registry.names`' business, whose keys sign the latter that of
`origin.registry.delegations`. The result is a list of files in the order they must be written: targets, bins and
tenants' files, then the snapshot, then a new root, then the timestamp, which alone makes the others count. Cut short
anywhere, the old state stands; behind a root that has taken its keys away the new one does (`resume`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, TypeVar

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from origin.model.exchange import TIMESTAMP_FILE
from origin.registry.delegations import changed_tenants, check_delegations, require_own
from origin.registry.names import Submitter, changed_names, changed_paths, check, require_held
from origin.registry.renewals import ROLES, Read, VersionConflict, renewed, require_all_bins
from vmimage.errors import OperatorError, VerificationError
from vmimage.renewal import ended, expiries
from vmimage.tenancy import Book, verify_tenant
from vmimage.tenants import tenant_of, tenant_path
from vmimage.trust import (
    OFFLINE_LIFETIME,
    SNAPSHOT_LIFETIME,
    SNAPSHOT_MAX,
    TARGETS_MAX,
    TIMESTAMP_LIFETIME,
    Trust,
    meta_file,
    sign_snapshot,
    sign_timestamp,
    verify_top,
)

VERSIONS_KEPT: Final = 100  # of each role's files: an edge in the middle of a refresh still finds the older ones
RENEWALS_PER_LIFETIME: Final = 6  # a timestamp is renewed when a sixth of its life is over, so five failures are borne

Files = list[tuple[str, bytes]]
_S = TypeVar("_S", Snapshot, Timestamp)


@dataclass(frozen=True)
class Online:
    """The keys that stay at the origin, and how long a timestamp lasts."""

    snapshot: Signer
    timestamp: Signer
    lifetime: timedelta = TIMESTAMP_LIFETIME


@dataclass(frozen=True)
class Published:
    """What edges are being told: the state the current timestamp names."""

    trust: Trust
    snapshot: Snapshot
    timestamp: Timestamp
    read: Read = field(default=lambda _: None, compare=False)  # files that are not in `held`
    held: Mapping[str, bytes] = field(default_factory=dict, compare=False)  # bins and tenants' files by role
    signed_before: bool = False  # by keys that the root has replaced since: it must be signed anew

    def version_of(self, role: str) -> int:
        """Version of a bin or a tenant's file, 0 when there is none yet."""
        file = self.snapshot.meta.get(f"{role}.json")
        return file.version if file else 0

    @property
    def bins(self) -> list[str]:
        """The bins that there are, by name."""
        return [role for role in self._roles if self.trust.is_bin(role)]

    @property
    def tenants(self) -> list[str]:
        """Roles of tenants that have published, by name; also of those that the operator has removed since."""
        return [role for role in self._roles if tenant_of(role) is not None]

    @property
    def _roles(self) -> Iterator[str]:
        return (name.removesuffix(".json") for name in self.snapshot.meta)

    def file(self, role: str) -> bytes | None:
        """A bin or a tenant's file as it is published, None when there is none yet.

        :raises OperatorError: the store does not have it any more, or not as it was published.
        """
        file = self.snapshot.meta.get(f"{role}.json")
        if file is None:
            return None
        data = self.held.get(role) or self.read(f"{file.version}.{role}.json")
        if data is None:
            raise OperatorError(
                f"{file.version}.{role}.json expected in the store, not there: restore the store from its backup"
            )
        try:
            file.verify_length_and_hashes(data)
        except (RepositoryError, ValueError) as error:
            raise _damaged(f"{file.version}.{role}.json", error) from None
        return data

    def signed(self, role: str) -> Targets | None:
        """What that says. Errors as `file`."""
        data = self.file(role)
        try:
            return Metadata[Targets].from_bytes(data).signed if data is not None else None
        except (RepositoryError, ValueError) as error:
            raise _damaged(f"{self.version_of(role)}.{role}.json", error) from None

    def all_signed(self) -> Iterator[Targets]:
        """Every bin and every tenant's file. Errors as `file`."""
        return (signed for role in (*self.bins, *self.tenants) if (signed := self.signed(role)) is not None)

    def expiries(self) -> dict[str, datetime]:
        """When what is signed by hand ends, as `vmimage.renewal.expiries`; of tenants, those that there are now."""
        bins: list[datetime] = []
        tenants: set[str] = set()
        for role in self.bins:
            if (signed := self.signed(role)) is not None:
                bins.append(signed.expires)
                tenants |= set((signed.delegations.roles or ()) if signed.delegations is not None else ())
        files = (self.signed(role) for role in self.tenants if role in tenants)
        return expiries(self.trust, bins, [signed.expires for signed in files if signed is not None])

    def book(self) -> Book:
        """What it says of paths; each role is read once. Errors as `file`."""
        return Book(self.trust, cache(self.signed))


def _damaged(name: str, error: Exception) -> OperatorError:
    return OperatorError(f"{name} as it was published expected: {error}: restore the store from its backup")


def first_roles(trust: Trust, targets: bytes, online: Online, now: datetime) -> tuple[Files, Published]:
    """The first state: no services."""
    snapshot = sign_snapshot(None, {"targets": meta_file(trust.targets.version, targets)}, online.snapshot, now)
    timestamp = sign_timestamp(None, meta_file(1, snapshot), online.timestamp, now, online.lifetime)
    return _files(
        Published(trust, trust.verify_snapshot(snapshot), trust.verify_timestamp(timestamp)), {}, snapshot, timestamp
    )


def resume(root: Root, read: Read, older: Sequence[Root] = ()) -> Published | None:
    """The state on disk through `read` (file name -> bytes), None when there is none.

    It is the one that the timestamp names. Where `root` does not lead to that one, the root came with another targets
    key, and what was to make the next state count did not come any more: that one was checked and is there, so it is
    taken, and signed anew.

    :param older: roots before `root`, by whose keys it may have been signed.
    :raises OperatorError: a file is missing, or not signed by the keys of any root.
    """
    encoded = read(TIMESTAMP_FILE)
    if encoded is None:
        return None
    try:
        timestamp, old_timestamp = signed_by_one(Timestamp, encoded, (root, *older))
        version = timestamp.snapshot_meta.version
        try:
            return _resumed(timestamp, old_timestamp, version, root, read, older)
        except VerificationError:
            if read(f"{version + 1}.snapshot.json") is None:
                raise
            return _resumed(timestamp, True, version + 1, root, read, older)
    except VerificationError as error:
        raise OperatorError(
            f"a store that belongs to these keys expected: {error}: "
            "name the store or the key folder that belong together"
        ) from None


def _resumed(
    timestamp: Timestamp, signed_before: bool, version: int, root: Root, read: Read, older: Sequence[Root]
) -> Published:
    """:param version: of the snapshot. :raises VerificationError: it is not there, or `root` does not lead to it."""
    snapshot, old = signed_by_one(Snapshot, _stored(read, f"{version}.snapshot.json"), (root, *older))
    targets = snapshot.meta.get("targets.json")
    if targets is None:
        raise VerificationError("snapshot: a version of targets expected, got none")
    trust = Trust(root, _stored(read, f"{targets.version}.targets.json"))
    return Published(trust, snapshot, timestamp, read, signed_before=signed_before or old)


def _stored(read: Read, name: str) -> bytes:
    data = read(name)
    if data is None:
        raise VerificationError(f"{name} expected, not there")
    return data


def signed_by_one(kind: type[_S], data: bytes, roots: Sequence[Root]) -> tuple[_S, bool]:
    """A role as the first of these roots that does verifies it, and whether that is not the first of them."""
    problem: VerificationError | None = None
    for root in roots:
        try:
            return verify_top(root, kind, data), root is not roots[0]
        except VerificationError as error:
            problem = problem or error
    raise problem or VerificationError(f"{kind.type}: a root expected, got none")


def accept(
    state: Published,
    submitted: Mapping[str, bytes],
    manifest_size: Callable[[str], int | None],
    online: Online,
    now: datetime,
    submitter: Submitter = Submitter(),  # noqa: B008  # a value
) -> tuple[Files, Published]:
    """Publish new bins and tenants' files, and new root or targets with them, all or none.

    :param submitted: signed metadata by role name.
    :param manifest_size: digest -> bytes of a manifest whose blobs are all here, else None.
    :param submitter: on whose behalf.
    :raises VersionConflict: one is not the successor of the present one.
    :raises NameRefused: a name is another's, or does not follow from what it was.
    :raises VerificationError: a wrong signature, a malformed entry, or a manifest that was not uploaded.
    """
    if not submitted:
        raise VerificationError("at least one role expected, got none")
    trust, signed_by_hand = renewed(state.trust, submitted, state.read, now, submitter)
    before, state = state, replace(state, trust=trust)
    require_all_bins(before.trust, trust, before.bins, submitted)
    roles: dict[str, MetaFile] = {}
    if (targets := submitted.get(Targets.type)) is not None:
        roles[Targets.type] = meta_file(trust.targets.version, targets)
    manifests: set[tuple[str, int]] = set()
    submitted = {role: data for role, data in submitted.items() if role not in ROLES}
    require_own(submitted, submitter)
    signed_before = cache(state.signed)
    new: dict[str, Targets] = {}
    for role, data in sorted(submitted.items(), key=lambda item: tenant_of(item[0]) is not None):  # bins first
        if len(data) > TARGETS_MAX:
            raise VerificationError(f"{role[:80]}: at most {TARGETS_MAX} bytes expected, got {len(data)}")
        tenant = tenant_of(role)
        if tenant is None:
            signed = state.trust.verify_bin(role, data)
        else:
            bin_ = state.trust.bin_of(tenant_path(tenant))
            signed = verify_tenant(new.get(bin_) or signed_before(bin_), tenant, data)
        if signed.version != state.version_of(role) + 1:
            raise VersionConflict(f"{role}: version {state.version_of(role) + 1} expected, got {signed.version}")
        least = _least_expiry(signed_before(role), now)
        if signed.expires < least:
            raise VerificationError(f"{role}: metadata that is good until {least} expected, got {signed.expires}")
        roles[role], new[role] = meta_file(signed.version, data), signed
        manifests |= _named(signed) - _named(signed_before(role))  # those were here, and stay as long as they are named
    for digest, length in sorted(manifests):
        size = manifest_size(digest)
        if size != length:
            raise VerificationError(f"manifest {digest} of {length} bytes expected at the origin, got {size}")
    _check_names(state, signed_before, new, submitted, submitter)
    for line in ended(expiries(trust), now) if not signed_by_hand else ():  # else one of several may come first
        raise VerificationError(line)
    snapshot = sign_snapshot(state.snapshot, roles, online.snapshot, now)
    if len(snapshot) > SNAPSHOT_MAX:
        raise VerificationError(f"a snapshot of at most {SNAPSHOT_MAX} bytes expected, got {len(snapshot)}")
    file = meta_file(state.snapshot.version + 1, snapshot)
    timestamp = sign_timestamp(state.timestamp, file, online.timestamp, now, online.lifetime)
    files, state = _files(state, submitted, snapshot, timestamp)
    return _in_order(signed_by_hand, files), state


def _named(signed: Targets | None) -> set[tuple[str, int]]:
    """Digests and bytes of manifests that edges are told to fetch."""
    return {
        (f"sha256:{target.hashes['sha256']}", target.length)
        for target in (signed.targets.values() if signed is not None else ())
        if target.length and not target.custom.get("withdrawn")
    }


def _in_order(signed_by_hand: Mapping[str, bytes], files: Files) -> Files:
    """:param files: of which the timestamp is the last. Edges follow a root as soon as it is there."""
    roots = [(name, data) for name, data in signed_by_hand.items() if name.endswith(f".{Root.type}.json")]
    targets = [(name, data) for name, data in signed_by_hand.items() if (name, data) not in roots]
    return [*targets, *files[:-1], *roots, files[-1]]


def _least_expiry(before: Targets | None, now: datetime) -> datetime:
    """Until when the next version of a bin must be good at least.

    It holds entries of many: who publishes one of them may not let all others end earlier than they would have. Half of
    a lifetime will do in any case, since publishers' clocks differ.
    """
    half = now + OFFLINE_LIFETIME / 2
    return half if before is None else max(now, min(before.expires, half))


def _check_names(
    state: Published,
    signed_before: Callable[[str], Targets | None],
    new: Mapping[str, Targets],
    submitted: Mapping[str, bytes],
    submitter: Submitter,
) -> None:
    """:param new: the roles that are submitted, verified."""
    before = Book(state.trust, signed_before)
    after = Book(state.trust, lambda role: new.get(role) or signed_before(role))
    names: list[str] = []
    tenants: list[str] = []
    for role, signed in new.items():
        tenant, old = tenant_of(role), signed_before(role)
        if tenant is None:
            names += changed_paths(old, signed)
            tenants += changed_tenants(old, signed)
        else:
            require_held(tenant, old, signed, after)
            names += changed_names(tenant, old, signed)
    check_delegations(tenants, after, lambda role: submitted.get(role) or state.file(role), submitter)
    check(names, before, after, submitter)


def renew(state: Published, online: Online, now: datetime) -> tuple[Files, Published]:
    """A fresh timestamp, over a fresh snapshot if half of the present one's life is over, or its key is another now."""
    if state.snapshot.expires - now > SNAPSHOT_LIFETIME / 2 and not state.signed_before:
        file = state.timestamp.snapshot_meta
        encoded = sign_timestamp(state.timestamp, file, online.timestamp, now, online.lifetime)
        return [(TIMESTAMP_FILE, encoded)], replace(state, timestamp=state.trust.verify_timestamp(encoded))
    snapshot = sign_snapshot(state.snapshot, {}, online.snapshot, now)
    file = meta_file(state.snapshot.version + 1, snapshot)
    timestamp = sign_timestamp(state.timestamp, file, online.timestamp, now, online.lifetime)
    return _files(state, {}, snapshot, timestamp)


def saying(timestamp: Timestamp, fields: Mapping[str, Any]) -> Timestamp:
    """One that says these beside the fields of TUF; the timestamps that follow upon it say them too."""
    changed = Timestamp.from_dict(timestamp.to_dict())
    changed.unrecognized_fields.update(fields)
    return changed


def take_up(
    before: Timestamp | None, version: int, snapshot: bytes, online: Online, now: datetime
) -> tuple[str, bytes]:
    """The timestamp over a snapshot that another origin signed, as a file.

    :param before: None where there is none yet.
    """
    file = meta_file(version, snapshot)
    return TIMESTAMP_FILE, sign_timestamp(before, file, online.timestamp, now, online.lifetime)


def due(state: Published, online: Online, now: datetime) -> bool:
    """Whether the timestamp should be renewed, by the clock as it is now, whatever it was."""
    return state.timestamp.expires - now <= online.lifetime - renew_after(online)


def renew_after(online: Online) -> timedelta:
    """How long to wait between renewals."""
    return online.lifetime / RENEWALS_PER_LIFETIME


def outdated(files: Files) -> list[str]:
    """Names of older versions that may go once `files` are written."""
    names = []
    for name, _ in files:
        version, _, role = name.partition(".")
        if version.isdigit() and int(version) > VERSIONS_KEPT and role != "root.json":  # edges follow every root
            names.append(f"{int(version) - VERSIONS_KEPT}.{role}")
    return names


def _files(
    before: Published, signed: Mapping[str, bytes], snapshot: bytes, timestamp: bytes
) -> tuple[Files, Published]:
    trust = before.trust
    state = replace(
        before,
        snapshot=trust.verify_snapshot(snapshot),
        timestamp=trust.verify_timestamp(timestamp),
        held={**before.held, **signed},
        signed_before=False,
    )
    files = [(f"{state.version_of(role)}.{role}.json", data) for role, data in signed.items()]
    files += [(f"{state.snapshot.version}.snapshot.json", snapshot), (TIMESTAMP_FILE, timestamp)]
    return files, state
