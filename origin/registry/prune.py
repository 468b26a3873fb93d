"""What an origin need not keep: manifests that no kept version names, and blobs that no manifest names.

Kept are what services are now, and as many of their earlier versions as is wanted; what a service that is withdrawn
had, for some days; what is tagged, or in another repository than `images`; what was pushed or asked for by HEAD within
a grace time; and all that these name, or that is listed as referring to them. So two things hold at every moment, also
if it ends in the middle: a manifest that is here has all that it names, and the catalogue names none that is not here.

- Manifests go, those first that name others, some at a time. While they go the catalogue cannot change, and where it
  has changed since, what it wants is kept too. One that was pushed or asked for meanwhile stays, with what it names.
- Then blobs go that no manifest names which is here at that time; one that comes later has marked its blobs as used.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from typing import Any, Final

from tuf.api.metadata import TargetFile, Targets

from origin.registry.artifacts import is_ours, parse_artifact
from origin.registry.refusal import OciError
from origin.registry.repositories import Repositories
from origin.registry.store import Content, Store
from vmimage.disk import BlockList, is_disk_manifest, parse_disk_manifest
from vmimage.errors import FormatError, OperatorError
from vmimage.holds import HOLDS_PATH, parse_holds
from vmimage.tenants import is_grant
from vmimage.trust import HISTORY_MAX, ServiceRecord, history_of, parse_target, service_path

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
BLOBS_AT_ONCE: Final = 500  # that a note names, see `origin/registry/use.py`; three round trips each
GRACE_MAX_S: Final = 3650 * DAY_S
_DIGEST: Final = re.compile(rb"sha256:[0-9a-f]{64}")
_SERVICES: Final = service_path("")


@dataclass(frozen=True, slots=True)
class Rules:
    """What stays. The least values keep what edges and publishers may be about to ask for."""

    grace_s: int = DAY_S  # since it was pushed or asked for
    keep: int = HISTORY_MAX  # earlier versions of each service; edges may still serve the one before
    withdrawn_s: int = 30 * DAY_S  # since a service was withdrawn
    dry_run: bool = False


@dataclass(slots=True)
class Pruned:
    """What went, or would go."""

    manifests: int = 0
    blobs: int = 0
    freed_bytes: int = 0  # of both
    kept_manifests: int = 0
    kept_blobs: int = 0


def parse_rules(data: bytes) -> Rules:
    """Rules as JSON; what is not named has its default.

    :raises OciError: none, or out of range.
    """
    ranges = {"grace_s": (HOUR_S, GRACE_MAX_S), "keep": (1, HISTORY_MAX), "withdrawn_s": (DAY_S, GRACE_MAX_S)}
    try:
        fields: dict[str, Any] = json.loads(data or b"{}")
        known = asdict(Rules()) | fields
        if fields.keys() - asdict(Rules()).keys() or type(known["dry_run"]) is not bool:
            raise ValueError
        for name, (low, high) in ranges.items():
            if type(known[name]) is not int or not low <= known[name] <= high:
                raise ValueError
    except (ValueError, TypeError, AttributeError, RecursionError):
        said = ", ".join(f"{name} from {low} to {high}" for name, (low, high) in ranges.items())
        raise OciError(400, "UNSUPPORTED", f"a JSON object with dry_run and {said} expected") from None
    return Rules(**known)


def kept_images(signed: Iterable[Targets], rules: Rules, now: datetime) -> set[str]:
    """Images that bins and tenants' files want kept, by digest."""
    signed = list(signed)
    held = [target for each in signed if (target := each.targets.get(HOLDS_PATH)) is not None]
    kept = {pin.digest for target in held for pin in parse_holds(target).pins.values()}
    for record, target in _services(signed):
        if not record.withdrawn or not long_withdrawn(record.withdrawn, rules, now):
            kept |= {record.manifest_digest, *history_of(target)[-rules.keep :]}
            kept |= {record.candidate.digest} if record.candidate is not None else set()
    return kept


def long_gone(signed: Iterable[Targets], rules: Rules, now: datetime) -> list[str]:
    """Services in these that were withdrawn for so long that nothing of them is kept, by name."""
    records = (record for record, _ in _services(signed))
    return sorted(r.service for r in records if r.withdrawn and long_withdrawn(r.withdrawn, rules, now))


def _services(signed: Iterable[Targets]) -> Iterator[tuple[ServiceRecord, TargetFile]]:
    for path, target in (item for each in signed for item in each.targets.items()):
        if path.startswith(_SERVICES) and not is_grant(target):
            yield parse_target(path, target), target


def long_withdrawn(since: str, rules: Rules, now: datetime) -> bool:
    """Whether a service was withdrawn for so long that nothing of it is kept."""
    try:
        at = datetime.fromisoformat(since)
    except ValueError:  # a thirteenth month: signed all the same
        return False
    return (now.astimezone(UTC) - at).total_seconds() > rules.withdrawn_s


def named(data: bytes) -> set[str]:
    """All digests that a manifest spells, and the config that it carries: more than it needs, never less."""
    found = {match.decode() for match in _DIGEST.findall(data)}
    try:
        config = base64.b64decode(json.loads(data)["config"]["data"])
    except (ValueError, TypeError, LookupError):
        return found
    return found | {match.decode() for match in _DIGEST.findall(config)}


