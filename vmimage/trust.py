"""Who says which image a service is now: TUF roles as values. Nothing here reads a file, a socket or a clock.

    root ──> targets ──> bin-00 .. bin-ff     a publisher signs the bins; root and targets keys stay offline
      │                    └──> tenant-NAME   a tenant signs what is its own, see `vmimage.tenants`
      ├────> snapshot                         names the version and hash of each of these; the origin signs it
      └────> timestamp                        names the snapshot, for an hour; the origin signs it

A service is a target "services/<name>", each of its hosts a target "hosts/<host>". Their length and SHA-256 are those
of the image's manifest; "custom" says the rest. A service that is withdrawn keeps its target, without hosts and with
the time in "withdrawn": its name, its history and the number of its last version stay. A path's bin is the first bits
of its SHA-256 (TAP 15), which keeps bins small: an edge fetches and parses only those it needs. A bin that the snapshot
does not name holds nothing yet.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, NoReturn

from securesystemslib.signer import Signer
from tuf.api.metadata import (
    Delegations,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

from vmimage.abi import DISKS_MAX
from vmimage.canonical import Blob, is_disk_name
from vmimage.errors import PublisherError, VerificationError
from vmimage.holds import HOLDS_PATH, Holds, parse_holds
from vmimage.manifest import MANIFEST_MAX, is_digest, is_name
from vmimage.release import Candidate, candidate_value, is_time, parse_candidate, parse_snapshot
from vmimage.signed import S, load_metadata, refusing, sign
from vmimage.tenants import Grant, check_delegations, is_grant, parse_grant

KEY_ROLES: Final = ("root", "targets", "publisher", "snapshot", "timestamp")
OFFLINE_ROLES: Final = ("root", "targets")  # which several keys may have to sign
BIN_PREFIX: Final = "bin"
BIN_BITS: Final = 8  # 256 bins: with 100,000 services 800 entries each, and a snapshot of 33 kB
BIN_TARGETS_MAX: Final = 1000  # 4 ms to parse and verify, measured; above it a publisher needs more bins
HISTORY_MAX: Final = 10  # earlier images a service can be rolled back to
HOSTS_MAX: Final = 64  # of one service

# Sizes in bytes that a client accepts of each role's file.
ROOT_MAX: Final = 64 << 10
TIMESTAMP_MAX: Final = 16 << 10
SNAPSHOT_MAX: Final = 4 << 20  # 10,000 tenants and 4,096 bins: 1.9 MB
TARGETS_MAX: Final = 4 << 20

OFFLINE_LIFETIME: Final = timedelta(days=365)  # root, targets, bins: signed by hand
SNAPSHOT_LIFETIME: Final = timedelta(days=7)
TIMESTAMP_LIFETIME: Final = timedelta(hours=1)  # how long a frozen mirror can go unnoticed

_CUSTOM: Final = {"history", "hosts", "manifest", "service", "snapshot", "tenant", "version", "withdrawn", "written"}
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_BIN: Final = re.compile(rf"{BIN_PREFIX}-[0-9a-f]{{1,8}}", re.ASCII)  # also keeps role names fit for file names


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """What a verified target says: this service, on these hosts, is this image now."""

    service: str
    hosts: tuple[str, ...]
    manifest_digest: str
    manifest_size: int  # bytes
    version: int  # counts every change of the service: publish, rollback, hosts, withdrawal
    owner: str = ""  # the tenant, where it is not the service itself
    snapshot: Blob | None = None  # what the manifest will name as such: an edge may fetch both at once
    # By copy-on-write disk: the version since which edges keep what is written to it; 0 is before this was noted. A new
    # base under the same number takes the written pages over, another number begins without any.
    written: tuple[tuple[str, int], ...] = ()
    withdrawn: str = ""  # since when there is no such service any more, "YYYY-MM-DDTHH:MM:SSZ"; "": there is
    candidate: Candidate | None = None  # that a part of the visitors get (`vmimage.release`)

    def written_since(self, disk: str) -> int | None:
        """The version since which what is written to a disk is kept; None where nothing is said."""
        return dict(self.written).get(disk)

    @property
    def tenant(self) -> str:
        """Who shares CPU time, and a worker where that is wanted: services of one tenant compete with each other."""
        return self.owner or self.service


def follow(roots: Iterable[bytes], root: Root | None = None) -> Root:
    """The last of `roots`, each as the one before and itself demand (TUF specification 5.3).

    :param root: the one before them; without it the first is taken on trust.
    :raises VerificationError: a broken chain or a wrong signature.
    """
    for data in roots:
        candidate = load_metadata(Root, data)
        with refusing(f"root version {candidate.signed.version}"):
            for signer in (root, candidate.signed):
                if signer is not None:
                    signer.verify_delegate(Root.type, candidate.signed_bytes, candidate.signatures)
        if root is not None and candidate.signed.version != root.version + 1:
            raise VerificationError(f"root: version {root.version + 1} expected, got {candidate.signed.version}")
        root = candidate.signed
    if root is None:
        raise ValueError("at least one root expected")
    return root


def root_version(data: bytes) -> int:
    """The version that a root says it is.

    :raises VerificationError: no root.
    """
    return load_metadata(Root, data).signed.version


def targets_version(data: bytes) -> int:
    """The version that top-level targets say they are.

    :raises VerificationError: no targets.
    """
    return load_metadata(Targets, data).signed.version


def verify_top(root: Root, kind: type[S], data: bytes) -> S:
    """A top-level role, as `root` says who signs it.

    :raises VerificationError: another kind, or not signed so.
    """
    metadata = load_metadata(kind, data)
    with refusing(kind.type):
        root.verify_delegate(kind.type, metadata.signed_bytes, metadata.signatures)
    return metadata.signed


class Trust:
    """A verified root and top-level targets: checks whatever else is offered."""

    def __init__(self, roots: Iterable[bytes] | Root, targets: bytes) -> None:
        """Take the first of `roots` on trust, follow the rest version by version, and check `targets` by the last.

        :param roots: or the root that was arrived at before.

        :raises VerificationError: a broken chain, a wrong signature, or targets that delegate no bins.
        """
        self.root: Final = roots if isinstance(roots, Root) else follow(roots)
        self.targets: Final = verify_top(self.root, Targets, targets)
        delegations = self.targets.delegations
        if delegations is None or delegations.succinct_roles is None:
            raise VerificationError("targets: a delegation to hash bins expected, got none")
        self._bins: Final = delegations.succinct_roles

    def bin_of(self, path: str) -> str:
        """Name of the role that says what the target `path` is."""
        return self._bins.get_role_for_target(path)

    @property
    def bin_keys(self) -> tuple[int, tuple[str, ...]]:
        """Who may sign bins: how many of which keys, by identifier."""
        return self._bins.threshold, tuple(sorted(self._bins.keyids))

    def is_bin(self, role: str) -> bool:
        """Whether the publisher may sign a role of this name."""
        return _BIN.fullmatch(role) is not None and self._bins.is_delegated_role(role)

    def verify_bin(self, role: str, data: bytes) -> Targets:
        """A bin, signed by the publisher, every entry and every tenant of it well-formed and in the bin it belongs to.

        :raises VerificationError: otherwise.
        """
        if not self.is_bin(role):
            raise VerificationError(f"role: a delegated bin expected, got {role[:80]!r}")
        metadata = load_metadata(Targets, data)
        with refusing(role):
            self.targets.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        signed = metadata.signed
        check_delegations(signed.delegations, lambda path: self.bin_of(path) == role)
        for path, target in signed.targets.items():
            parse_entry(path, target)
            if self.bin_of(path) != role:
                raise VerificationError(f"{path}: expected in {self.bin_of(path)}, got it in {role}")
        return signed

    def verify_snapshot(self, data: bytes) -> Snapshot:
        """:raises VerificationError: not signed by the snapshot key."""
        return verify_top(self.root, Snapshot, data)

    def verify_timestamp(self, data: bytes) -> Timestamp:
        """:raises VerificationError: not signed by the timestamp key."""
        return verify_top(self.root, Timestamp, data)


def initial_metadata(
    signers: Mapping[str, Signer],
    now: datetime,
    bin_bits: int = BIN_BITS,
    further: Mapping[str, Sequence[Signer]] = MappingProxyType({}),
    threshold: int = 1,
) -> dict[str, bytes]:
    """Files "1.root.json" and "1.targets.json" that make the keys of `signers` (by KEY_ROLES) the trusted ones.

    :param bin_bits: of 2 ** bin_bits bins. :param further: keys of OFFLINE_ROLES, of which `threshold` sign each.
    """
    root = Root(expires=now + OFFLINE_LIFETIME, consistent_snapshot=True)
    for role in (Root.type, Targets.type, Snapshot.type, Timestamp.type):
        for signer in (signers[role], *further.get(role, ())):
            root.add_key(signer.public_key, role)
    for role in OFFLINE_ROLES:
        root.roles[role].threshold = threshold
    publisher = signers["publisher"].public_key
    bins = SuccinctRoles([publisher.keyid], 1, bin_bits, BIN_PREFIX)
    delegations = Delegations({publisher.keyid: publisher}, succinct_roles=bins)
    targets = Targets(expires=now + OFFLINE_LIFETIME, delegations=delegations)
    return {
        f"1.{each.type}.json": sign(each, signers[each.type], *further.get(each.type, ())) for each in (root, targets)
    }


def sign_bin(
    previous: Targets | None,
    changes: Mapping[str, TargetFile | None],
    signer: Signer,
    now: datetime,
    delegations: Delegations | Literal["as before"] | None = "as before",
) -> bytes:
    """The next version of a bin: `previous` with `changes` by path, None removing one.

    :param delegations: to tenants, see `vmimage.tenants`.
    :raises PublisherError: the bin would hold more than BIN_TARGETS_MAX entries.
    """
    targets = {**(previous.targets if previous else {}), **changes}
    kept = {path: target for path, target in sorted(targets.items()) if target is not None}
    if len(kept) > BIN_TARGETS_MAX:
        raise PublisherError(
            f"at most {BIN_TARGETS_MAX} services and hosts in a bin expected, got {len(kept)}: "
            "ask the operator for an origin with more room"
        )
    version = previous.version + 1 if previous else 1
    if delegations == "as before":
        delegations = previous.delegations if previous else None
    expires = now + OFFLINE_LIFETIME
    return sign(Targets(version=version, expires=expires, targets=kept, delegations=delegations), signer)


def sign_snapshot(previous: Snapshot | None, roles: Mapping[str, MetaFile], signer: Signer, now: datetime) -> bytes:
    """The next snapshot: `previous` with the files of `roles` by role name."""
    meta = dict(previous.meta) if previous else {}
    meta |= {f"{role}.json": file for role, file in roles.items()}
    version = previous.version + 1 if previous else 1
    return sign(Snapshot(version=version, expires=now + SNAPSHOT_LIFETIME, meta=meta), signer)


def sign_timestamp(
    previous: Timestamp | None, snapshot: MetaFile, signer: Signer, now: datetime, lifetime: timedelta
) -> bytes:
    """The next timestamp, naming `snapshot` for `lifetime` from `now`; what others say in it stays."""
    version, also = (previous.version + 1, dict(previous.unrecognized_fields)) if previous else (1, {})
    return sign(Timestamp(version, None, now + lifetime, snapshot, also), signer)


def meta_file(version: int, data: bytes) -> MetaFile:
    """What a role says of another role's file: version, length and SHA-256."""
    return MetaFile.from_data(version, data, ["sha256"])


