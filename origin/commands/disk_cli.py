"""Commands for disks, and `nunatak logs` beside them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from origin.commands.logs_cli import logs
from vmimage.errors import PublisherError

app = typer.Typer()
disk = typer.Typer(help="Make and inspect disks, whose blocks machines read one by one.", no_args_is_help=True)
app.add_typer(disk, name="disk")
app.command()(logs)


@disk.command("build")
def build_disk(
    source: Annotated[Path, typer.Argument(help="File to make a disk of, such as a database.", metavar="FILE")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Disk file to write.", metavar="DISK")],
    name: Annotated[
        str | None, typer.Option(help="Name of the disk.", metavar="NAME", show_default="the name of FILE")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Size of the disk, such as 64M, for a database that grows.",
            metavar="SIZE",
            show_default="the size of FILE",
        ),
    ] = None,
) -> None:
    """Cut a file into blocks that edges fetch one by one. Programs get it with `nunatak build --disk`."""
    from rich.console import Console
    from rich.progress import Progress

    from origin.bake.sizes import size_option
    from origin.model.diskfile import pack_disk
    from vmimage.canonical import is_disk_name

    named = name or re.sub(r"[^a-z0-9._-]+", "-", source.stem.lower()).strip("._-")[:47] or "disk"
    if not is_disk_name(named):
        raise PublisherError(f"--name: 1 to 47 of a-z 0-9 . _ - expected, got {named!r}")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("packing", total=None)
        manifest = pack_disk(
            source,
            named,
            output,
            lambda done, all_: bar.update(task, completed=done, total=all_),
            size_bytes=None if size is None else size_option("size", size),
        )
    wire = output.stat().st_size
    typer.echo(
        f"{output}: {manifest.name} {manifest.digest}, {manifest.disk_bytes:,} bytes in {manifest.blocks:,} blocks, "
        f"{wire:,} compressed"
    )


@disk.command("inspect")
def inspect_disk(
    file: Annotated[Path, typer.Argument(help="Disk file of `nunatak disk build`.", metavar="DISK")],
    verify: Annotated[bool, typer.Option("--verify", help="Read and check every block.")] = False,
) -> None:
    """Show what a disk file holds."""
    from origin.model.diskfile import DiskFile

    opened = DiskFile(file)
    manifest, refs = opened.manifest, list(opened.blocks)
    about = {
        "name": manifest.name,
        "digest": manifest.digest,
        "bytes": manifest.disk_bytes,
        "blocks": len(refs),
        "zero_blocks": sum(not ref.wire_bytes for ref in refs),
        "distinct_blocks": len({ref.wire_sha256 for ref in refs if ref.wire_bytes}),
        "wire_bytes": sum({ref.wire_sha256: ref.wire_bytes for ref in refs}.values()),
        "list_bytes": manifest.block_list.size,
    }
    if verify:
        for block_no in range(len(refs)):
            opened.block(block_no)
        about["verified"] = True
    typer.echo(json.dumps(about, indent=2))
