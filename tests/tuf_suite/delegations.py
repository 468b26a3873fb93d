"""A plug-in for pytest that gives the suite's repositories our delegations, so that the whole catalogue can judge them.

Top-level targets delegate to hash bins, signed by a publisher's key; each target that a test adds to top-level targets
is a service in its bin too, whose image is the target's content. Roles that a test delegates to beside these are signed
and named by the snapshot, and nobody points to them: an edge knows bins and tenants, and no other graph.

An edge asks for the timestamp first, so that a refresh with nothing new is one conditional request, and takes that
answer when its turn comes. Such a request is noted behind those for roots, where the specification has it.
"""

from collections.abc import Iterable
from typing import Any, Final

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, SuccinctRoles, TargetFile, Targets, Timestamp
from tuf_conformance._internal import repository_simulator, simulator_server

from tests.tuf_suite.names import service_name
from vmimage.trust import BIN_BITS, BIN_PREFIX, ServiceRecord, make_targets

_PUBLISHER: Final = CryptoSigner.generate_ed25519()
_KEY: Final = _PUBLISHER.public_key
_BINS: Final = SuccinctRoles([_KEY.keyid], 1, BIN_BITS, BIN_PREFIX)


class Delegating(repository_simulator.RepositorySimulator):  # type: ignore[misc]
    """A repository whose top-level targets delegate as ours do."""

    def __init__(self, dump_dir: str | None) -> None:
        self._versions: dict[str, int] = {}  # of services
        super().__init__(dump_dir)

    def publish(self, roles: Iterable[str], verify_version: bool = True) -> None:
        """As the suite does it; with new targets come the bins that they change."""
        for role in roles:
            if role == Targets.type:
                self.targets.delegations = Delegations({_KEY.keyid: _KEY}, succinct_roles=_BINS)
                super().publish(self._changed_bins(), verify_version)
            super().publish([role], verify_version)

    def fetch_metadata(self, role: str, version: int | None = None) -> bytes:
        """As the suite does it, with the request for a timestamp noted in the place where its answer is used."""
        asked = self.metadata_statistics
        if asked[-2:-1] == [(Timestamp.type, None)] and asked[-1][0] == Root.type:
            asked[-2:] = asked[:-3:-1]
        data: bytes = super().fetch_metadata(role, version)
        return data

    def add_delegation(self, delegator_name: str, role: DelegatedRole, targets: Targets) -> None:
        """A role that the snapshot will name."""
        self.add_signer(role.name, self.new_signer())
        self.mds.setdefault(role.name, Metadata(targets, {}))

    def _changed_bins(self) -> list[str]:
        changed: dict[str, None] = {}
        for target, file in self.targets.targets.items():
            for path, entry in self._entries(target, file).items():
                bin_ = _BINS.get_role_for_target(path)
                if bin_ not in self.mds:
                    self.mds[bin_] = Metadata(Targets(expires=self.safe_expiry))
                    self.add_signer(bin_, _PUBLISHER)
                known: dict[str, Any] = self.any_targets(bin_).targets
                if path not in known or known[path].hashes != entry.hashes:
                    known[path], changed[bin_] = entry, None
        return list(changed)

    def _entries(self, target: str, file: TargetFile) -> dict[str, TargetFile]:
        if "sha256" not in file.hashes:
            return {}
        service, digest = service_name(target), f"sha256:{file.hashes['sha256']}"
        self._versions[service] = self._versions.get(service, 0) + 1
        return make_targets(ServiceRecord(service, (), digest, file.length, self._versions[service]), ())


simulator_server.RepositorySimulator = Delegating
