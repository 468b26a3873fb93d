"""Publishing, as decisions without I/O: which requests to send to an origin, in which order, and what to sign.

Each public function is a generator. It yields a group of requests that may be sent in any order or at once, receives
their responses in the same order, and returns what came of it; `origin/publish/client.py` carries it out. The order is
the safety: blobs, then manifests (bases first), then, in one request, every bin that changes. The origin makes that
last one visible at once or not at all, so whoever stops in between leaves the old versions served.
"""

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from securesystemslib.signer import Signer
from tuf.api.metadata import MetaFile, TargetFile, Targets

from origin.model.exchange import TIMESTAMP_FILE, Request, Response, expect, is_present, upload_request
from origin.model.publication import Publication
from origin.publish.chain import Warn, newest
from origin.publish.upload_disks import upload_disks
from origin.publish.written import Choice, decide
from vmimage.archive import ImageBundle, checked_layers
from vmimage.drives import DriveRef
from vmimage.errors import OriginError, PublisherError, VerificationError
from vmimage.manifest import MANIFEST_TYPE, REPOSITORY, Blob, ImageManifest, digest_of, parse_manifest
from vmimage.trust import (
    ServiceRecord,
    Trust,
    history_of,
    host_path,
    make_targets,
    parse_target,
    service_path,
    sign_bin,
)

PROBE_BYTES: Final = 64 << 10  # a blob from this size on is asked for before it is sent
CONFLICTS_BORNE: Final = 5  # other publishers who were first; each costs reading and signing again


Exchange = Generator[Sequence[Request], Sequence[Response], list[ServiceRecord]]
_Meta = Mapping[str, MetaFile]
_ReadMeta = Generator[Sequence[Request], Sequence[Response], _Meta]
_ReadBins = Generator[Sequence[Request], Sequence[Response], dict[str, Targets]]
_ReadDisks = Generator[Sequence[Request], Sequence[Response], dict[str, tuple[DriveRef, ...]]]
_Upload = Generator[Sequence[Request], Sequence[Response], None]


def publish(
    publications: Sequence[Publication],
    trust: Trust,
    signer: Signer,
    now: datetime,
    written: Choice | None = None,
    warn: Warn = lambda _: None,
) -> Exchange:
    """Make every service of `publications` what it shall be, all at one instant.

    Returns the services' records. A service that already is as wanted keeps its version.

    :param written: what becomes of pages that services wrote to disks whose base is another now, see
        `origin.publish.written`.
    :param warn: called with a line for each role that ends soon.
    :raises PublisherError: a name or host that cannot be published, or is taken; a token that is refused; keys that
        edges do not trust, or not any more.
    :raises OriginError: answers that were not expected.
    :raises VerificationError: the origin's metadata are not signed as `trust` says.
    """
    names = [publication.service for publication in publications]
    if len(set(names)) != len(names):
        raise PublisherError("each service once expected, got one twice: take one of its lines away")
    trust = yield from newest(trust, signer, now, warn)
    images = {i.manifest.digest: i for publication in publications for i in publication.images}
    yield from upload_disks(disk for publication in publications for disk in publication.disks)
    yield from _upload(images)
    manifests = {digest: image.manifest for digest, image in images.items()}
    sizes = {digest: len(manifest.to_bytes()) for digest, manifest in manifests.items()}
    wanted = {
        p.service: _Wanted(
            p.image, sizes[p.image], p.hosts, p.tenant, manifests[p.image].snapshot, manifests[p.image].disks
        )
        for p in publications
    }
    return (yield from _point(wanted, trust, signer, now, written))


