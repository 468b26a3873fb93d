"""Everything that parses what others wrote: a value that round-trips, or an error of ours; in bounded memory.

A target is a way to make input (`make`, from seeds that are frozen in `tests/vectors` or lie in the corpus), the parser
behind its one door (`parse`), what it may raise, and what must hold of a value that it gave (`holds`).
"""

import base64
import hashlib
import io
import json
import struct
import tarfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any, Final

import numpy as np
import zstandard
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile

from edge.config.upstream_policy import UpstreamPolicy, UpstreamRefused
from edge.content.image import prepare
from edge.devices import upstreams
from edge.front import cgi
from edge.model.flow import ClientError
from edge.model.routes import Route
from edge.vmm.devices.drives import Drives
from edge.vmm.memory.guest_memory import BaseMemory, GuestMemory, page_template
from edge.vmm.shells.shell import Image, Shell
from edge.vmm.wire import messages
from edge.vmm.wire.fields import dump
from edge.vmm.wire.frames import RawFrame, Splitter, pack, split_head, with_head
from edge.vmm.wire.machines import OpenDisk
from origin.bake import files
from origin.bake.elf import parse_program
from tests.property.fuzzing import mutate
from tests.property.fuzzing.mutate import Rng
from tests.vectors import make as vectors
from tests.vectors.frames import FROM_WORKER, TO_WORKER
from vmimage import abi, disk, requests, snapshot
from vmimage.archive import ImageBundle, pack_archive, read_archive
from vmimage.canonical import Blob, canonical_json, digest_of
from vmimage.disk import BlockList, BlockRef
from vmimage.drives import DriveRef, parse_drives
from vmimage.errors import FormatError, GuestViolation, PublisherError, VerificationError
from vmimage.manifest import SNAPSHOT_TYPE, ImageManifest, Region, parse_manifest
from vmimage.pages import pages_digest
from vmimage.parked import ParkedRecord, decode_scratch, parse_parked
from vmimage.symbols import SymbolTable
from vmimage.trust import KEY_ROLES, Trust, initial_metadata, parse_target, sign_bin

CORPUS: Final = Path(__file__).parent / "corpus" / "parsers"
PEAK_BYTES: Final = 32 << 20  # of memory for one input, beside what its length allows
PEAK_FACTOR: Final = 64  # times the input's length; Python objects of short lines are the largest
CPU_S: Final = 5.0  # of one input: the slowest takes 10 ms
MEASURED_EVERY: Final = 8  # inputs: to measure memory makes Python several times slower
SYMBOLS_RAW_MAX: Final = 1 << 16  # of text in inputs that are made here


@dataclass(frozen=True)
class Target:
    """One parser."""

    name: str
    make: Callable[[Rng], bytes]
    parse: Callable[[bytes], Any]
    raises: tuple[type[Exception], ...]
    holds: Callable[[bytes, Any], bool] = lambda _data, _value: True


class ParserFailure(Exception):
    """What must not be: another exception, a value that does not round-trip, too much memory."""

    def __init__(self, target: str, why: str, data: bytes) -> None:
        super().__init__(target, why, data)
        self.target, self.why, self.data = target, why, data

    def __str__(self) -> str:
        again = f"python -m tests.property.fuzzing parser {self.target} --hex {self.data[:4096].hex()}"
        return f"{self.target}: {self.why}\n{len(self.data)} bytes; again: {again}"


def try_one(target: Target, data: bytes, *, measured: bool = False) -> str:
    """How one input ends: "value", or the error's class.

    :raises ParserFailure: in no way that it may.
    """
    if measured:
        tracemalloc.start()
    began = time.thread_time()
    try:
        value = target.parse(data)
    except target.raises as error:
        word = type(error).__name__
        if isinstance(error, VerificationError | PublisherError | GuestViolation) and not str(error):
            raise ParserFailure(target.name, "an error that says nothing", data) from error
    except Exception as error:
        raise ParserFailure(
            target.name, f"one of {[e.__name__ for e in target.raises]} expected, got {error!r}", data
        ) from error
    else:
        word = "value"
        if not target.holds(data, value):
            raise ParserFailure(target.name, f"a value that round-trips expected, got {str(value)[:200]}", data)
    finally:
        peak = tracemalloc.get_traced_memory()[1] if measured else 0
        if measured:
            tracemalloc.stop()
    if peak > PEAK_BYTES + PEAK_FACTOR * len(data):
        raise ParserFailure(target.name, f"{peak} bytes of memory for {len(data)} bytes of input", data)
    if (took_s := time.thread_time() - began) > CPU_S:
        raise ParserFailure(target.name, f"{took_s:.1f} s of CPU time for {len(data)} bytes of input", data)
    return word


