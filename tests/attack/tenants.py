"""The repository that lies on demand, with tenants that have keys of their own."""

from collections.abc import Sequence

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, Targets

from tests.attack.repository import Repository
from tests.support.tenancy import Party
from vmimage.holds import HOLDS_PATH, Holds, holds_target
from vmimage.tenancy import with_tenant
from vmimage.tenants import grant_target, tenant_path, tenant_role
from vmimage.trust import ServiceRecord, sign_bin


class TenantRepository(Repository):
    """Its bins know tenants; `bin_versions` has the versions of their files too."""

    def add(self, party: Party) -> None:
        """Let the keys of a tenant sign for it, and no others."""
        role = self.trust.bin_of(tenant_path(party.name))
        version = self.bin_versions.get(role, 0)
        before = self.trust.verify_bin(role, self.files[f"{version}.{role}.json"]) if version else None
        delegations = with_tenant(before, party.name, party.card.keys, party.threshold)
        self.files[f"{version + 1}.{role}.json"] = sign_bin(
            before, {}, self.signers["publisher"], self.now, delegations
        )
        self.bin_versions[role] = version + 1

    def grant(self, party: Party, *paths: str) -> None:
        for path in paths:
            self.sign_bin(self.trust.bin_of(path), {path: grant_target(path, party.name)})

    def put(self, party: Party, *records: ServiceRecord, signers: Sequence[Signer] | None = None) -> None:
        """The next file of a tenant, which has these records, without a snapshot that names it."""
        role = tenant_role(party.name)
        version = self.bin_versions.get(role, 0)
        previous = None
        if version:
            previous = Metadata[Targets].from_bytes(self.files[f"{version}.{role}.json"]).signed
        self.files[f"{version + 1}.{role}.json"] = party.file(previous, *records, signers=signers, now=self.now)
        self.bin_versions[role] = version + 1

    def hold(self, *what: str) -> None:
        """Hold these, and nothing else."""
        since = dict.fromkeys(what, "2026-01-31T10:00:00Z")
        self.sign_bin(self.trust.bin_of(HOLDS_PATH), {HOLDS_PATH: holds_target(Holds(since))})

    def finish(self) -> None:
        """Name all that there is now by a snapshot and a timestamp."""
        self.sign_snapshot()
        self.sign_timestamp()
        self.past.append(dict(self.files))