def rollback(
    service: str,
    to: int | None,
    trust: Trust,
    signer: Signer,
    now: datetime,
    written: Choice | None = None,
    warn: Warn = lambda _: None,
) -> Exchange:
    """Point `service` at an earlier image again, as a new version.

    :param to: version whose image it was; None for the one before the present.
    :param written, warn: as for `publish`.
    :raises PublisherError: no such service or version.
    :raises OriginError: the origin no longer has that image.
    """
    trust = yield from newest(trust, signer, now, warn)
    meta = yield from _read_snapshot(trust)
    bins = yield from _read_bins(trust, meta, [service_path(service)])
    target = _find(bins, trust, service_path(service))
    if target is None:
        raise PublisherError(f"a published service expected, got {service!r}: check the name, or publish it first")
    record, history = parse_target(target.path, target), history_of(target)
    oldest = record.version - len(history)
    version = record.version - 1 if to is None else to
    if not oldest <= version < record.version:
        if not history:
            raise PublisherError(f"an earlier version of {service} expected, got its first: publish another one before")
        had = f"{oldest} to {record.version - 1}"
        raise PublisherError(
            f"a version of {service} to go back to expected, got {to}: name one that is kept ({had}) with --to"
        )
    digest = history[version - oldest]
    [response] = yield [Request("GET", f"/v2/{REPOSITORY}/manifests/{digest}")]
    expect(response, 200, f"manifest {digest}")
    manifest = _manifest(digest, response.body)
    snapshot, disks = manifest.snapshot, manifest.disks
    wanted = {service: _Wanted(digest, len(response.body), record.hosts, record.owner, snapshot, disks)}
    return (yield from _point(wanted, trust, signer, now, written))


@dataclass(frozen=True, slots=True)
class _Wanted:
    digest: str
    size: int
    hosts: tuple[str, ...]
    tenant: str
    snapshot: Blob
    disks: tuple[DriveRef, ...]


def _upload(images: Mapping[str, ImageBundle]) -> _Upload:
    """Bring every image to the origin that it does not have."""
    asked = list(images)
    responses = yield [Request("HEAD", f"/v2/{REPOSITORY}/manifests/{digest}") for digest in asked]
    missing = [images[digest] for digest, response in zip(asked, responses, strict=True) if not is_present(response)]
    blobs: dict[str, bytes] = {}
    for image in missing:
        blobs |= checked_layers(image)  # the config travels in the manifest
    large = [digest for digest, data in blobs.items() if len(data) >= PROBE_BYTES]
    if large:
        responses = yield [Request("HEAD", f"/v2/{REPOSITORY}/blobs/{digest}") for digest in large]
        for digest, response in zip(large, responses, strict=True):
            if is_present(response):
                del blobs[digest]
    for response in (yield [upload_request(digest, data) for digest, data in blobs.items()]):
        expect(response, 201, "blob")
    for kind in ("base", "derived"):
        manifests = [image.manifest for image in missing if image.manifest.kind == kind]
        responses = yield [
            Request("PUT", f"/v2/{REPOSITORY}/manifests/{manifest.digest}", manifest.to_bytes(), MANIFEST_TYPE)
            for manifest in manifests
        ]
        for response in responses:
            expect(response, 201, "manifest")


def _point(
    wanted: Mapping[str, _Wanted], trust: Trust, signer: Signer, now: datetime, written: Choice | None
) -> Exchange:
    """Sign and submit the bins that say `wanted`, again if another publisher was first."""
    for _ in range(CONFLICTS_BORNE):
        meta = yield from _read_snapshot(trust)
        bins = yield from _read_bins(trust, meta, map(service_path, wanted))
        hosts = {host for want in wanted.values() for host in want.hosts}
        for service in wanted:
            target = _find(bins, trust, service_path(service))
            hosts |= set(parse_target(target.path, target).hosts) if target else set()
        bins |= yield from _read_bins(trust, meta, map(host_path, hosts))
        old = yield from _read_disks(wanted, bins, trust)
        records, changes = _compose(wanted, bins, trust, old, written)
        if not changes:
            return records
        roles: dict[str, dict[str, TargetFile | None]] = {}
        for path, change in changes.items():
            roles.setdefault(trust.bin_of(path), {})[path] = change
        signed = {role: sign_bin(bins.get(role), change, signer, now) for role, change in roles.items()}
        body = json.dumps({role: data.decode() for role, data in signed.items()}).encode()
        [response] = yield [Request("POST", "/tuf/roles", body, "application/json")]
        if response.status != 409:
            expect(response, 201, "catalogue")
            return records
    raise OriginError(
        f"catalogue: a moment without other publishers expected, got {CONFLICTS_BORNE} conflicts: run it again"
    )


