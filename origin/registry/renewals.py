"""Roots and targets at an origin: which of them count, and which new ones may be published.

Decisions without I/O. A root is followed version by version, as edges follow it, so what an origin has taken every edge
can take; whoever submits one needs no more than its signatures and the operator's token.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import count
from typing import Final

from tuf.api.metadata import Root, Targets

from origin.registry.names import Submitter
from vmimage.errors import OperatorError, VerificationError
from vmimage.trust import ROOT_MAX, TARGETS_MAX, Trust, follow, root_version

ROLES: Final = (Root.type, Targets.type)  # names under which they are submitted, beside the bins'
Read = Callable[[str], bytes | None]  # a published file by its name, None when it is not there


class VersionConflict(VerificationError):
    """Somebody else published first: read the new state and sign again."""

    http_status = 409
    counter = "version_conflict"


def roots_of(offered: Iterable[bytes], read: Read) -> list[bytes]:
    """All roots from the first of the key folder's on: the folder's, and those that were published since.

    :raises OperatorError: the store is another trust's, or there is a gap between what it and the folder have.
    """
    own = {root_version(data): data for data in offered}
    first = min(own)
    chain: list[bytes] = []
    for version in count(first):
        stored = read(f"{version}.root.json")
        if stored is not None and own.get(version, stored) != stored:
            raise OperatorError(
                f"a store that belongs to these keys expected, got one with another root {version}: "
                "name the store or the key folder that belong together"
            )
        data = own.get(version, stored)
        if data is None:
            break
        chain.append(data)
    missing = [version for version in own if version >= first + len(chain)]
    if missing or (first > 1 and read("1.root.json") is not None and read(f"{first - 1}.root.json") is None):
        gap = first + len(chain) if missing else first - 1
        raise OperatorError(
            f"{gap}.root.json expected in the key folder: edges follow every version: "
            "copy it from where `nunatak renew` was run"
        )
    return chain


def older_roots(roots: list[bytes]) -> list[Root]:
    """Verified, the newest first, without the last: by their keys what is published may have been signed."""
    found: list[Root] = []
    for data in roots[:-1]:
        found.append(follow([data], found[-1] if found else None))
    return found[::-1]


def renewed(
    trust: Trust, submitted: Mapping[str, bytes], read: Read, now: datetime, submitter: Submitter
) -> tuple[Trust, dict[str, bytes]]:
    """What is trusted once `submitted` is published, and its roots and targets by file name.

    :raises VersionConflict: not the successor of the present version.
    :raises VerificationError: not signed as the present root and itself say, or expired; or it is not the operator's.
    """
    if not submitted.keys() & set(ROLES):
        return trust, {}
    if not submitter.operator:
        raise VerificationError("root and targets: the operator's token expected, got a tenant's or none")
    files: dict[str, bytes] = {}
    root = trust.root
    if (data := submitted.get(Root.type)) is not None:
        _bound(Root.type, data, ROOT_MAX)
        if root_version(data) != root.version + 1:
            raise VersionConflict(f"root: version {root.version + 1} expected, got {root_version(data)}")
        root = follow([data], root)
        files[f"{root.version}.root.json"] = data
    targets = submitted.get(Targets.type)
    if targets is None:
        targets = read(f"{trust.targets.version}.targets.json")
        if targets is None:
            raise OperatorError(
                f"{trust.targets.version}.targets.json expected in the store, not there: "
                "restore the store from its backup"
            )
    _bound(Targets.type, targets, TARGETS_MAX)
    new = Trust(root, targets)
    if Targets.type in submitted:
        if new.targets.version != trust.targets.version + 1:
            raise VersionConflict(f"targets: version {trust.targets.version + 1} expected, got {new.targets.version}")
        files[f"{new.targets.version}.targets.json"] = targets
    for role, expires in ((Root.type, root.expires), (Targets.type, new.targets.expires)):
        if role in submitted and expires <= now:
            raise VerificationError(f"{role}: metadata that has not expired expected, got {expires}")
    return new, files


def require_all_bins(before: Trust, after: Trust, published: Iterable[str], submitted: Iterable[str]) -> None:
    """New keys for bins sign every bin that there is, at once: edges could not read the others.

    :raises VerificationError: some are missing.
    """
    if before.bin_keys == after.bin_keys:
        return
    missing = sorted({role for role in published if after.is_bin(role)} - set(submitted))
    if missing:
        raise VerificationError(f"all bins signed by the new publisher key expected, {missing[0]} is missing")


def _bound(role: str, data: bytes, most: int) -> None:
    if len(data) > most:
        raise VerificationError(f"{role}: at most {most} bytes expected, got {len(data)}")
