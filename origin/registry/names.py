"""Which changes of names an origin publishes: whose a host, a service and a tenant are, as decisions without I/O.

A submission carries whole bins, which hold entries of many, and whole files of tenants; what counts is which entries
differ from those that are published. After a submission, for every entry that it touches:

- a host's entry says what its service's entry says, and that one lists the host: a host has one service, both ways;
- a host that another service had is given up by that service's own entry, in the same submission or an earlier one;
- a service's version is one more than before, from 1; its history is what was published, in order;
- a service that is withdrawn keeps its entry, which says so over the image that it had, and so its name and versions;
- a service's tenant is what it was, unless the operator says otherwise;
- with a tenant's token nothing of another tenant is touched, neither as it was nor as it will be;
- a service that the operator holds by its name gives neither name nor hosts up, but by the operator;
- the operator alone gives names to tenants, and takes a host away from one also where its service still lists it;
- a tenant with keys of its own signs its services itself: none of its name comes into a bin.

All bins are signed by one publisher key, so these rules bind who has a token, not who has that key and the operator's;
what tenants with keys of their own sign, nobody else can (`vmimage.tenants`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn

from tuf.api.metadata import Targets

from vmimage.errors import VerificationError
from vmimage.holds import HOLDS_PATH
from vmimage.tenancy import Book, entries_of
from vmimage.tenants import Grant, holder
from vmimage.trust import HISTORY_MAX, ServiceRecord, host_path, service_path

_SERVICE: Final = "services/"


class NameRefused(VerificationError):
    """A service or host that is another's, or that does not follow from what it was."""

    counter = "name_refused"


@dataclass(frozen=True, slots=True)
class Submitter:
    """On whose behalf bins are submitted. The default is somebody with no more rights than the rules give to all."""

    tenant: str = ""  # whose token was shown; "" for one that is no tenant's
    operator: bool = False  # may give a service to another tenant
    token: str = field(default="", compare=False)  # identifier of the token, for the audit log; "" for a shared one


def changed_paths(before: Targets | None, after: Targets) -> list[str]:
    """Paths whose entries are not the same."""
    old, new = before.targets if before else {}, after.targets
    return [path for path in old.keys() | new.keys() if old.get(path) != new.get(path)]


def changed_names(tenant: str, before: Targets | None, after: Targets) -> Iterator[str]:
    """The same for a tenant's file, in which hosts have no entries: those that a changed service listed or lists."""
    old, new = (entries_of(tenant, each) if each is not None else {} for each in (before, after))
    for path in changed_paths(before, after):
        yield path
        for records in (old, new):
            if path in records:
                yield from map(host_path, records[path].hosts)


def require_held(tenant: str, before: Targets | None, signed: Targets, after: Book) -> None:
    """That a tenant's file says nothing new of names that are not the tenant's: nobody would look for them there.

    :raises NameRefused: it does.
    """
    for path in sorted(path for path in changed_paths(before, signed) if path in signed.targets):
        if after.holder(path) != tenant:
            _refuse(path, f"a name that the operator has given to tenant {tenant}", after.holder(path) or "no tenant's")


def check(changed: Iterable[str], before: Book, after: Book, submitter: Submitter) -> None:
    """Whether entries may become what they shall be.

    :param changed: paths of all entries that differ.
    :param before, after: the state that is published, and the one that would be.
    :raises NameRefused: they may not.
    """
    for path in sorted(set(changed)):
        if path == HOLDS_PATH:
            if not submitter.operator:
                _refuse(path, "what is held as it was, or the operator's token,", "a change")
            continue
        old, new = before.record(path), after.record(path)
        if old == new and _is_untouched_host(path, before, after):
            continue
        for record in (old, new):
            if submitter.tenant and record is not None and record.tenant != submitter.tenant:
                _refuse(path, f"an entry of tenant {submitter.tenant}, whose token was shown,", record.tenant)
        granted = _check_grant(path, before, after, submitter)
        _check_bins(path, old, before, after)
        if path.startswith(_SERVICE):
            if not submitter.operator:
                _check_held(path, old, new, before)
            _check_service(path, old, new, before, after, submitter)
        else:
            _check_host(path, old, new, after, granted)


