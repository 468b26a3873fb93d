"""Tenants with keys of their own, for tests: what signs for them, and an origin's state without a server."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import TargetFile, Targets

from origin.model.tenant_keys import Card, public_key
from origin.publish.authors import Tenant
from origin.registry.names import Submitter
from origin.registry.roles import Published, accept, first_roles
from tests.support.synthetic import NOW, Keys
from vmimage.tenancy import sign_tenant, tenant_target, with_tenant
from vmimage.tenants import grant_target, tenant_path, tenant_role
from vmimage.trust import ServiceRecord, service_path, sign_bin

OPERATOR = Submitter(operator=True)
Changes = Mapping[str, TargetFile | None]


class Party:
    """A tenant and its keys."""

    def __init__(self, name: str, keys: int = 1, threshold: int = 1) -> None:
        self.name, self.threshold = name, threshold
        self.signers = [CryptoSigner.generate_ed25519() for _ in range(keys)]

    @property
    def author(self) -> Tenant:
        return Tenant(self.name, tuple(self.signers))

    @property
    def card(self) -> Card:
        return Card(self.name, tuple(map(public_key, self.signers)), self.threshold)

    @property
    def token(self) -> Submitter:
        """Who shows a token of the tenant."""
        return Submitter(self.name)

    def file(
        self,
        before: Targets | None,
        *records: ServiceRecord,
        history: Mapping[str, Sequence[str]] | None = None,
        signers: Sequence[Signer] | None = None,
        now: datetime = NOW,
    ) -> bytes:
        """Its next file, with these records, whatever they say."""
        past = history or {}
        changes = {service_path(r.service): tenant_target(r, tuple(past.get(r.service, ()))) for r in records}
        return sign_tenant(self.name, before, changes, self.signers if signers is None else signers, now)


class State:
    """What an origin has published, without a server."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.state: Published = first_roles(keys.trust, keys.metadata["1.targets.json"], keys.online, NOW)[1]

    def submit(self, files: Mapping[str, bytes], submitter: Submitter = OPERATOR) -> None:
        _, self.state = accept(self.state, files, lambda _: 1000, self.keys.online, NOW, submitter)

    def add(self, *parties: Party) -> None:
        for party in parties:
            self.submit(self.with_keys(party))

    def with_keys(self, party: Party) -> dict[str, bytes]:
        """The bin that lets the keys of a tenant sign for it, and no others."""
        role = self.keys.trust.bin_of(tenant_path(party.name))
        bin_ = self.state.signed(role)
        delegations = with_tenant(bin_, party.name, party.card.keys, party.threshold)
        return {role: sign_bin(bin_, {}, self.keys.publisher, NOW, delegations)}

    def grant(self, party: Party, *paths: str, submitter: Submitter = OPERATOR) -> None:
        self.submit(self.bins({path: grant_target(path, party.name) for path in paths}), submitter)

    def bins(self, changes: Changes) -> dict[str, bytes]:
        roles: dict[str, dict[str, TargetFile | None]] = {}
        for path, target in changes.items():
            roles.setdefault(self.keys.trust.bin_of(path), {})[path] = target
        return {
            role: sign_bin(self.state.signed(role), change, self.keys.publisher, NOW) for role, change in roles.items()
        }

    def publish(
        self, party: Party, *records: ServiceRecord, history: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        role = tenant_role(party.name)
        self.submit({role: party.file(self.state.signed(role), *records, history=history)}, party.token)

    def record(self, path: str) -> ServiceRecord | None:
        return self.state.book().record(path)
