"""On whose behalf services are published, and where that is said: in the operator's bins, or in a tenant's file.

An author says which names are its own to publish, what a record looks like among its entries, and signs the files that
change. Decisions without I/O.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from securesystemslib.signer import Signer
from tuf.api.metadata import TargetFile

from vmimage.errors import PublisherError
from vmimage.tenancy import Book, owned, sign_tenant, tenant_target
from vmimage.tenants import Grant, tenant_role
from vmimage.text import path_text
from vmimage.trust import ServiceRecord, host_path, make_targets, service_path, sign_bin

Changes = Mapping[str, TargetFile | None]  # entries by path, None for one that goes


class Author(Protocol):
    """Who publishes."""

    @property
    def tenants(self) -> Sequence[str]:
        """Tenants whose files it needs whatever it publishes."""

    def require_own(self, book: Book, service: str, hosts: Iterable[str]) -> None:
        """:raises PublisherError: the service or one of the hosts is another's."""

    def owner(self, service: str, wanted: str, before: ServiceRecord | None) -> str:
        """Whose the service is, "" where it is its own.

        :param wanted: whose it shall be; "": whose it is.
        """

    def changes(self, record: ServiceRecord, history: tuple[str, ...], before: ServiceRecord | None) -> Changes:
        """The entries that say `record` in the place of `before`."""

    def sign(self, book: Book, changes: Changes, now: datetime) -> dict[str, bytes]:
        """The files that change, by role."""


@dataclass(frozen=True)
class House:
    """The operator, whose publisher key signs bins."""

    signer: Signer

    @property
    def tenants(self) -> Sequence[str]:
        """None: it signs no tenant's file."""
        return ()

    def require_own(self, book: Book, service: str, hosts: Iterable[str]) -> None:
        """:raises PublisherError: the operator has given one of them to a tenant."""
        for path in (service_path(service), *map(host_path, hosts)):
            entry, tenant = book.entry(path), book.holder(path)
            if tenant is not None or isinstance(entry, Grant):
                name = tenant or (entry.tenant if isinstance(entry, Grant) else "")
                raise PublisherError(
                    f"{path_text(path)}: a name of the operator's own expected, got one of tenant {name}, "
                    "which publishes with keys of its own: name that key folder with --keys"
                )

    def owner(self, service: str, wanted: str, before: ServiceRecord | None) -> str:
        """What is wanted, else what was."""
        tenant = wanted or (before.owner if before is not None else "")
        return tenant if tenant != service else ""

    def changes(self, record: ServiceRecord, history: tuple[str, ...], before: ServiceRecord | None) -> Changes:
        """Of the service and of each host."""
        gone: dict[str, TargetFile | None] = dict.fromkeys(map(host_path, before.hosts if before is not None else ()))
        return gone | make_targets(record, history)

    def sign(self, book: Book, changes: Changes, now: datetime) -> dict[str, bytes]:
        """The bins of the entries."""
        roles: dict[str, dict[str, TargetFile | None]] = {}
        for path, change in changes.items():
            roles.setdefault(book.trust.bin_of(path), {})[path] = change
        return {role: sign_bin(book.role(role), change, self.signer, now) for role, change in roles.items()}


@dataclass(frozen=True)
class Tenant:
    """A tenant with keys of its own."""

    name: str
    signers: tuple[Signer, ...]  # as many as sign for it

    @property
    def tenants(self) -> Sequence[str]:
        """Itself."""
        return (self.name,)

    def require_own(self, book: Book, service: str, hosts: Iterable[str]) -> None:
        """:raises PublisherError: the operator has not given one of them to it, or does not know its keys."""
        self.require_trusted(book)
        if book.holder(service_path(service)) != self.name:
            raise PublisherError(
                f"a service of tenant {self.name} expected ({self.name}.NAME, or one that the operator has granted), "
                f"got {service!r}: choose another name, or ask for it (`nunatak tenant grant`)"
            )
        for host in hosts:
            if (entry := book.entry(host_path(host))) != Grant(self.name):
                raise PublisherError(
                    f"a host of tenant {self.name} expected, got {host!r}, which the operator has not given to "
                    f"it{whose(entry)}: "
                    "prove that it is yours (`nunatak tenant proof`), and ask for it (`nunatak tenant grant`)"
                )

    def require_trusted(self, book: Book) -> None:
        """:raises PublisherError: edges would not take what these keys sign."""
        role = book.delegation(self.name)
        if role is None:
            raise PublisherError(f"tenant {self.name}: a tenant of this origin expected: ask its operator to add it")
        counting = {signer.public_key.keyid for signer in self.signers} & set(role.keyids)
        if len(counting) < role.threshold:
            raise PublisherError(
                f"tenant {self.name}: {role.threshold} of the keys that the operator has noted expected, got "
                f"{len(counting)}: use the key folder that was added last, with --with-key for further ones"
            )

    def owner(self, service: str, wanted: str, before: ServiceRecord | None) -> str:
        """Itself.

        :raises PublisherError: another is wanted.
        """
        if wanted not in ("", self.name):
            raise PublisherError(f"--tenant: {self.name}, whose keys these are, expected, got {wanted!r}")
        return self.name if self.name != service else ""

    def changes(self, record: ServiceRecord, history: tuple[str, ...], before: ServiceRecord | None) -> Changes:
        """Of the service, which lists its hosts."""
        assert record == owned(record, self.name)
        return {service_path(record.service): tenant_target(record, history)}

    def sign(self, book: Book, changes: Changes, now: datetime) -> dict[str, bytes]:
        """Its file."""
        role = tenant_role(self.name)
        return {role: sign_tenant(self.name, book.role(role), changes, self.signers, now)}


def signers_of(signing: "Signing") -> tuple[Signer, ...]:
    """Whose signatures stand under what it publishes."""
    return signing.signers if isinstance(signing, Tenant) else (signing,)


def whose(entry: object) -> str:
    """Who has a host, in words, as the public catalogue says it.

    :param entry: what the operator's index says of it; "" is said of one that nobody has.
    """
    if isinstance(entry, Grant):
        return f" but to tenant {entry.tenant}"
    if isinstance(entry, ServiceRecord):
        return f", service {entry.service} of tenant {entry.tenant} has it"
    return ""


Signing = Signer | Tenant  # who signs: the publisher key for bins, or a tenant for its file


def author_of(signing: Signing) -> Author:
    """On whose behalf it signs."""
    return signing if isinstance(signing, Tenant) else House(signing)
