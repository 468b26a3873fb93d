"""What the options of `nunatak build` mean: from the words of a command line to an image. `nunatak dev` shares them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vmimage.errors import PublisherError

if TYPE_CHECKING:  # imported when it is needed: `nunatak --help` stays quick
    from vmimage.archive import ImageBundle

_SIZE: Final = re.compile(r"(\d{1,12})\s*(B|KiB|MiB|GiB)?", re.ASCII)
_UNITS: Final = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def images_of(
    source: Path,
    *,
    progress: Callable[[str], None],
    name: str | None,
    env: list[str] | None,
    memory: str,
    cpu_ms: int,
    fresh: bool,
    upstream: list[str] | None,
    disk: list[str] | None,
) -> list[ImageBundle]:
    """What `build` writes, for its options as the command line has them.

    :raises PublisherError: an option is out of range, or the source does not become an image.
    """
    from origin.build import build_image
    from origin.disk_cli import parse_drives
    from vmimage.manifest import Limits, Terms

    if not source.exists():
        raise PublisherError(f"source: a .c file or a folder expected, got {source}: no such file")
    return build_image(
        source,
        name=name or name_of(source),
        env=_parse_environment(env or []),
        memory_bytes=_parse_size(memory),
        terms=Terms(
            instance="request" if fresh else "service",
            limits=Limits(cpu_ms=cpu_ms),
            upstreams=_parse_upstreams(upstream or []),
        ),
        disks=parse_drives(disk or []),
        progress=progress,
    )


def name_of(source: Path) -> str:
    """The name of an image for which none was given."""
    return re.sub(r"[^a-z0-9._-]+", "-", source.stem.lower()).strip("._-")[:63] or "image"


def _parse_environment(entries: list[str]) -> dict[str, str]:
    for entry in entries:
        if "=" not in entry[1:]:
            raise PublisherError(f"--env: NAME=VALUE expected, got {entry!r}")
    return dict(entry.split("=", 1) for entry in entries)


def _parse_upstreams(urls: list[str]) -> tuple[str, ...]:
    from vmimage.manifest import UPSTREAMS_MAX, is_upstream

    origins = sorted({url.removesuffix("/") for url in urls})
    for origin in origins:
        if not is_upstream(origin):
            raise PublisherError(f"--upstream: an origin such as https://api.example:8443 expected, got {origin!r}")
    if len(origins) > UPSTREAMS_MAX:
        raise PublisherError(f"--upstream: at most {UPSTREAMS_MAX} expected, got {len(origins)}")
    return tuple(origins)


def _parse_size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise PublisherError(f"--memory: a size such as 32MiB expected, got {text!r}")
    return int(match[1]) * _UNITS[match[2]]