def run(target: Target, seed: int, first: int, count: int) -> Counter[str]:
    """Inputs `first` to `first + count` of a seed; how they ended.

    :raises ParserFailure: see `try_one`.
    """
    ends: Counter[str] = Counter()
    for number in range(first, first + count):
        rng = Rng(f"{target.name}:{seed}:{number}")
        ends[try_one(target, target.make(rng), measured=number % MEASURED_EVERY == 0)] += 1
    return ends


def kept(target: Target) -> list[Path]:
    """Inputs in the corpus."""
    return sorted((CORPUS / target.name).glob("*"))


def keep(failure: ParserFailure) -> Path:
    """Put an input into the corpus."""
    folder = CORPUS / failure.target
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(failure.data).hexdigest()[:16]
    path.write_bytes(failure.data)
    return path


# Seeds


def frozen(name: str) -> bytes:
    """A vector's bytes."""
    return (vectors.GOLDEN / name).read_bytes()


def from_seeds(*seeds: bytes) -> Callable[[Rng], bytes]:
    """Changed bytes."""
    return lambda rng: mutate.data(rng, rng.choice(seeds), seeds)


def packed(*seeds: bytes, raw_max: int = 1 << 24) -> Callable[[Rng], bytes]:
    """Changed content in a good zstd frame, or a changed frame."""
    plain = [zstandard.decompress(seed) for seed in seeds]

    def make(rng: Rng) -> bytes:
        if rng.random() < 0.2:
            return mutate.data(rng, rng.choice(seeds), seeds)
        return zstandard.compress(mutate.data(rng, rng.choice(plain), plain)[:raw_max], 1)

    return make


def changed_manifest(*seeds: bytes) -> Callable[[Rng], bytes]:
    """A manifest with something changed, its config with its new digest and size where that is what was changed."""

    def make(rng: Rng) -> bytes:
        seed = rng.choice(seeds)
        if rng.random() < 0.2:
            return mutate.data(rng, seed)
        outer = json.loads(seed)
        if rng.random() < 0.3:
            return canonical_json(mutate.value(rng, outer))
        config = mutate.value(rng, json.loads(base64.b64decode(outer["config"]["data"])))
        data = canonical_json(config)
        outer["config"] |= {"data": base64.b64encode(data).decode(), "digest": digest_of(data), "size": len(data)}
        return canonical_json(outer)

    return make


# Records, and what binds them to a machine


@cache
def _shell() -> tuple[Shell, Image]:
    regions = (
        Region(abi.INFO_ADDRESS, abi.CONTROL_ADDRESS, "r"),
        Region(abi.CONTROL_ADDRESS, abi.ENV_ADDRESS, "rw"),
        Region(abi.LIBOS_ADDRESS, abi.LIBOS_ADDRESS + abi.PAGE_SIZE, "rx"),
        Region(abi.PROGRAM_ADDRESS, vectors.MEMORY_BYTES, "rw"),
    )
    base = BaseMemory(None)
    image = Image(base, page_template(regions, vectors.MEMORY_BYTES), frozen("record-v2.zst"))
    return Shell(base, vectors.MEMORY_BYTES), image


def _bind(data: bytes) -> snapshot.Snapshot:
    """As a worker opens a machine from a record that it is given: decoded, bound, loaded, and captured again."""
    shell, image = _shell()
    parked = snapshot.decode(data, memory_bytes=vectors.MEMORY_BYTES)
    shell.bind(image, parked)
    shell.engine.save()
    return parked


def _same_record(data: bytes, found: snapshot.Snapshot) -> bool:
    again = snapshot.decode(snapshot.encode(found, level=1), memory_bytes=vectors.MEMORY_BYTES, live=True)
    same_pages = np.array_equal(again.page_nos, found.page_nos) and np.array_equal(again.pages, found.pages)
    rest = (again.registers, again.devices, again.requests) == (found.registers, found.devices, found.requests)
    return bool(same_pages and rest)


def _prepare(data: bytes) -> object:
    """A blob under a manifest that fits it, as a publisher makes both: what an edge verifies before any worker."""
    try:
        state = snapshot.decode(data, memory_bytes=vectors.MEMORY_BYTES)
        count, pages = len(state.page_nos), pages_digest(state.page_nos, state.pages)
    except FormatError:
        count, pages = 0, vectors.digest("none")
    size = snapshot.record_size(count)
    manifest = ImageManifest(
        name="fuzz",
        abi=abi.ABI_VERSION,
        kind="base",
        base=None,
        memory_bytes=vectors.MEMORY_BYTES,
        regions=(),
        snapshot=Blob(SNAPSHOT_TYPE, digest_of(data), len(data)),
        snapshot_bytes=size,
        page_count=count,
        pages_digest=pages,
    )
    image = prepare(1, manifest, data, None)
    image.close()
    return image


