"""Which tenants an origin takes, and whose keys sign for them: decisions without I/O.

Who signs for a tenant is the operator's to say, in the bin of the tenant's path. It changes so that what the tenant has
published stays readable: an edge that looks a service up after the change verifies the tenant's file by the new keys,
so these have signed it already, or sign it in the same submission. A key goes in three steps: the new one is added, the
tenant signs with it, the old one is removed.
"""

from collections.abc import Callable, Iterable

from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Targets

from origin.registry.names import NameRefused, Submitter
from vmimage.errors import VerificationError
from vmimage.tenancy import Book, entries_of, verify_tenant
from vmimage.tenants import tenant_of, tenant_path, tenant_role


def changed_tenants(before: Targets | None, after: Targets) -> list[str]:
    """Tenants of a bin whose keys are not those that they were, or that come or go."""
    old, new = (_tenants(each) for each in (before, after))
    return sorted(tenant for tenant in old.keys() | new.keys() if old.get(tenant) != new.get(tenant))


def check_delegations(
    changed: Iterable[str], after: Book, file: Callable[[str], bytes | None], submitter: Submitter
) -> None:
    """Whether these tenants may be signed for as `after` says.

    :param file: of a role as it will be, None where it has none yet.
    :raises NameRefused: they may not.
    """
    for tenant in changed:
        if not submitter.operator:
            raise NameRefused(f"tenant {tenant}: keys as they were, or the operator's token, expected")
        role = tenant_role(tenant)
        data = file(role)
        if data is None:
            continue
        if after.delegation(tenant) is None:
            _refuse_orphans(tenant, after.role(role))
            continue
        try:
            verify_tenant(after.bin(tenant_path(tenant)), tenant, data)
        except VerificationError as error:
            raise NameRefused(
                f"tenant {tenant}: what it has published, signed by the keys that it shall have, expected: {error}: "
                "add the new key, have the tenant sign with it, then remove the old one"
            ) from None


def require_own(roles: Iterable[str], submitter: Submitter) -> None:
    """That nobody sends another tenant's file.

    :raises NameRefused: somebody does.
    """
    for role in roles:
        tenant = tenant_of(role)
        if tenant is not None and not submitter.operator and submitter.tenant != tenant:
            raise NameRefused(f"{role}: a token of tenant {tenant} expected, got one of {submitter.tenant or 'nobody'}")


def _refuse_orphans(tenant: str, signed: Targets | None) -> None:
    records = entries_of(tenant, signed).values() if signed is not None else ()
    left = sorted({record.service for record in records if not record.withdrawn})
    if left:
        raise NameRefused(f"tenant {tenant}: no service that is not withdrawn expected, got {left[0]}: withdraw it")


def _tenants(bin_: Targets | None) -> dict[str, tuple[DelegatedRole, list[Key]]]:
    delegations = bin_.delegations if bin_ is not None else None
    if delegations is None or delegations.roles is None:
        return {}
    roles = ((tenant_of(name), role) for name, role in delegations.roles.items())
    return {tenant: (role, [delegations.keys[k] for k in role.keyids]) for tenant, role in roles if tenant is not None}
