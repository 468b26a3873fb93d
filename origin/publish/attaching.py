"""Attaching to an image where it comes from and what it is made of, and checking what is attached. No I/O.

What `nunatak build` has laid into the image file is signed by who publishes, and sent once the catalogue says that the
image is the service's: so an origin can tell whose it is.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from securesystemslib.signer import Key
from tuf.api.metadata import Targets

from origin.model.exchange import Request, Response, expect, upload_request
from origin.model.publication import Publication
from origin.publish.authors import Signing, signers_of
from origin.publish.books import read_book
from origin.publish.chain import read_state
from origin.publish.entries import read_manifest
from vmimage.attached import (
    CONTENT_NOTE,
    CYCLONEDX_TYPE,
    DSSE_TYPE,
    EMPTY_CONFIG,
    IN_TOTO_TYPE,
    PREDICATE_NOTE,
    SERVICE_NOTE,
    Attached,
    attach,
    parse_attached,
)
from vmimage.canonical import digest_of, is_digest, load_json
from vmimage.errors import FormatError, PublisherError, VerificationError
from vmimage.manifest import MANIFEST_TYPE, REPOSITORY, ImageManifest
from vmimage.provenance import PREDICATE_TYPE, Provenance, parse_provenance, seal, unseal
from vmimage.tenancy import Book
from vmimage.tenants import tenant_path
from vmimage.trust import Trust, service_path

LOOKED_AT: Final = 64  # of what is attached of a kind: whoever may attach more hides nothing but from who looks here
LISTED_MAX: Final = 4 << 20  # bytes of the list

_Send = Generator[Sequence[Request], Sequence[Response], None]


@dataclass(frozen=True)
class Verified:
    """What is known of an image after everything was checked."""

    service: str
    version: int | None  # None: it is one of the service's earlier images
    manifest: ImageManifest
    provenance: Provenance
    keyids: tuple[str, ...]  # of those that may have signed it
    bill: bytes | None  # what it is made of, None where nothing is attached


def attach_all(publications: Iterable[Publication], signing: Signing) -> _Send:
    """Sign and send what is attached to the images of `publications`, each image once, but for what is there already.

    :raises PublisherError, OriginError: answers that were not expected.
    """
    images = {publication.image: publication for publication in publications if publication.attached}
    if not images:
        return
    wanted = [each for publication in images.values() for each in signed_again(publication, signing)]
    there = yield from _there(list(images))
    missing = [(each, data) for each, data in wanted if (each.subject.digest, each.layer.digest) not in there]
    blobs = {each.layer.digest: data for each, data in missing}
    blobs |= {digest_of(EMPTY_CONFIG): EMPTY_CONFIG} if missing else {}
    for response in (yield [upload_request(digest, body) for digest, body in blobs.items()]):
        expect(response, 201, "attached blob")
    bodies = [each.to_bytes() for each, _ in missing]
    place = f"/v2/{REPOSITORY}/manifests"
    for response in (yield [Request("PUT", f"{place}/{digest_of(body)}", body, MANIFEST_TYPE) for body in bodies]):
        expect(response, 201, "attached")


def _there(images: Sequence[str]) -> Generator[Sequence[Request], Sequence[Response], set[tuple[str, str]]]:
    """What is attached already: images, and contents by their notes; whoever lies there harms who publishes it."""
    found: set[tuple[str, str]] = set()
    responses = yield [Request("GET", f"/v2/{REPOSITORY}/referrers/{image}") for image in images]
    for image, response in zip(images, responses, strict=True):
        expect(response, 200, "referrers")
        for each in _entries(response):
            notes = each.get("annotations")
            if isinstance(notes, dict) and isinstance(notes.get(CONTENT_NOTE), str):
                found.add((image, notes[CONTENT_NOTE]))
    return found


def signed_again(publication: Publication, signing: Signing) -> list[tuple[Attached, bytes]]:
    """What is attached to a publication's image, statements signed, each with the name of the service."""
    found = []
    for each, data in publication.attached:
        if each.subject.digest == publication.image:
            about, notes = (each.subject.digest, each.subject.size), {SERVICE_NOTE: publication.service}
            media_type = ""
            if each.kind == IN_TOTO_TYPE:
                data, media_type = seal(data, signers_of(signing)), DSSE_TYPE
                notes[PREDICATE_NOTE] = PREDICATE_TYPE
            found.append((attach(each.kind, about, data, media_type, **notes, **{CONTENT_NOTE: digest_of(data)}), data))
    return found


