"""What was changed at an origin, by whom and when: a line each, kept in a file, or in objects of a bucket.

A line is JSON. "at" (UTC), "who" and "what" are in each; "who" is {"tenant", "token"} for a token of one tenant and
{"operator": true} for the shared one, with "token" for an operator's own. A change of a service has "service", "key"
(who signed, by identifier), and "old" and "new" with version, image, hosts and tenant; a grant of a name and a change
of a tenant's keys have both too. A line is on disk before its change counts, and a change whose line the disk does not
take is refused; one that fails afterwards gets a line that says so.

Nothing here removes a line. The file is opened for each line, so whoever keeps it elsewhere may rename it at any time.
"""

import errno
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Protocol

from tuf.api.metadata import Targets

from origin.registry.delegations import changed_tenants
from origin.registry.names import Submitter, changed_paths
from origin.registry.refusal import OciError
from origin.registry.roles import Published
from origin.registry.store import Store
from origin.storage.blobs import BlobStore, Listed
from vmimage.errors import FormatError
from vmimage.fleet_settings import parse_settings
from vmimage.holds import HOLDS_PATH, Holds
from vmimage.manifest import is_name
from vmimage.release import percent_text
from vmimage.tenancy import Book
from vmimage.tenants import Grant, tenant_of
from vmimage.trust import ServiceRecord, service_path

READ_BYTES: Final = 64 << 20  # of the end of the file, that are searched for the lines of a service
ANSWER_BYTES: Final = 1 << 20  # of the lines of one service, the newest
SETTINGS_CHARS: Final = 500  # of a line's words on fleet settings
MONTHS: Final = 12  # of a bucket's, that are looked at
OBJECTS: Final = 2000  # of a bucket's, the newest, that are searched
READ_AT_ONCE: Final = 32
FILE: Final = "audit.jsonl"  # of a folder
_SERVICES: Final = service_path("")

Entry = Mapping[str, Any]


class Audit(Protocol):
    """The lines. Its methods block and may be called from several threads."""

    def write(self, submitter: Submitter, entries: Iterable[Entry], *, durable: bool = True) -> None:
        """Append a line for each entry, all or none.

        :param durable: they must outlive a power cut.
        :raises OSError: the store does not take them.
        """

    def of_service(self, service: str) -> bytes:
        """The newest lines about a service, the oldest of them first."""


def open_audit(store: Store, clock: Callable[[], datetime]) -> Audit:
    """The lines of a store: in a file of a folder, in objects of a bucket."""
    return BucketAudit(store.blobs, clock) if store.shared else FileAudit(store.audit_path, clock)


class FileAudit:
    """The file. Its methods block and may be called from several threads."""

    def __init__(self, path: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path, self._clock = path, clock
        self._writing = threading.Lock()

    def write(self, submitter: Submitter, entries: Iterable[Entry], *, durable: bool = True) -> None:
        """Append a line for each entry, all or none.

        :param durable: they must outlive a power cut.
        :raises OSError: the disk does not take them.
        """
        data = encode_lines(submitter, entries, self._clock())
        if not data:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with self._writing, open(os.open(self._path, flags, 0o600), "ab", buffering=0) as file:
            end = file.tell()
            try:
                written = file.write(data)
                if written != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if durable:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise

    def of_service(self, service: str) -> bytes:
        """The newest lines about a service, the oldest of them first."""
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - READ_BYTES))
                return newest(about(service, file))
        except FileNotFoundError:
            return b""


