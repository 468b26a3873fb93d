"""What the options of `nunatak build` mean: from the words of a command line to an image. `nunatak dev` shares them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from origin.bake.sizes import size_option
from vmimage.errors import PublisherError

if TYPE_CHECKING:  # imported when it is needed: `nunatak --help` stays quick
    from vmimage.archive import ImageBundle
    from vmimage.terms import InstanceMode, Rejuvenation


def images_of(
    source: Path,
    *,
    progress: Callable[[str], None],
    name: str | None,
    env: list[str] | None,
    env_file: list[Path] | None = None,
    memory: str,
    cpu_ms: int,
    cpu_percent: int,
    log_rate: str,
    streams: int,
    response: str,
    pool: int | None,
    rejuvenate: str | None,
    fresh: bool,
    upstream: list[str] | None,
    disk: list[str] | None,
    linux: bool,
    cgi: bool,
    arg: list[str] | None,
    files: Path | None,
    assets: Path | None = None,
    exclude: list[str] | None = None,
    compress: bool = False,
    clean_urls: bool = False,
    single_page: bool = False,
    max_age: int = 60,
    immutable: list[str] | None = None,
    site: bool | None = None,
    assets_disk: Path | None = None,
    bake_entropy: bool = False,
    locale: list[str] | None = None,
    esbuild: Path | None = None,
    made_of: Callable[[Path, Sequence[Path]], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> list[ImageBundle]:
    """What `build` writes, for its options as the command line has them.

    :param env_file: of variables; those of `env` go before.
    :param pool: None where it was not said: one machine, or as many fresh ones as is usual.
    :param assets: a folder whose files are answered with before the program hears of a request.
    :param exclude, compress, clean_urls, single_page, max_age, immutable: see `origin.bake.assets.model.Choices`.
    :param site: the source is such a folder and no program; None: if it looks like one.
    :param assets_disk: a disk file to write where they are many; None: all go into the image.
    :param made_of: gets the folder that names of sources begin in, and the files that the program was made of beside
        the source itself; only of a program in a language whose runtime reads it.
    :param warn: gets what a publisher should know; as `progress` if not given.

    :raises PublisherError: an option is out of range, or the source does not become an image.
    """
    from libos.runtimes import language_of, locale_files
    from origin.bake.assets.model import Choices
    from origin.bake.assets.site import PROGRAM, SITE_CPU_MS, SITE_POOL, is_site, memory_for, pack_assets
    from origin.bake.build import build_image
    from origin.bake.disk_options import parse_drives
    from origin.bake.env_file import like_secrets, read_env_files
    from vmimage import abi
    from vmimage.manifest import Limits, Terms
    from vmimage.terms import FRESH_POOL, LOG_MAX, OUTPUT_MAX

    if bake_entropy and cgi:
        raise PublisherError(
            "--bake-entropy: a program that runs while it is built expected, got one for --cgi: "
            "leave one of the two away"
        )
    locale_files(language_of(source), locale or [])
    drives = parse_drives(disk or [])
    one_writer = any(drive.ref.kind == "cow" for drive in drives)
    if site is None:
        site = not (linux or cgi) and language_of(source) is None and is_site(source)
    if site and assets is not None:
        raise PublisherError(f"--assets: a program expected, {source} is a folder of files itself: name one of the two")
    if pool is None:
        pool = 1 if one_writer else SITE_POOL if site else FRESH_POOL if fresh or cgi else 1
    if pool > 1 and one_writer:
        raise PublisherError("--pool: machines that share nothing expected, got a cow disk, which is one machine's own")
    instance: InstanceMode = "request" if fresh or cgi else "pool" if pool > 1 else "service"
    if not source.exists():
        raise PublisherError(f"source: a program or a folder expected, got {source}: no such file: check the path")
    variables = {**read_env_files(env_file or []), **parse_environment(env or [])}
    for each in like_secrets(variables):
        (warn or progress)(
            f"{each}: whoever has the image can read it; if it is a secret, give it by `nunatak secrets`"
        )
    memory_bytes, output_bytes = size_option("memory", memory), size_option("response", response, OUTPUT_MAX)
    folder, asset_files = source if site else assets, {}
    wanted = Choices(tuple(exclude or ()), compress, clean_urls, single_page, max_age, tuple(immutable or ()))
    if folder is None and wanted != Choices():
        raise PublisherError(
            "--exclude, --compress, --clean-urls, --single-page, --max-age and --immutable: files to serve expected: "
            "name their folder with --assets, or leave these away"
        )
    if folder is not None:
        progress("reading files")
        found = pack_assets(folder, wanted, alone=site, disk=assets_disk, warn=warn or progress)
        asset_files, output_bytes = found.files, max(output_bytes, found.largest)
        drives += found.drives
    if site:
        memory_bytes, cpu_ms = memory_for(asset_files, memory_bytes), max(cpu_ms, SITE_CPU_MS)
    return build_image(
        PROGRAM if site else source,
        name=name or name_of(source),
        env=variables,
        memory_bytes=memory_bytes,
        terms=Terms(
            instance=instance,
            limits=Limits(
                cpu_ms=cpu_ms,
                output_bytes=output_bytes,
                streams=streams,
                cpu_percent=cpu_percent,
                log_bytes=size_option("log-rate", log_rate, LOG_MAX),
            ),
            upstreams=_parse_upstreams(upstream or []),
            pool=pool,
            rejuvenate=_parse_causes(rejuvenate),
        ),
        disks=drives,
        kind=abi.PROGRAM_CGI if cgi else abi.PROGRAM_LINUX if linux else None,
        arguments=arg or [],
        files=files,
        assets=asset_files,
        bake_entropy=bake_entropy,
        locales=locale or [],
        esbuild=esbuild,
        made_of=made_of,
        progress=progress,
        warn=warn,
    )


def name_of(source: Path) -> str:
    """The name of an image for which none was given."""
    named = source if source.name not in ("", "..") else source.resolve()
    return re.sub(r"[^a-z0-9._-]+", "-", named.stem.lower()).strip("._-")[:63] or "image"


def parse_environment(entries: list[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as names and values."""
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


def _parse_causes(text: str | None) -> Rejuvenation:
    from vmimage.terms import COUNT_MAX, Rejuvenation

    found: dict[str, int] = {}
    for part in (text or "").split(",") if text else ():
        name, _, value = part.strip().partition("=")
        try:
            if name == "requests":
                found[name] = int(value)
            elif name == "hours":
                found["seconds"] = round(float(value) * 3600)
            elif name == "growth":
                found["growth_bytes"] = size_option("rejuvenate", value)
            else:
                raise ValueError
        except (ValueError, OverflowError):
            raise PublisherError(
                f"--rejuvenate: requests=N, hours=H or growth=SIZE expected, got {part.strip()!r}"
            ) from None
    if not all(0 < value <= COUNT_MAX for value in found.values()):
        raise PublisherError(f"--rejuvenate: numbers above 0 expected, got {text!r}")
    return Rejuvenation(**found)
