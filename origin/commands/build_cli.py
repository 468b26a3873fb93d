"""The commands `nunatak build` and `nunatak inspect`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from origin.commands.assets_options import (
    MAX_AGE_S,
    CleanOption,
    CompressOption,
    ExcludeOption,
    ImmutableOption,
    MaxAgeOption,
    SinglePageOption,
)
from origin.commands.shared import EnvFileOption, EnvOption, FilesOption
from vmimage.errors import PublisherError


def build(
    source: Annotated[
        Path,
        typer.Argument(
            help="Program: a .c, .js, .ts or .lua file, a folder with one, or an ELF file, a static Linux program. "
            "Or a folder with index.html, whose files are served.",
            metavar="SOURCE",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Image file to write.", metavar="IMAGE")],
    name: Annotated[
        str | None, typer.Option(help="Name of the image.", metavar="NAME", show_default="the name of SOURCE")
    ] = None,
    env: EnvOption = None,
    env_file: EnvFileOption = None,
    memory: Annotated[str, typer.Option(help="Memory of a machine.", metavar="SIZE")] = "32MiB",
    cpu_ms: Annotated[
        int, typer.Option(min=1, max=60_000, help="CPU time that a request may take.", metavar="MILLISECONDS")
    ] = 200,
    cpu_percent: Annotated[
        int,
        typer.Option(
            min=0,
            max=100,
            help="Share of a processor that a machine may use over time.",
            metavar="PERCENT",
            show_default="0, whatever others leave",
        ),
    ] = 0,
    log_rate: Annotated[str, typer.Option(help="Log and console output in a second.", metavar="SIZE")] = "64KiB",
    streams: Annotated[
        int, typer.Option(min=1, max=64, help="Requests that a machine may have open at once.", metavar="COUNT")
    ] = 64,
    response: Annotated[str, typer.Option(help="Largest body of a response.", metavar="SIZE")] = "64MiB",
    pool: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="Machines that may serve at once on an edge.",
            metavar="COUNT",
            show_default="1, or 16 of one request each with --fresh or --cgi",
        ),
    ] = None,
    rejuvenate: Annotated[
        str | None,
        typer.Option(
            help="When a new machine takes the place of one: after requests=COUNT, hours=HOURS or growth=SIZE.",
            metavar="CAUSE=NUMBER,...",
            show_default="never",
        ),
    ] = None,
    disk: Annotated[
        list[str] | None,
        typer.Option(
            help="Disk of the machine: NAME=FILE:shared is read-only, NAME=FILE:cow keeps what is written, "
            "NAME=scratch[:SIZE] is empty at every start, NAME=log takes records; may be repeated.",
            metavar="NAME=KIND",
            show_default="none",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Give every request a machine that has served none.")] = False,
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            help="Origin that the program may send requests of its own to, https://HOST[:PORT]; may be repeated.",
            metavar="URL",
            show_default="none",
        ),
    ] = None,
    linux: Annotated[
        bool, typer.Option("--linux", help="Compile C or C++ as a Linux program with musl; it calls nk_serve.")
    ] = False,
    cgi: Annotated[
        bool,
        typer.Option("--cgi", help="Run a Linux program that speaks CGI (RFC 3875) anew for every request."),
    ] = False,
    arg: Annotated[
        list[str] | None,
        typer.Option(help="Argument of a Linux program; may be repeated.", metavar="TEXT", show_default="none"),
    ] = None,
    files: FilesOption = None,
    assets: Annotated[
        Path | None,
        typer.Option(
            help="Folder whose files are served; the program is asked for what is not there.",
            metavar="FOLDER",
            show_default="none",
        ),
    ] = None,
    exclude: ExcludeOption = None,
    compress: CompressOption = False,
    clean_urls: CleanOption = False,
    single_page: SinglePageOption = False,
    max_age: MaxAgeOption = MAX_AGE_S,
    immutable: ImmutableOption = None,
    bake_entropy: Annotated[
        bool,
        typer.Option(
            "--bake-entropy",
            help="Give the program random bytes while it is built; all machines share what it makes of them.",
        ),
    ] = False,
    locale: Annotated[
        list[str] | None,
        typer.Option(
            help="Locale that a JavaScript worker formats for, beside en-US; may be repeated.",
            metavar="TAG",
            show_default="none",
        ),
    ] = None,
    esbuild: Annotated[
        Path | None,
        typer.Option(
            envvar="NUNATAK_ESBUILD",
            help="The esbuild that bundles TypeScript, JSX and modules, in place of the pinned one.",
            metavar="PROGRAM",
            show_default="fetched by npm when it is first needed",
        ),
    ] = None,
) -> None:
    """Compile a program, boot it, run it until it is ready, and keep that state as an image."""
    from rich.console import Console
    from rich.markup import escape

    from libos.toolchain.packages import used_packages
    from origin.bake.assets.index import DISK
    from origin.bake.bill import attached_to
    from origin.bake.recipe import images_of
    from vmimage.archive import pack_archive
    from vmimage.text import plain

    console = Console(stderr=True)
    assets_disk = output.with_name(f"{output.name.removesuffix('.oci.tar')}.assets.disk")
    options: dict[str, Any] = {
        "name": name,
        "env": env,
        "env_file": env_file,
        "memory": memory,
        "cpu_ms": cpu_ms,
        "cpu_percent": cpu_percent,
        "log_rate": log_rate,
        "streams": streams,
        "response": response,
        "pool": pool,
        "rejuvenate": rejuvenate,
        "fresh": fresh,
        "upstream": upstream,
        "disk": disk,
        "linux": linux,
        "cgi": cgi,
        "arg": arg,
        "files": files,
        "assets": assets,
        "exclude": exclude,
        "compress": compress,
        "clean_urls": clean_urls,
        "single_page": single_page,
        "max_age": max_age,
        "immutable": immutable,
        "bake_entropy": bake_entropy,
        "locale": locale,
        "esbuild": esbuild,
    }
    inputs: list[Path] = []
    with console.status("building") as status, used_packages() as packages:
        images = images_of(
            source,
            progress=lambda step: status.update(f"building: {escape(plain(step))}"),
            made_of=lambda _, made: inputs.extend(made),
            assets_disk=assets_disk,
            warn=lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True),
            **options,
        )
    data = pack_archive(images, attached_to(images, source, options, packages, inputs))
    _write(output, data)
    manifest = images[-1].manifest
    if any(drive.name == DISK for drive in manifest.disks):
        typer.echo(f"{assets_disk}: the files, as a disk: publish it with --disk {assets_disk}", err=True)
    typer.echo(
        f"{output}: {manifest.name} {manifest.digest}, {_size(len(data))}, service {_size(manifest.snapshot.size)}"
    )


def inspect(
    file: Annotated[Path, typer.Argument(help="Image file of `nunatak build`, or a parked record.", metavar="FILE")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    symbols: Annotated[int, typer.Option(min=0, help="How many of the largest symbols to show.", metavar="COUNT")] = 8,
    key: Annotated[
        Path | None,
        typer.Option(
            help="The edge's key, or the cache folder with it: also checks a parked record.",
            metavar="PATH",
            show_default="none",
        ),
    ] = None,
) -> None:
    """Show what an image holds: its sizes, memory with permissions, limits, symbols and base. Or a parked record."""
    from origin.bake.inspect import describe, render
    from origin.bake.inspect_attached import describe_attached, render_attached
    from origin.publish.image_files import read_attachments, read_image, read_parked

    parked = read_parked(file)
    if parked is not None:
        _inspect_parked(parked, key, as_json=as_json)
        return
    images = [describe(bundle, symbols) for bundle in read_image(file)]
    attached = describe_attached(read_attachments(file))
    if as_json:
        about = {"file": str(file), "bytes": file.stat().st_size, "images": images, **attached}
        typer.echo(json.dumps(about, indent=2))
    else:
        render(images)
        render_attached(attached)


def _inspect_parked(data: bytes, key: Path | None, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from origin.bake.inspect_parked import describe_parked, render_parked
    from origin.publish.image_files import read_edge_key

    about = describe_parked(data, None if key is None else read_edge_key(key), datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps(about, indent=2))
    else:
        render_parked(about)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: an interrupted build leaves the old image."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise PublisherError(
            f"output: a writable place expected, got {path}: {error.strerror}: make its folder, or name another with -o"
        ) from None


def _size(size: int) -> str:
    from rich.filesize import decimal

    return decimal(size)
