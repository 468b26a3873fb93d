"""Which changes of names an origin publishes: whose a host, a service and a tenant are, as decisions without I/O.

A submission carries whole bins, and a bin holds entries of many publishers; what counts is which entries differ from
those that are published. After a submission, for every entry that it touches:

- a host's entry says what its service's entry says, and that one lists the host: a host has one service, both ways;
- a host that another service had is given up by that service's own entry, in the same submission or an earlier one;
- a service's version is one more than before, from 1; its history is what was published, in order;
- a service that is withdrawn keeps its entry, which says so over the image that it had, and so its name and versions;
- a service's tenant is what it was, unless the operator says otherwise;
- with a tenant's token nothing of another tenant is touched, neither as it was nor as it will be.

All bins are signed by one publisher key, so these rules bind who has a token, not who has that key and the operator's.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NoReturn

from tuf.api.metadata import TargetFile, Targets

from vmimage.errors import VerificationError
from vmimage.trust import HISTORY_MAX, ServiceRecord, history_of, host_path, parse_target, service_path

_SERVICE: Final = "services/"

Entry = Callable[[str], TargetFile | None]


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


def check(changed: Iterable[str], before: Entry, after: Entry, submitter: Submitter) -> None:
    """Whether entries may become what they shall be.

    :param changed: paths of all entries that differ.
    :param before, after: the entry of any path in the state that is published, and in the one that would be.
    :raises NameRefused: they may not.
    """
    for path in sorted(changed):
        old, new = _record(path, before), _record(path, after)
        for record in (old, new):
            if submitter.tenant and record is not None and record.tenant != submitter.tenant:
                _refuse(path, f"an entry of tenant {submitter.tenant}, whose token was shown,", record.tenant)
        if path.startswith(_SERVICE):
            _check_service(path, old, new, before, after, submitter)
        else:
            _check_host(path, old, new, after)


def _check_service(
    path: str, old: ServiceRecord | None, new: ServiceRecord | None, before: Entry, after: Entry, submitter: Submitter
) -> None:
    kept = new.hosts if new is not None else ()
    for host in old.hosts if old is not None else ():
        left = _record(host_path(host), after) if host not in kept else None
        if left is not None and left.service == path.removeprefix(_SERVICE):
            _refuse(host_path(host), f"no entry of {left.service}, which gives the host up,", "one")
    if new is None:
        _refuse(path, "an entry that stays, and says where it is so that the service is withdrawn,", "none")
    if new.withdrawn and (old is None or new.manifest_digest != old.manifest_digest):
        _refuse(path, "a service that can be withdrawn, over the image that it has,", new.manifest_digest)
    version = old.version + 1 if old is not None else 1
    if new.version != version:
        _refuse(path, f"version {version}", new.version)
    if old is not None and new.tenant != old.tenant and not submitter.operator:
        _refuse(path, f"tenant {old.tenant}, whose the service is,", new.tenant)
    entry, last = after(path), before(path)
    history = (*history_of(last), old.manifest_digest) if last is not None and old is not None else ()
    if entry is not None and history_of(entry) != history[-HISTORY_MAX:]:
        _refuse(path, "the history of what was published", history_of(entry))
    for host in new.hosts:
        found = _record(host_path(host), after)
        if found != new:
            got = f"one of {found.service} version {found.version}" if found is not None else "none"
            _refuse(host_path(host), f"the entry of {new.service} version {new.version}, which lists the host,", got)


def _check_host(path: str, old: ServiceRecord | None, new: ServiceRecord | None, after: Entry) -> None:
    host = path.removeprefix(host_path(""))
    if new is not None and _record(service_path(new.service), after) != new:
        _refuse(path, f"what the entry of service {new.service} says", f"version {new.version}")
    if old is not None and (new is None or new.service != old.service):
        owner = _record(service_path(old.service), after)
        if owner is not None and host in owner.hosts:
            _refuse(
                path, f"the entry of {old.service}, which has the host,", new.service if new is not None else "none"
            )


def _record(path: str, entry: Entry) -> ServiceRecord | None:
    target = entry(path)
    return parse_target(path, target) if target is not None else None


def _refuse(path: str, expected: str, got: object) -> NoReturn:
    raise NameRefused(f"{path[:300]}: {expected} expected, got {str(got)[:200]}")
