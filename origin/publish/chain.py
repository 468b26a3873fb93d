"""What a publisher believes of an origin: the newest root and targets, followed from those of the key folder.

Decisions without I/O, as `origin.publish.publish`. What no edge could use (a role that has expired, a key that is not
trusted, an origin of another root) is refused here, before anything is sent.
"""

from collections.abc import Callable, Generator, Sequence
from datetime import datetime
from typing import Final

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Timestamp

from origin.model.exchange import TIMESTAMP_FILE, Request, Response, expect
from origin.publish.authors import Signing, Tenant
from vmimage.errors import OriginError, PublisherError, VerificationError
from vmimage.renewal import ended, ending, expiries
from vmimage.trust import Trust, follow, verify_top

ROOTS_MAX: Final = 256  # that are followed at once, as many as edges follow

Warn = Callable[[str], None]
_Read = Generator[Sequence[Request], Sequence[Response], "State"]


class State:
    """An origin's present state, verified."""

    def __init__(
        self, trust: Trust, snapshot: Snapshot, timestamp: Timestamp, roots: Sequence[bytes], targets: bytes | None
    ) -> None:
        """:param roots: those after the key folder's. :param targets: None where they are the key folder's."""
        self.trust, self.snapshot, self.timestamp = trust, snapshot, timestamp
        self.roots, self.targets = roots, targets


def read_state(trust: Trust) -> _Read:
    """Follow what an origin says now from what was known before.

    :raises VerificationError: it is not what `trust` leads to.
    :raises OriginError: it is older than what `trust` says.
    """
    [response] = yield [Request("GET", f"/tuf/{trust.root.version}.root.json")]
    _require_root(trust.root, response)
    roots: list[bytes] = []
    while len(roots) < ROOTS_MAX:
        [response] = yield [Request("GET", f"/tuf/{trust.root.version + len(roots) + 1}.root.json")]
        if response.status == 404:
            break
        expect(response, 200, "root")
        roots.append(response.body)
    root = follow(roots, trust.root)
    [response] = yield [Request("GET", f"/tuf/{TIMESTAMP_FILE}")]
    expect(response, 200, "timestamp")
    timestamp = verify_top(root, Timestamp, response.body)
    [response] = yield [Request("GET", f"/tuf/{timestamp.snapshot_meta.version}.snapshot.json")]
    expect(response, 200, "snapshot")
    snapshot = verify_top(root, Snapshot, response.body)
    meta = snapshot.meta.get("targets.json")
    if meta is None:
        raise VerificationError("snapshot: a version of targets expected, got none")
    if not roots and meta.version == trust.targets.version:
        return State(trust, snapshot, timestamp, roots, None)
    [response] = yield [Request("GET", f"/tuf/{meta.version}.targets.json")]
    expect(response, 200, "targets")
    try:
        meta.verify_length_and_hashes(response.body)
    except RepositoryError as error:
        raise VerificationError(f"targets: {error}") from None
    return State(Trust(root, response.body), snapshot, timestamp, roots, response.body)


def _require_root(known: Root, response: Response) -> None:
    if response.status == 404:
        raise OriginError(
            f"root version {known.version} of the key folder expected at the origin too, not there: edges that have it "
            "refuse what the origin says; was its store restored from a backup?"
        )
    expect(response, 200, "root")
    try:
        same = Metadata[Root].from_bytes(response.body).signed == known
    except (RepositoryError, ValueError):
        same = False
    if not same:
        raise VerificationError(
            f"root version {known.version} of the origin: that of the key folder expected, got another: is it another "
            "origin's folder? Edges that were given its root.json refuse all that this origin says"
        )


def require_token() -> Generator[Sequence[Request], Sequence[Response], None]:
    """See that the origin takes the token that is shown, before anything is sent that it could refuse.

    :raises PublisherError: it does not.
    """
    [response] = yield [Request("GET", "/v2/")]
    expect(response, 200, "token")


def newest(
    trust: Trust, signer: Signing, now: datetime, warn: Warn
) -> Generator[Sequence[Request], Sequence[Response], Trust]:
    """The trust by which edges will judge what `signer` signs now.

    :param warn: called with a line for each role that ends soon.
    :raises PublisherError: no edge would take it.
    :raises OriginError: the origin does not renew what it has to.
    """
    state = yield from read_state(trust)
    trust = state.trust
    for line in ended(expiries(trust), now):
        raise PublisherError(line)
    for role, expires in (("timestamp", state.timestamp.expires), ("snapshot", state.snapshot.expires)):
        if expires <= now:
            raise OriginError(
                f"{role} of the origin: one that is good expected, got one until {expires:%Y-%m-%d %H:%M} UTC: edges "
                "refuse all that is new; compare the clocks, and look at the log of the origin, which renews it"
            )
    _, keyids = trust.bin_keys
    if not isinstance(signer, Tenant) and signer.public_key.keyid not in keyids:  # a tenant's are in its bin
        raise PublisherError(
            f"publisher.key: a key that targets version {trust.targets.version} trusts expected, got another: edges "
            "refuse what it signs; use the key folder that `nunatak renew targets` was last run with"
        )
    for line in ending(expiries(trust), now):
        warn(line)
    return trust
