"""The command `nunatak world`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vmimage.errors import PublisherError


def world(
    source: Annotated[
        Path | None, typer.Argument(help="One program for all: a .c, .js or .lua file, or a folder.", metavar="SOURCE")
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(
            help="Several: c, js, lua (small samples) or paths, comma-separated, NAME=WEIGHT; c=3,js=2,lua=1 unless "
            "SOURCE is given.",
        ),
    ] = None,
    origin: Annotated[
        str, typer.Option(envvar="NUNATAK_ORIGIN", help="URL of the origin.", metavar="URL")
    ] = "http://127.0.0.1:8700",
    keys: Annotated[
        Path, typer.Option(envvar="NUNATAK_KEYS", help="Key folder that `nunatak keygen` made.", metavar="DIR")
    ] = Path("keys"),
    services: Annotated[int, typer.Option(min=1, max=200_000, help="How many.")] = 1000,
    images: Annotated[int | None, typer.Option(min=1, help="No more images than so many, in turn.")] = None,
    prefix: Annotated[str, typer.Option(help="Names are PREFIX-00000 and on.")] = "world",
    tenant: Annotated[
        str, typer.Option(help="Who shares CPU time and workers with them; each itself alone if not given.")
    ] = "",
    token_file: Annotated[
        Path | None, typer.Option(help="File with the upload token; KEYS/token if not given.")
    ] = None,
    plain_http: Annotated[
        bool, typer.Option(envvar="NUNATAK_PLAIN_HTTP", help="Send the token also by http to another machine.")
    ] = False,
) -> None:
    """Build and publish many services at one instant, each with an image of its own or in turn, for load tests."""
    from rich.console import Console
    from rich.progress import Progress

    from origin.bake.mix import parse_mix, turns
    from origin.bake.world import make_world
    from origin.model.keys import TOKEN_FILE, load_signer, load_token, load_trust
    from origin.publish import publish as publishing
    from origin.publish.client import carry_out
    from origin.publish.progress import report, upload_bar
    from vmimage.manifest import is_name

    if source is not None and mix is not None:
        raise PublisherError("either SOURCE or --mix expected, got both")
    if source is not None and not source.exists():
        raise PublisherError(f"source: a program expected, got {source}: no such file")
    if tenant and not is_name(tenant):
        raise PublisherError(f"--tenant: 1 to 63 of a-z 0-9 . _ - expected, got {tenant!r}")
    sources = [source] if source is not None else turns(parse_mix(mix if mix is not None else "c=3,js=2,lua=1"))
    signer, trust, token = load_signer(keys, "publisher"), load_trust(keys), load_token(token_file or keys / TOKEN_FILE)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("baking", total=services)
        step = partial(bar.update, task)
        publications = make_world(
            sources, prefix, services, images=images, tenant=tenant, progress=lambda done: step(completed=done)
        )
    with upload_bar() as progress:
        start = publishing.publish(publications, trust, signer, datetime.now(UTC))
        records = carry_out(start, url=origin, token=token, progress=progress, plain_http=plain_http)
    report(records)