class Pruning:
    """One pass over a store. Blocks."""

    def __init__(self, store: Store, rules: Rules, now_s: float, repositories: Repositories | None = None) -> None:
        """:param now_s: seconds since 1970. :param repositories: other than `images`, whose manifests stay."""
        self._store, self._dry_run = store, rules.dry_run
        self._repositories = repositories
        self._before = now_s - rules.grace_s
        self.result = Pruned()
        self._here: dict[str, Content] = {}
        self._names: dict[str, set[str]] = {}  # other manifests that one names
        self._subjects: dict[str, str] = {}  # by artifact
        self._referrers: dict[str, set[str]] = {}  # by subject
        self._marked: set[str] = set()  # that stay
        self._left: list[str] = []  # that were not decided on yet, in reverse order
        self._gone: set[str] = set()

    def look(self) -> None:
        """See which manifests there are, and mark those that others want whatever the catalogue says.

        :raises OperatorError: one cannot be read, so that nobody knows what it names.
        """
        self._here = {content.digest: content for content in self._store.contents("manifests", "artifacts")}
        for digest, content in self._here.items():
            data = self._read(content)
            self._names[digest] = {name for name in named(data) if name in self._here} - {digest}
            if content.kind == "artifacts" and (subject := _subject(data, digest)) is not None:
                self._subjects[digest] = subject
        for subject in set(self._subjects.values()):  # one that was deleted is listed no more, and wanted by nobody
            listed = {str(each["digest"]) for each in self._store.referrers(subject)}
            self._referrers[subject] = {each for each in listed if self._subjects.get(each) == subject}
        self._left = list(TopologicalSorter(self._names).static_order())  # the last names others, and goes first
        tags = {name for tag in self._store.tags() if (name := self._store.tagged(tag)) is not None}
        elsewhere = self._repositories.kept() if self._repositories is not None else set[str]()
        self.keep(
            tags | elsewhere | {digest for digest, content in self._here.items() if content.used_s >= self._before}
        )
        self.result.kept_manifests = len(self._here)

    def keep(self, manifests: Iterable[str]) -> None:
        """Let these stay, with all that they name and that refers to them."""
        self._marked |= closure(manifests, self._names, self._referrers)

    def remove(self, most: int) -> list[str]:
        """Remove some of what is not marked, while the catalogue does not change; none is left where it is none.

        :return: digests of what went.
        """
        gone: list[str] = []
        while self._left and not gone:
            batch: list[str] = []
            while self._left and len(batch) < most:
                if (digest := self._left.pop()) not in self._marked:
                    batch.append(digest)
            with self._dooming(self._here[digest] for digest in batch):
                gone = [digest for digest in batch if self._remove_manifest(digest)]
        self._gone.update(gone)
        self.result.manifests += len(gone)
        self.result.kept_manifests -= len(gone)
        return gone

    def _remove_manifest(self, digest: str) -> bool:
        if digest in self._marked:
            return False
        if not self._remove(self._here[digest]):
            self.keep([digest])  # it was asked for a moment ago
            return False
        if digest in self._subjects and not self._dry_run:
            self._store.forget_referrer(self._subjects[digest], digest)
        return True

    def _dooming(self, contents: Iterable[Content]) -> AbstractContextManager[None]:
        return nullcontext() if self._dry_run else self._store.dooming(content.path for content in contents)

    def blobs(self) -> None:
        """Remove blobs that nobody names.

        :raises OperatorError: a manifest cannot be read, so that nobody knows what it names.
        """
        needed: set[str] = set()
        for content in self._store.contents("manifests", "artifacts"):
            if content.digest not in self._gone or not self._dry_run:
                needed |= self._blobs_of(content)
        unused: list[Content] = []
        for content in self._store.contents("blobs"):
            if content.digest not in needed and content.used_s < self._before:
                unused.append(content)
            else:
                self.result.kept_blobs += 1
        for start in range(0, len(unused), BLOBS_AT_ONCE):
            batch = unused[start : start + BLOBS_AT_ONCE]
            with self._dooming(batch):
                gone = sum(map(self._remove, batch))
            self.result.blobs += gone
            self.result.kept_blobs += len(batch) - gone

    def _blobs_of(self, content: Content) -> set[str]:
        data = self._read(content)
        found = named(data)
        if is_disk_manifest(data):
            try:
                manifest = parse_disk_manifest(data)
                listing = self._store.blob_path(manifest.block_list.digest).read_bytes()
                found |= {ref.digest for ref in BlockList(listing, manifest.blocks) if ref.wire_bytes}
            except (FormatError, OSError) as error:
                raise OperatorError(f"the disk {content.digest} cannot be read: nothing more goes: {error}") from None
        return found

    def _read(self, content: Content) -> bytes:
        try:
            return content.path.read_bytes()
        except OSError as error:
            raise OperatorError(f"{content.digest} cannot be read: nothing more goes: {error.strerror}") from None

    def _remove(self, content: Content) -> bool:
        """Whether it goes; not one that has come into use."""
        if not self._dry_run and not self._store.remove_unused(content.path, self._before):
            return False
        self.result.freed_bytes += content.size
        return True


def closure(roots: Iterable[str], names: Mapping[str, set[str]], referrers: Mapping[str, set[str]]) -> set[str]:
    """Roots and all that they name, and what refers to any of these."""
    found: set[str] = set()
    left = list(roots)
    while left:
        digest = left.pop()
        if digest not in found:
            found.add(digest)
            left += names.get(digest, ())
            left += referrers.get(digest, ())
    return found


def _subject(data: bytes, digest: str) -> str | None:
    try:
        return None if is_ours(data) else parse_artifact(data, digest).subject
    except FormatError:
        return None  # kept by an earlier version, whose rules were others
