"""Does a bin say what the publisher signed, and does nobody else's word count?"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, TargetFile

from tests.support.synthetic import NOW
from vmimage.canonical import Blob
from vmimage.errors import PublisherError, VerificationError
from vmimage.manifest import SNAPSHOT_TYPE
from vmimage.trust import (
    BIN_TARGETS_MAX,
    HISTORY_MAX,
    KEY_ROLES,
    ServiceRecord,
    Trust,
    history_of,
    host_path,
    initial_metadata,
    is_host,
    make_targets,
    meta_file,
    parse_target,
    service_path,
    sign_bin,
    sign_snapshot,
    sign_timestamp,
)

SIGNERS = {role: CryptoSigner.generate_ed25519() for role in KEY_ROLES}
METADATA = initial_metadata(SIGNERS, NOW)
ROOT, TARGETS = METADATA["1.root.json"], METADATA["1.targets.json"]
TRUST = Trust([ROOT], TARGETS)
RECORD = ServiceRecord("hello", ("hello.example", "www.hello.example"), "sha256:" + "ab" * 32, 1200, 3)
PATH = service_path("hello")
BIN = TRUST.bin_of(PATH)
TARGET = make_targets(RECORD, ("sha256:" + "cd" * 32,))[PATH]


def _bin(changes: dict[str, TargetFile | None], role: str = "publisher") -> bytes:
    return sign_bin(None, changes, SIGNERS[role], NOW)


@pytest.mark.parametrize("snapshot", [None, Blob(SNAPSHOT_TYPE, "sha256:" + "ef" * 32, 900)])
def test_a_record_comes_back_from_each_of_its_entries(snapshot: Blob | None) -> None:
    record = replace(RECORD, snapshot=snapshot)
    targets = make_targets(record, ())
    assert set(targets) == {PATH, host_path("hello.example"), host_path("www.hello.example")}
    for path, target in targets.items():
        [(_, read)] = TRUST.verify_bin(TRUST.bin_of(path), _bin({path: target})).targets.items()
        assert parse_target(path, read) == record


def test_versions_count_up_and_entries_go() -> None:
    first = TRUST.verify_bin(BIN, _bin({PATH: TARGET}))
    second = TRUST.verify_bin(BIN, sign_bin(first, {PATH: None}, SIGNERS["publisher"], NOW))
    assert (first.version, second.version, second.targets) == (1, 2, {})


@pytest.mark.parametrize("role", sorted(set(KEY_ROLES) - {"publisher"}))
def test_only_the_publisher_signs_bins(role: str) -> None:
    with pytest.raises(VerificationError, match="signed by 0/1"):
        TRUST.verify_bin(BIN, _bin({PATH: TARGET}, role))


def test_snapshot_and_timestamp_have_keys_of_their_own() -> None:
    snapshot = sign_snapshot(None, {}, SIGNERS["timestamp"], NOW)
    timestamp = sign_timestamp(None, meta_file(1, snapshot), SIGNERS["snapshot"], NOW, timedelta(hours=1))
    with pytest.raises(VerificationError, match="snapshot"):
        TRUST.verify_snapshot(snapshot)
    with pytest.raises(VerificationError, match="timestamp"):
        TRUST.verify_timestamp(timestamp)
    with pytest.raises(VerificationError, match="timestamp metadata expected"):
        TRUST.verify_timestamp(snapshot)


@pytest.mark.parametrize(
    "role", ["bin-0", "bin-000", "bin-+f", "bin-FF", "bin-0g", "targets", "../bin-00", "bin-00/x", ""]
)
def test_roles_that_were_not_delegated(role: str) -> None:
    with pytest.raises(VerificationError, match="delegated bin expected"):
        TRUST.verify_bin(role, _bin({}))


def test_an_entry_in_the_wrong_bin() -> None:
    wrong = next(f"bin-{i:02x}" for i in range(256) if f"bin-{i:02x}" != BIN)
    with pytest.raises(VerificationError, match=f"expected in {BIN}, got it in {wrong}"):
        TRUST.verify_bin(wrong, _bin({PATH: TARGET}))


def _changed(change: Callable[[dict[str, Any]], object]) -> TargetFile:
    custom = dict(TARGET.custom)
    change(custom)
    return TargetFile(TARGET.length, dict(TARGET.hashes), PATH, {"custom": custom})


@pytest.mark.parametrize(
    "target",
    [
        _changed(lambda c: c.update(service="other")),
        _changed(lambda c: c.update(service="../x")),
        _changed(lambda c: c.update(hosts="hello.example")),
        _changed(lambda c: c.update(hosts=["UPPER.example"])),
        _changed(lambda c: c.update(hosts=["h"] * 65)),
        _changed(lambda c: c.update(manifest="sha256:" + "cd" * 32)),
        _changed(lambda c: c.update(version=0)),
        _changed(lambda c: c.update(version=True)),
        _changed(lambda c: c.update(history=["x"])),
        _changed(lambda c: c.update(history=["sha256:" + "ab" * 32] * (HISTORY_MAX + 1))),
        _changed(lambda c: c.update(extra=1)),
        _changed(lambda c: c.update(snapshot="sha256:" + "ab" * 32)),
        _changed(lambda c: c.update(snapshot={"digest": "sha256:" + "ab" * 32})),
        _changed(lambda c: c.update(snapshot={"digest": "ab" * 32, "size": 5})),
        _changed(lambda c: c.update(snapshot={"digest": "sha256:" + "ab" * 32, "size": 0})),
        _changed(lambda c: c.update(snapshot={"digest": "sha256:" + "ab" * 32, "size": True})),
        _changed(lambda c: c.update(snapshot={"digest": "sha256:" + "ab" * 32, "size": 1 << 40})),
        _changed(lambda c: c.update(snapshot={"digest": "sha256:" + "ab" * 32, "size": 5, "more": 1})),
        _changed(lambda c: c.pop("hosts")),
        _changed(lambda c: c.clear()),
        TargetFile(TARGET.length, dict(TARGET.hashes), PATH),
        TargetFile(1 << 30, dict(TARGET.hashes), PATH, {"custom": TARGET.custom}),
        TargetFile(TARGET.length, {"sha256": "00" * 32}, PATH, {"custom": TARGET.custom}),
        TargetFile(TARGET.length, TARGET.hashes | {"sha512": "00" * 64}, PATH, {"custom": TARGET.custom}),
    ],
)
def test_a_malformed_entry_is_refused(target: TargetFile) -> None:
    with pytest.raises(VerificationError, match="expected"):
        TRUST.verify_bin(BIN, _bin({PATH: target}))


def test_the_entry_of_another_service_is_not_this_ones() -> None:
    other = replace(RECORD, service="other", hosts=("other.example",))
    with pytest.raises(VerificationError, match="the entry of this service"):
        parse_target(PATH, make_targets(other, ())[service_path("other")])
    with pytest.raises(VerificationError, match="the entry of this service"):
        parse_target(host_path("hello.example"), make_targets(other, ())[host_path("other.example")])


def test_history_is_bounded_and_only_on_the_service() -> None:
    digests = tuple(f"sha256:{i:064x}" for i in range(HISTORY_MAX + 5))
    targets = make_targets(RECORD, digests)
    assert history_of(targets[PATH]) == digests[-HISTORY_MAX:]
    assert history_of(targets[host_path("hello.example")]) == ()


@pytest.mark.parametrize(
    "record",
    [
        replace(RECORD, service="Hello"),
        replace(RECORD, hosts=("a b",)),
        replace(RECORD, hosts=("a..b",)),
        replace(RECORD, hosts=tuple(f"h{i}" for i in range(65))),
        replace(RECORD, manifest_size=1 << 30),
    ],
)
def test_what_edges_would_refuse_is_not_published(record: ServiceRecord) -> None:
    with pytest.raises(PublisherError, match="cannot be published"):
        make_targets(record, ())


def test_a_bin_has_room_for_a_thousand() -> None:
    full = {f"services/s{i}": TARGET for i in range(BIN_TARGETS_MAX + 1)}
    with pytest.raises(PublisherError, match="at most 1000"):
        sign_bin(None, full, SIGNERS["publisher"], NOW)


def _rotated(*signers: str, version: int = 2) -> tuple[bytes, CryptoSigner]:
    """A root whose root key is new, signed by the new key and by `signers`."""
    root = Metadata[Root].from_bytes(ROOT)
    new = CryptoSigner.generate_ed25519()
    root.signed.version = version
    root.signed.revoke_key(SIGNERS["root"].public_key.keyid, "root")
    root.signed.add_key(new.public_key, "root")
    root.signatures.clear()
    for signer in (new, *(SIGNERS[role] for role in signers)):
        root.sign(signer, append=True)
    return root.to_bytes(), new


def test_a_root_is_followed_when_the_old_and_the_new_key_signed_it() -> None:
    assert Trust([ROOT, _rotated("root")[0]], TARGETS).root.version == 2


@pytest.mark.parametrize("root", [_rotated()[0], _rotated("targets")[0], _rotated("root", version=3)[0], ROOT, b"{}"])
def test_no_other_root_is_followed(root: bytes) -> None:
    with pytest.raises(VerificationError):
        Trust([ROOT, root], TARGETS)


def test_targets_must_delegate_and_be_signed() -> None:
    other = initial_metadata({role: CryptoSigner.generate_ed25519() for role in KEY_ROLES}, NOW)
    with pytest.raises(VerificationError, match="targets"):
        Trust([ROOT], other["1.targets.json"])
    with pytest.raises(VerificationError, match="delegation to hash bins"):
        Trust([ROOT], _bin({}, "targets"))


def test_hosts_are_lower_case_names_without_port() -> None:
    assert all(map(is_host, ("a", "localhost", "a-b.example", "10.0.0.1", "a" * 253)))
    assert not any(map(is_host, ("", "A", "a.", ".a", "a..b", "a:80", "[::1]", "a/b", "a b", "a" * 254, "a\n")))
