"""A service's name and hosts: given others, or given up. Decisions without I/O, as `origin.publish.publish`.

All of it is done by the signed catalogue, in one new version of it: an edge sees the whole change or none of it. A name
is never free again: its entry stays when the service is withdrawn, with its tenant, its history and its last version,
and whoever publishes under it later goes on from there.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime
from typing import Final

from origin.model.exchange import Request, Response
from origin.publish.authors import Signing
from origin.publish.chain import Warn, newest, require_token
from origin.publish.entries import Entries, Exchange, Hosts, Image, Records, Revise, Wanted
from origin.publish.written import Choice, Written
from vmimage.errors import PublisherError
from vmimage.trust import ServiceRecord, Trust

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


def withdraw(
    service: str,
    trust: Trust,
    signer: Signing,
    now: datetime,
    written: Choice | None = None,
    warn: Warn = lambda _: None,
) -> Exchange:
    """Let there be no such service any more. One that is withdrawn already stays as it is.

    :param written: what becomes of what it wrote to copy-on-write disks: edges keep it aside, or delete it.
    :param warn: as for `publish`.
    :raises PublisherError: no such service, or one with such disks and `written` does not say.
    :raises OriginError, VerificationError: as for `publish`.
    """

    def revise(records: Records) -> Mapping[str, Wanted]:
        record = _published(records, service, or_withdrawn=True)
        dropped = {disk for disk, since in record.written if since == record.version}
        if record.withdrawn and (written != "drop" or len(dropped) == len(record.written)):
            return {service: Wanted(withdrawn=record.withdrawn)}
        _require_choice(record, written)
        places = (lambda version: _all_since(record, version)) if written == "drop" else (lambda _: record.written)
        since = record.withdrawn or now.strftime(_TIME)
        return {service: Wanted(hosts=_no_hosts, withdrawn=since, written=places)}

    return (yield from _change([service], revise, trust, signer, now, warn))


def rename(
    old: str,
    new: str,
    trust: Trust,
    signer: Signing,
    now: datetime,
    written: Choice | None = None,
    warn: Warn = lambda _: None,
) -> Exchange:
    """Give a service another name: `new` has its image, hosts and tenant, and `old` is withdrawn, at one instant.

    The new name's versions and history are its own.

    :param written: edges keep what a service wrote by its name, so that to a new one it cannot go along: with disks
        on which it writes, "drop" has to be said. What was written is kept aside under the old name.
    :param warn: as for `publish`.
    :raises PublisherError: no service `old`, or there is one `new`; or `written` says what cannot be.
    :raises OriginError, VerificationError: as for `publish`.
    """
    return (yield from _change([old, new], _renaming(old, new, now, written), trust, signer, now, warn))


def look_at_rename(
    old: str, new: str, trust: Trust, signer: Signing, now: datetime, written: Choice | None = None
) -> Generator[Sequence[Request], Sequence[Response], None]:
    """Find what `rename` would be refused for as things stand now; nothing is sent.

    :raises NunatakError: as `rename`.
    """
    trust = yield from newest(trust, signer, now, lambda _: None)
    yield from Entries(trust, signer, now).look([old, new], _renaming(old, new, now, written))


def _renaming(old: str, new: str, now: datetime, written: Choice | None) -> Revise:
    """:raises PublisherError: both are one."""

    def revise(records: Records) -> Mapping[str, Wanted]:
        record, other = _published(records, old), records[new]
        if other is not None and not other.withdrawn:
            raise PublisherError(f"a name that no service has expected, got {new!r}: choose another")
        if record.written and written != "drop":
            raise PublisherError(
                f"--written drop expected for {old}: edges keep what it wrote to {_disks_of(record)} by its name, and "
                f"{new} begins with the disks as they were published; the pages are kept aside under {old}"
            )
        image = Image(record.manifest_digest, record.manifest_size, record.snapshot, ())
        return {
            old: Wanted(hosts=_no_hosts, withdrawn=now.strftime(_TIME), written=lambda _: record.written),
            new: Wanted(image, lambda _: record.hosts, record.tenant, written=lambda first: _all_since(record, first)),
        }

    if old == new:
        raise PublisherError(f"another name expected, got {new!r} twice")
    return revise


def add_hosts(
    service: str,
    hosts: Sequence[str],
    trust: Trust,
    signer: Signing,
    now: datetime,
    warn: Warn = lambda _: None,
) -> Exchange:
    """Let a service answer for more hosts, as a new version of the same image.

    :raises PublisherError: no such service, or a host that cannot be published or is another's.
    :raises OriginError, VerificationError: as for `publish`.
    """
    more = list(map(_host, hosts))
    return (
        yield from _change_hosts(service, lambda had: tuple(dict.fromkeys((*had, *more))), trust, signer, now, warn)
    )


def remove_hosts(
    service: str,
    hosts: Sequence[str],
    trust: Trust,
    signer: Signing,
    now: datetime,
    warn: Warn = lambda _: None,
) -> Exchange:
    """Let a service answer for these hosts no more, as a new version of the same image.

    :raises PublisherError: no such service, or a host that it does not have.
    :raises OriginError, VerificationError: as for `publish`.
    """
    gone = list(map(_host, hosts))

    def left(had: tuple[str, ...]) -> tuple[str, ...]:
        if other := [host for host in gone if host not in had]:
            raise PublisherError(
                f"a host of {service} expected ({', '.join(had) or 'none'}), got {other[0]!r}: name one of its own"
            )
        return tuple(host for host in had if host not in gone)

    return (yield from _change_hosts(service, left, trust, signer, now, warn))


def _change_hosts(service: str, hosts: Hosts, trust: Trust, signer: Signing, now: datetime, warn: Warn) -> Exchange:
    def revise(records: Records) -> Mapping[str, Wanted]:
        _published(records, service)
        return {service: Wanted(hosts=hosts)}

    return (yield from _change([service], revise, trust, signer, now, warn))


def _change(
    services: Sequence[str],
    revise: Revise,
    trust: Trust,
    signer: Signing,
    now: datetime,
    warn: Callable[[str], None],
) -> Exchange:
    trust = yield from newest(trust, signer, now, warn)
    yield from require_token()
    return (yield from Entries(trust, signer, now).point(services, revise))


def _published(records: Records, service: str, *, or_withdrawn: bool = False) -> ServiceRecord:
    record = records[service]
    if record is None:
        raise PublisherError(f"a published service expected, got {service!r}: `nunatak services list` has the names")
    if record.withdrawn and not or_withdrawn:
        raise PublisherError(
            f"a published service expected, got {service!r}, which is withdrawn since {record.withdrawn}"
        )
    return record


def _require_choice(record: ServiceRecord, written: Choice | None) -> None:
    if record.written and written is None:
        raise PublisherError(
            f"--written keep or --written drop expected, got neither: edges may have pages that {record.service} wrote "
            f"to {_disks_of(record)}; --written keep has them kept aside while there is room, for who publishes under "
            "this name again; --written drop has them deleted"
        )


def _all_since(record: ServiceRecord, version: int) -> Written:
    """Every disk on which it writes begins with a version: what was written before is left behind."""
    return tuple((disk, version) for disk, _ in record.written)


def _disks_of(record: ServiceRecord) -> str:
    names = [disk for disk, _ in record.written]
    return f"disk{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _no_hosts(_: tuple[str, ...]) -> tuple[str, ...]:
    return ()


def _host(text: str) -> str:
    return text.lower().rstrip(".")
