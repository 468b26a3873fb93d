"""Entries of the catalogue: what services shall be, composed with what they are, signed, and submitted. No I/O.

Whoever changes a service says by a function what follows from the records that are published (`Revise`), so that a
change which another publisher's came before is decided anew from what that one left, and undoes nothing of it.
"""

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from securesystemslib.signer import Signer
from tuf.api.metadata import MetaFile, Snapshot, TargetFile, Targets

from origin.model.exchange import TIMESTAMP_FILE, Request, Response, expect
from origin.publish.written import Choice, Written, decide
from vmimage.drives import DriveRef
from vmimage.errors import OriginError, PublisherError, VerificationError
from vmimage.manifest import REPOSITORY, Blob, ImageManifest, digest_of, parse_manifest
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

CONFLICTS_BORNE: Final = 5  # other publishers who were first; each costs reading and signing again

Exchange = Generator[Sequence[Request], Sequence[Response], list[ServiceRecord]]
Meta = Mapping[str, MetaFile]
ReadSnapshot = Generator[Sequence[Request], Sequence[Response], Snapshot]
ReadBins = Generator[Sequence[Request], Sequence[Response], dict[str, Targets]]
ReadManifest = Generator[Sequence[Request], Sequence[Response], ImageManifest]
Hosts = Callable[[tuple[str, ...]], tuple[str, ...]]  # those that a service shall have, from those that it has
_Disks = Mapping[str, tuple[DriveRef, ...]]
_ReadDisks = Generator[Sequence[Request], Sequence[Response], _Disks]
_Look = Generator[Sequence[Request], Sequence[Response], None]
_Composed = tuple[dict[str, Targets], list[ServiceRecord], dict[str, TargetFile | None]]  # bins, records, changes


