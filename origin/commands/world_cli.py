"""The command `nunatak world`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from origin.commands.shared import KeysOption, OriginOption, PlainOption, TenantOption, TokenOption
from vmimage.errors import PublisherError


def world(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="One program for all services: a .c, .js or .lua file, or a folder.",
            metavar="SOURCE",
            show_default="none, see --mix",
        ),
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(
            help="Several programs with their weights: c, js and lua are small samples, anything else is a path.",
            metavar="PROGRAM=WEIGHT,...",
            show_default="c=3,js=2,lua=1 unless SOURCE is given",
        ),
    ] = None,
    origin: OriginOption = "http://127.0.0.1:8700",
    keys: KeysOption = Path("keys"),
    services: Annotated[int, typer.Option(min=1, max=200_000, help="Number of services.", metavar="COUNT")] = 1000,
    images: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of images that the services have in turn.",
            metavar="COUNT",
            show_default="one for each service",
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="What the names of services begin with, as in PREFIX-00000.", metavar="PREFIX")
    ] = "world",
    tenant: TenantOption = "",
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Build and publish many services at once, as something to load."""
    from rich.console import Console
    from rich.progress import Progress

    from origin.bake.mix import parse_mix, turns
    from origin.bake.world import make_world
    from origin.keys import TOKEN_FILE, load_signer, load_token, load_trust
    from origin.publish import publish as publishing
    from origin.publish.client import carry_out
    from origin.publish.progress import report, upload_bar
    from vmimage.manifest import is_name

    if source is not None and mix is not None:
        raise PublisherError("either SOURCE or --mix expected, got both: leave one away")
    if source is not None and not source.exists():
        raise PublisherError(f"source: a program expected, got {source}: no such file: check the path")
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