def service_path(service: str) -> str:
    """Target path of a service."""
    return f"services/{service}"


def host_path(host: str) -> str:
    """Target path of a host."""
    return f"hosts/{host}"


def is_host(text: str) -> bool:
    """Whether `text` is a host name as catalogues hold it: lower case, no port, no final dot."""
    return _HOST.fullmatch(text) is not None and ".." not in text


def make_targets(record: ServiceRecord, history: tuple[str, ...]) -> dict[str, TargetFile]:
    """The entries by path that say `record`; `history` is the digests of earlier images, newest last.

    :raises PublisherError: a name or host that cannot be published.
    """
    for host in record.hosts:
        if not is_host(host):
            expected = "a host name in lower case, without port or wildcard, expected"
            raise PublisherError(f"service cannot be published: {expected}, got {host!r}: name it so with --host")
    targets = {}
    for path in (service_path(record.service), *map(host_path, record.hosts)):
        custom: dict[str, object] = {
            "hosts": list(record.hosts),
            "manifest": record.manifest_digest,
            "service": record.service,
            "version": record.version,
        }
        if record.owner:
            custom["tenant"] = record.owner
        if record.snapshot is not None:
            custom["snapshot"] = {"digest": record.snapshot.digest, "size": record.snapshot.size}
        if record.written:
            custom["written"] = dict(record.written)
        if record.withdrawn:
            custom["withdrawn"] = record.withdrawn
        if path == service_path(record.service):
            custom["history"] = list(history[-HISTORY_MAX:])
        sha256 = record.manifest_digest.removeprefix("sha256:")
        beside = {"candidate": candidate_value(record.candidate)} if record.candidate is not None else {}
        targets[path] = TargetFile(record.manifest_size, {"sha256": sha256}, path, {"custom": custom, **beside})
    try:
        for path, target in targets.items():
            parse_target(path, target)
    except VerificationError as error:
        raise PublisherError(f"service cannot be published: {error}: change what the message names") from None
    return targets


