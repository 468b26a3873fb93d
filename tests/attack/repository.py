"""A TUF repository that lies on demand: real keys and signatures, served over HTTP by a mirror that can misbehave.

`Repository` signs whatever it is told to, with whichever key; its `files` are what the mirror serves and may be changed
at will. `Mirror` serves them on loopback, and can answer endlessly, slowly or not at all.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, TargetFile, Targets

from edge.catalogue.catalogue import Catalogue
from vmimage.trust import (
    BIN_BITS,
    KEY_ROLES,
    ServiceRecord,
    Trust,
    host_path,
    initial_metadata,
    make_targets,
    meta_file,
    sign_bin,
    sign_snapshot,
    sign_timestamp,
)


def record(service: str = "hello", version: int = 1, *hosts: str) -> ServiceRecord:
    """A record whose manifest digest follows from its name and version."""
    digest = hashlib.sha256(f"{service} {version}".encode()).hexdigest()
    return ServiceRecord(service, hosts or (f"{service}.example",), f"sha256:{digest}", 1000, version)


class Repository:
    """The origin's and the publisher's keys in one hand, and the files that they signed."""

    def __init__(self, bin_bits: int = BIN_BITS) -> None:
        self.now = datetime.now(UTC)
        self.lifetime = timedelta(hours=1)
        self.signers = {role: CryptoSigner.generate_ed25519() for role in KEY_ROLES}
        self.files = initial_metadata(self.signers, self.now, bin_bits)
        self.root = self.files["1.root.json"]
        self.trust = Trust([self.root], self.files["1.targets.json"])
        self.roots = [self.root]
        self.targets_version = 1
        self.bin_versions: dict[str, int] = {}
        self.snapshot_version = self.timestamp_version = 0
        self.past: list[dict[str, bytes]] = []  # what `files` was after each publish
        self.publish()

    def publish(self, *records: ServiceRecord) -> None:
        """New versions of every role that `records` touch."""
        changes: dict[str, dict[str, TargetFile | None]] = {}
        for one in records:
            for path, target in make_targets(one, ()).items():
                changes.setdefault(self.trust.bin_of(path), {})[path] = target
        for role, change in changes.items():
            self.sign_bin(role, change)
        self.sign_snapshot()
        self.sign_timestamp()
        self.past.append(dict(self.files))

    def withdraw(self, old: ServiceRecord) -> None:
        """New versions of the roles that a service goes from, its entry saying so."""
        left = replace(old, version=old.version + 1, hosts=(), withdrawn="2026-01-31T10:00:00Z")
        changes: dict[str, dict[str, TargetFile | None]] = {}
        gone: dict[str, TargetFile | None] = dict.fromkeys(map(host_path, old.hosts))
        for path, target in (gone | make_targets(left, (old.manifest_digest,))).items():
            changes.setdefault(self.trust.bin_of(path), {})[path] = target
        for role, change in changes.items():
            self.sign_bin(role, change)
        self.sign_snapshot()
        self.sign_timestamp()
        self.past.append(dict(self.files))

    def sign_bin(self, role: str, changes: Mapping[str, TargetFile | None]) -> None:
        version = self.bin_versions.get(role, 0)
        previous = self.trust.verify_bin(role, self.files[f"{version}.{role}.json"]) if version else None
        self.files[f"{version + 1}.{role}.json"] = sign_bin(previous, changes, self.signers["publisher"], self.now)
        self.bin_versions[role] = version + 1

    def sign_snapshot(self, **bin_versions: int) -> None:
        """The next snapshot; `bin_versions` (with _ for -) overrides what it says of bins, 0 leaving one out."""
        versions = self.bin_versions | {role.replace("_", "-"): version for role, version in bin_versions.items()}
        files = {role: self.meta(f"{version}.{role}.json", version) for role, version in versions.items() if version}
        files["targets"] = self.meta(f"{self.targets_version}.targets.json", self.targets_version)
        previous = None
        if self.snapshot_version:
            previous = self.trust.verify_snapshot(self.files[f"{self.snapshot_version}.snapshot.json"])
            previous.meta = {}
        self.snapshot_version += 1
        encoded = sign_snapshot(previous, files, self.signers["snapshot"], self.now)
        self.files[f"{self.snapshot_version}.snapshot.json"] = encoded

    def sign_timestamp(self, snapshot_version: int | None = None) -> None:
        """The next timestamp, over the present snapshot or an earlier one."""
        version = snapshot_version or self.snapshot_version
        previous = self.trust.verify_timestamp(self.files["timestamp.json"]) if self.timestamp_version else None
        self.timestamp_version += 1
        meta = self.meta(f"{version}.snapshot.json", version)
        signer = self.signers["timestamp"]
        self.files["timestamp.json"] = sign_timestamp(previous, meta, signer, self.now, self.lifetime)

    def fast_forward(self, to: int) -> None:
        """With the online keys: snapshot and timestamp of an absurd version, over the bins that there are."""
        self.snapshot_version = to - 1
        self.files[f"{to - 1}.snapshot.json"] = self.renumbered(
            f"{self._newest('snapshot')}.snapshot.json", "snapshot", to - 1
        )
        self.files["timestamp.json"] = self.renumbered("timestamp.json", "timestamp", to - 1)
        self.timestamp_version = to - 1
        self.sign_snapshot()
        self.sign_timestamp()

    def fast_forward_bin(self, role: str, to: int) -> None:
        """With the publisher's key: a bin of an absurd version."""
        version = self.bin_versions[role]
        self.files[f"{to}.{role}.json"] = self.renumbered(f"{version}.{role}.json", "publisher", to)
        self.bin_versions[role] = to

    def rotate(self, *roles: str, keep_old: bool = False) -> None:
        """A new root with new keys for these top-level roles."""
        metadata = Metadata[Root].from_bytes(self.roots[-1])
        root = metadata.signed
        root.version += 1
        for role in roles:
            if not keep_old:
                for keyid in list(root.roles[role].keyids):
                    root.revoke_key(keyid, role)
            self.signers[role] = CryptoSigner.generate_ed25519()
            root.add_key(self.signers[role].public_key, role)
        metadata.signatures.clear()
        metadata.sign(self.signers["root"])
        self.roots.append(metadata.to_bytes())
        self.files[f"{root.version}.root.json"] = self.roots[-1]
        if "targets" in roles:
            self.sign_targets()
        self.trust = Trust(self.roots, self.files[f"{self.targets_version}.targets.json"])

    def rotate_publisher(self, *, sign_bins: bool = True) -> None:
        """New targets that delegate to a new publisher key, which signs every bin anew."""
        self.signers["publisher"] = CryptoSigner.generate_ed25519()
        self.sign_targets()
        self.trust = Trust(self.roots, self.files[f"{self.targets_version}.targets.json"])
        for role, version in list(self.bin_versions.items()) if sign_bins else ():
            self.files[f"{version + 1}.{role}.json"] = self.renumbered(
                f"{version}.{role}.json", "publisher", version + 1
            )
            self.bin_versions[role] = version + 1

    def sign_targets(self) -> None:
        """The next targets, delegating to the present publisher key."""
        metadata = Metadata[Targets].from_bytes(self.files[f"{self.targets_version}.targets.json"])
        delegations = metadata.signed.delegations
        assert delegations is not None
        assert delegations.succinct_roles is not None
        key = self.signers["publisher"].public_key
        delegations.keys, delegations.succinct_roles.keyids = {key.keyid: key}, [key.keyid]
        self.targets_version += 1
        metadata.signed.version = self.targets_version
        metadata.signatures.clear()
        metadata.sign(self.signers["targets"])
        self.files[f"{self.targets_version}.targets.json"] = metadata.to_bytes()

    def restart_online(self, snapshot: int, timestamp: int, **bins: int) -> None:
        """Go on from these versions, as an operator's own store has them: what a thief signed above is not known."""
        self.files["timestamp.json"] = self.renumbered("timestamp.json", "timestamp", timestamp)
        self.files[f"{snapshot}.snapshot.json"] = self.renumbered(f"{snapshot}.snapshot.json", "snapshot", snapshot)
        self.snapshot_version, self.timestamp_version = snapshot, timestamp
        self.sign_snapshot(**bins)
        self.sign_timestamp()

    def _newest(self, role: str) -> int:
        return max(int(name.split(".")[0]) for name in self.files if name.endswith(f".{role}.json"))

    def renumbered(self, name: str, signer: str, version: int) -> bytes:
        """A file's content under another version, signed by the present key of a role."""
        metadata: Metadata[Targets] = Metadata.from_bytes(self.files[name])
        metadata.signed.version = version
        metadata.signatures.clear()
        metadata.sign(self.signers[signer])
        return metadata.to_bytes()

    def meta(self, name: str, version: int) -> MetaFile:
        return meta_file(version, self.files[name])


