"""Root and targets on their way from what they are to what they shall be, signed by one holder of a key after another.

A proposal is made where the origin can be reached, carried to whoever has a key, signed there without any network, and
brought back. It says in full what would be signed, so that who signs can read it. Decisions without I/O.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata, Role, Root, SuccinctRoles, Targets

from vmimage.errors import PublisherError
from vmimage.renewal import ROOT_ROLES
from vmimage.signed import load_metadata
from vmimage.trust import OFFLINE_LIFETIME, ROOT_MAX, TARGETS_MAX, Trust, follow

PROPOSAL_MAX: Final = 4 * (ROOT_MAX + TARGETS_MAX)  # bytes: quoted as text, twice
KEY_ROLES: Final = (*ROOT_ROLES, "publisher")  # whose keys can be changed
KEYS_MAX: Final = 16  # of one role


@dataclass(frozen=True)
class Change:
    """What becomes of the keys of a role."""

    add: tuple[Key, ...] = ()
    remove: tuple[str, ...] = ()  # by identifier
    threshold: int | None = None  # None: as it is


@dataclass
class Proposal:
    """The next root, the next targets, or both, and the present ones, as they are signed so far."""

    before_root: bytes
    before_targets: bytes
    root: Metadata[Root] | None = None
    targets: Metadata[Targets] | None = None

    def to_bytes(self) -> bytes:
        """As a file."""
        said = {"before": {"root": self.before_root.decode(), "targets": self.before_targets.decode()}}
        made = {"root": self.root, "targets": self.targets}
        files = {role: metadata.to_bytes().decode() for role, metadata in made.items() if metadata is not None}
        return json.dumps({**said, **files}, indent=1).encode() + b"\n"

    @property
    def next_root(self) -> Root:
        """Whose keys sign targets from then on."""
        return self.root.signed if self.root is not None else load_metadata(Root, self.before_root).signed


def propose(root: bytes, targets: bytes, changes: Mapping[str, Change], now: datetime) -> Proposal:
    """The next version of what has to be another, good for a lifetime from `now`, without signatures.

    :param root, targets: the newest. :param changes: by role of KEY_ROLES.
    :raises PublisherError: no such role or key, or a threshold that its keys cannot meet.
    """
    proposal = Proposal(root, targets)
    if unknown := sorted(set(changes) - set(KEY_ROLES)):
        raise PublisherError(f"a role of {', '.join(KEY_ROLES)} expected, got {unknown[0]!r}: name one of these")
    if of_root := {role: change for role, change in changes.items() if role in ROOT_ROLES}:
        proposal.root = _next(load_metadata(Root, root), now)
        signed = proposal.root.signed
        for name, change in of_root.items():
            _change(name, signed.roles[name], signed.keys, change)
        used = {keyid for each in signed.roles.values() for keyid in each.keyids}
        for keyid in set(signed.keys) - used:
            del signed.keys[keyid]
    if changes.keys() & {"targets", "publisher"}:
        proposal.targets = _next(load_metadata(Targets, targets), now)
        delegations = proposal.targets.signed.delegations
        if "publisher" in changes and delegations is not None and delegations.succinct_roles is not None:
            _change("publisher", delegations.succinct_roles, delegations.keys, changes["publisher"])
            for keyid in set(delegations.keys) - set(delegations.succinct_roles.keyids):
                del delegations.keys[keyid]
    return proposal


def _next(metadata: Metadata[Any], now: datetime) -> Metadata[Any]:
    metadata.signed.version += 1
    metadata.signed.expires = now + OFFLINE_LIFETIME
    metadata.signatures.clear()
    return metadata


def _change(name: str, role: Role | SuccinctRoles, keys: dict[str, Key], change: Change) -> None:
    for keyid in change.remove:
        found = [each for each in role.keyids if each.startswith(keyid)]
        if len(found) != 1:
            raise PublisherError(f"{name}: one of its keys expected, got {keyid!r}: `nunatak keys list` has them")
        role.keyids.remove(found[0])
    for key in change.add:
        if key.keyid not in role.keyids:
            role.keyids.append(key.keyid)
        keys[key.keyid] = key
    role.threshold = role.threshold if change.threshold is None else change.threshold
    if not 1 <= role.threshold <= len(role.keyids) <= KEYS_MAX:
        raise PublisherError(
            f"{name}: 1 to {KEYS_MAX} keys and a threshold that they can meet expected, got {role.threshold} of "
            f"{len(role.keyids)}: add a key, or lower the threshold"
        )
    if name == "publisher" and role.threshold != 1:
        raise PublisherError("publisher: a threshold of 1 expected: each publication is signed by one key")


def parse_proposal(data: bytes) -> Proposal:
    """A proposal from a file.

    :raises PublisherError: it is none.
    """
    try:
        if len(data) > PROPOSAL_MAX:
            raise ValueError
        said: Any = json.loads(data)
        if not {"before"} < said.keys() <= {"before", "root", "targets"}:
            raise ValueError
        before = {role: str(said["before"][role]).encode() for role in ("root", "targets")}
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise PublisherError("a file of `nunatak keys prepare` expected, got something else: make it anew") from None
    proposal = Proposal(before["root"], before["targets"])
    proposal.root = load_metadata(Root, str(said["root"]).encode()) if "root" in said else None
    proposal.targets = load_metadata(Targets, str(said["targets"]).encode()) if "targets" in said else None
    return proposal


def sign_proposal(proposal: Proposal, signers: Iterable[Signer]) -> list[str]:
    """Sign what a signer's key counts for; what was signed, a line each."""
    said = []
    for signer in signers:
        for metadata, counting in _counting(proposal):
            if signer.public_key.keyid in counting:
                metadata.sign(signer, append=True)
                said.append(f"{metadata.signed.type} version {metadata.signed.version}: {signer.public_key.keyid[:8]}")
    return said


