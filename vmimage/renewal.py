"""Roles that are signed by hand, signed anew before they end: the next root, the next targets; and who warns when.

Edges follow a root version by version, each signed by as many keys of the one before, and of its own, as these say (TUF
specification 5.3 and 6.1). A role whose key is replaced is signed by the new one from then on, and edges take back what
the old one said last. Decisions without I/O and clock.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata, Role, Root, Targets

from vmimage.errors import PublisherError
from vmimage.trust import OFFLINE_LIFETIME, Trust

WARN_BEFORE: Final = timedelta(days=60)  # a role that is signed by hand ends
_REMEDIES: Final = {"tenants": "have the tenant publish, or run `nunatak tenant renew`"}
ROOT_ROLES: Final = ("root", "targets", "snapshot", "timestamp")  # whose keys the root names


def next_root(
    root: bytes,
    replaced: Mapping[str, Key],
    signers: Iterable[Signer],
    now: datetime,
    old: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """The next version of a root, good for a lifetime from `now`.

    :param replaced: new keys by role. Where one signature is enough, it takes the place of all that the role has; where
        more have to sign, of one of them, and as many have to sign as before.
    :param old: by role, the identifier of that one.
    :param signers: of root keys, old and new. One that is of neither root signs nothing.
    :raises PublisherError: fewer signatures than the two versions demand, a role that a root does not name, or a key
        that is to be replaced and is none of the role's.
    """
    before = Metadata[Root].from_bytes(root)
    metadata = Metadata[Root].from_bytes(root)
    signed = metadata.signed
    for role, key in replaced.items():
        if role not in ROOT_ROLES:
            raise PublisherError(
                f"a role whose key the root names ({', '.join(ROOT_ROLES)}) expected, got {role!r}: name one of these"
            )
        for keyid in _taken_away(role, signed.roles[role], old.get(role, "")):
            signed.revoke_key(keyid, role)
        signed.add_key(key, role)
    signed.version += 1
    signed.expires = now + OFFLINE_LIFETIME
    metadata.signatures.clear()
    _sign(metadata, {*before.signed.roles[Root.type].keyids, *signed.roles[Root.type].keyids}, signers)
    for which in (before.signed, signed):
        _require(which, Root.type, metadata)
    return metadata.to_bytes()


def _taken_away(name: str, role: Role, old: str) -> list[str]:
    """Whose place a new key takes."""
    if role.threshold == 1:
        return list(role.keyids)
    if old not in role.keyids:
        raise PublisherError(
            f"{name}.key: one of the {len(role.keyids)} keys of {name} expected to be replaced, got "
            f"{old[:16] or 'none'}: `nunatak keys rotate` replaces another one"
        )
    return [old]


def next_targets(targets: bytes, root: Root, publisher: Key | None, signers: Iterable[Signer], now: datetime) -> bytes:
    """The next version of the top-level targets, good for a lifetime from `now`.

    :param root: says who signs them. :param publisher: the key that takes the place of all that may sign bins; None
        leaves them.
    :raises PublisherError: fewer signatures than `root` demands.
    """
    metadata = Metadata[Targets].from_bytes(targets)
    signed = metadata.signed
    delegations = signed.delegations
    if publisher is not None and delegations is not None and delegations.succinct_roles is not None:
        delegations.keys = {publisher.keyid: publisher}
        delegations.succinct_roles.keyids, delegations.succinct_roles.threshold = [publisher.keyid], 1
    signed.version += 1
    signed.expires = now + OFFLINE_LIFETIME
    metadata.signatures.clear()
    _sign(metadata, root.roles[Targets.type].keyids, signers)
    _require(root, Targets.type, metadata)
    return metadata.to_bytes()


def _sign(metadata: Metadata[Any], keyids: Collection[str], signers: Iterable[Signer]) -> None:
    """By those of `signers` who count."""
    for signer in signers:
        if signer.public_key.keyid in keyids:
            metadata.sign(signer, append=True)


def _require(root: Root, role: str, metadata: Metadata[Any]) -> None:
    result = root.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    if not result:
        raise PublisherError(
            f"{role} version {metadata.signed.version}: {result.threshold} signatures by {role} keys of root version "
            f"{root.version} expected, got {len(result.signed)}: give the key files of the others with --with-key"
        )


def ended(expiries: Mapping[str, datetime], now: datetime) -> Iterator[str]:
    """What has ended, a line each with what to do."""
    for role, expires in expiries.items():
        if expires <= now:
            yield f"{role} has expired on {expires:%Y-%m-%d}: edges refuse all that is new; {_remedy(role)}"


def ending(expiries: Mapping[str, datetime], now: datetime) -> Iterator[str]:
    """What ends within WARN_BEFORE, a line each with what to do."""
    for role, expires in expiries.items():
        if now < expires < now + WARN_BEFORE:
            days = (expires - now).days
            yield f"{role} expires on {expires:%Y-%m-%d}, in {days} days: {_remedy(role)}"


def _remedy(role: str) -> str:
    return _REMEDIES.get(role, f"run `nunatak renew {role}`")


def expiries(trust: Trust, bins: Iterable[datetime] = (), tenants: Iterable[datetime] = ()) -> dict[str, datetime]:
    """When what is signed by hand ends, by what it is called; of bins and of tenants' files the first to end."""
    first = {"bins": min(bins, default=None), "tenants": min(tenants, default=None)}
    found = {"root": trust.root.expires, "targets": trust.targets.expires}
    return found | {what: ends for what, ends in first.items() if ends is not None}