def _read_disks(wanted: Mapping[str, _Wanted], bins: Mapping[str, Targets], trust: Trust) -> _ReadDisks:
    """The disks of images that are replaced, by manifest digest, as far as services may have written to them."""
    digests = set()
    for service, want in wanted.items():
        target = _find(bins, trust, service_path(service))
        before = parse_target(target.path, target) if target else None
        writes = any(ref.kind == "cow" for ref in want.disks) or (before is not None and before.written)
        if before is not None and writes and before.manifest_digest != want.digest:
            digests.add(before.manifest_digest)
    asked = sorted(digests)
    responses = yield [Request("GET", f"/v2/{REPOSITORY}/manifests/{digest}") for digest in asked]
    found = {}
    for digest, response in zip(asked, responses, strict=True):
        if response.status != 404:
            expect(response, 200, f"manifest {digest}")
            found[digest] = _manifest(digest, response.body).disks
    return found


def _manifest(digest: str, data: bytes) -> ImageManifest:
    if digest_of(data) != digest:
        raise VerificationError(f"manifest {digest} expected, got {digest_of(data)}")
    return parse_manifest(data)


def _compose(
    wanted: Mapping[str, _Wanted],
    bins: Mapping[str, Targets],
    trust: Trust,
    disks: Mapping[str, tuple[DriveRef, ...]],
    written: Choice | None,
) -> tuple[list[ServiceRecord], dict[str, TargetFile | None]]:
    """The records that follow from `wanted`, and the entries that change, None for one that goes."""
    owners: dict[str, str] = {}
    for service, want in wanted.items():
        for path in map(host_path, want.hosts):
            if owners.setdefault(path, service) != service:
                raise PublisherError(
                    f"{path}: one service expected, got {owners[path]} and {service}: give the host to one of them"
                )
            other = _find(bins, trust, path)
            owner = parse_target(path, other).service if other else service
            if owner != service and owner not in wanted:
                raise PublisherError(
                    f"{path}: a free host expected, got one that service {owner} has: "
                    "publish that one with other hosts first, or choose another"
                )
    records: list[ServiceRecord] = []
    removed: set[str] = set()
    added: dict[str, TargetFile] = {}
    for service, want in wanted.items():
        old = _find(bins, trust, service_path(service))
        before = parse_target(old.path, old) if old else None
        if before and not want.hosts:
            want = replace(want, hosts=before.hosts)
        owner = (want.tenant or (before.owner if before else "")) if want.tenant != service else ""
        if before and (before.manifest_digest, before.hosts, before.owner) == (want.digest, want.hosts, owner):
            records.append(before)
            continue
        history = (*history_of(old), before.manifest_digest) if old and before else ()
        version = before.version + 1 if before else 1
        same = before is not None and before.manifest_digest == want.digest
        old_disks = want.disks if same else disks.get(before.manifest_digest) if before else None
        places = decide(before, old_disks, want.disks, written, service)
        record = ServiceRecord(service, want.hosts, want.digest, want.size, version, owner, want.snapshot, places)
        removed |= set(map(host_path, before.hosts)) if before else set()
        added |= make_targets(record, history)
        records.append(record)
    return records, {**dict.fromkeys(removed), **added}


def _read_snapshot(trust: Trust) -> _ReadMeta:
    """What the origin's present snapshot says of each role's file."""
    [response] = yield [Request("GET", f"/tuf/{TIMESTAMP_FILE}")]
    expect(response, 200, "timestamp")
    version = trust.verify_timestamp(response.body).snapshot_meta.version
    [response] = yield [Request("GET", f"/tuf/{version}.snapshot.json")]
    expect(response, 200, "snapshot")
    return trust.verify_snapshot(response.body).meta


def _read_bins(trust: Trust, meta: _Meta, paths: Iterable[str]) -> _ReadBins:
    """The bins that say what `paths` are, verified, by role name; one that does not exist yet is left out."""
    roles = sorted(role for role in {trust.bin_of(path) for path in paths} if f"{role}.json" in meta)
    responses = yield [Request("GET", f"/tuf/{meta[f'{role}.json'].version}.{role}.json") for role in roles]
    bins = {}
    for role, response in zip(roles, responses, strict=True):
        expect(response, 200, role)
        bins[role] = trust.verify_bin(role, response.body)
    return bins


def _find(bins: Mapping[str, Targets], trust: Trust, path: str) -> TargetFile | None:
    targets = bins.get(trust.bin_of(path))
    return targets.targets.get(path) if targets else None
