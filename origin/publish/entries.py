"""Entries of the catalogue: what services shall be, composed with what they are, signed, and submitted. No I/O.

Whoever changes a service says by a function what follows from the records that are published (`Revise`), so that a
change which another publisher's came before is decided anew from what that one left, and undoes nothing of it.
"""

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tuf.api.metadata import TargetFile

from origin.model.exchange import Request, Response, expect
from origin.publish.authors import Author, Changes, Signing, author_of
from origin.publish.books import Known, Meta, ReadBook, read_book, read_snapshot
from origin.publish.shape import odd, require_usual
from origin.publish.written import Choice, Written, decide
from vmimage.drives import DriveRef
from vmimage.errors import OriginError, PublisherError, VerificationError
from vmimage.manifest import REPOSITORY, Blob, ImageManifest, digest_of, parse_manifest
from vmimage.release import Candidate
from vmimage.tenancy import Book
from vmimage.text import path_text
from vmimage.trust import ServiceRecord, Trust, host_path, service_path

CONFLICTS_BORNE: Final = 5  # other publishers who were first; each costs reading and signing again

Exchange = Generator[Sequence[Request], Sequence[Response], list[ServiceRecord]]
ReadManifest = Generator[Sequence[Request], Sequence[Response], ImageManifest]
Hosts = Callable[[tuple[str, ...]], tuple[str, ...]]  # those that a service shall have, from those that it has
_Disks = Mapping[str, tuple[DriveRef, ...]]
_ReadDisks = Generator[Sequence[Request], Sequence[Response], _Disks]
_Look = Generator[Sequence[Request], Sequence[Response], None]
_Composed = tuple[Book, list[ServiceRecord], Changes]


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
    # What a part of its visitors get, from what they get now; None: nothing, which is what a new image comes with.
    candidate: Callable[[Candidate | None], Candidate | None] = lambda had: had
    # What the record says of copy-on-write disks, by the record's version; None: what follows from both images.
    written: Callable[[int], Written] | None = None


Records = Mapping[str, ServiceRecord | None]  # by service, None where there is none
Revise = Callable[[Records], Mapping[str, Wanted]]


def image_of(manifest: ImageManifest, size: int) -> Image:
    """:param size: of the manifest in bytes."""
    return Image(manifest.digest, size, manifest.snapshot, manifest.disks)


