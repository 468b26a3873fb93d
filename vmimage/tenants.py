"""Tenants with keys of their own, as TUF says it: named delegations in bins, and the operator's index of names.

    bin-xx                      signed by the operator
      "services/NAME"           a service of the operator's own, or a grant: whose service it is
      "hosts/HOST"              the same for a host
      delegations               the keys of each tenant whose path "tenants/TENANT" falls into this bin
        └──> tenant-TENANT      signed by that tenant: its services, each with its hosts

A grant is a target of no bytes whose "custom" names the tenant and nothing else. A service "TENANT.anything" is that
tenant's without a grant, unless the operator has one of that name. So a look-up reads the bin of the name, the bin of
the tenant and the tenant's own file, however many tenants there are. Decisions without I/O; what a bin holds beside
these is `vmimage.trust`'s business, what a tenant's file holds `vmimage.tenancy`'s.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tuf.api.metadata import DelegatedRole, Delegations, TargetFile, Targets

from vmimage.canonical import is_name
from vmimage.errors import VerificationError

ROLE_PREFIX: Final = "tenant-"
TENANTS_MAX: Final = 1000  # of one bin: 0.5 MB; 10,000 tenants are 40 in each of 256
KEYS_MAX: Final = 16  # of one tenant
PATHS: Final = ("services/*", "hosts/*")  # that a tenant's role may speak of; the index says which of them
SERVICES: Final = "services/"
HOSTS: Final = "hosts/"

_ROLE: Final = re.compile(rf"{ROLE_PREFIX}[a-z0-9_-]{{1,63}}", re.ASCII)
_EMPTY: Final = hashlib.sha256().hexdigest()  # of a target that has no bytes


@dataclass(frozen=True, slots=True)
class Grant:
    """The operator's word that a name is a tenant's."""

    tenant: str


def is_tenant_name(text: str) -> bool:
    """Whether a tenant with keys may be called so: as a service, without the dot that ends it in a service's name."""
    return is_name(text) and "." not in text


def tenant_role(tenant: str) -> str:
    """Name of the role that the tenant signs."""
    return f"{ROLE_PREFIX}{tenant}"


def tenant_of(role: str) -> str | None:
    """The tenant whose role it is, None for another role."""
    tenant = role.removeprefix(ROLE_PREFIX)
    return tenant if _ROLE.fullmatch(role) is not None and is_tenant_name(tenant) else None


def tenant_path(tenant: str) -> str:
    """Path whose bin delegates to the tenant."""
    return f"tenants/{tenant}"


def grant_target(path: str, tenant: str) -> TargetFile:
    """The entry that gives a name to a tenant."""
    return TargetFile(0, {"sha256": _EMPTY}, path, {"custom": {"tenant": tenant}})


def is_grant(target: TargetFile) -> bool:
    """Whether an entry means to give a name to a tenant."""
    return isinstance(target.custom, dict) and target.custom.keys() == {"tenant"}


def parse_grant(path: str, target: TargetFile) -> Grant:
    """The grant that an entry is; whether the path is a name's is its caller's to see.

    :raises VerificationError: malformed.
    """
    tenant = target.custom["tenant"]
    if (
        not isinstance(tenant, str)
        or not is_tenant_name(tenant)
        or target.length
        or target.hashes != {"sha256": _EMPTY}
    ):
        raise VerificationError(
            f"{path[:300]}: a target without bytes that names a tenant expected, got {tenant!r:.80}"
        )
    return Grant(tenant)


def delegation(bin_: Targets | None, tenant: str) -> DelegatedRole | None:
    """Who signs for a tenant, as its bin says; None: there is no such tenant."""
    if bin_ is None or bin_.delegations is None:
        return None
    return (bin_.delegations.roles or {}).get(tenant_role(tenant))


def signers_of(role: DelegatedRole) -> tuple[int, tuple[str, ...]]:
    """How many of which keys sign for a tenant, by identifier."""
    return role.threshold, tuple(sorted(role.keyids))


def check_delegations(delegations: Delegations | None, belongs: Callable[[str], bool]) -> None:
    """Whether a bin delegates to tenants and to nobody else.

    :param belongs: whether a path falls into this bin.
    :raises VerificationError: it does not.
    """
    if delegations is None:
        return
    roles = delegations.roles
    if roles is None or len(roles) > TENANTS_MAX:
        raise VerificationError(f"delegations: at most {TENANTS_MAX} tenants expected, got {len(roles or ())} or bins")
    used: set[str] = set()
    for name, role in roles.items():
        tenant = tenant_of(name)
        if tenant is None or not belongs(tenant_path(tenant)):
            raise VerificationError(f"delegations: a tenant of this bin expected, got {name[:80]!r}")
        if role.paths is None or tuple(role.paths) != PATHS or not role.terminating:
            raise VerificationError(f"{name}: a terminating delegation of {', '.join(PATHS)} expected")
        if not 1 <= role.threshold <= len(role.keyids) <= KEYS_MAX:
            raise VerificationError(f"{name}: 1 to {KEYS_MAX} keys and a threshold that they can meet expected")
        used |= set(role.keyids)
    if used != delegations.keys.keys():
        raise VerificationError("delegations: keys of the tenants of this bin expected, got more or fewer")


def holder(path: str, entry: object) -> str | None:
    """The tenant in whose file a path is found; None: what the bin says of it stands, also where that is nothing.

    :param entry: what the bin of the path says.
    """
    if isinstance(entry, Grant):
        return entry.tenant
    head, dot, _ = path.removeprefix(SERVICES).partition(".")
    if entry is None and dot and path.startswith(SERVICES) and is_tenant_name(head):
        return head
    return None
