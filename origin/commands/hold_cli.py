"""The commands `nunatak hold`: what no edge runs any more, by image, service or tenant."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from origin.commands.shared import JsonOption, KeysOption, OriginOption, PlainOption, TokenOption, WithKeyOption
from origin.commands.signing import Signatory
from origin.commands.waiting import WaitOption
from vmimage.errors import PublisherError
from vmimage.text import plain

if TYPE_CHECKING:  # imported when it is needed: `nunatak --help` stays quick
    from origin.publish.tenants import Exchange, Operator

ServiceArgument = Annotated[str, typer.Argument(help="Name of the service.", metavar="SERVICE")]
ServiceOption = Annotated[
    list[str] | None,
    typer.Option("--service", help="Service by name; may be repeated.", metavar="NAME", show_default="none"),
]
TenantOption = Annotated[
    list[str] | None,
    typer.Option("--tenant", help="All services of a tenant; may be repeated.", metavar="NAME", show_default="none"),
]
ImageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        help="All services with this image, by digest; may be repeated.",
        metavar="DIGEST",
        show_default="none",
    ),
]

hold = typer.Typer(help="Hold images, services or tenants on all edges, and release them.", no_args_is_help=True)


@hold.command()
def add(
    origin: OriginOption,
    keys: KeysOption,
    service: ServiceOption = None,
    tenant: TenantOption = None,
    image: ImageOption = None,
    wait: WaitOption = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Hold images, services or tenants: edges answer 503 (on_hold) for them, as soon as they hear of it.

    An edge that the feed does not reach finds it at its next look at the catalogue. Edges end their machines, and drop
    their parked records and kept answers. Needs the operator's publisher key and token. For one edge alone it is
    `nunatak ctl hold`.
    """
    _change(_named(service, tenant, image), True, Signatory(origin, keys, with_key, token_file, plain_http), wait)


@hold.command()
def release(
    origin: OriginOption,
    keys: KeysOption,
    service: ServiceOption = None,
    tenant: TenantOption = None,
    image: ImageOption = None,
    wait: WaitOption = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Release what is held: edges run it again, from its image."""
    _change(_named(service, tenant, image), False, Signatory(origin, keys, with_key, token_file, plain_http), wait)


@hold.command()
def pin(
    service: ServiceArgument,
    version: Annotated[int, typer.Option(min=1, help="Version that edges are to run.", metavar="VERSION")],
    origin: OriginOption,
    keys: KeysOption,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Have all edges run one version of a service, which it has or had, and no candidate, whatever its publisher says.

    Needs the operator's publisher key and token.
    """
    from origin.publish import holds

    _carry_out(lambda by: holds.pin(by, service, version), Signatory(origin, keys, with_key, token_file, plain_http))
    typer.echo(f"{service} is pinned to version {version}")


@hold.command()
def unpin(
    service: ServiceArgument,
    origin: OriginOption,
    keys: KeysOption,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Have edges run again what the publisher of a service says."""
    from origin.publish import holds

    _carry_out(lambda by: holds.unpin(by, service), Signatory(origin, keys, with_key, token_file, plain_http))
    typer.echo(f"{service} is pinned no more")


@hold.command("list")
def list_(origin: OriginOption, keys: KeysOption, as_json: JsonOption = False) -> None:
    """List what is held, and since when."""
    from origin.keys import load_trust
    from origin.publish.client import carry_out
    from origin.publish.holds import all_holds

    holds = carry_out(all_holds(load_trust(keys)), url=origin)
    since = {**holds.since, **{f"pin {name} {pin.version}": pin.since for name, pin in holds.pins.items()}}
    if as_json:
        typer.echo(json.dumps(since, indent=1))
        return
    for what, when in sorted(since.items()):
        typer.echo(plain(f"{what} since {when}"))
    if not since:
        typer.echo("nothing is held", err=True)


def _named(service: Sequence[str] | None, tenant: Sequence[str] | None, image: Sequence[str] | None) -> list[str]:
    kinds = (("service", service), ("tenant", tenant), ("image", image))
    what = [f"{kind} {name}" for kind, names in kinds for name in names or ()]
    if not what:
        raise PublisherError("--service, --tenant or --image expected, got none of them: say what is meant")
    return what


def _change(what: list[str], held: bool, signatory: Signatory, wait: float | None) -> None:
    from origin.publish import holds

    change = holds.hold if held else holds.release
    _carry_out(lambda by: change(by, what), signatory)
    for each in what:
        typer.echo(f"{each} is {'held' if held else 'released'}")
    signatory.wait(wait)


def _carry_out(start: Callable[[Operator], Exchange], signatory: Signatory) -> None:
    signatory.carry_out(start(signatory.operator()))
