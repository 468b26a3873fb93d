"""Parsers of what publishers make: manifests, the catalogue, disks, archives, symbols, programs."""

import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import zstandard
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile, Targets

from origin.bake import files
from origin.bake.elf import parse_program
from origin.model.tenant_keys import Card, parse_card, public_key
from tests.property.fuzzing import mutate
from tests.property.fuzzing.mutate import Rng
from tests.property.fuzzing.parsers import Target
from tests.property.fuzzing.seeds import changed_manifest, from_seeds, frozen
from tests.vectors import make as vectors
from vmimage import disk
from vmimage.archive import ImageBundle, pack_archive, read_archive
from vmimage.canonical import Blob, digest_of
from vmimage.ceremony import Change, parse_proposal, propose
from vmimage.disk import BlockList, BlockRef
from vmimage.drives import parse_drives
from vmimage.errors import FormatError, OperatorError, PublisherError, VerificationError
from vmimage.fleet_settings import FleetSettings, Staged, Version, parse_settings, settings_value
from vmimage.holds import HOLDS_PATH, Holds, holds_target
from vmimage.manifest import SNAPSHOT_TYPE, ImageManifest, parse_manifest
from vmimage.release import Gates
from vmimage.symbols import SymbolTable
from vmimage.tenancy import sign_tenant, tenant_target, verify_tenant, with_tenant
from vmimage.tenants import grant_target, tenant_path
from vmimage.trust import KEY_ROLES, ServiceRecord, Trust, initial_metadata, parse_target, sign_bin

SYMBOLS_RAW_MAX: Final = 1 << 16  # of text in inputs that are made here
SINCE: Final = "2026-01-31T10:00:00Z"


# Catalogue


@cache
def _keys() -> tuple[Trust, CryptoSigner, datetime]:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    signers = {role: CryptoSigner.generate_ed25519() for role in KEY_ROLES}
    metadata = initial_metadata(signers, now)
    return Trust([metadata["1.root.json"]], metadata["1.targets.json"]), signers["publisher"], now


@cache
def _bins() -> tuple[tuple[str, dict[str, Any]], ...]:
    trust, publisher, now = _keys()
    entries = {path: TargetFile.from_dict(entry, path) for path, entry in json.loads(frozen("targets.json")).items()}
    found = []
    entries["services/acme"] = grant_target("services/acme", "acme")
    entries[HOLDS_PATH] = holds_target(Holds({"service a": SINCE}))
    for path, entry in entries.items():
        signed = json.loads(sign_bin(None, {path: entry}, publisher, now))["signed"]
        found.append((trust.bin_of(path), signed))
    delegations = with_tenant(None, "acme", [publisher.public_key], 1)
    signed = json.loads(sign_bin(None, {}, publisher, now, delegations))["signed"]
    return (*found, (trust.bin_of(tenant_path("acme")), signed))


@cache
def _tenants() -> tuple[Targets, dict[str, Any]]:
    """A bin that delegates to a tenant, and the tenant's file."""
    _, publisher, now = _keys()
    record = ServiceRecord("acme.a", ("a.example",), f"sha256:{'ab' * 32}", 1000, 1, "acme")
    changes = {"services/acme.a": tenant_target(record, ())}
    signed = json.loads(sign_tenant("acme", None, changes, [publisher], now))["signed"]
    return Targets(delegations=with_tenant(None, "acme", [publisher.public_key], 1)), signed


def _tenant(rng: Rng) -> bytes:
    """A tenant's file that it has signed, whatever is in it."""
    _, publisher, _ = _keys()
    signed = mutate.value(rng, _tenants()[1]) if rng.random() < 0.9 else _tenants()[1]
    try:
        signatures = [publisher.sign(str(encode_canonical(signed)).encode()).to_dict()]
    except Exception:  # what has no canonical form cannot be signed
        signatures = []
    return json.dumps({"signatures": signatures, "signed": signed}).encode()


def _card() -> bytes:
    return Card("acme", (public_key(_keys()[1]),)).to_bytes()


def _proposal() -> bytes:
    _, publisher, now = _keys()
    signers = dict.fromkeys(KEY_ROLES, publisher)
    files_ = initial_metadata(signers, now)
    change = {"timestamp": Change(threshold=1), "publisher": Change(threshold=1)}
    return propose(files_["1.root.json"], files_["1.targets.json"], change, now).to_bytes()


