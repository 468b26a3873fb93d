"""Changing whose keys sign root, targets, snapshot, timestamp and bins: proposed, and published once it is signed.

Decisions without I/O, as `origin.publish.publish`; what a proposal is, `vmimage.ceremony` says.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Signer

from origin.model.exchange import Request, Response, expect
from origin.publish.chain import State, read_state, require_token
from origin.publish.renew import Renewed, sign_bins
from vmimage.ceremony import Change, Proposal, missing, propose, trust_after
from vmimage.errors import OriginError, PublisherError
from vmimage.trust import Trust

_Read = Generator[Sequence[Request], Sequence[Response], "Top"]


@dataclass(frozen=True)
class Top:
    """The newest root and targets of an origin, verified."""

    state: State
    root: bytes
    targets: bytes


def read_top(root: bytes, targets: bytes) -> _Read:
    """What an origin has, followed from what a key folder has.

    :raises VerificationError, OriginError: it does not follow.
    """
    state = yield from read_state(Trust([root], targets))
    return Top(state, state.roots[-1] if state.roots else root, state.targets or targets)


def prepare(
    root: bytes, targets: bytes, changes: Mapping[str, Change], now: datetime
) -> Generator[Sequence[Request], Sequence[Response], Proposal]:
    """What is to be signed for these changes.

    :param root, targets: those of the key folder.
    :raises PublisherError: as `propose`.
    """
    top = yield from read_top(root, targets)
    return propose(top.root, top.targets, changes, now)


def submit(
    proposal: Proposal, root: bytes, targets: bytes, publisher: Signer | None, now: datetime
) -> Generator[Sequence[Request], Sequence[Response], Renewed]:
    """Publish a proposal that is signed, at once or not at all.

    :param root, targets: those of the key folder. :param publisher: signs bins anew where their keys change.
    :raises PublisherError: signatures are missing, or `publisher` is no key that may sign bins then.
    :raises OriginError: the origin has another root or targets by now.
    """
    for line in missing(proposal):
        raise PublisherError(f"{line}: have them signed with `nunatak keys sign`")
    after = trust_after(proposal)
    yield from require_token()
    top = yield from read_top(root, targets)
    if (top.root, top.targets) != (proposal.before_root, proposal.before_targets):
        raise OriginError(
            "keys: root and targets as they were when this was prepared expected, the origin has newer ones: "
            "prepare it anew with `nunatak keys prepare`, and have it signed."
        )
    made = {"root": proposal.root, "targets": proposal.targets}
    signed = {role: metadata.to_bytes() for role, metadata in made.items() if metadata is not None}
    bins: Mapping[str, bytes] = {}
    if after.bin_keys != top.state.trust.bin_keys:
        if publisher is None or publisher.public_key.keyid not in after.bin_keys[1]:
            raise PublisherError("publisher.key: a key that may sign bins from then on expected: put it in the folder")
        bins = yield from sign_bins(publisher, top.state, now)
    body = json.dumps({role: data.decode() for role, data in (signed | dict(bins)).items()}).encode()
    [response] = yield [Request("POST", "/tuf/roles", body, "application/json")]
    expect(response, 201, "keys")
    roots = (*top.state.roots, *([signed["root"]] if "root" in signed else []))
    lines = [f"{role} version {metadata.signed.version} is published" for role, metadata in made.items() if metadata]
    return Renewed(roots, signed.get("targets", top.state.targets), (*lines, *([f"{len(bins)} bins"] if bins else [])))