def parse_target(path: str, target: TargetFile) -> ServiceRecord:
    """The record a target entry holds.

    :raises VerificationError: malformed, or the entry of another service or host.
    """
    custom = target.custom
    if not isinstance(custom, dict) or not custom.keys() <= _CUSTOM:
        _refuse(path, "custom with hosts, manifest, service, version", custom)
    service, hosts, digest, version = (custom.get(key) for key in ("service", "hosts", "manifest", "version"))
    if not isinstance(service, str) or not is_name(service):
        _refuse(path, "a service named by 1 to 63 of a-z 0-9 . _ -", service)
    if (
        not isinstance(hosts, list)
        or len(hosts) > HOSTS_MAX
        or not all(isinstance(h, str) and is_host(h) for h in hosts)
    ):
        _refuse(path, f"at most {HOSTS_MAX} lower-case host names", hosts)
    if path != service_path(service) and path not in map(host_path, hosts):
        _refuse(path, "the entry of this service or of one of its hosts", f"{service} on {hosts}")
    if not isinstance(digest, str) or not is_digest(digest) or target.hashes != {"sha256": digest[7:]}:
        _refuse(path, "one manifest digest that equals the target's hash", digest)
    if type(version) is not int or version < 1 or not 0 < target.length <= MANIFEST_MAX:
        _refuse(path, "a version from 1 and a manifest length within its limit", (version, target.length))
    _check_history(path, custom.get("history", []))
    owner = custom.get("tenant", "")
    if not isinstance(owner, str) or (owner and not is_name(owner)):
        _refuse(path, "a tenant named by 1 to 63 of a-z 0-9 . _ -", owner)
    snapshot = parse_snapshot(path, custom["snapshot"]) if "snapshot" in custom else None
    written = _parse_written(path, custom["written"], version) if "written" in custom else ()
    withdrawn = custom.get("withdrawn", "")
    if "withdrawn" in custom and (hosts or not is_time(withdrawn)):
        _refuse(path, "a time such as 2026-01-31T10:00:00Z, and no hosts", (withdrawn, hosts))
    beside = target.unrecognized_fields.get("candidate")
    candidate = parse_candidate(path, beside) if beside is not None else None
    if candidate is not None and (withdrawn or candidate.digest == digest):
        _refuse(path, "a candidate of a service that is there, with another image,", candidate.digest)
    about = digest, target.length, version, owner, snapshot, written, withdrawn, candidate
    return ServiceRecord(service, tuple(hosts), *about)


