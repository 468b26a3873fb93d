"""Holding an image, a service or a tenant on all edges, and releasing it, by the operator. Decisions without I/O."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Final

from origin.model.exchange import Request, Response
from origin.publish.books import read_book
from origin.publish.chain import read_state
from origin.publish.entries import read_manifest
from origin.publish.tenants import Edit, Exchange, Operator, change
from vmimage.errors import PublisherError
from vmimage.holds import HOLDS_MAX, HOLDS_PATH, Holds, Pin, holds_target, is_hold
from vmimage.tenancy import Book
from vmimage.trust import Trust, service_path

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


def hold(operator: Operator, what: Sequence[str]) -> Exchange:
    """Let no edge run these any more, from its next look at the catalogue on.

    :param what: each "image DIGEST", "service NAME" or "tenant NAME". One that is held already stays so; of a service
        that is not there the operator is warned.
    :raises PublisherError: something that cannot be held, or too much.
    """
    if wrong := [each for each in what if not is_hold(each)]:
        raise PublisherError(
            f"an image by its digest, a service or a tenant by its name expected, got {wrong[0]!r}: "
            "`nunatak services list` has them"
        )

    services = {service_path(each.removeprefix("service ")): each for each in what if each.startswith("service ")}

    def revise(book: Book) -> Edit:
        for path, each in services.items():
            if book.record(path) is None:
                operator.warn(f"{each} is not there: it is held once somebody publishes it")
        holds = book.holds()
        before = holds.since
        since = {**dict.fromkeys(what, operator.now.strftime(_TIME)), **before}
        if len(since) > HOLDS_MAX:
            raise PublisherError(f"at most {HOLDS_MAX} holds expected, got {len(since)}: release some first")
        return Edit({HOLDS_PATH: holds_target(replace(holds, since=since))} if since != before else {})

    return (yield from change(operator, revise, [HOLDS_PATH, *services], []))


def release(operator: Operator, what: Sequence[str]) -> Exchange:
    """Let edges run these again.

    :raises PublisherError: something that is not held.
    """

    def revise(book: Book) -> Edit:
        holds = book.holds()
        since = dict(holds.since)
        for each in what:
            if since.pop(each, None) is None:
                raise PublisherError(f"something that is held expected, got {each!r}: `nunatak hold list` has it")
        return Edit({HOLDS_PATH: holds_target(replace(holds, since=since))})

    return (yield from change(operator, revise, [HOLDS_PATH], []))


def pin(operator: Operator, service: str, version: int) -> Exchange:
    """Let all edges run one version of a service, an earlier one or the present one, and no candidate of it.

    It is the operator's way back, and goes back only: an image that the service has now, or had.

    :raises PublisherError: no such service, or a version that it had too long ago, or never.
    :raises OriginError: the origin has the image no longer.
    """
    state = yield from read_state(operator.trust)
    book = yield from read_book(state.trust, state.snapshot.meta, [service_path(service)])
    record = book.record(service_path(service))
    if record is None or record.withdrawn:
        raise PublisherError(f"a published service expected, got {service!r}: `nunatak services list` has the names")
    images = (*book.history(service), record.manifest_digest)
    oldest = record.version - len(images) + 1
    if not oldest <= version <= record.version:
        raise PublisherError(
            f"a version of {service} from {oldest} to {record.version} expected, got {version}: "
            "see them with `nunatak services history`"
        )
    manifest = yield from read_manifest(images[version - oldest])
    pinned = Pin(manifest.digest, len(manifest.to_bytes()), version, operator.now.strftime(_TIME))

    def revise(book: Book) -> Edit:
        holds = book.holds()
        pins = {**holds.pins, service: pinned}
        if len(pins) > HOLDS_MAX:
            raise PublisherError(f"at most {HOLDS_MAX} services that are pinned expected: unpin some first")
        return Edit({HOLDS_PATH: holds_target(replace(holds, pins=pins))})

    return (yield from change(operator, revise, [HOLDS_PATH], []))


def unpin(operator: Operator, service: str) -> Exchange:
    """Let edges run what the publisher says again.

    :raises PublisherError: it is not pinned.
    """

    def revise(book: Book) -> Edit:
        holds = book.holds()
        if service not in holds.pins:
            raise PublisherError(f"a service that is pinned expected, got {service!r}: `nunatak hold list` has them")
        pins = {name: pinned for name, pinned in holds.pins.items() if name != service}
        return Edit({HOLDS_PATH: holds_target(replace(holds, pins=pins))})

    return (yield from change(operator, revise, [HOLDS_PATH], []))


def all_holds(trust: Trust) -> Generator[Sequence[Request], Sequence[Response], Holds]:
    """What is held.

    :raises OriginError, VerificationError: the origin's metadata are not what `trust` leads to.
    """
    state = yield from read_state(trust)
    book = yield from read_book(state.trust, state.snapshot.meta, [HOLDS_PATH])
    return book.holds()