class BucketAudit:
    """Objects, one for each change, never written again: `audit/<year>-<month>/<time>-<random>.jsonl`."""

    def __init__(self, blobs: BlobStore, clock: Callable[[], datetime]) -> None:
        self._blobs, self._clock = blobs, clock

    def write(self, submitter: Submitter, entries: Iterable[Entry], *, durable: bool = True) -> None:
        """As `Audit.write`."""
        now = self._clock()
        if data := encode_lines(submitter, entries, now):
            at = now.astimezone(UTC)
            name = f"{at:%dT%H%M%S.%f}-{secrets.token_hex(4)}"
            self._blobs.put(f"audit/{at:%Y-%m}/{name}.jsonl", data)

    def of_service(self, service: str) -> bytes:
        """As `Audit.of_service`, among the newest changes of a year."""
        month = self._clock().astimezone(UTC).replace(day=1)
        found: list[Listed] = []
        for _ in range(MONTHS):
            found += sorted(self._blobs.list(f"audit/{month:%Y-%m}"), reverse=True)
            if len(found) >= OBJECTS:
                break
            month = (month - timedelta(days=1)).replace(day=1)
        with ThreadPoolExecutor(READ_AT_ONCE) as pool:
            read = list(pool.map(self._read, _first_of(found[:OBJECTS], READ_BYTES)))
        lines = (line for data in (self._of_folder(), *reversed(read)) for line in data.splitlines(keepends=True))
        return newest(about(service, lines))

    def _read(self, listed: Listed) -> bytes:
        return self._blobs.get(listed.key, 0, listed.size - 1)

    def _of_folder(self) -> bytes:
        """The end of the file of lines that came with the store, if it was a folder before."""
        head = self._blobs.head(FILE)
        return self._blobs.get(FILE, max(0, head.size - READ_BYTES)) if head is not None else b""


def _first_of(found: Sequence[Listed], most: int) -> list[Listed]:
    """As many of the first as have so many bytes together. One that has more by itself was written by no origin."""
    fitting = [each for each in found if 0 < each.size <= most]
    sizes = accumulate(each.size for each in fitting)
    return [each for each, size in zip(fitting, sizes, strict=True) if size <= most]


def encode_lines(submitter: Submitter, entries: Iterable[Entry], at: datetime) -> bytes:
    """A line for each entry; ASCII, escaped."""
    head = {"at": at.isoformat(timespec="milliseconds"), "who": who(submitter)}
    return b"".join(json.dumps({**head, **entry}).encode() + b"\n" for entry in entries)


def about(service: str, lines: Iterable[bytes]) -> list[bytes]:
    """Those about a service."""
    wanted = f'"service": {json.dumps(service)}'.encode()
    return [line for line in lines if wanted in line and _service_in(line) == service]


def newest(lines: Sequence[bytes]) -> bytes:
    """As many of the last lines as an answer may have."""
    size, first = 0, len(lines)
    while first and (size := size + len(lines[first - 1])) <= ANSWER_BYTES:
        first -= 1
    return b"".join(lines[first:])


def who(submitter: Submitter) -> dict[str, object]:
    """On whose behalf, as a line says it."""
    if submitter.operator:
        return {"operator": True} | ({"token": submitter.token} if submitter.token else {})
    return {"tenant": submitter.tenant, "token": submitter.token}


def changes(before: Published, after: Published, submitted: Mapping[str, bytes]) -> Iterator[dict[str, object]]:
    """What a submission changes: an entry for each service, each name that is given to a tenant, each tenant's keys,
    each root and targets, and for bins and tenants' files that say nothing new.

    :param before, after: the states that are published. :param submitted: signed metadata by role.
    """
    for role, old, new in (
        ("root", before.trust.root.version, after.trust.root.version),
        ("targets", before.trust.targets.version, after.trust.targets.version),
    ):
        if old != new:
            yield {"what": "renew", "role": role, "old": {"version": old}, "new": {"version": new}}
    old_book, new_book = before.book(), after.book()
    same = 0
    for role in sorted(role for role in submitted if after.version_of(role) and role != Targets.type):
        old_signed, new_signed = old_book.role(role), new_book.role(role)
        assert new_signed is not None, f"{role}: published a moment ago"
        changed, tenants = changed_paths(old_signed, new_signed), changed_tenants(old_signed, new_signed)
        keys = signed_by(submitted[role])
        for tenant in tenants:
            yield {"what": "keys", "tenant": tenant, "key": keys, **_signers(old_book, new_book, tenant)}
        for path in sorted(changed):
            if tenant_of(role) is None:
                yield from _index(path, old_book, new_book, keys)
            if path.startswith(_SERVICES) and tenant_of(role) == new_book.holder(path):
                yield from _service(path, old_book, new_book, keys)
        same += not changed and not tenants
    if same:
        yield {"what": "sign", "bins": same}


