"""What a baked machine is as an image file holds it: manifest, snapshot and symbols; and what it is given to read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from edge.vmm.machine.machine import Machine
from vmimage import abi, snapshot
from vmimage.archive import ImageBundle
from vmimage.drives import DriveRef
from vmimage.errors import PublisherError
from vmimage.manifest import (
    SNAPSHOT_TYPE,
    SOURCES_TYPE,
    SYMBOLS_TYPE,
    Blob,
    ImageManifest,
    Region,
    Terms,
    digest_of,
)
from vmimage.pages import pages_digest
from vmimage.snapshot import Snapshot
from vmimage.sources import SourceMap

BASE_LEVEL: Final = 19  # zstd levels: a base is fetched rarely and is small
IMAGE_LEVEL: Final = 9
ENVIRONMENT_MAX: Final = abi.ENV_SIZE - abi.SECRETS_SIZE  # bytes, arguments included: edges add secrets


def bundle_of(
    name: str,
    kind: str,
    base: ImageManifest | None,
    memory_bytes: int,
    regions: Iterable[Region],
    state: Snapshot,
    machine: Machine,
    names: bytes,
    terms: Terms,
    disks: tuple[DriveRef, ...] = (),
    baked_entropy: bool = False,
) -> ImageBundle:
    """The image of a machine that is ready.

    :param kind: "base" or "derived".
    :param base: its base; of a base none.
    :param state: the machine's, as a difference from that base.
    :param names: symbols, encoded as in `vmimage.symbols`.
    """
    state = replace(state, pages=state.rows)
    record = snapshot.encode(state, level=BASE_LEVEL if kind == "base" else IMAGE_LEVEL)
    manifest = ImageManifest(
        name=name,
        abi=abi.ABI_VERSION,
        kind="base" if kind == "base" else "derived",
        base=base.digest if base is not None else None,
        memory_bytes=memory_bytes,
        regions=tuple(sorted(regions, key=lambda region: region.start)),
        snapshot=Blob(SNAPSHOT_TYPE, digest_of(record), len(record)),
        snapshot_bytes=snapshot.record_size(len(state.page_nos)),
        page_count=len(state.page_nos),
        pages_digest=pages_digest(state.page_nos, machine.shell.memory.pages[state.page_nos]),
        symbols=Blob(SYMBOLS_TYPE, digest_of(names), len(names)),
        instance=terms.instance,
        limits=terms.limits,
        upstreams=terms.upstreams,
        pool=terms.pool,
        rejuvenate=terms.rejuvenate,
        disks=disks,
        baked_entropy=baked_entropy,
        base_snapshot=base.snapshot if base is not None else None,
    )
    return ImageBundle(manifest, {manifest.snapshot.digest: record, digest_of(names): names})


def with_sources(image: ImageBundle, sources: SourceMap) -> ImageBundle:
    """The same image, with names for the lines of its program; as it is where they say nothing new."""
    if sources.is_plain:
        return image
    names = sources.encode()
    manifest = replace(image.manifest, sources=Blob(SOURCES_TYPE, digest_of(names), len(names)))
    return ImageBundle(manifest, {**image.blobs, digest_of(names): names})


def environment(env: Mapping[str, str], arguments: Sequence[str]) -> bytes:
    """Names and values, then arguments; each list ends with an empty one."""
    block = b""
    for name, value in sorted(env.items()):
        if not name or "=" in name or "\0" in name + value:
            raise PublisherError(f"environment: NAME=VALUE without NUL expected, got {name!r}: write it so")
        block += f"{name}={value}".encode() + b"\0"
    block += b"\0"
    for argument in arguments:
        if not argument or "\0" in argument:
            raise PublisherError(f"arguments: texts without NUL, none empty, expected, got {argument!r}: leave it out")
        block += argument.encode() + b"\0"
    if len(block) >= ENVIRONMENT_MAX:
        raise PublisherError(
            f"environment: less than {ENVIRONMENT_MAX} bytes expected, got {len(block)}: "
            "give fewer --env and --arg, or put what is long into --files"
        )
    return block + b"\0"
