"""A release in stages, by its publisher: started, widened, finished, taken back. Decisions without I/O, as `publish`.

Each step is a new version of the service's entry, in which one signature covers the stable version, the candidate and
the gates. To go back is to sign that there is no candidate; to finish is to publish the candidate's image.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from origin.model.exchange import Request, Response, at_origin
from origin.model.publication import Publication
from origin.publish.attaching import attach_all
from origin.publish.authors import Signing
from origin.publish.books import read_book, read_snapshot
from origin.publish.chain import Warn, newest, require_token
from origin.publish.entries import Entries, Exchange, Records, Wanted, image_of, read_manifest
from origin.publish.publish import upload
from origin.publish.upload_disks import upload_disks
from origin.publish.written import Choice
from vmimage.errors import PublisherError
from vmimage.manifest import ImageManifest
from vmimage.release import Candidate, Gates, Sticky, next_step, percent_text
from vmimage.trust import ServiceRecord, Trust, service_path

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_ReadRecord = Generator[Sequence[Request], Sequence[Response], ServiceRecord]


@dataclass(frozen=True)
class Plan:
    """How a release is to go."""

    share: int  # of visitors, in hundredths of a percent
    pops: tuple[str, ...] = ()
    gates: Gates = field(default_factory=Gates)
    sticky: Sticky = "cookie"
    choose: bool = False


@dataclass(frozen=True)
class Publisher:
    """Who releases, and by when."""

    trust: Trust
    signer: Signing
    now: datetime
    warn: Warn = lambda _: None


def start(by: Publisher, publication: Publication, plan: Plan) -> Exchange:
    """Let a part of a service's visitors get another image.

    :raises PublisherError: there is no such service, a release of it is under way, or one of both versions writes to
        a copy-on-write disk.
    :raises OriginError, VerificationError: as for `publish`.
    """
    trust = yield from newest(by.trust, by.signer, by.now, by.warn)
    yield from require_token()
    images = {image.manifest.digest: image for image in publication.images}
    manifest = images[publication.image].manifest
    record = yield from _record(trust, by.signer, publication.service)
    _require_startable(record, manifest.digest)
    stable = yield from read_manifest(record.manifest_digest)
    _require_no_writes(record.service, stable, manifest)
    candidate = Candidate(
        manifest.digest,
        len(manifest.to_bytes()),
        manifest.snapshot,
        by.now.strftime(_TIME),
        plan.share,
        plan.pops,
        plan.gates,
        plan.sticky,
        plan.choose,
    )

    def revise(records: Records) -> Mapping[str, Wanted]:
        now = _published(records, record.service)
        _require_startable(now, manifest.digest)
        if now.manifest_digest != record.manifest_digest:
            raise PublisherError(
                f"{now.service}: the version that it had a moment ago expected, got another: try again"
            )
        return {record.service: Wanted(candidate=lambda _: candidate)}

    entries = Entries(trust, by.signer, by.now)
    yield from entries.look([record.service], revise)
    yield from upload_disks(publication.disks)
    yield from upload(images)
    records = yield from entries.point([record.service], revise)
    yield from at_origin(attach_all([publication], by.signer))
    return records


def widen(by: Publisher, service: str, share: int | None, pops: tuple[str, ...] | None) -> Exchange:
    """Let more visitors get the candidate.

    :param share: in hundredths of a percent; None: the next of the usual steps, or the same where `pops` are named.
    :param pops: where; None: where it is.
    :raises PublisherError: no release is under way, or fewer would get it: that is what `back` is for.
    """

    def wider(had: Candidate) -> Candidate:
        to = share if share is not None else next_step(had.share) if pops is None else had.share
        if to < had.share:
            raise PublisherError(
                f"at least {percent_text(had.share)}, which get the candidate of {service}, expected, got "
                f"{percent_text(to)}: a visitor who has seen it keeps it; `nunatak release back` takes it from all"
            )
        return replace(had, share=to, pops=had.pops if pops is None else pops)

    return (yield from _change(by, service, wider))


def back(by: Publisher, service: str) -> Exchange:
    """Let all visitors get the stable version again. One without a candidate stays as it is."""
    trust = yield from newest(by.trust, by.signer, by.now, by.warn)
    yield from require_token()

    def revise(records: Records) -> Mapping[str, Wanted]:
        if _published(records, service).candidate is None:
            by.warn(f"no release of {service} is under way: nothing changes")
        return {service: Wanted(candidate=lambda _: None)}

    return (yield from Entries(trust, by.signer, by.now).point([service], revise))


def finish(by: Publisher, service: str, written: Choice | None = None) -> Exchange:
    """Make the candidate the version that all visitors get.

    :param written: as for `publish`.
    :raises PublisherError: no release is under way.
    :raises OriginError: the origin has the candidate's image no longer.
    """
    trust = yield from newest(by.trust, by.signer, by.now, by.warn)
    yield from require_token()
    record = yield from _record(trust, by.signer, service)
    candidate = _under_way(record)
    manifest = yield from read_manifest(candidate.digest)
    image = image_of(manifest, len(manifest.to_bytes()))

    def revise(records: Records) -> Mapping[str, Wanted]:
        now = _under_way(_published(records, service))
        if now.release != candidate.release:
            raise PublisherError(f"{service}: the release of a moment ago expected, got another: look at it first")
        return {service: Wanted(image)}

    return (yield from Entries(trust, by.signer, by.now, written).point([service], revise))


def _change(by: Publisher, service: str, change: Callable[[Candidate], Candidate]) -> Exchange:
    trust = yield from newest(by.trust, by.signer, by.now, by.warn)
    yield from require_token()

    def revise(records: Records) -> Mapping[str, Wanted]:
        had = _under_way(_published(records, service))
        return {service: Wanted(candidate=lambda _: change(had))}

    return (yield from Entries(trust, by.signer, by.now).point([service], revise))


def _record(trust: Trust, signer: Signing, service: str) -> _ReadRecord:
    snapshot = yield from read_snapshot(trust)
    book = yield from read_book(trust, snapshot.meta, [service_path(service)])
    return _published({service: book.record(service_path(service))}, service)


def _published(records: Records, service: str) -> ServiceRecord:
    record = records[service]
    if record is None or record.withdrawn:
        raise PublisherError(
            f"a published service expected, got {service!r}: `nunatak services list` has the names; the first version "
            "of one is published at once"
        )
    return record


def _under_way(record: ServiceRecord) -> Candidate:
    if record.candidate is None:
        raise PublisherError(f"{record.service}: a release that is under way expected: `nunatak release start`")
    return record.candidate


def _require_startable(record: ServiceRecord, digest: str) -> None:
    if record.manifest_digest == digest:
        raise PublisherError(
            f"{record.service}: another image than the one that it has expected, got {digest}: nothing is to release"
        )
    if record.candidate is not None:
        raise PublisherError(
            f"{record.service}: no release under way expected, got one of {record.candidate.digest} since "
            f"{record.candidate.since}: finish it or take it back first"
        )


def _require_no_writes(service: str, stable: ImageManifest, candidate: ImageManifest) -> None:
    for which, manifest in (("the version that it has", stable), ("the candidate", candidate)):
        if named := [ref.name for ref in manifest.disks if ref.kind == "cow"]:
            raise PublisherError(
                f"{service}: versions without copy-on-write disks expected, {which} writes to {', '.join(named)}: two "
                "versions would write to the same pages; publish it at once (`nunatak publish`)"
            )
