"""Signing anew what is signed by hand: root, targets and bins, before they end; with new keys where that is wanted.

Decisions without I/O, as `origin.publish.publish`: read what the origin has now, sign the next version of it, and bring
all of it in one request. The origin makes it visible at once or not at all; edges follow by themselves.
"""

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

from securesystemslib.signer import Signer

from origin.model.exchange import Request, Response, expect
from origin.publish.chain import State, read_state
from origin.publish.entries import CONFLICTS_BORNE
from vmimage.errors import OriginError
from vmimage.renewal import ROOT_ROLES, next_root, next_targets
from vmimage.trust import OFFLINE_LIFETIME, Trust, follow, sign_bin

ROLES: Final = ("root", "targets", "bins")  # what can be renewed
GROUP: Final = 32  # bins that are read at once

_ReadBins = Generator[Sequence[Request], Sequence[Response], dict[str, bytes]]


@dataclass(frozen=True)
class Plan:
    """What shall be renewed, by which keys."""

    roles: frozenset[str]  # of ROLES
    signers: Mapping[str, Sequence[Signer]]  # of root and targets: all keys that may be needed
    publisher: Signer | None  # signs bins; None where they are not renewed
    replaced: Mapping[str, Signer] = field(default_factory=dict)  # new keys by role
    old: Mapping[str, str] = field(default_factory=dict)  # identifiers of those in whose place they come, by role

    @classmethod
    def of(
        cls,
        roles: frozenset[str],
        signers: Mapping[str, Sequence[Signer]],
        publisher: Signer | None,
        new: Mapping[str, Signer],
        old: Mapping[str, str] = MappingProxyType({}),
    ) -> "Plan":
        """With the roles that follow from keys that are replaced: who signs what the key signed.

        :param new: keys by role, of ROOT_ROLES and "publisher". :param old: as for `next_root`.
        """
        roles = roles | needed(new)
        signers = {
            role: (*signers.get(role, ()), *([new[role]] if role in new else [])) for role in ("root", "targets")
        }
        return cls(roles, signers, new.get("publisher", publisher) if "bins" in roles else None, new, old)


def needed(replaced: Mapping[str, object] | Sequence[str]) -> frozenset[str]:
    """The roles that must be signed anew where these keys are replaced."""
    roles = {"root"} if set(replaced) & set(ROOT_ROLES) else set()
    roles |= {"targets"} if set(replaced) & {"targets", "publisher"} else set()
    return frozenset(roles | ({"bins"} if "publisher" in replaced else set()))


@dataclass(frozen=True)
class Renewed:
    """What was published."""

    roots: tuple[bytes, ...]  # all that the key folder does not have, the newest last
    targets: bytes | None  # None: those of the key folder
    lines: tuple[str, ...]  # for people: what is good until when


def renew(
    plan: Plan, root: bytes, targets: bytes, now: datetime
) -> Generator[Sequence[Request], Sequence[Response], Renewed]:
    """Publish the next version of what the plan names.

    :param root, targets: those of the key folder.
    :raises PublisherError: too few keys, or a token that is refused.
    :raises OriginError: answers that were not expected.
    :raises VerificationError: the origin's metadata are not signed as `root` leads to.
    """
    for _ in range(CONFLICTS_BORNE):
        state = yield from read_state(Trust([root], targets))
        signed, trust = _sign_top(plan, state, root, targets, now)
        bins = (yield from sign_bins(plan.publisher, state, now)) if plan.publisher is not None else {}
        if not signed and not bins:
            return Renewed((), None, ("bins: there are none yet",))
        body = json.dumps({role: data.decode() for role, data in (signed | bins).items()}).encode()
        [response] = yield [Request("POST", "/tuf/roles", body, "application/json")]
        if response.status != 409:
            expect(response, 201, "renewal")
            roots = (*state.roots, *([signed["root"]] if "root" in signed else []))
            return Renewed(roots, signed.get("targets", state.targets), tuple(_lines(signed, trust, len(bins), now)))
    raise OriginError(
        f"renewal: a moment without other publishers expected, got {CONFLICTS_BORNE} conflicts: run it again"
    )


def _sign_top(plan: Plan, state: State, root: bytes, targets: bytes, now: datetime) -> tuple[dict[str, bytes], Trust]:
    """The next root and targets by role, and what is trusted then."""
    signed: dict[str, bytes] = {}
    newest = state.trust.root
    if "root" in plan.roles:
        keys = {role: signer.public_key for role, signer in plan.replaced.items() if role in ROOT_ROLES}
        before = state.roots[-1] if state.roots else root
        signed["root"] = next_root(before, keys, plan.signers["root"], now, plan.old)
        newest = follow([signed["root"]], newest)
    current = state.targets or targets
    if "targets" in plan.roles:
        publisher = plan.replaced.get("publisher")
        key = publisher.public_key if publisher is not None else None
        current = signed["targets"] = next_targets(current, newest, key, plan.signers["targets"], now)
    return signed, Trust(newest, current)


def sign_bins(publisher: Signer, state: State, now: datetime) -> _ReadBins:
    """Every bin that there is, by role, signed anew by this key and otherwise as it was."""
    meta, trust = state.snapshot.meta, state.trust
    roles = sorted(role for role in (name.removesuffix(".json") for name in meta) if trust.is_bin(role))
    signed: dict[str, bytes] = {}
    for start in range(0, len(roles), GROUP):
        group = roles[start : start + GROUP]
        responses = yield [Request("GET", f"/tuf/{meta[f'{role}.json'].version}.{role}.json") for role in group]
        for role, response in zip(group, responses, strict=True):
            expect(response, 200, role)
            signed[role] = sign_bin(trust.verify_bin(role, response.body), {}, publisher, now)
    return signed


def _lines(signed: Mapping[str, bytes], trust: Trust, bins: int, now: datetime) -> Iterator[str]:
    for role, top in (("root", trust.root), ("targets", trust.targets)):
        if role in signed:
            yield f"{role} version {top.version} is good until {top.expires:%Y-%m-%d}"
    if bins:
        yield f"{bins} bins are good until {now + OFFLINE_LIFETIME:%Y-%m-%d}"
