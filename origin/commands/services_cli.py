"""The commands `nunatak services`: which services an origin has, what each is, and what it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from origin.commands.shared import JsonOption, KeysOption, OriginOption, PlainOption, TokenOption
from vmimage.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NameArgument = Annotated[str, typer.Argument(help="Name of the service.", metavar="SERVICE")]


class ListFirst(TyperGroup):
    """Without the name of a command it is `list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """click.Command."""
        if not args or (args[0].startswith("-") and args[0] not in self.get_help_option_names(ctx)):
            args = ["list", *args]
        return super().parse_args(ctx, args)


services = typer.Typer(cls=ListFirst, help="List the services of an origin, show one, and its versions.")


@services.command("list")
def list_(
    origin: OriginOption,
    keys: KeysOption,
    all_: Annotated[bool, typer.Option("--all", help="Also services that are withdrawn.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the services: name, version, image, tenant where it is another, and hosts."""
    from origin.keys import load_trust
    from origin.publish.client import carry_out
    from origin.publish.listing import all_services, summary

    records = carry_out(all_services(load_trust(keys)), url=origin)
    shown = [summary(record) for record in records if all_ or not record.withdrawn]
    if as_json:
        typer.echo(json.dumps(shown, indent=1))
        return
    for line in _columns([_row(about) for about in shown]):
        typer.echo(plain(line))
    if not shown:
        typer.echo("no service is published here", err=True)


@services.command()
def show(service: NameArgument, origin: OriginOption, keys: KeysOption, as_json: JsonOption = False) -> None:
    """Show a service: hosts, version, image and sizes, limits, upstreams and disks."""
    from origin.keys import load_trust
    from origin.publish.client import carry_out
    from origin.publish.listing import details, one_service

    about = details(carry_out(one_service(service, load_trust(keys), with_image=True), url=origin))
    if as_json:
        typer.echo(json.dumps(about, indent=1))
        return
    for line in _columns(_lines(about)):
        typer.echo(plain(line))


@services.command()
def history(
    service: NameArgument,
    origin: OriginOption,
    keys: KeysOption,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Show the versions of a service that the catalogue remembers, the newest first, and who made them when.

    Image digests are signed; time and author are what the origin noted, and are told to who may read the service's log.
    """
    from origin.commands.shared import load_upload_token
    from origin.keys import load_trust
    from origin.publish.audit import read_audit
    from origin.publish.client import carry_out
    from origin.publish.listing import history as versions_of
    from origin.publish.listing import one_service

    found = carry_out(one_service(service, load_trust(keys)), url=origin)
    token = load_upload_token(keys, token_file)
    audit = carry_out(read_audit(service), url=origin, token=token, plain_http=plain_http)
    versions = versions_of(found, audit)
    if as_json:
        typer.echo(json.dumps({"service": service, "versions": versions}, indent=1))
        return
    rows = [
        (f"{'*' if v['now'] else ' '} {v['version']}", v["at"] or "-", v["what"] or "-", _who(v["who"]), v["image"])
        for v in versions
    ]
    for line in _columns(rows):
        typer.echo(plain(line))


def _row(about: dict[str, Any]) -> Sequence[str]:
    tenant = about["tenant"] if about["tenant"] != about["service"] else "-"
    where = f"withdrawn {about['withdrawn']}" if about["withdrawn"] else ", ".join(about["hosts"]) or "no host"
    return about["service"], str(about["version"]), about["image"][:19], tenant, where


def _lines(about: dict[str, Any]) -> Iterable[Sequence[str]]:
    from rich.filesize import decimal

    yield "service", about["service"]
    yield "version", f"{about['version']}, {about['versions']} remembered"
    if about["withdrawn"]:
        yield "withdrawn", about["withdrawn"]
    yield "hosts", ", ".join(about["hosts"]) or "none"
    yield "tenant", about["tenant"]
    yield "image", about["image"]
    if about["sizes"] is None:
        yield "", "the origin does not have it any more"
        return
    sizes = about["sizes"]
    yield "size", decimal(sizes["image"])
    if about["base"] is not None:
        yield "base", f"{about['base']}, {decimal(sizes['base']) if sizes['base'] is not None else 'not here'}"
    yield "memory", decimal(about["memory_bytes"])
    yield "machines", f"{about['instance']}, at most {about['pool']} at once"
    yield "limits", ", ".join(f"{name}={value}" for name, value in about["limits"].items())
    if causes := [f"{name}={value}" for name, value in about["rejuvenate"].items() if value]:
        yield "rejuvenate", ", ".join(causes)
    yield "upstreams", ", ".join(about["upstreams"]) or "none"
    for disk in about["disks"]:
        since = about["written"].get(disk["name"])
        kept = f", what is written is kept since version {since}" if since is not None else ""
        yield "disk", f"{disk['name']}: {disk['kind']}, {decimal(disk['bytes'])}{kept}"


def _who(who: Any) -> str:
    if not isinstance(who, dict):
        return "-"
    name = "operator" if who.get("operator") else str(who.get("tenant"))
    return f"{name} (token {who['token']})" if who.get("token") else name


def _columns(rows: Iterable[Sequence[str]]) -> Iterable[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