class Entries:
    """The entries of one origin, as one publisher changes them."""

    def __init__(
        self, trust: Trust, signer: Signing, now: datetime, choice: Choice | None = None, *, sure: bool = True
    ) -> None:
        """:param choice: what becomes of what services wrote to disks whose base is another now.
        :param sure: whether a change is meant that is far larger than what was there (`shape`)."""
        self._trust, self._now, self._choice, self._sure = trust, now, choice, sure
        self._author = author_of(signer)
        self._known: Known = {}
        self._disks: dict[str, tuple[DriveRef, ...]] = {}  # by image
        self._seen: tuple[int, Revise, _Composed] | None = None  # what came of which snapshot the last time

    def look(self, services: Sequence[str], revise: Revise) -> _Look:
        """Find what would be refused as things stand now; nothing is sent.

        :raises PublisherError: as `point`.
        """
        yield from self._look(services, revise)

    def point(self, services: Sequence[str], revise: Revise) -> Exchange:
        """Sign and submit the files that say what `revise` does of `services`, again if another publisher was first.

        :return: the records of these services.
        :raises PublisherError: a name or host that cannot be published, or is another's.
        """
        return (yield from self._submit(services, revise, None))

    def check(self, services: Sequence[str], revise: Revise, coming: Mapping[str, int]) -> Exchange:
        """Have the origin look at what `point` would submit; nothing changes there.

        :param coming: bytes of manifests that the origin would have by then, by digest.
        :return: the records of these services, as they would be.
        :raises PublisherError: as `point`.
        """
        return (yield from self._submit(services, revise, coming))

    def _submit(self, services: Sequence[str], revise: Revise, coming: Mapping[str, int] | None) -> Exchange:
        for _ in range(CONFLICTS_BORNE):
            book, records, changes = yield from self._look(services, revise)
            if not changes:
                return records
            signed = self._author.sign(book, changes, self._now)
            roles = {role: data.decode() for role, data in signed.items()}
            path, body = "/tuf/roles", json.dumps(roles).encode()
            if coming is not None:
                path, body = "/tuf/check", json.dumps({"roles": roles, "coming": dict(coming)}).encode()
            [response] = yield [Request("POST", path, body, "application/json")]
            if coming is not None and response.status == 200:
                return records
            if response.status != 409:
                expect(response, 201, "catalogue")  # a check is refused in the same words
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
        book = yield from self._read(meta, map(service_path, services))
        before = {service: book.record(service_path(service)) for service in services}
        wanted = revise(before)
        hosts = {host for record in before.values() for host in (record.hosts if record else ())}
        for service, want in wanted.items():
            record = before[service]
            hosts |= set(want.hosts(record.hosts if record else ()))
        book = yield from self._read(meta, [*map(service_path, services), *map(host_path, hosts)])
        yield from self._read_disks(before, wanted)
        records, changes = compose(wanted, book, self._author, self._disks, self._choice)
        if not self._sure:
            signed = self._author.sign(book, changes, self._now)
            sizes = {role: (_length(meta, role), len(data)) for role, data in signed.items()}
            require_usual(odd(before, records, sizes))
        return book, records, changes

    def _read(self, meta: Meta, paths: Iterable[str]) -> ReadBook:
        return (yield from read_book(self._trust, meta, paths, self._author.tenants, self._known))

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
    wanted: Mapping[str, Wanted], book: Book, author: Author, disks: _Disks, choice: Choice | None
) -> tuple[list[ServiceRecord], Changes]:
    """The records that follow from `wanted`, and the entries that change.

    :param book: that says what all services and hosts are that are concerned.
    :param disks: of the images that are replaced, by digest, as far as they are known and matter.
    :raises PublisherError: a service or host that is another's, or a record that cannot be published.
    """
    known = {service: book.record(service_path(service)) for service in wanted}
    hosts = {s: want.hosts(before.hosts if (before := known[s]) else ()) for s, want in wanted.items()}
    for service in wanted:
        author.require_own(book, service, hosts[service])
    _refuse_taken(hosts, book)
    records: list[ServiceRecord] = []
    removed: dict[str, TargetFile | None] = {}
    added: dict[str, TargetFile | None] = {}
    for service, want in wanted.items():
        before = known[service]
        image = want.image or _image_it_has(service, before)
        owner = author.owner(service, want.tenant, before)
        candidate = _candidate(want, before, image)
        shall_be = image.digest, hosts[service], owner, want.withdrawn, candidate
        same = before and (*_facts(before), before.candidate) == shall_be
        if before and same and (want.written is None or want.written(before.version) == before.written):
            records.append(before)
            continue
        version = before.version + 1 if before else 1
        places = _places(service, want, before, version, disks, choice)
        about = image.digest, image.size, version, owner, image.snapshot, places, want.withdrawn, candidate
        record = ServiceRecord(service, hosts[service], *about)
        past = (*book.history(service), before.manifest_digest) if before else ()
        for path, change in author.changes(record, past, before).items():
            (removed if change is None else added)[path] = change
        records.append(record)
    return records, removed | added


def _length(meta: Meta, role: str) -> int:
    """Bytes of a role's present file, 0 where there is none."""
    file = meta.get(f"{role}.json")
    return (file.length or 0) if file is not None else 0


def _facts(record: ServiceRecord) -> tuple[str, tuple[str, ...], str, str]:
    return record.manifest_digest, record.hosts, record.owner, record.withdrawn


def _candidate(want: Wanted, before: ServiceRecord | None, image: Image) -> Candidate | None:
    """A candidate is one beside an image: with another image, and for what is withdrawn, there is none."""
    if want.withdrawn or before is None or before.manifest_digest != image.digest:
        return None
    return want.candidate(before.candidate)


def _refuse_taken(hosts: Mapping[str, tuple[str, ...]], book: Book) -> None:
    owners: dict[str, str] = {}
    for service, named in hosts.items():
        for path in map(host_path, named):
            if owners.setdefault(path, service) != service:
                raise PublisherError(
                    f"{path_text(path)}: one service expected, got {owners[path]} and {service}: "
                    "give the host to one of them"
                )
            other = book.record(path)
            if other is not None and other.service != service and other.service not in hosts:
                raise PublisherError(
                    f"{path_text(path)}: a free host expected, got one that service {other.service} has, "
                    f"tenant {other.tenant}: take it from that one first (`nunatak hosts`), or choose another"
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


def read_manifest(digest: str) -> ReadManifest:
    """The manifest of an image.

    :raises OriginError: the origin does not have it any more.
    """
    [response] = yield [Request("GET", f"/v2/{REPOSITORY}/manifests/{digest}")]
    expect(response, 200, f"manifest {digest}")
    return _manifest(digest, response.body)


def _manifest(digest: str, data: bytes) -> ImageManifest:
    if digest_of(data) != digest:
        raise VerificationError(f"manifest {digest} expected, got {digest_of(data)}")
    return parse_manifest(data)
