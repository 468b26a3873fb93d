"""Auditing an origin, or a mirror in its place: does it show everybody the same catalogue, and its whole past?

Decisions without I/O, as `origin.publish.publish`. Each snapshot that is served has an entry in the origin's log
(`origin.registry.transparency`); who holds the online keys can show some edges another one, but not without an entry
that everybody sees, or a second log. A look reads the timestamp, the snapshot that it names, the checkpoint and all
entries since the last look, and finds

    unverifiable   what is not signed as the trust root demands, or is malformed
    rollback       a snapshot before one that was served here
    unlogged       a snapshot that has no entry (yet: an origin enters it a moment after it counts)
    two_snapshots  two snapshots of one version: one is served and another entered, or both are entered
    shrunk         fewer entries than before
    fork           entries that are not those before with more behind them, here or at another source

Whoever is looked at may be the liar: of a log that grows there are a few bundles in memory at a time, however many
entries its checkpoint speaks of, and `LOOK_S` bounds the time. Who gives no answer within that is `unreachable`, which
is no alarm by itself: but as long as it lasts nobody knows what others are shown.

What was known before stays known where there is an alarm about the log, so that the next look finds it again.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from tuf.api.metadata import Key, Root, Snapshot, Timestamp

from origin.model.exchange import TIMESTAMP_FILE, Request, Response, expect
from origin.publish.chain import ROOTS_MAX
from vmimage.checkpoint import CHECKPOINT_FILE, Checkpoint, Entry, open_checkpoint, parse_entry
from vmimage.errors import OperatorError, OriginError, VerificationError
from vmimage.merkle import Frontier, consistency_proof, leaf_hash, verify_consistency
from vmimage.tiles import WIDTH, Read, entries_of, hashes_of, tile_name
from vmimage.trust import follow, verify_top

RECENT: Final = 1000  # entries whose hashes are remembered: whoever serves an older snapshot is rolled back
BUNDLES_AT_ONCE: Final = 8
LOOK_S: Final = 600.0  # for one look, however much it has to read
UNREACHABLE: Final = "unreachable"

_Requests = Generator[Sequence[Request], Sequence[Response], "Look"]
_T = TypeVar("_T")


class Alarm(NamedTuple):
    """Something that an honest origin does not do."""

    kind: str  # of the table above
    text: str


EMPTY: Final = Frontier()


@dataclass(frozen=True)
class Known:
    """What a source has shown up to now."""

    note: str = ""  # the last checkpoint that followed from those before, as it was signed
    log: str = ""
    frontier: Frontier = EMPTY
    version: int = 0  # of the last entry
    served: int = 0  # the highest version that was served
    recent: Mapping[int, str] = field(default_factory=dict)  # SHA-256 by version, of the last entries

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        hashes = [each.hex() for each in self.frontier.hashes]
        about = {
            **asdict(replace(self, frontier=EMPTY)),
            "frontier": {"size": self.frontier.size, "hashes": hashes},
        }
        return {**about, "recent": {str(version): sha256 for version, sha256 in self.recent.items()}}


def known_of(value: Any) -> Known:
    """What `Known.to_json` wrote.

    :raises OperatorError: something else.
    """
    try:
        frontier = Frontier(int(value["frontier"]["size"]), tuple(map(bytes.fromhex, value["frontier"]["hashes"])))
        recent = {int(version): str(sha256) for version, sha256 in value["recent"].items()}
        numbers = int(value["version"]), int(value["served"])
        return Known(str(value["note"]), str(value["log"]), frontier, *numbers, recent)
    except (ValueError, TypeError, LookupError, AttributeError):
        raise OperatorError("--state: a file of `nunatak audit` expected, got another: name a new one") from None


@dataclass(frozen=True)
class Look:
    """What one look at a source has found."""

    known: Known
    root: Root
    served: Entry  # the snapshot that is served
    checkpoint: Checkpoint
    alarms: tuple[Alarm, ...]


def look(roots: Sequence[bytes] | Root, known: Known) -> _Requests:
    """Look at a source.

    :param roots: the trust root, or what was followed from it before.
    :raises VerificationError: it is an alarm of kind "unverifiable".
    :raises OriginError: no proper answer.
    """
    root = yield from _followed(roots if isinstance(roots, Root) else follow(roots))
    served = yield from _served(root)  # before the log, which may grow meanwhile
    [response] = yield [Request("GET", f"/log/{CHECKPOINT_FILE}")]
    expect(response, 200, "checkpoint")
    checkpoint = open_checkpoint(response.body, signers(root))
    alarms: list[Alarm] = []
    if served.version < known.served:
        alarms.append(Alarm("rollback", f"snapshot {known.served} or later expected, got {served.version}"))
    grown, wrong = yield from _grown(known, checkpoint, response.body.decode())
    alarms += wrong
    if not wrong:
        entered = grown.recent.get(served.version)
        if entered is None and served.version <= grown.version:
            alarms.append(Alarm("two_snapshots", f"snapshot {served.version} is served and not among the entries"))
        elif entered is None:
            alarms.append(
                Alarm("unlogged", f"an entry of snapshot {served.version} expected, the last is of {grown.version}")
            )
        elif entered != served.sha256:
            text = f"snapshot {served.version}: SHA-256 {entered} as entered expected, got {served.sha256}"
            alarms.append(Alarm("two_snapshots", text))
    if not alarms:
        grown = replace(grown, served=served.version)
    return Look(replace(grown, served=max(known.served, grown.served)), root, served, checkpoint, tuple(alarms))


def compare(smaller: Checkpoint, larger: Checkpoint) -> Generator[Sequence[Request], Sequence[Response], list[Alarm]]:
    """Whether two sources show one log; asked of the one whose checkpoint is the larger.

    :raises OriginError: no proper answer.
    """
    if smaller.log != larger.log:
        return [Alarm("fork", f"one log expected, got {smaller.log} and {larger.log}")]
    return (yield from _consistent(smaller.size, smaller.root, larger))


def signers(root: Root) -> list[Key]:
    """Who may sign a checkpoint."""
    return [root.keys[keyid] for keyid in root.roles[Snapshot.type].keyids]


def _followed(root: Root) -> Generator[Sequence[Request], Sequence[Response], Root]:
    roots: list[bytes] = []
    while len(roots) < ROOTS_MAX:
        [response] = yield [Request("GET", f"/tuf/{root.version + len(roots) + 1}.root.json")]
        if response.status == 404:
            break
        expect(response, 200, "root")
        roots.append(response.body)
    return follow(roots, root)


def _served(root: Root) -> Generator[Sequence[Request], Sequence[Response], Entry]:
    [response] = yield [Request("GET", f"/tuf/{TIMESTAMP_FILE}")]
    expect(response, 200, "timestamp")
    version = verify_top(root, Timestamp, response.body).snapshot_meta.version
    [response] = yield [Request("GET", f"/tuf/{version}.snapshot.json")]
    expect(response, 200, "snapshot")
    snapshot = verify_top(root, Snapshot, response.body)
    if snapshot.version != version:
        raise VerificationError(f"snapshot: version {version} expected, got {snapshot.version}")
    return Entry(version, hashlib.sha256(response.body).hexdigest(), len(response.body))


def _grown(
    known: Known, checkpoint: Checkpoint, note: str
) -> Generator[Sequence[Request], Sequence[Response], tuple[Known, list[Alarm]]]:
    """What is known after a checkpoint; or what was, and why it does not follow."""
    size = known.frontier.size
    if known.log and known.log != checkpoint.log:
        return known, [Alarm("fork", f"log {known.log} expected, got {checkpoint.log}")]
    if checkpoint.size < size:
        return known, [Alarm("shrunk", f"{size} entries or more expected, got {checkpoint.size}")]
    wrong = yield from _consistent(size, known.frontier.root, checkpoint)
    if wrong:
        return known, wrong
    frontier, version, recent, doubled = known.frontier, known.version, dict(known.recent), ""
    while frontier.size < checkpoint.size:
        added = yield from _entries(frontier.size, checkpoint.size)
        frontier = frontier.grown(map(leaf_hash, added))
        for entry in map(parse_entry, added):
            if entry.version <= version and not doubled:
                doubled = f"an entry of a snapshot after {version} expected, got one of {entry.version}"
            version = entry.version
            recent[version] = entry.sha256
        recent = dict(list(recent.items())[-RECENT:])
    if frontier.root != checkpoint.root:
        return known, [Alarm("fork", f"the entries that the root over {checkpoint.size} is of expected, got others")]
    if doubled:
        return known, [Alarm("two_snapshots", doubled)]
    return Known(note, checkpoint.log, frontier, version, known.served, recent), []


def _consistent(
    size: int, root: bytes, checkpoint: Checkpoint
) -> Generator[Sequence[Request], Sequence[Response], list[Alarm]]:
    if not size:
        return []

    def prove(read: Read) -> list[bytes]:
        return consistency_proof(size, checkpoint.size, hashes_of(checkpoint.size, read))

    try:
        proof = yield from _reading(prove)
        verify_consistency(size, checkpoint.size, root, checkpoint.root, proof)
    except VerificationError as error:
        return [Alarm("fork", str(error))]
    return []


def _entries(first: int, size: int) -> Generator[Sequence[Request], Sequence[Response], list[bytes]]:
    """Entries from a number on, of a log of `size`: those of the next bundles."""
    numbers = range(first // WIDTH, min(first // WIDTH + BUNDLES_AT_ONCE, -(-size // WIDTH)))
    names = [tile_name(None, number, min(WIDTH, size - number * WIDTH)) for number in numbers]
    responses = yield [Request("GET", f"/log/{name}") for name in names]
    files = {name: response.body for name, response in zip(names, responses, strict=True) if _is_there(response)}
    found: list[bytes] = []
    for _ in numbers:
        some = yield from _reading(partial(entries_of, first + len(found), size), files)
        found += some
    return found


class _Absent(Exception):
    """A file is needed that was not asked for yet."""


def _reading(
    work: Callable[[Read], _T], files: Mapping[str, bytes] | None = None
) -> Generator[Sequence[Request], Sequence[Response], _T]:
    """Work that reads files of the log, begun anew with each that it turns out to need.

    :param files: that are here already.
    """
    here: dict[str, bytes | None] = dict(files or {})

    def read(name: str) -> bytes | None:
        if name not in here:
            raise _Absent(name)
        return here[name]

    while True:
        try:
            return work(read)
        except _Absent as absent:
            name = str(absent)
        [response] = yield [Request("GET", f"/log/{name}")]
        here[name] = response.body if _is_there(response) else None


def _is_there(response: Response) -> bool:
    if response.status not in (200, 404):
        raise OriginError(f"log: status 200 or 404 expected, got {response.status}")
    return response.status == 200


def read_state(data: bytes) -> dict[str, Known]:
    """What `write_state` wrote, by the address of the source.

    :raises OperatorError: something else.
    """
    try:
        sources = dict(json.loads(data)["sources"])
    except (ValueError, TypeError, LookupError, RecursionError):
        sources = {"": None}
    return {url: known_of(value) for url, value in sources.items()}


def write_state(known: Mapping[str, Known]) -> bytes:
    """What is known of each source."""
    return json.dumps({"sources": {url: each.to_json() for url, each in known.items()}}, indent=1).encode() + b"\n"
