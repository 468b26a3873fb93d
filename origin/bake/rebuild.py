"""Building an image again from its source, with the options that its provenance says, and what is not the same then."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmimage.errors import PublisherError
from vmimage.provenance import Provenance, differences

if TYPE_CHECKING:
    from vmimage.manifest import ImageManifest


@dataclass(frozen=True)
class Rebuilt:
    """What came of it."""

    image: str  # digest
    differences: tuple[str, ...]  # a line each; none where the digest is the same


def rebuild(signed: Provenance, published: ImageManifest, source: Path, progress: Callable[[str], None]) -> Rebuilt:
    """Build it as `signed` says, from `source`.

    :param published: the image's manifest.
    :raises PublisherError: the options are not of this version, or it does not build.
    """
    from libos.toolchain.packages import used_packages
    from origin.bake.provenance import options_again, provenance_of
    from origin.bake.recipe import images_of

    known = inspect.signature(images_of).parameters
    options = options_again(source, signed.options)
    if unknown := sorted(set(options) - set(known)):
        raise PublisherError(
            f"options of this version of nunatak expected in the provenance, got {unknown[0]}: use that one"
        )
    empty: dict[str, Any] = {
        name: _empty(each)
        for name, each in known.items()
        if each.default is each.empty and name not in ("source", "progress")
    }
    with used_packages() as packages:
        images = images_of(source, progress=progress, **(empty | options))
    manifest = images[-1].manifest
    if manifest.digest == published.digest:
        return Rebuilt(manifest.digest, ())
    now = provenance_of(images, source, {**options, "name": manifest.name}, packages)
    lines = [*differences(signed, now), *_parts(published, manifest)]
    return Rebuilt(manifest.digest, tuple(lines))


def _empty(parameter: inspect.Parameter) -> Any:
    """What an option is that was not said: statements leave out what says nothing."""
    return False if str(parameter.annotation) == "bool" else None


def _parts(published: ImageManifest, rebuilt: ImageManifest) -> list[str]:
    """Parts of the image that differ."""
    lines = [
        f"layer {one.media_type}: {one.digest[:23]} ({one.size}) published, {other.digest[:23]} ({other.size}) built"
        for one, other in zip(published.layers, rebuilt.layers, strict=False)
        if one != other
    ]
    if len(published.layers) != len(rebuilt.layers):
        lines.append(f"layers: {len(published.layers)} published, {len(rebuilt.layers)} built")
    for name in ("name", "abi", "base", "memory_bytes", "regions", "page_count", "pages_digest", "limits", "disks"):
        was, now = getattr(published, name), getattr(rebuilt, name)
        if was != now:
            lines.append(f"{name}: {str(was)[:80]} published, {str(now)[:80]} built")
    return lines
