"""The manifest: everything an edge must know about an image before it fetches its blobs.

It is an OCI image manifest (image-spec 1.1) in canonical JSON, so any OCI registry stores it; our own fields are the
config blob, carried inline in the config descriptor's "data", so that one GET is enough. The parser is strict: bytes
that are not exactly what `ImageManifest.to_bytes` would write are refused. `vmimage/FORMAT.md` describes every field.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from typing import Final, Literal, TypeVar, cast

from vmimage import abi
from vmimage.canonical import (
    Blob,
    canonical_json,
    descriptor,
    digest_of,
    inline_config,
    is_digest,
    is_name,
    load_json,
    parse_blob,
    parse_outer,
    refuse,
    require_digest,
    require_integer,
    require_object,
    require_same,
)
from vmimage.drives import DriveRef, parse_drives
from vmimage.errors import FormatError
from vmimage.terms import (
    DEFAULT_TERMS,
    InstanceMode,
    Limits,
    Rejuvenation,
    Terms,
    parse_instance,
    parse_limits,
    parse_rejuvenation,
)

__all__ = [
    "DEFAULT_TERMS",
    "Blob",
    "DriveRef",
    "ImageManifest",
    "InstanceMode",
    "Limits",
    "Region",
    "Rejuvenation",
    "Terms",
    "canonical_json",
    "digest_of",
    "is_digest",
    "is_name",
    "is_upstream",
    "parse_manifest",
]

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE: Final = "application/vnd.nunatak.image.v1+json"
CONFIG_TYPE: Final = "application/vnd.nunatak.config.v1+json"
SNAPSHOT_TYPE: Final = "application/vnd.nunatak.snapshot.v2+zstd"  # of `snapshot.VERSION`
SYMBOLS_TYPE: Final = "application/vnd.nunatak.symbols.v1+zstd"
SOURCES_TYPE: Final = "application/vnd.nunatak.sources.v1+zstd"

REPOSITORY: Final = "images"  # every image is found by digest under this one name (OCI distribution API)

# Limits on sizes, in bytes: checked before a byte is parsed, fetched or decompressed.
MANIFEST_MAX: Final = 64 << 10
SNAPSHOT_MAX: Final = 256 << 20  # on the wire; an edge holds a blob in memory whole while it verifies it
SYMBOLS_MAX: Final = 8 << 20  # on the wire
SYMBOLS_RAW_MAX: Final = 16 << 20  # 50 times what the JavaScript runtime has, with a line for every line of its source
SOURCES_MAX: Final = 1 << 20  # on the wire; what is in it is limited in `vmimage.sources`
BLOB_MAX: Final = SNAPSHOT_MAX  # of any kind
RECORD_OVERHEAD_MAX: Final = 64 << 10  # registers and devices; a record adds at most 8 bytes a page for page numbers
REGIONS_MAX: Final = 256
MEMORY_STEP: Final = 2 << 20  # of a machine's memory: what one page table maps (Intel SDM volume 3, section 4.5)
UPSTREAMS_MAX: Final = 64
BAKED_ENTROPY: Final = "baked_entropy"  # a key that is there with `true`, or not at all
BASE_SNAPSHOT: Final = "base_snapshot"  # likewise, with a descriptor

_UPSTREAM: Final = re.compile(r"https?://(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?", re.ASCII)

_T = TypeVar("_T")

Access = Literal["r", "rw", "rx"]
Kind = Literal["base", "derived"]


@dataclass(frozen=True, slots=True)
class Region:
    """Guest addresses [start, end), both multiples of the page size, with one permission."""

    start: int
    end: int
    access: Access


@dataclass(frozen=True)
class ImageManifest:
    """One image. A base is a snapshot against zero memory; a derived image one against its base."""

    name: str
    abi: int
    kind: Kind
    base: str | None  # digest of the base's manifest
    memory_bytes: int
    regions: tuple[Region, ...]  # sorted, disjoint, complete: what is in none of them is unmapped
    snapshot: Blob  # the compressed record
    snapshot_bytes: int  # size of the record uncompressed
    page_count: int
    pages_digest: str  # SHA-256 over page numbers (u32, little-endian), then page contents after XOR
    symbols: Blob | None = None  # compressed lines "hexaddr hexsize name\n"
    sources: Blob | None = None  # of which files and lines the program's text was made, see `vmimage.sources`
    instance: InstanceMode = "service"
    limits: Limits = field(default_factory=Limits)
    upstreams: tuple[str, ...] = ()  # origins ("https://api.example") that the guest may send requests to; sorted
    disks: tuple[DriveRef, ...] = ()
    pool: int = 1  # machines at once, at most
    rejuvenate: Rejuvenation = field(default_factory=Rejuvenation)
    baked_entropy: bool = False  # the builder's random bytes may be in the snapshot, and so in all machines
    base_snapshot: Blob | None = None  # what the base's manifest will name as such: an edge may fetch both at once

    @cached_property
    def config(self) -> bytes:
        """The config blob: our own fields as canonical JSON."""
        return canonical_json(
            {
                **({BAKED_ENTROPY: True} if self.baked_entropy else {}),
                **({BASE_SNAPSHOT: descriptor(self.base_snapshot)} if self.base_snapshot else {}),
                "abi": self.abi,
                "base": self.base,
                "disks": [asdict(disk) for disk in self.disks],
                "instance": self.instance,
                "kind": self.kind,
                "limits": _values(self.limits),
                "memory_bytes": self.memory_bytes,
                "name": self.name,
                "page_count": self.page_count,
                "pages_digest": self.pages_digest,
                "pool": self.pool,
                "rejuvenate": _values(self.rejuvenate),
                "regions": [[region.start, region.end, region.access] for region in self.regions],
                "snapshot_bytes": self.snapshot_bytes,
                "upstreams": self.upstreams,
            }
        )

    @property
    def config_blob(self) -> Blob:
        """Descriptor of the config blob."""
        return Blob(CONFIG_TYPE, digest_of(self.config), len(self.config))

    @property
    def layers(self) -> tuple[Blob, ...]:
        """The blobs beside the config: snapshot, then symbols and sources if there are any."""
        return tuple(blob for blob in (self.snapshot, self.symbols, self.sources) if blob is not None)

    def to_bytes(self) -> bytes:
        """The manifest as the canonical JSON whose SHA-256 names the image."""
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        return canonical_json(
            {
                "artifactType": ARTIFACT_TYPE,
                "config": inline_config(self.config_blob, self.config),
                "layers": [descriptor(blob) for blob in self.layers],
                "mediaType": MANIFEST_TYPE,
                "schemaVersion": 2,
            }
        )

    @cached_property
    def digest(self) -> str:
        """Name of the image: "sha256:<hex>" of `to_bytes`."""
        return digest_of(self.to_bytes())

    def forget_bytes(self) -> None:
        """Free the encoded forms, 3 KB that an edge with thousands of images needs no more; the digest stays."""
        self.digest  # noqa: B018 - made from them
        self.__dict__.pop("_encoded", None)
        self.__dict__.pop("config", None)


def _values(terms: Limits | Rejuvenation) -> dict[str, int]:
    return {name: getattr(terms, name) for name in terms.__slots__}


def is_upstream(text: str) -> bool:
    """Whether `text` is an origin as RFC 6454 writes it: lower case, no path, no port that the scheme implies."""
    implied = ":80" if text.startswith("http:") else ":443"
    return _UPSTREAM.fullmatch(text) is not None and not text.endswith(implied)


def parse_manifest(data: bytes) -> ImageManifest:
    """Parse and check a manifest.

    :raises FormatError: anything but the canonical bytes of an image this version can run within the limits above.
    """
    layers, config = parse_outer("manifest", data, MANIFEST_MAX, (MANIFEST_TYPE, ARTIFACT_TYPE, CONFIG_TYPE))
    blobs = _parse_layers(layers)
    manifest = _parse_config(load_json("config", config, MANIFEST_MAX), *blobs)
    if manifest.config != config or manifest.to_bytes() != data:
        raise FormatError("manifest: canonical JSON expected, got another spelling of it")
    manifest.forget_bytes()
    return manifest


def _parse_layers(layers: object) -> tuple[Blob, Blob | None, Blob | None]:
    """Snapshot, symbols and sources; the last two may be missing."""
    if not isinstance(layers, list) or not 1 <= len(layers) <= 3:
        refuse("manifest layers", "a snapshot and at most symbols and sources", layers)
    snapshot, rest = parse_blob("snapshot", layers[0], SNAPSHOT_TYPE, SNAPSHOT_MAX), layers[1:]
    last_is_sources = rest and isinstance(rest[-1], dict) and rest[-1].get("mediaType") == SOURCES_TYPE
    sources = parse_blob("sources", rest.pop(), SOURCES_TYPE, SOURCES_MAX) if last_is_sources else None
    symbols = parse_blob("symbols", rest.pop(), SYMBOLS_TYPE, SYMBOLS_MAX) if rest else None
    if rest:
        refuse("manifest layers", "a snapshot and at most symbols and sources", layers)
    return snapshot, symbols, sources


def _parse_config(value: object, snapshot: Blob, symbols: Blob | None, sources: Blob | None) -> ImageManifest:
    keys = {
        "abi",
        "base",
        "disks",
        "instance",
        "kind",
        "limits",
        "memory_bytes",
        "name",
        "page_count",
        "pages_digest",
        "regions",
    }
    baked_entropy = isinstance(value, dict) and BAKED_ENTROPY in value
    base_snapshot = isinstance(value, dict) and BASE_SNAPSHOT in value
    keys |= {"pool", "rejuvenate", "snapshot_bytes", "upstreams"}
    keys |= {*([BAKED_ENTROPY] if baked_entropy else []), *([BASE_SNAPSHOT] if base_snapshot else [])}
    c = require_object("config", value, keys)
    if baked_entropy:
        require_same("config baked_entropy", True, c[BAKED_ENTROPY])
    require_same("config abi", abi.ABI_VERSION, c["abi"])
    if not isinstance(c["name"], str) or not is_name(c["name"]):
        refuse("config name", "1 to 63 of a-z 0-9 . _ -", c["name"])
    if c["kind"] not in ("base", "derived"):
        refuse("config kind", '"base" or "derived"', c["kind"])
    instance, pool = parse_instance(c["instance"], c["pool"])
    if c["kind"] == "base":
        require_same("config base of a base image", None, c["base"])
        require_same("config base_snapshot of a base image", False, base_snapshot)
    else:
        require_digest("config base", c["base"])
    memory = require_integer("config memory_bytes", c["memory_bytes"], abi.MEMORY_MIN, abi.MEMORY_MAX)
    if memory % MEMORY_STEP:
        refuse("config memory_bytes", f"a multiple of {MEMORY_STEP}", memory)
    pages = require_integer("config page_count", c["page_count"], 0, memory // abi.PAGE_SIZE)
    record_min, record_max = max(1, pages * abi.PAGE_SIZE), pages * (abi.PAGE_SIZE + 8) + RECORD_OVERHEAD_MAX
    return ImageManifest(
        name=c["name"],
        abi=c["abi"],
        kind=cast(Kind, c["kind"]),
        base=_shared(c["base"]),
        memory_bytes=_shared(memory),
        regions=parse_regions(c["regions"], memory),
        snapshot=snapshot,
        snapshot_bytes=require_integer("config snapshot_bytes", c["snapshot_bytes"], record_min, record_max),
        page_count=pages,
        pages_digest=require_digest("config pages_digest", c["pages_digest"]),
        symbols=_shared(symbols),
        sources=_shared(sources),
        instance=instance,
        limits=_shared(parse_limits(c["limits"])),
        pool=pool,
        rejuvenate=_shared(parse_rejuvenation(c["rejuvenate"])),
        upstreams=_parse_upstreams(c["upstreams"]),
        disks=parse_drives(c["disks"], machines=pool),
        baked_entropy=baked_entropy,
        base_snapshot=_shared(_parse_base_snapshot(c[BASE_SNAPSHOT])) if base_snapshot else None,
    )


def _parse_base_snapshot(value: object) -> Blob:
    return parse_blob(f"config {BASE_SNAPSHOT}", value, SNAPSHOT_TYPE, SNAPSHOT_MAX)


def _parse_upstreams(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > UPSTREAMS_MAX:
        refuse("config upstreams", f"a list of at most {UPSTREAMS_MAX}", value)
    for item in value:
        if not isinstance(item, str) or not is_upstream(item):
            refuse("config upstream", 'an origin such as "https://api.example"', item)
    if value != sorted(set(value)):
        refuse("config upstreams", "each once, sorted", value)
    return tuple(value)


def parse_regions(value: object, memory_bytes: int) -> tuple[Region, ...]:
    if not isinstance(value, list) or len(value) > REGIONS_MAX:
        refuse("config regions", f"a list of at most {REGIONS_MAX}", value)
    try:
        return _regions(canonical_json(value), memory_bytes)
    except RecursionError:
        refuse("config regions", "a list of lists of three", "one that nests deeper")


@lru_cache(maxsize=256)
def _regions(text: bytes, memory_bytes: int) -> tuple[Region, ...]:
    """One tuple for all images of a layout, which is checked once: thousands of services are the same program."""
    regions: list[Region] = []
    lowest = abi.NULL_GUARD_SIZE
    for item in json.loads(text):
        if not isinstance(item, list) or len(item) != 3 or item[2] not in ("r", "rw", "rx"):
            refuse("config region", '[start, end, "r", "rw" or "rx"]', item)
        start = require_integer("config region start", item[0], lowest, memory_bytes - abi.PAGE_SIZE)
        end = require_integer("config region end", item[1], start + abi.PAGE_SIZE, memory_bytes)
        if start % abi.PAGE_SIZE or end % abi.PAGE_SIZE:
            refuse("config region", f"multiples of {abi.PAGE_SIZE}", item)
        regions.append(Region(start, end, item[2]))
        lowest = end
    return tuple(regions)


def _shared(value: _T) -> _T:
    """The first of equal values, for all images that have it."""
    return cast(_T, _first(value))


@lru_cache(maxsize=2048, typed=True)
def _first(value: object) -> object:
    return value