def _bin(rng: Rng) -> bytes:
    """A bin that its publisher signed, whatever is in it; its name first."""
    role, signed = rng.choice(_bins())
    _, publisher, _ = _keys()
    kind = rng.random()
    if kind < 0.8:
        signed = mutate.value(rng, signed)
    try:
        signature = publisher.sign(str(encode_canonical(signed)).encode())
        data = json.dumps({"signatures": [signature.to_dict()], "signed": signed}).encode()
    except Exception:  # what has no canonical form cannot be signed
        data = json.dumps({"signatures": [], "signed": signed}).encode()
    return role.encode() + b"\n" + (mutate.data(rng, data) if kind > 0.9 else data)


def _verify_bin(data: bytes) -> object:
    role, _, metadata = data.partition(b"\n")
    return _keys()[0].verify_bin(role.decode("latin-1"), metadata)


def _target(rng: Rng) -> bytes:
    """One entry, and its path."""
    path, entry = rng.choice(sorted(json.loads(frozen("targets.json")).items()))
    return json.dumps(mutate.value(rng, {"path": path, "entry": entry})).encode()


def _parse_target(data: bytes) -> object:
    """An entry as it comes out of a verified bin: python-tuf has looked at its fields, and we look at the rest."""
    about = json.loads(data)
    try:
        path, target = str(about["path"]), TargetFile.from_dict(about["entry"], str(about["path"]))
    except Exception as error:  # `Trust.verify_bin` is where python-tuf's refusals become ours
        raise VerificationError(f"an entry expected: {error!r}") from error
    return parse_target(path, target)


# Fleet settings


@cache
def _settings() -> tuple[dict[str, Any], ...]:
    stable = Version(7, SINCE, {"max_body": "16MiB", "weights": "acme=3,other=1", "request_timeout": "10s"})
    staged = Staged(Version(9, SINCE, {"max_queue": "5"}), 2500, ("ams", "fra"), Gates(errors=300))
    return tuple(
        settings_value(FleetSettings(9, first, then)) for first in (stable, Version()) for then in (staged, None)
    )


def _holds_its_bounds(_: bytes, said: FleetSettings) -> bool:
    """What was given comes back, and a candidate is newer than what it is to follow."""
    ordered = said.candidate is None or said.stable.number < said.candidate.version.number <= said.last
    empty = said == FleetSettings()
    return ordered and (empty or parse_settings(json.loads(json.dumps(settings_value(said)))) == said)


# Archives


@cache
def _archives() -> tuple[bytes, ...]:
    snapshot_blob = frozen("record-v2.zst")
    bundle_of = []
    base = vectors.base_manifest()
    made = ImageManifest(
        **{**vars(base), "snapshot": Blob(SNAPSHOT_TYPE, digest_of(snapshot_blob), len(snapshot_blob))}
    )
    bundle_of.append(ImageBundle(made, {digest_of(snapshot_blob): snapshot_blob}))
    return (pack_archive(bundle_of),)


def _archive(rng: Rng) -> bytes:
    """A tar with changed bytes; or one with other members, whose digests are right again."""
    (seed,) = _archives()
    if rng.random() < 0.4:
        return mutate.data(rng, seed)
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(seed)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            file = old.extractfile(member)
            content = file.read() if file else b""
            if rng.random() < 0.3:
                content = mutate.data(rng, content)
            if member.name.startswith("blobs/") and rng.random() < 0.8:
                member.name = "blobs/sha256/" + hashlib.sha256(content).hexdigest()
            elif rng.random() < 0.1:
                member.name = rng.choice(("../x", "/x", "blobs/sha256/x", "index.json", "a" * 90, ""))
            member.size = len(content)
            if rng.random() < 0.05:
                member.type = rng.choice(
                    (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, b"S", b"x", b"L")
                )
            for _ in range(rng.choice((1, 1, 1, 1, 2, 0))):
                new.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _same_archive(_: bytes, images: list[ImageBundle]) -> bool:
    again = read_archive(pack_archive(images))
    return [(i.manifest, dict(i.blobs)) for i in again] == [(i.manifest, dict(i.blobs)) for i in images]


# Blocks, programs, symbols