def _counting(proposal: Proposal) -> Iterator[tuple[Metadata[Any], set[str]]]:
    before, after = load_metadata(Root, proposal.before_root).signed, proposal.next_root
    if proposal.root is not None:
        yield proposal.root, {*before.roles[Root.type].keyids, *after.roles[Root.type].keyids}
    if proposal.targets is not None:
        yield proposal.targets, set(after.roles[Targets.type].keyids)


def missing(proposal: Proposal) -> list[str]:
    """Signatures that are still wanted, a line each; none where it can be published."""
    before, after, lines = load_metadata(Root, proposal.before_root).signed, proposal.next_root, []
    asked = [("root", proposal.root, before), ("root", proposal.root, after), ("targets", proposal.targets, after)]
    for role, metadata, root in asked:
        if metadata is None:
            continue
        result = root.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
        if not result:
            others = ", ".join(sorted(keyid[:8] for keyid in result.unsigned))
            said = f"{role} version {metadata.signed.version}: {len(result.signed)} of {result.threshold} signatures"
            lines.append(f"{said} by keys of root version {root.version}; it can have {others}")
    return lines


def described(proposal: Proposal) -> list[str]:
    """What a proposal would change, a line each, for who is asked to sign it."""
    old_root, lines = load_metadata(Root, proposal.before_root).signed, []
    if proposal.root is not None:
        new = proposal.root.signed
        lines.append(f"root version {old_root.version} -> {new.version}, good until {new.expires:%Y-%m-%d}")
        for role in ROOT_ROLES:
            lines += _differences(role, old_root.roles[role], new.roles[role])
    if proposal.targets is not None:
        old, signed = load_metadata(Targets, proposal.before_targets).signed, proposal.targets.signed
        lines.append(f"targets version {old.version} -> {signed.version}, good until {signed.expires:%Y-%m-%d}")
        lines += _differences("publisher", _bins(old), _bins(signed))
    return lines


def _bins(targets: Targets) -> SuccinctRoles:
    if targets.delegations is None or targets.delegations.succinct_roles is None:
        raise PublisherError("targets: a delegation to hash bins expected, got none")
    return targets.delegations.succinct_roles


def _differences(name: str, old: Role | SuccinctRoles, new: Role | SuccinctRoles) -> Iterator[str]:
    for word, keyids in (("+", set(new.keyids) - set(old.keyids)), ("-", set(old.keyids) - set(new.keyids))):
        yield from (f"  {name} {word} key {keyid}" for keyid in sorted(keyids))
    if old.threshold != new.threshold:
        yield f"  {name}: {new.threshold} of {len(new.keyids)} sign, before {old.threshold} of {len(old.keyids)}"


def trust_after(proposal: Proposal) -> Trust:
    """What is trusted once it is published.

    :raises VerificationError: signatures are missing.
    """
    root = follow([proposal.before_root])
    if proposal.root is not None:
        root = follow([proposal.root.to_bytes()], root)
    return Trust(root, proposal.targets.to_bytes() if proposal.targets is not None else proposal.before_targets)


def bin_keys(proposal: Proposal) -> tuple[str, ...]:
    """Identifiers of the keys that sign bins once it is published."""
    metadata = proposal.targets or load_metadata(Targets, proposal.before_targets)
    return tuple(sorted(_bins(metadata.signed).keyids))


def public_keys(proposal: Proposal) -> list[Key]:
    """Public keys that a signature could be by."""
    before = load_metadata(Root, proposal.before_root).signed
    return [*before.keys.values(), *proposal.next_root.keys.values()]