# What a machine with disks was parked as

_DISKS: Final = (
    OpenDisk(1, DriveRef(1 << 20, vectors.digest("cow"), "cow", "mine")),
    OpenDisk(None, DriveRef(64 << 10, None, "scratch", "tmp")),
)


def _nothing(*_: object) -> None:
    """For whoever wants to say something."""


def _length(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _with_scratch(rng: Rng) -> bytes:
    """The pages of a scratch disk, some of them changed."""
    pages = disk.encode_pages({2: b"x" * abi.PAGE_SIZE, 9: bytes(range(256)) * 16})
    if rng.random() < 0.7:
        pages = mutate.data(rng, pages)
    data = zstandard.compress(_length(pages), 1)
    return data if rng.random() < 0.7 else mutate.data(rng, data)


def _open_with_disks(data: bytes) -> object:
    drives = Drives(*(_nothing for _ in signature(Drives).parameters))  # nobody is told of anything
    disks = drives.open(1, GuestMemory(BaseMemory(None), abi.MEMORY_MIN), _DISKS, data)
    assert disks is not None
    again = drives.park(1)
    drives.forget(1)
    return [pages for pages in decode_scratch(again, [64 << 10]) if pages]


def _parked(rng: Rng) -> bytes:
    """A parked record with changed bytes, as a disk that is not ours would give it."""
    seeds = (frozen("parked-v1.bin"), ParkedRecord("s", "", vectors.digest("i"), 0, 0, (), b"x").to_bytes())
    return mutate.data(rng, rng.choice(seeds), seeds)


def _same_parked(data: bytes, record: ParkedRecord) -> bool:
    """All of it is in the value, but for the check."""
    again = record.to_bytes()
    return again[:8] + again[40:] == data[:8] + data[40:]


# Frames


def _frames(messages_by_name: Mapping[str, Any]) -> Callable[[Rng], bytes]:
    """A frame with its length right and something changed: in its header, its bytes, or its JSON."""
    seeds = [Splitter().feed(message.to_bytes())[0] for message in messages_by_name.values()]
    seeds = [seed for seed in seeds if len(seed[4]) < 1 << 14]  # a block's bytes say nothing

    def make(rng: Rng) -> bytes:
        header, payload = list(rng.choice(seeds)[:4]), rng.choice(seeds)[4]
        if rng.random() < 0.9:
            *header, payload = rng.choice(seeds)
        if rng.random() < 0.4:
            place = rng.randrange(4)
            header[place] = rng.choice((0, 1, 2, 255)) if place < 2 else rng.choice((*mutate.INTERESTING, 5, 2**31 + 3))
        kind = rng.random()
        if kind < 0.3:
            payload = mutate.data(rng, payload)
        elif kind < 0.8:
            payload = _other_json(rng, payload)
        type_, flags, first, second = header
        return pack(type_, flags, first, second, payload)

    return make


def _other_json(rng: Rng, payload: bytes) -> bytes:
    """A payload with its JSON changed, where it has any."""
    for head, rest in (_split(payload), (payload, None)):
        try:
            data = dump(mutate.value(rng, json.loads(head)))
        except ValueError:
            continue
        return data if rest is None else with_head(data, rest)
    return payload


def _split(payload: bytes) -> tuple[bytes, bytes]:
    try:
        return split_head(payload)
    except ValueError:
        return b"", b""


def _decode(decode: Callable[[RawFrame], Any]) -> Callable[[bytes], Any]:
    return lambda data: decode(*Splitter().feed(data))


def _same_frame(data: bytes, message: Any) -> bool:
    """A message is all of its frame: nothing was passed over."""
    return bool(message.to_bytes() == data)


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
    for path, entry in entries.items():
        signed = json.loads(sign_bin(None, {path: entry}, publisher, now))["signed"]
        found.append((trust.bin_of(path), signed))
    return tuple(found)


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


# Key-value blocks

_HEADS: Final = (
    b"Status\x00200\0\0",
    b"Status\x00200\0Content-Type\0text/html\0Set-Cookie\0a=b; Path=/\0Content-Length\x005\0\0",
    b"Status\x00302 Found\0Location\0/next?x=1\0X-Nunatak-Local\0yes\0\0",
    b"Status\x00204\0Connection\0close, X-A\0X-A\0b\0Transfer-Encoding\0chunked\0\0",
)


def _answer_head(data: bytes) -> cgi.AnswerHead:
    block, _ = cgi.split_block(data)
    return cgi.answer_head(block)


def _head_holds(_: bytes, head: cgi.AnswerHead) -> bool:
    """No line but those that are meant to be, and none that says how the message is framed."""
    lines = head.fields.split(b"\r\n")
    if lines.pop() or b"\r" in head.fields.replace(b"\r\n", b"") or b"\n" in head.fields.replace(b"\r\n", b""):
        return False
    names = [line.partition(b":")[0].lower() for line in lines]
    return (
        200 <= head.status <= 599
        and not cgi.NOT_FROM_GUEST.intersection(names)
        and all(names)
        and b"\0" not in head.fields
    )


_REQUESTS: Final = (
    b"/a%20b/c\nq=1\nshop.example:80\nCookie: a=b\nCookie: c\nx_a: 2\nProxy: no\nConnection: close, X-B\nX-B: 1",
    b"/a%00b\n\nshop.example\n",
    b"/long\n\nshop.example\nX-A: " + b"x" * 16_300,
    b"/\n\n[::1]:8080\nTransfer-Encoding: chunked\nContent-Length: 5\nUpgrade: h2c\nX-Nunatak-Host: x\nX-Request-Id: y",
)


def _request_block(data: bytes) -> bytes:
    """A block of a head: path, query, authority, then fields, a line each."""
    path, query, authority, *lines = (*data.split(b"\n"), b"", b"", b"")[:60]
    split = [line.replace(b"\0", b"").partition(b": ") for line in lines]
    pairs = [(name, value) for name, colon, value in split if colon]
    texts = [part.replace(b"\0", b"").decode("utf-8", "replace") for part in (path, query, authority)]
    route = Route("host", "name", texts[2], "", texts[0], texts[1])
    return cgi.request_block(route, "GET", (1, 1), pairs, 80, "192.0.2.1", b"id", None)


def _block_holds(_: bytes, block: bytes) -> bool:
    """Ends where it says, each variable once, none of those that only the edge writes twice, none httpoxy's."""
    inner, end = cgi.split_block(block)
    names = inner[:-1].split(b"\0")[0:-1:2]
    unique = len(set(names)) == len(names)
    return end == len(block) <= abi.RECORD_PAYLOAD_MAX and unique and b"HTTP_PROXY" not in names


_SUBREQUESTS: Final = (
    b"Method\0GET\0URL\0https://api.example/x?y=1\0\0",
    b"Method\0POST\0URL\0http://127.0.0.1:8080/\0Content-Type\0text/plain\0X-A\0b\0\0",
)
_POLICY: Final = UpstreamPolicy.parse("public")


def _subrequest(data: bytes) -> tuple[str, str, list[tuple[str, str]]]:
    method, url, fields = upstreams.parse_subrequest(data)
    checked = _POLICY.check(url, ("https://api.example", "http://127.0.0.1:8080"))
    return method, str(checked), fields


def _subrequest_holds(_: bytes, value: tuple[str, str, list[tuple[str, str]]]) -> bool:
    method, url, fields = value
    clean = not any(c in text for name, text in fields for c in "\r\n\0")
    return (
        url.startswith("https://api.example/") and method.isalpha() and clean and not any(c in url for c in "\r\n\0 ")
    )


# Blocks


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
    """All of them."""
    record, live = frozen("record-v2.zst"), frozen("record-v3.zst")
    memory = vectors.MEMORY_BYTES
    return (
        Target("record", packed(record), _bind, (FormatError,), _same_record),
        Target(
            "live-record",
            packed(record, live),
            lambda data: snapshot.decode(data, memory_bytes=memory, live=True),
            (FormatError,),
            _same_record,
        ),
        Target("scratch", _with_scratch, _open_with_disks, (FormatError,)),
        Target("image", packed(record), _prepare, (VerificationError,)),
        Target(
            "open-requests",
            from_seeds(frozen("open-requests.bin")),
            requests.decode,
            (FormatError,),
            lambda data, value: requests.encode(value) == data,
        ),
        Target("parked", _parked, parse_parked, (FormatError,), _same_parked),
        Target("frame-to-worker", _frames(TO_WORKER), _decode(messages.to_worker), (ValueError,), _same_frame),
        Target("frame-from-worker", _frames(FROM_WORKER), _decode(messages.from_worker), (ValueError,), _same_frame),
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
        Target("archive", _archive, read_archive, (FormatError,), _same_archive),
        Target("elf", _elf, parse_program, (PublisherError,)),
        Target("answer-head", from_seeds(*_HEADS), _answer_head, (GuestViolation,), _head_holds),
        Target("request-block", from_seeds(*_REQUESTS), _request_block, (ClientError,), _block_holds),
        Target("subrequest", from_seeds(*_SUBREQUESTS), _subrequest, (UpstreamRefused,), _subrequest_holds),
    )