def _block(rng: Rng) -> bytes:
    """A blob whose wire digest is right, so that only its content can be wrong; the entry's other digest first."""
    seed = frozen("block.zst")
    wire = mutate.data(rng, seed)
    if rng.random() < 0.4:
        size = rng.choice((0, 1, disk.BLOCK_SIZE - 1, disk.BLOCK_SIZE, disk.BLOCK_SIZE + 1, 1 << 20))
        wire = zstandard.compress(bytes(size) if rng.random() < 0.5 else vectors.BLOCK[:size])
    digest = hashlib.sha256(vectors.BLOCK if rng.random() < 0.5 else bytes(disk.BLOCK_SIZE)).digest()
    return digest + wire


def _unpack_block(data: bytes) -> bytes:
    wire = data[32:]
    return disk.unpack_block(wire, BlockRef(data[:32], hashlib.sha256(wire).digest(), len(wire)))


def _block_is_named(data: bytes, block: bytes) -> bool:
    """What its entry names; or, where the entry says that nothing is on the wire, zeros."""
    return hashlib.sha256(block).digest() == data[:32] or (len(data) == 32 and block == disk.ZERO_BLOCK)


@cache
def _program() -> bytes:
    from tests.support.guests import EXAMPLES, elf

    return elf(EXAMPLES / "hello.c")


def _elf(rng: Rng) -> bytes:
    """The first bytes of a program hold what a loader looks at first."""
    data = bytearray(_program())
    for _ in range(rng.randrange(1, 4)):
        at = rng.choice((rng.randrange(64), rng.randrange(min(len(data), 1024)), rng.randrange(len(data))))
        data[at : at + rng.choice((1, 2, 4, 8))] = struct.pack("<Q", rng.choice((*mutate.INTERESTING, *mutate.BIG)))[
            : rng.choice((1, 2, 4, 8))
        ]
    return bytes(data if rng.random() < 0.9 else data[: rng.randrange(len(data))])


def _lines(rng: Rng) -> bytes:
    text = mutate.data(rng, zstandard.decompress(frozen("symbols.zst")))[:SYMBOLS_RAW_MAX]
    return zstandard.compress(text, 1) if rng.random() < 0.8 else mutate.data(rng, frozen("symbols.zst"))


def targets() -> Sequence[Target]:
    """Those of this module."""
    return (
        Target(
            "manifest",
            changed_manifest(frozen("manifest.json"), frozen("manifest-base.json")),
            parse_manifest,
            (FormatError,),
            lambda data, value: value.to_bytes() == data,
        ),
        Target(
            "drives",
            lambda rng: json.dumps(mutate.value(rng, json.loads(frozen("drives.json")))).encode(),
            lambda data: parse_drives(json.loads(data)),
            (FormatError,),
        ),
        Target(
            "disk-manifest",
            changed_manifest(frozen("disk-manifest.json")),
            disk.parse_disk_manifest,
            (FormatError,),
            lambda data, value: value.to_bytes() == data,
        ),
        Target(
            "block-list",
            from_seeds(frozen("block-list.bin")),
            lambda data: BlockList(data, 3),
            (FormatError,),
            lambda data, value: value.data == data and len(list(value)) == 3,
        ),
        Target("block", _block, _unpack_block, (FormatError,), _block_is_named),
        Target(
            "page-set",
            from_seeds(frozen("page-set.bin")),
            lambda data: disk.decode_pages(data, vectors.DISK_BYTES),
            (FormatError,),
            lambda data, value: disk.encode_pages(value) == data,
        ),
        Target("symbols", _lines, SymbolTable.decode, (FormatError,)),
        Target(
            "files",
            from_seeds(frozen("files.bin")),
            files.unpack,
            (FormatError,),
            lambda data, value: files.pack(value) == data,
        ),
        Target("target", _target, _parse_target, (VerificationError,)),
        Target("bin", _bin, _verify_bin, (VerificationError,)),
        Target("tenant", _tenant, lambda data: verify_tenant(_tenants()[0], "acme", data), (VerificationError,)),
        Target(
            "card",
            from_seeds(_card()),
            parse_card,
            (OperatorError,),
            lambda _, card: parse_card(card.to_bytes()) == card,
        ),
        Target("proposal", from_seeds(_proposal()), parse_proposal, (PublisherError, VerificationError)),
        Target(
            "settings",
            lambda rng: json.dumps(mutate.value(rng, rng.choice(_settings()))).encode(),
            lambda data: parse_settings(json.loads(data)),
            (FormatError,),
            _holds_its_bounds,
        ),
        Target("archive", _archive, read_archive, (FormatError,), _same_archive),
        Target("elf", _elf, parse_program, (PublisherError,)),
    )