def parse_entry(path: str, target: TargetFile) -> ServiceRecord | Grant | Holds:
    """What an entry of a bin says: what a service is, or whose its name or host, or what is held.

    :raises VerificationError: malformed.
    """
    if path == HOLDS_PATH:
        return parse_holds(target)
    if not is_grant(target):
        return parse_target(path, target)
    kind, _, name = path.partition("/")
    if not (kind == "services" and is_name(name)) and not (kind == "hosts" and is_host(name)):
        _refuse(path, "the name of a service or a host", name)
    return parse_grant(path, target)


def _parse_written(path: str, value: object, version: int) -> tuple[tuple[str, int], ...]:
    named = value.items() if isinstance(value, dict) and len(value) <= DISKS_MAX else ()
    if named and all(is_disk_name(disk) and type(since) is int and 0 <= since <= version for disk, since in named):
        return tuple(sorted(named))
    _refuse(path, f"a version up to {version} for each of at most {DISKS_MAX} disks", value)


def history_of(target: TargetFile) -> tuple[str, ...]:
    """Digests of earlier images in a parsed service entry, newest last: the last is of version - 1, and so on down."""
    return tuple(target.custom.get("history", ()))


def _check_history(path: str, history: object) -> None:
    if not isinstance(history, list) or len(history) > HISTORY_MAX:
        _refuse(path, f"a history of at most {HISTORY_MAX}", history)
    if not all(isinstance(digest, str) and is_digest(digest) for digest in history):
        _refuse(path, "a history of digests", history)


def _refuse(path: str, expected: str, got: object) -> NoReturn:
    raise VerificationError(f"{path[:300]}: {expected} expected, got {str(got)[:200]}")