@dataclass(frozen=True, slots=True)
class Image:
    """An image as the catalogue names it."""

    digest: str
    size: int  # bytes of its manifest
    snapshot: Blob | None
    disks: tuple[DriveRef, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a service shall be."""

    image: Image | None = None  # None: the one that it has
    hosts: Hosts = tuple
    tenant: str = ""  # whose it shall be; "": whose it is
    withdrawn: str = ""  # since when; "": it is there
    # What the record says of copy-on-write disks, by the record's version; None: what follows from both images.
    written: Callable[[int], Written] | None = None


Records = Mapping[str, ServiceRecord | None]  # by service, None where there is none
Revise = Callable[[Records], Mapping[str, Wanted]]


def image_of(manifest: ImageManifest, size: int) -> Image:
    """:param size: of the manifest in bytes."""
    return Image(manifest.digest, size, manifest.snapshot, manifest.disks)


class Entries:
    """The entries of one origin, as one publisher changes them."""

    def __init__(self, trust: Trust, signer: Signer, now: datetime, choice: Choice | None = None) -> None:
        """:param choice: what becomes of what services wrote to disks whose base is another now."""
        self._trust, self._signer, self._now, self._choice = trust, signer, now, choice
        self._bins: dict[str, Targets] = {}  # by file, which never changes
        self._disks: dict[str, tuple[DriveRef, ...]] = {}  # by image
        self._seen: tuple[int, Revise, _Composed] | None = None  # what came of which snapshot the last time

    def look(self, services: Sequence[str], revise: Revise) -> _Look:
        """Find what would be refused as things stand now; nothing is sent.

        :raises PublisherError: as `point`.
        """
        yield from self._look(services, revise)

    def point(self, services: Sequence[str], revise: Revise) -> Exchange:
        """Sign and submit the bins that say what `revise` does of `services`, again if another publisher was first.

        :return: the records of these services.
        :raises PublisherError: a name or host that cannot be published, or is another's.
        """
        for _ in range(CONFLICTS_BORNE):
            bins, records, changes = yield from self._look(services, revise)
            if not changes:
                return records
            roles: dict[str, dict[str, TargetFile | None]] = {}
            for path, change in changes.items():
                roles.setdefault(self._trust.bin_of(path), {})[path] = change
            signed = {role: sign_bin(bins.get(role), change, self._signer, self._now) for role, change in roles.items()}
            body = json.dumps({role: data.decode() for role, data in signed.items()}).encode()
            [response] = yield [Request("POST", "/tuf/roles", body, "application/json")]
            if response.status != 409:
                expect(response, 201, "catalogue")
                return records
        raise OriginError(
            f"catalogue: a moment without other publishers expected, got {CONFLICTS_BORNE} conflicts: run it again"
        )

    def _look(
        self, services: Sequence[str], revise: Revise
    ) -> Generator[Sequence[Request], Sequence[Response], _Composed]:
        """What follows from what is published now; worked out once for each snapshot."""
        snapshot = yield from read_snapshot(self._trust)
        if self._seen is None or self._seen[:2] != (snapshot.version, revise):
            composed = yield from self._compose(snapshot.meta, services, revise)
            self._seen = snapshot.version, revise, composed
        return self._seen[2]

    def _compose(
        self, meta: Meta, services: Sequence[str], revise: Revise
    ) -> Generator[Sequence[Request], Sequence[Response], _Composed]:
        bins = yield from self._read(meta, map(service_path, services))
        before = {service: find_record(bins, self._trust, service_path(service)) for service in services}
        wanted = revise(before)
        hosts = {host for record in before.values() for host in (record.hosts if record else ())}
        for service, want in wanted.items():
            record = before[service]
            hosts |= set(want.hosts(record.hosts if record else ()))
        bins |= yield from self._read(meta, map(host_path, hosts))
        yield from self._read_disks(before, wanted)
        records, changes = compose(wanted, bins, self._trust, self._disks, self._choice)
        return bins, records, changes

    def _read(self, meta: Meta, paths: Iterable[str]) -> ReadBins:
        roles = {self._trust.bin_of(path) for path in paths}
        missing = {role for role in roles if (name := _file_of(role, meta)) and name not in self._bins}
        read = yield from read_bins(self._trust, meta, missing)
        self._bins |= {_file_of(role, meta): targets for role, targets in read.items()}
        return {role: self._bins[name] for role in roles if (name := _file_of(role, meta))}

    def _read_disks(self, before: Mapping[str, ServiceRecord | None], wanted: Mapping[str, Wanted]) -> _Look:
        """The disks of images that are replaced, as far as services may have written to them."""
        digests = set()
        for service, want in wanted.items():
            record, image = before[service], want.image
            if record is None or image is None or want.written is not None or record.manifest_digest == image.digest:
                continue
            if record.written or any(ref.kind == "cow" for ref in image.disks):
                digests.add(record.manifest_digest)
        asked = sorted(digests - self._disks.keys())
        responses = yield [Request("GET", f"/v2/{REPOSITORY}/manifests/{digest}") for digest in asked]
        for digest, response in zip(asked, responses, strict=True):
            if response.status != 404:
                expect(response, 200, f"manifest {digest}")
                self._disks[digest] = _manifest(digest, response.body).disks


def compose(
    wanted: Mapping[str, Wanted],
    bins: Mapping[str, Targets],
    trust: Trust,
    disks: _Disks,
    choice: Choice | None,
) -> tuple[list[ServiceRecord], dict[str, TargetFile | None]]:
    """The records that follow from `wanted`, and the entries that change, None for one that goes.

    :param bins: that hold the entries of all services and hosts that are concerned.
    :param disks: of the images that are replaced, by digest, as far as they are known and matter.
    :raises PublisherError: a host that is another service's, or a record that cannot be published.
    """
    known = {service: find_record(bins, trust, service_path(service)) for service in wanted}
    hosts = {s: want.hosts(before.hosts if (before := known[s]) else ()) for s, want in wanted.items()}
    _refuse_taken(hosts, bins, trust)
    records: list[ServiceRecord] = []
    removed: set[str] = set()
    added: dict[str, TargetFile] = {}
    for service, want in wanted.items():
        before = known[service]
        image = want.image or _image_it_has(service, before)
        tenant = want.tenant or (before.owner if before else "")
        owner = tenant if tenant != service else ""
        shall_be = image.digest, hosts[service], owner, want.withdrawn
        same = before and (before.manifest_digest, before.hosts, before.owner, before.withdrawn) == shall_be
        if before and same and (want.written is None or want.written(before.version) == before.written):
            records.append(before)
            continue
        version = before.version + 1 if before else 1
        places = _places(service, want, before, version, disks, choice)
        about = image.digest, image.size, version, owner, image.snapshot, places, want.withdrawn
        record = ServiceRecord(service, hosts[service], *about)
        removed |= set(map(host_path, before.hosts)) if before else set()
        old = _find(bins, trust, service_path(service))
        added |= make_targets(record, (*history_of(old), before.manifest_digest) if old and before else ())
        records.append(record)
    return records, {**dict.fromkeys(removed), **added}


def _refuse_taken(hosts: Mapping[str, tuple[str, ...]], bins: Mapping[str, Targets], trust: Trust) -> None:
    owners: dict[str, str] = {}
    for service, named in hosts.items():
        for path in map(host_path, named):
            if owners.setdefault(path, service) != service:
                raise PublisherError(
                    f"{path}: one service expected, got {owners[path]} and {service}: give the host to one of them"
                )
            other = find_record(bins, trust, path)
            if other is not None and other.service != service and other.service not in hosts:
                raise PublisherError(
                    f"{path}: a free host expected, got one that service {other.service} has: "
                    "take it from that one first (`nunatak hosts`), or choose another"
                )


def _image_it_has(service: str, before: ServiceRecord | None) -> Image:
    if before is None:
        raise PublisherError(f"a published service expected, got {service!r}: `nunatak services list` has the names")
    return Image(before.manifest_digest, before.manifest_size, before.snapshot, ())


def _places(
    service: str, want: Wanted, before: ServiceRecord | None, version: int, disks: _Disks, choice: Choice | None
) -> Written:
    """What the next record says of each copy-on-write disk."""
    if want.written is not None:
        return want.written(version)
    if want.image is None:
        return before.written if before is not None else ()
    if before is None or before.manifest_digest == want.image.digest:
        old: tuple[DriveRef, ...] | None = want.image.disks
    else:
        old = disks.get(before.manifest_digest)
    return decide(before, old, want.image.disks, choice, service)


def read_snapshot(trust: Trust) -> ReadSnapshot:
    """The origin's present snapshot: it says what each role's file is."""
    [response] = yield [Request("GET", f"/tuf/{TIMESTAMP_FILE}")]
    expect(response, 200, "timestamp")
    version = trust.verify_timestamp(response.body).snapshot_meta.version
    [response] = yield [Request("GET", f"/tuf/{version}.snapshot.json")]
    expect(response, 200, "snapshot")
    return trust.verify_snapshot(response.body)


def read_bins(trust: Trust, meta: Meta, roles: Iterable[str]) -> ReadBins:
    """Bins by role name, verified; one that does not exist yet is left out."""
    asked = sorted(role for role in set(roles) if _file_of(role, meta))
    responses = yield [Request("GET", f"/tuf/{_file_of(role, meta)}") for role in asked]
    bins = {}
    for role, response in zip(asked, responses, strict=True):
        expect(response, 200, role)
        bins[role] = trust.verify_bin(role, response.body)
    return bins


def read_manifest(digest: str) -> ReadManifest:
    """The manifest of an image.

    :raises OriginError: the origin does not have it any more.
    """
    [response] = yield [Request("GET", f"/v2/{REPOSITORY}/manifests/{digest}")]
    expect(response, 200, f"manifest {digest}")
    return _manifest(digest, response.body)


def find_record(bins: Mapping[str, Targets], trust: Trust, path: str) -> ServiceRecord | None:
    """What bins that were read say a path is."""
    target = _find(bins, trust, path)
    return parse_target(path, target) if target is not None else None


def find_history(bins: Mapping[str, Targets], trust: Trust, service: str) -> tuple[str, ...]:
    """Digests of the images of a service's earlier versions, as far as they are remembered, the newest last."""
    target = _find(bins, trust, service_path(service))
    return history_of(target) if target is not None else ()


def _find(bins: Mapping[str, Targets], trust: Trust, path: str) -> TargetFile | None:
    targets = bins.get(trust.bin_of(path))
    return targets.targets.get(path) if targets else None


def _file_of(role: str, meta: Meta) -> str:
    file = meta.get(f"{role}.json")
    return f"{file.version}.{role}.json" if file is not None else ""


def _manifest(digest: str, data: bytes) -> ImageManifest:
    if digest_of(data) != digest:
        raise VerificationError(f"manifest {digest} expected, got {digest_of(data)}")
    return parse_manifest(data)
