"""Commands for disks and logs."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from origin.commands.shared import KeysOption, OriginOption, PlainOption, TokenOption
from vmimage.errors import OriginError, OriginUnreachable, PublisherError
from vmimage.text import plain

app = typer.Typer()
disk = typer.Typer(help="Make and inspect disks, whose blocks machines read one by one.", no_args_is_help=True)
app.add_typer(disk, name="disk")

FOLLOW_WAIT_S: Final = 20


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


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="Name of the service.", metavar="SERVICE")],
    origin: OriginOption,
    keys: KeysOption,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing as lines come.")] = False,
    log: Annotated[
        str | None,
        typer.Option(
            help="Log disk to print alone; - stands for lines of nk_log and the console.",
            metavar="NAME",
            show_default="all of them",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as edges wrote them.")] = False,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Print what a service has logged, on all edges."""
    from origin.keys import TOKEN_FILE, load_token
    from origin.model.exchange import refuse_plain_http

    refuse_plain_http(origin, plain_http)
    token = load_token(token_file or keys / TOKEN_FILE)
    place = 0
    while True:
        lines, next_place = _fetch_lines(f"{origin.rstrip('/')}/logs/{service}", token, place, follow)
        for line in lines.splitlines():
            _print_line(line, log, as_json)
        if not follow and next_place == place:
            return
        place = next_place


def _fetch_lines(url: str, token: str, place: int, follow: bool) -> tuple[bytes, int]:
    import urllib3

    wait = FOLLOW_WAIT_S if follow else 0
    for attempt in range(5):
        try:
            answer = urllib3.request(
                "GET",
                f"{url}?after={place}&wait={wait}",
                headers={"Authorization": f"Bearer {token}"},
                timeout=urllib3.Timeout(connect=5, read=wait + 15),
                retries=False,
            )
            if answer.status != 200:
                raise OriginError(f"{url}: status 200 expected, got {answer.status}: {answer.data[:200]!r}")
            return answer.data, int(answer.headers.get("Nunatak-Next", place))
        except urllib3.exceptions.HTTPError as error:
            if not follow or attempt == 4:
                raise OriginUnreachable(f"{url}: {error}") from None
            time.sleep(2**attempt)
    raise AssertionError("unreachable")


def _print_line(line: bytes, log: str | None, as_json: bool) -> None:
    try:
        entry = json.loads(line)
        if log is not None and entry["log"] != ("" if log == "-" else log):
            return
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(entry["at"])) + f"{entry['at'] % 1:.3f}"[1:] + "Z"
        shown = f"{at} {entry['log'] or '-'} {entry.get('text', entry.get('data'))}"
    except (ValueError, TypeError, LookupError, OverflowError, OSError, RecursionError, AttributeError):
        raise OriginError(f"lines of JSON as edges write them expected, got {line[:200]!r}") from None
    # As JSON again and not as it came: escapes for all that is not ASCII.
    typer.echo(json.dumps(entry, separators=(",", ":")) if as_json else plain(shown))