def _index(path: str, old: Book, new: Book, keys: list[str]) -> Iterator[dict[str, object]]:
    """What a bin says otherwise than before, but for services of the operator's own."""
    was, now = old.entry(path), new.entry(path)
    if was != now and (isinstance(was, Grant) or isinstance(now, Grant)):
        yield {"what": "grant", "name": path, "key": keys, "old": _granted(was), "new": _granted(now)}
    if path == HOLDS_PATH:
        yield {"what": "holds", "key": keys, "old": _held(old.holds()), "new": _held(new.holds())}


def _service(path: str, old: Book, new: Book, keys: list[str]) -> Iterator[dict[str, object]]:
    past, present = old.record(path), new.record(path)
    if present is not None and present != past:
        moved = past is not None and old.holder(path) != new.holder(path)
        word = "tenant" if moved else what(past, present, old.history(present.service))
        about = {"service": present.service, "key": keys, "old": _about(past), "new": _about(present)}
        yield {"what": word, **about}


def _held(holds: Holds) -> list[str]:
    return [
        *sorted(holds.since),
        *(f"version {pin.version} of {name}" for name, pin in sorted(holds.pins.items())),
        *_settings(holds),
    ]


def _settings(holds: Holds) -> list[str]:
    """The fleet settings, in words."""
    if holds.settings is None:
        return []
    try:
        said = parse_settings(holds.settings)
    except FormatError as error:
        return [f"settings that cannot be read: {error}"[:SETTINGS_CHARS]]
    found = [said.stable] if said.stable.number else []
    words = [f"settings {each.number}: {json.dumps(each.values, sort_keys=True)}"[:SETTINGS_CHARS] for each in found]
    if said.candidate is not None:
        staged, where = said.candidate, " ".join(said.candidate.pops) or "all POPs"
        about = f"candidate settings {staged.version.number} for {percent_text(staged.share)} in {where}"
        words.append(f"{about}: {json.dumps(staged.version.values, sort_keys=True)}"[:SETTINGS_CHARS])
    return words


def _granted(entry: object) -> str | None:
    return entry.tenant if isinstance(entry, Grant) else None


def _signers(old: Book, new: Book, tenant: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, book in (("old", old), ("new", new)):
        by = book.delegation(tenant)
        found[name] = {"threshold": by.threshold, "keys": sorted(by.keyids)} if by is not None else None
    return found


def what(old: ServiceRecord | None, new: ServiceRecord, history: tuple[str, ...]) -> str:
    """One word for what happens to a service.

    :param history: of images before the old one.
    """
    if new.withdrawn:
        return "withdraw"
    if old is None or old.withdrawn:
        return "publish"
    if new.manifest_digest != old.manifest_digest:
        return "rollback" if new.manifest_digest in history else "publish"
    if new.candidate != old.candidate:
        return "release"
    return "hosts" if new.hosts != old.hosts else "tenant" if new.tenant != old.tenant else "publish"


def signed_by(metadata: bytes) -> list[str]:
    """Identifiers of the keys that signed a role, whose signatures were checked before."""
    return [str(signature["keyid"]) for signature in json.loads(metadata)["signatures"]]


def service_of(text: str) -> str:
    """The name of a service in a path.

    :raises OciError: it is none.
    """
    if not is_name(text):
        raise OciError(400, "NAME_INVALID", "/audit/SERVICE expected")
    return text


def _about(record: ServiceRecord | None) -> dict[str, object] | None:
    if record is None:
        return None
    about: dict[str, object] = {
        "version": record.version,
        "image": record.manifest_digest,
        "hosts": list(record.hosts),
        "tenant": record.tenant,
    }
    if record.candidate is not None:
        about["candidate"] = {"image": record.candidate.digest, "share": record.candidate.share / 100}
    return about | ({"withdrawn": record.withdrawn} if record.withdrawn else {})


def _service_in(line: bytes) -> object:
    try:
        return json.loads(line)["service"]
    except (ValueError, TypeError, LookupError):
        return None  # cut off by whoever moved the file
