"""Publishing, as decisions without I/O: which requests to send to an origin, in which order.

Each public function is a generator. It yields a group of requests that may be sent in any order or at once, receives
their responses in the same order, and returns what came of it; `origin/publish/client.py` carries it out. The order is
the safety: what would be refused is found before anything is sent; then blobs, then manifests (bases first), then, in
one request, every bin or tenant's file that changes (`origin/publish/entries.py`). The origin makes that last one
visible at once or not at all, so whoever stops in between leaves the old versions served.
"""

from collections.abc import Collection, Generator, Mapping, Sequence
from datetime import datetime
from typing import Final

from origin.model.exchange import Request, Response, at_origin, expect, is_present, upload_request
from origin.model.publication import Publication
from origin.publish.attaching import attach_all
from origin.publish.authors import Signing
from origin.publish.books import read_book, read_snapshot
from origin.publish.chain import Warn, newest, require_token
from origin.publish.entries import Entries, Exchange, Hosts, Records, Wanted, image_of, read_manifest
from origin.publish.upload_disks import upload_disks
from origin.publish.written import Choice
from vmimage.archive import ImageBundle, checked_layers
from vmimage.errors import PublisherError
from vmimage.manifest import MANIFEST_TYPE, REPOSITORY
from vmimage.trust import Trust, service_path

PROBE_BYTES: Final = 64 << 10  # a blob from this size on is asked for before it is sent

_Upload = Generator[Sequence[Request], Sequence[Response], None]


def publish(
    publications: Sequence[Publication],
    trust: Trust,
    signer: Signing,
    now: datetime,
    written: Choice | None = None,
    warn: Warn = lambda _: None,
    *,
    dry_run: bool = False,
    sure: bool = True,
) -> Exchange:
    """Make every service of `publications` what it shall be, all at one instant.

    Returns the services' records. A service that already is as wanted keeps its version.

    :param signer: of the operator's bins, or a tenant with keys of its own.
    :param written: what becomes of pages that services wrote to disks whose base is another now, see
        `origin.publish.written`.
    :param warn: called with a line for each role that ends soon.
    :param dry_run: have all of it checked, by the origin too, and change nothing; the records are what they would be.
    :param sure: whether a change is meant that is far larger than what was there, see `origin.publish.shape`.
    :raises PublisherError: a name or host that cannot be published, or is taken; a token that is refused; keys that
        edges do not trust, or not any more. Nothing was sent.
    :raises OriginError: answers that were not expected.
    :raises VerificationError: the origin's metadata are not signed as `trust` says.
    """
    names = [publication.service for publication in publications]
    if len(set(names)) != len(names):
        raise PublisherError("each service once expected, got one twice: take one of its lines away")
    trust = yield from newest(trust, signer, now, warn)
    yield from require_token()
    images = {i.manifest.digest: i for publication in publications for i in publication.images}
    manifests = {digest: image_of(i.manifest, len(i.manifest.to_bytes())) for digest, i in images.items()}
    wanted = {p.service: Wanted(manifests[p.image], _hosts(p.hosts), p.tenant) for p in publications}

    def revise(_: Records) -> Mapping[str, Wanted]:
        return wanted

    entries = Entries(trust, signer, now, written, sure=sure)
    yield from entries.look(names, revise)
    if dry_run:
        disks = {disk.manifest.digest for publication in publications for disk in publication.disks}
        yield from _require_named(images, disks)
        coming = {digest: image.size for digest, image in manifests.items()}
        return (yield from entries.check(names, revise, coming))
    yield from upload_disks(disk for publication in publications for disk in publication.disks)
    yield from upload(images)
    records = yield from entries.point(names, revise)
    yield from at_origin(attach_all(publications, signer))
    return records


def rollback(
    service: str,
    to: int | None,
    trust: Trust,
    signer: Signing,
    now: datetime,
    written: Choice | None = None,
    warn: Warn = lambda _: None,
) -> Exchange:
    """Point `service` at an earlier image again, as a new version.

    :param to: version whose image it was; None for the one before the present.
    :param signer, written, warn: as for `publish`.
    :raises PublisherError: no such service or version.
    :raises OriginError: the origin no longer has that image.
    """
    trust = yield from newest(trust, signer, now, warn)
    snapshot = yield from read_snapshot(trust)
    book = yield from read_book(trust, snapshot.meta, [service_path(service)])
    record = book.record(service_path(service))
    if record is None:
        raise PublisherError(f"a published service expected, got {service!r}: `nunatak services list` has the names")
    history = book.history(service)
    oldest = record.version - len(history)
    version = record.version - 1 if to is None else to
    if not oldest <= version < record.version:
        if not history:
            raise PublisherError(f"an earlier version of {service} expected, got its first: publish another one before")
        had = f"{oldest} to {record.version - 1}"
        raise PublisherError(
            f"a version of {service} to go back to expected, got {to}: name one that is kept ({had}) with --to"
        )
    manifest = yield from read_manifest(history[version - oldest])
    wanted = {service: Wanted(image_of(manifest, len(manifest.to_bytes())))}
    return (yield from Entries(trust, signer, now, written).point([service], lambda _: wanted))


def _hosts(named: tuple[str, ...]) -> Hosts:
    """Those that are named; where none is, those that the service has."""
    return lambda had: named or had


def _require_named(images: Mapping[str, ImageBundle], disks: Collection[str]) -> _Upload:
    """That images are whole, and their bases and disks at the origin or among what would be sent.

    :raises PublisherError: they are not.
    """
    for image in images.values():
        checked_layers(image)
    named = [
        (what, digest)
        for manifest in (image.manifest for image in images.values())
        for what, digest in (("base", manifest.base), *((f"disk {disk.name}", disk.digest) for disk in manifest.disks))
        if digest is not None and digest not in images and digest not in disks
    ]
    responses = yield [Request("HEAD", f"/v2/{REPOSITORY}/manifests/{digest}") for _, digest in named]
    for (what, digest), response in zip(named, responses, strict=True):
        if not is_present(response):
            raise PublisherError(f"manifest: {what} {digest} expected at the origin, not there: send it with the image")


def upload(images: Mapping[str, ImageBundle]) -> _Upload:
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
