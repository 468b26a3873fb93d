"""The command `nunatak world`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from origin.commands.shared import KeysOption, OriginOption, PlainOption, TenantOption, TokenOption, WithKeyOption
from origin.commands.signing import Signatory, now
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
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Build and publish many services at once, as something to load."""
    from rich.console import Console
    from rich.progress import Progress

    from origin.bake.mix import parse_mix, turns
    from origin.bake.world import make_world
    from origin.publish import publish as publishing
    from origin.publish.progress import report
    from vmimage.manifest import is_name

    if source is not None and mix is not None:
        raise PublisherError("either SOURCE or --mix expected, got both: leave one away")
    if source is not None and not source.exists():
        raise PublisherError(f"source: a program expected, got {source}: no such file: check the path")
    if tenant and not is_name(tenant):
        raise PublisherError(f"--tenant: 1 to 63 of a-z 0-9 . _ - expected, got {tenant!r}")
    sources = [source] if source is not None else turns(parse_mix(mix if mix is not None else "c=3,js=2,lua=1"))
    signatory = Signatory(origin, keys, with_key, token_file, plain_http)
    by = signatory.publisher()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("baking", total=services)
        step = partial(bar.update, task)
        publications = make_world(
            sources, prefix, services, images=images, tenant=tenant, progress=lambda done: step(completed=done)
        )
    report(signatory.carry_out(publishing.publish(publications, by.trust, by.signer, now())))