class Mirror:
    """Serves a repository's files, and what the attack adds."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.requests: list[tuple[str, bool, int]] = []  # name, conditional, status
        self.endless: set[str] = set()  # names answered with bytes that never end
        self.dripping: set[str] = set()  # names answered a byte at a time
        self.silent: set[str] = set()  # names never answered
        self.other: Callable[[str], tuple[int, dict[str, str]] | None] = lambda _: None  # status and fields by name
        self.freed = threading.Event()  # lets silent and dripping answers go
        self.url = ""

    @contextmanager
    def running(self) -> Iterator["Mirror"]:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two packets; the second waited 40 ms for the first

            def do_GET(self) -> None:
                mirror.answer(self)

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}/tuf/"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.freed.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.removeprefix("/tuf/")
        if (other := self.other(name)) is not None:
            self.requests.append((name, "If-None-Match" in handler.headers, other[0]))
            handler.send_response(other[0])
            for field, value in {**other[1], "Content-Length": "0"}.items():
                handler.send_header(field, value)
            handler.end_headers()
            return
        asked, name = name, name.removeprefix("at/")
        data = self.repository.files.get(name, b"")
        known = handler.headers.get("If-None-Match")
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        status = 404 if name not in self.repository.files else 304 if known == etag else 200
        self.requests.append((asked, known is not None, status))
        if name in self.silent:
            self.freed.wait()
        if name in self.endless | self.dripping and status != 404:
            self._pour(handler, name)
            return
        body = data if status == 200 else b""
        with suppress(OSError):  # the client may have left
            handler.send_response(status)
            handler.send_header("ETag", etag)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

    def _pour(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        handler.close_connection = True
        with suppress(OSError):  # the client leaves, as it should
            handler.send_response(200)
            handler.end_headers()
            while not self.freed.is_set():
                handler.wfile.write(b" " * 65536 if name in self.endless else b" ")
                handler.wfile.flush()
                if name in self.dripping:
                    self.freed.wait(0.01)

    def catalogue(self, folder: Path, **options: Any) -> Catalogue:
        """What an edge makes of this mirror."""
        return Catalogue(folder, self.url, self.repository.root, **options)

    def asked(self) -> list[str]:
        """Names asked for since the last call."""
        names = [name for name, _, _ in self.requests]
        self.requests.clear()
        return names