def _is_untouched_host(path: str, before: Book, after: Book) -> bool:
    """Whether it is a host of which its bin says what it said.

    A tenant's file may list a host that the operator has given to another since. To strike it out there takes nothing
    from that one; a service that lists it is refused as long as the host does not lead to it (`_check_service`).
    """
    bins = (each.bin(path) for each in (before, after))
    was, now = (bin_.targets.get(path) if bin_ is not None else None for bin_ in bins)
    return path.startswith(host_path("")) and was == now


def _check_grant(path: str, before: Book, after: Book, submitter: Submitter) -> bool:
    """Whether a name is given to a tenant, or taken from one."""
    old, new = before.entry(path), after.entry(path)
    granted = old != new and (isinstance(old, Grant) or isinstance(new, Grant))
    if granted and not submitter.operator:
        _refuse(path, "a grant as it was, or the operator's token,", new)
    if granted and isinstance(new, Grant) and after.delegation(new.tenant) is None:
        _refuse(path, "a tenant that the operator has added", new.tenant)
    return granted


def _check_bins(path: str, old: ServiceRecord | None, before: Book, after: Book) -> None:
    """That a bin takes nothing from a tenant that signs itself, and adds nothing to it."""
    entry = after.entry(path)
    if not isinstance(entry, ServiceRecord):
        return
    as_before = old is not None and old.tenant == entry.tenant and before.holder(path) is None
    if not as_before and after.delegation(entry.tenant) is not None:
        _refuse(path, f"the signature of tenant {entry.tenant}, which has keys of its own,", "a bin's")
    reserved = holder(path, None)
    if before.entry(path) is None and reserved is not None and after.delegation(reserved) is not None:
        _refuse(path, f"a name that does not begin with {reserved}, which is a tenant's,", entry.service)


def _check_held(path: str, old: ServiceRecord | None, new: ServiceRecord | None, before: Book) -> None:
    """That a service which is held by its name does not go on under another one."""
    if old is None or not before.holds().reason("", old.service, ""):
        return
    if new is None or new.withdrawn or not set(old.hosts) <= set(new.hosts):
        _refuse(path, "a service that keeps its name and hosts while the operator holds it", "one that gives them up")


def _check_service(
    path: str, old: ServiceRecord | None, new: ServiceRecord | None, before: Book, after: Book, submitter: Submitter
) -> None:
    kept = new.hosts if new is not None else ()
    for host in old.hosts if old is not None else ():
        left = after.record(host_path(host)) if host not in kept else None
        if left is not None and left.service == path.removeprefix(_SERVICE):
            _refuse(host_path(host), f"no entry of {left.service}, which gives the host up,", "one")
    if new is None and old is None:
        return  # a name that was given, or taken back, before anything was published under it
    if new is None:
        _refuse(path, "an entry that stays, and says where it is so that the service is withdrawn,", "none")
    if new.withdrawn and (old is None or new.manifest_digest != old.manifest_digest):
        _refuse(path, "a service that can be withdrawn, over the image that it has,", new.manifest_digest)
    version = old.version + 1 if old is not None else 1
    if new.version != version:
        _refuse(path, f"version {version}", new.version)
    if old is not None and new.tenant != old.tenant and not submitter.operator:
        _refuse(path, f"tenant {old.tenant}, whose the service is,", new.tenant)
    history = (*before.history(new.service), old.manifest_digest) if old is not None else ()
    if after.history(new.service) != history[-HISTORY_MAX:]:
        _refuse(path, "the history of what was published", after.history(new.service))
    for host in new.hosts:
        found = after.record(host_path(host))
        if found != new:
            got = f"one of {found.service} version {found.version}" if found is not None else "none"
            _refuse(host_path(host), f"the entry of {new.service} version {new.version}, which lists the host,", got)


def _check_host(path: str, old: ServiceRecord | None, new: ServiceRecord | None, after: Book, granted: bool) -> None:
    host = path.removeprefix(host_path(""))
    if new is not None and after.record(service_path(new.service)) != new:
        _refuse(path, f"what the entry of service {new.service} says", f"version {new.version}")
    if old is not None and (new is None or new.service != old.service) and not granted:
        owner = after.record(service_path(old.service))
        if owner is not None and host in owner.hosts:
            _refuse(
                path, f"the entry of {old.service}, which has the host,", new.service if new is not None else "none"
            )


def _refuse(path: str, expected: str, got: object) -> NoReturn:
    raise NameRefused(f"{path[:300]}: {expected} expected, got {str(got)[:200]}")
