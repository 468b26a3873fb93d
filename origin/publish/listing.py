"""What an origin's catalogue says of services: read, verified as edges verify it, and described as plain data.

Decisions without I/O, as `origin.publish.publish`; nothing is changed, and no token is needed.
"""

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any, Final

from origin.model.exchange import Request, Response
from origin.publish.books import read_all, read_book, services_of
from origin.publish.chain import read_state
from origin.publish.entries import read_manifest
from vmimage.errors import FormatError, OriginError, PublisherError, VerificationError
from vmimage.manifest import ImageManifest
from vmimage.release import Candidate
from vmimage.trust import ServiceRecord, Trust, service_path

CLOSE_NAMES: Final = 3  # that are suggested

_ReadAll = Generator[Sequence[Request], Sequence[Response], list[ServiceRecord]]
_ReadOne = Generator[Sequence[Request], Sequence[Response], "Found"]


@dataclass(frozen=True)
class Found:
    """A service as the catalogue has it."""

    record: ServiceRecord
    history: tuple[str, ...]  # images of earlier versions, the newest last
    image: ImageManifest | None = None  # None: not asked for, or no longer at the origin
    base: ImageManifest | None = None


def all_services(trust: Trust) -> _ReadAll:
    """Every service there is or was, by name.

    :raises OriginError, VerificationError: the origin's metadata are not what `trust` leads to.
    """
    state = yield from read_state(trust)
    meta, trust = state.snapshot.meta, state.trust
    book = yield from read_all(trust, meta)
    records = (record for path in services_of(book, meta) if (record := book.record(path)) is not None)
    return sorted(records, key=lambda record: record.service)


def one_service(service: str, trust: Trust, *, with_image: bool = False) -> _ReadOne:
    """A service, with the manifests of its image and of the base where these are wanted.

    :raises PublisherError: there is none of this name; the message has those that are close.
    :raises OriginError, VerificationError: as for `all_services`.
    """
    state = yield from read_state(trust)
    book = yield from read_book(state.trust, state.snapshot.meta, [service_path(service)])
    record = book.record(service_path(service))
    if record is None:
        records = yield from all_services(trust)
        raise PublisherError(
            f"a service of this origin expected, got {unknown(service, records)}: `nunatak services list` has the names"
        )
    history = book.history(service)
    image = base = None
    if with_image:
        image = yield from _read_image(record.manifest_digest)
        base = (yield from _read_image(image.base)) if image is not None and image.base is not None else None
    return Found(record, history, image, base)


def _read_image(digest: str) -> Generator[Sequence[Request], Sequence[Response], ImageManifest | None]:
    try:
        return (yield from read_manifest(digest))
    except (VerificationError, FormatError):
        raise
    except OriginError:
        return None  # pruned, where the service is withdrawn


def unknown(service: str, records: Iterable[ServiceRecord]) -> str:
    """A name that no service has or had, and those that are close, for people."""
    close = get_close_matches(service, [record.service for record in records], CLOSE_NAMES)
    return f"{service!r}" + (f" (did you mean {' or '.join(close)}?)" if close else "")


def summary(record: ServiceRecord) -> dict[str, Any]:
    """A service in a list."""
    return {
        "service": record.service,
        "version": record.version,
        "hosts": list(record.hosts),
        "tenant": record.tenant,
        "image": record.manifest_digest,
        "withdrawn": record.withdrawn or None,
        **({"candidate": released(record.candidate)} if record.candidate is not None else {}),
    }


def released(candidate: Candidate) -> dict[str, Any]:
    """A release that is under way, its share in percent."""
    return {
        "image": candidate.digest,
        "since": candidate.since,
        "share": candidate.share / 100,
        "pops": list(candidate.pops),
        "gates": asdict(candidate.gates),
        "sticky": candidate.sticky,
        "choose": candidate.choose,
    }


def details(found: Found) -> dict[str, Any]:
    """All that is known of a service; sizes are bytes that an edge fetches."""
    record, image, base = found.record, found.image, found.base
    about = summary(record) | {"written": dict(record.written), "versions": len(found.history) + 1}
    if image is None:
        return about | {"sizes": None}
    return about | {
        "name": image.name,
        "base": image.base,
        "sizes": {"image": _size(image), "base": _size(base) if base is not None else None},
        "memory_bytes": image.memory_bytes,
        "instance": image.instance,
        "pool": image.pool,
        "limits": asdict(image.limits),
        "rejuvenate": asdict(image.rejuvenate),
        "upstreams": list(image.upstreams),
        "disks": [asdict(disk) for disk in image.disks],
    }


def history(found: Found, audit: bytes) -> list[dict[str, Any]]:
    """The versions that are remembered, the newest first, with who made them and when as the origin noted it.

    :param audit: lines of the origin's audit log about the service; what is not among them is not said.
    """
    record = found.record
    noted = _noted(audit)
    images = (*found.history, record.manifest_digest)
    first = record.version - len(found.history)
    versions = []
    for version, image in reversed(list(enumerate(images, first))):
        line = noted.get(version, {})
        now = version == record.version
        what = "withdraw" if now and record.withdrawn else line.get("what")
        versions.append(
            {"version": version, "image": image, "now": now, "what": what, "at": line.get("at"), "who": line.get("who")}
        )
    return versions


def _noted(audit: bytes) -> dict[int, Mapping[str, Any]]:
    found: dict[int, Mapping[str, Any]] = {}
    for text in audit.splitlines():
        try:
            line = json.loads(text)
            if "failed" not in line:
                found[int(line["new"]["version"])] = line
        except (ValueError, TypeError, LookupError, RecursionError):
            raise OriginError(f"lines of the audit log expected, got {text[:80]!r}") from None
    return found


def _size(image: ImageManifest) -> int:
    return sum(blob.size for blob in image.layers) + len(image.to_bytes())
