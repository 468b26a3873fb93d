"""Manifests of others that an origin keeps as they are: signatures, bills of material, images of containers, indexes.

Edges never read them. An origin checks what the OCI image specification asks of their outside: the media type, the
descriptors, that what they name is here; and notes which of them refer to another manifest ("subject"), to list them
(distribution specification 1.1, "Listing Referrers"). Decisions without I/O.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from vmimage.disk import DISK_TYPE
from vmimage.errors import FormatError
from vmimage.manifest import ARTIFACT_TYPE, MANIFEST_TYPE, is_digest
from vmimage.oci import DOCKER_INDEX_TYPE, DOCKER_MANIFEST_TYPE, DOCKER_TYPES, INDEX_TYPE, media_type

ARTIFACT_MAX: Final = 4 << 20  # bytes of a manifest: what registries should take ("Pushing Manifests")
NAMED_MAX: Final = 10_000  # descriptors in one manifest
REFERRERS_MAX: Final = 1000  # of one subject; an index of them has some 2 MiB at most
ANNOTATIONS_MAX: Final = 1500  # bytes of annotations that the list of referrers repeats
_MANIFESTS: Final = (MANIFEST_TYPE, DOCKER_MANIFEST_TYPE)
_INDEXES: Final = (INDEX_TYPE, DOCKER_INDEX_TYPE)
_OURS: Final = (ARTIFACT_TYPE, DISK_TYPE)
_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}", re.ASCII)


@dataclass(frozen=True)
class Artifact:
    """What an origin must know of a manifest that it keeps as it is."""

    media_type: str
    blobs: tuple[tuple[str, int], ...]  # digest and size of each that must be here
    manifests: tuple[str, ...]  # that an index names, by digest
    subject: str | None  # digest of the manifest that it refers to
    descriptor: Mapping[str, Any]  # of itself, for the list of referrers

    @property
    def artifact_type(self) -> str:
        """What it is, for filters."""
        return str(self.descriptor["artifactType"])


def is_ours(data: bytes, content_type: str = "") -> bool:
    """Whether a manifest calls itself an image or a disk of ours, for which stricter rules are.

    :param content_type: that it was sent with; one of Docker's is none of ours.
    """
    if media_type(content_type) in DOCKER_TYPES:
        return False
    try:
        return json.loads(data).get("artifactType") in _OURS
    except (ValueError, AttributeError, TypeError, RecursionError):
        return False


def parse_artifact(data: bytes, digest: str, content_type: str = "") -> Artifact:
    """A manifest or an index.

    :param digest: of `data`. :param content_type: that it was sent with; "" for none.
    :raises FormatError: neither.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        _refuse("JSON", data[:40])
    if not isinstance(content, dict) or type(content.get("schemaVersion")) is not int or content["schemaVersion"] != 2:
        _refuse("an object with schemaVersion 2", str(content)[:80])
    type_ = _type_of(content, media_type(content_type))
    named = content.get("manifests" if type_ in _INDEXES else "layers")
    if not isinstance(named, list) or len(named) > NAMED_MAX:
        _refuse(f"a list of at most {NAMED_MAX} descriptors", str(named)[:80])
    listed = [_descriptor(each) for each in named]
    config = _descriptor(content.get("config")) if type_ in _MANIFESTS else None
    subject = _descriptor(content["subject"]) if content.get("subject") is not None else None
    kind = content.get("artifactType") or (config[2] if config else "")
    if not isinstance(kind, str) or (kind and _TYPE.fullmatch(kind) is None):
        _refuse("a media type as artifactType", kind)
    described = {"mediaType": type_, "digest": digest, "size": len(data), "artifactType": kind}
    annotations = content.get("annotations")
    if isinstance(annotations, dict) and len(json.dumps(annotations)) <= ANNOTATIONS_MAX:
        described["annotations"] = annotations
    blobs = [] if config is None else [config, *listed]
    return Artifact(
        type_,
        tuple((each, size) for each, size, _ in blobs),
        tuple(each for each, _, _ in listed) if config is None else (),
        subject[0] if subject else None,
        described,
    )


def _type_of(content: Mapping[str, Any], sent: str) -> str:
    """The media type of a manifest: what it says, what it was sent as, or what it looks like.

    Docker's must say it themselves, since nothing else tells it from OCI's when it is read again.

    :raises FormatError: one that is not kept, or what it says is not what it was sent as.
    """
    said = content.get("mediaType")
    if said is not None and not isinstance(said, str):
        _refuse("a media type as mediaType", said)
    type_: str = said or sent or (INDEX_TYPE if "manifests" in content else MANIFEST_TYPE)
    if type_ not in (*_MANIFESTS, *_INDEXES):
        _refuse(f"media type {MANIFEST_TYPE}, {INDEX_TYPE} or Docker's of version 2", type_)
    if (sent and sent != type_) or (type_ in DOCKER_TYPES and said != type_):
        _refuse(f"Content-Type {type_}, as mediaType says", sent or said)
    return type_


def index_of(descriptors: Iterable[Mapping[str, Any]], artifact_type: str = "") -> bytes:
    """The list of referrers, as an index.

    :param artifact_type: those of this alone; "" for all.
    """
    listed = [each for each in descriptors if not artifact_type or each.get("artifactType") == artifact_type]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": listed}).encode()


def _descriptor(value: object) -> tuple[str, int, str]:
    """Digest, size and media type."""
    if isinstance(value, dict):
        digest, size, type_ = value.get("digest"), value.get("size"), value.get("mediaType")
        named = isinstance(digest, str) and is_digest(digest) and isinstance(type_, str) and _TYPE.fullmatch(type_)
        if named and isinstance(size, int) and size >= 0:
            return str(digest), size, str(type_)
    _refuse("a descriptor with mediaType, digest (sha256) and size", str(value)[:120])


def _refuse(expected: str, got: object) -> NoReturn:
    raise FormatError(f"manifest: {expected} expected, got {got!r}")