def verify(what: str, trust: Trust, service: str = "") -> Generator[Sequence[Request], Sequence[Response], Verified]:
    """Check an image down to the keys of who publishes it: catalogue, manifest, blobs, provenance, bill of materials.

    :param what: a service, whose present image is meant; or a digest, of one that `service` has or had.
    :raises PublisherError: no such service, or not its image.
    :raises VerificationError: something of it is not what it should be, or no provenance is attached.
    """
    name = service or what
    if is_digest(name):
        raise PublisherError("--service: the service whose image that is expected with a digest: name it")
    state = yield from read_state(trust)
    book = yield from read_book(state.trust, state.snapshot.meta, [service_path(name)])
    record = book.record(service_path(name))
    if record is None:
        raise PublisherError(f"a published service expected, got {name!r}: `nunatak services list` has the names")
    digest = what if is_digest(what) else record.manifest_digest
    if digest not in book.images(name):
        raise PublisherError(
            f"an image that {name} has or had expected, got {digest}: `nunatak services history` has them"
        )
    manifest = yield from read_manifest(digest)
    yield from _check_blobs(manifest)
    keys, threshold = keys_of(book, name)
    provenance = yield from _provenance(digest, keys, threshold)
    bill = (yield from _bill(digest, provenance.bill)) if provenance.bill else None
    version = record.version if digest == record.manifest_digest else None
    return Verified(name, version, manifest, provenance, tuple(key.keyid for key in keys), bill)


def keys_of(book: Book, service: str) -> tuple[list[Key], int]:
    """Whose signatures a service needs, and how many: its tenant's, or the operator's."""
    tenant = book.holder(service_path(service))
    delegations: Targets | None = book.trust.targets if tenant is None else book.bin(tenant_path(tenant))
    assert delegations is not None
    assert delegations.delegations is not None
    role = book.delegation(tenant) if tenant is not None else None
    threshold, keyids = (role.threshold, role.keyids) if role is not None else book.trust.bin_keys
    known = delegations.delegations.keys
    return [known[keyid] for keyid in keyids if keyid in known], threshold


def _check_blobs(manifest: ImageManifest) -> _Send:
    """That the origin has the image, to the byte; and its base."""
    images = [manifest]
    if manifest.base is not None:
        images.append((yield from read_manifest(manifest.base)))
    for layer in (layer for image in images for layer in image.layers):
        [response] = yield [Request("GET", f"/v2/{REPOSITORY}/blobs/{layer.digest}")]
        expect(response, 200, "blob")
        if len(response.body) != layer.size or digest_of(response.body) != layer.digest:
            raise VerificationError(
                f"blob {layer.digest} of {layer.size} bytes expected, got {digest_of(response.body)}"
            )


def _provenance(
    image: str, keys: Sequence[Key], threshold: int
) -> Generator[Sequence[Request], Sequence[Response], Provenance]:
    """The first that is signed by these keys and speaks of the image."""
    problem = (
        f"provenance: a signed statement attached to {image} expected, got none: publish a file of `nunatak build`"
    )
    for each in (yield from _listed(image, IN_TOTO_TYPE)):
        data = yield from _content(each)
        try:
            found = parse_provenance(unseal(data, keys, threshold))
            if found.image != image:
                raise VerificationError(f"provenance: a statement of {image} expected, got one of {found.image}")
            return found
        except VerificationError as error:
            problem = str(error)
    raise VerificationError(problem)


def _bill(image: str, digest: str) -> Generator[Sequence[Request], Sequence[Response], bytes]:
    """The one that the provenance names: it is as good as the signature under that."""
    for each in (yield from _listed(image, CYCLONEDX_TYPE)):
        if each.layer.digest == digest:
            return (yield from _content(each))
    raise VerificationError(f"bill of materials: {digest}, which the provenance names, expected to be attached, is not")


def _listed(image: str, kind: str) -> Generator[Sequence[Request], Sequence[Response], list[Attached]]:
    [response] = yield [Request("GET", f"/v2/{REPOSITORY}/referrers/{image}?artifactType={quote(kind)}")]
    expect(response, 200, "referrers")
    digests = [each.get("digest") for each in _entries(response) if each.get("artifactType") == kind]
    found = []
    for digest in [each for each in digests if isinstance(each, str) and is_digest(each)][:LOOKED_AT]:
        [response] = yield [Request("GET", f"/v2/{REPOSITORY}/manifests/{digest}")]
        expect(response, 200, "attached")
        if digest_of(response.body) != digest:
            raise VerificationError(f"attached: {digest} expected, got {digest_of(response.body)}")
        try:
            attached = parse_attached(response.body)
        except FormatError:
            continue  # of another tool
        if attached.subject.digest == image:
            found.append(attached)
    return found


def _entries(response: Response) -> list[dict[str, Any]]:
    """Descriptors in a list of referrers."""
    index = load_json("referrers", response.body, LISTED_MAX)
    entries = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(entries, list):
        raise VerificationError("referrers: an OCI index expected, got something else")
    return [each for each in entries if isinstance(each, dict)]


def _content(attached: Attached) -> Generator[Sequence[Request], Sequence[Response], bytes]:
    [response] = yield [Request("GET", f"/v2/{REPOSITORY}/blobs/{attached.layer.digest}")]
    expect(response, 200, "attached blob")
    if digest_of(response.body) != attached.layer.digest:
        raise VerificationError(f"attached: {attached.layer.digest} expected, got {digest_of(response.body)}")
    return response.body
