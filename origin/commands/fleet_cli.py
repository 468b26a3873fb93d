"""The commands `nunatak fleet`: which edges there are, how they are, and purges for all of them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from origin.commands.shared import JsonOption, KeysOption, OriginOption, PlainOption, TokenOption, load_upload_token
from origin.commands.waiting import WaitOption, wait_for_edges
from vmimage.text import plain

if TYPE_CHECKING:
    from rich.table import Table

    from vmimage.purges import Purge

PIPE_COLUMNS: Final = 140
EVERY_S: Final = 2.0  # between two looks of --watch
# Short, so that a row has room in a terminal of 80 columns.
_COLUMNS: Final = (
    "edge",
    "pop",
    "state",
    "req/s",
    "machines",
    "free",
    "looked",
    "behind",
    "cert.",
    "settings",
    "version",
)

WIDE: Final = 76  # columns of a terminal from which on all is shown; below it names are worth more than these
_LEFT_OUT: Final = frozenset({"req/s", "machines", "free", "looked", "cert.", "version"})

fleet = typer.Typer(help="See the edges of an origin, and purge what all of them keep.", no_args_is_help=True)


@fleet.command("list")
def list_(
    origin: OriginOption,
    keys: KeysOption,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it.")] = False,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Show every edge that has said how it is: where, how busy, how old what it knows is, how far in the feed.

    Edges say so where they have a token of their own (edge_name, edge_token). Needs the operator's token.
    """
    token = load_upload_token(keys, token_file)

    def look() -> dict[str, Any]:
        from origin.publish.client import carry_out
        from origin.publish.fleet import show

        return carry_out(show(), url=origin, token=token, plain_http=plain_http)

    if as_json:
        typer.echo(json.dumps(look(), indent=1))
    elif watch:
        _watch(look)
    else:
        from rich.console import Console

        console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
        console.print(table_of(look(), console.width))


@fleet.command()
def purge(
    origin: OriginOption,
    keys: KeysOption,
    service: Annotated[
        str,
        typer.Argument(
            help="All answers of this service, or those of its URLs and tags that are named.",
            metavar="SERVICE",
            show_default="none",
        ),
    ] = "",
    url: Annotated[
        list[str] | None,
        typer.Option(help="The answers for a URL, all variants.", metavar="URL", show_default="none"),
    ] = None,
    prefix: Annotated[
        list[str] | None,
        typer.Option(help="Those for all URLs that begin so.", metavar="URL", show_default="none"),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Those with a tag.", metavar="TAG", show_default="none")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those of all services.")] = False,
    soft: Annotated[
        bool, typer.Option("--soft", help="Make them stale: they are validated, or stand in while their guest fails.")
    ] = False,
    wait: WaitOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Purge answers that any edge keeps. An edge that is away does it when it is back, before it serves any of them.

    Operators may purge anything, tenants what is of a service of theirs, which they name. For one edge alone, and
    without the origin, it is `nunatak purge`. The exit code is 1 if the origin has no service of the name.
    """
    from origin.publish import fleet as asking
    from origin.publish.client import carry_out

    token = load_upload_token(keys, token_file)
    purges = _purges(service, url or [], prefix or [], tag or [], everything, soft)
    done = carry_out(asking.purge(purges), url=origin, token=token, plain_http=plain_http)
    typer.echo(f"purge is event {done.seq}")
    for name in done.unknown:
        typer.echo(plain(f"service {name}: the origin has none of this name, so nothing was kept for it"), err=True)
    for host in done.unknown_hosts:
        typer.echo(plain(f"host {host}: no service has it; it may be one by which edges serve all of them"), err=True)
    wait_for_edges(wait, origin, token, plain_http, done.seq)
    if done.unknown:
        raise typer.Exit(1)


def _purges(
    service: str, urls: list[str], prefixes: list[str], tags: list[str], everything: bool, soft: bool
) -> list[Purge]:
    """:raises PublisherError: nothing is named."""
    from vmimage.errors import PublisherError
    from vmimage.purges import Purge

    found = [Purge("uri", service, text, soft) for text in urls]
    found += [Purge("prefix", service, text, soft) for text in prefixes]
    found += [Purge("tag", service, text, soft) for text in tags]
    if everything:
        found.append(Purge("all", soft=soft))
    elif service and not found:
        found.append(Purge("service", service, soft=soft))
    if not found:
        raise PublisherError("SERVICE, --url, --prefix, --tag or --all expected, got none of them: say what to purge")
    return found


def _watch(look: Callable[[], dict[str, Any]]) -> None:
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        while True:
            live.update(table_of(look(), live.console.width), refresh=True)
            time.sleep(EVERY_S)


def table_of(found: dict[str, Any], width: int) -> Table:
    """What an origin says of its edges and its feed, for people.

    :param found: as `GET /fleet` answers. :param width: of the terminal, in columns.
    """
    from rich.table import Table

    feed = found["feed"]
    follow = f"{feed.get('followers')} edges and parents follow it"
    if feed.get("refused"):
        follow += f", {feed['refused']} objects of its log were no events"
    none = None if found["edges"] else "no edge was heard of: edges need edge_name and edge_token"
    table = Table(box=None, padding=(0, 1, 0, 0), title=plain(f"feed at {feed.get('seq')}, {follow}"), caption=none)
    shown = [column for column in _COLUMNS if width >= WIDE or column not in _LEFT_OUT]
    for column in shown:
        table.add_column(column)
    for edge in found["edges"]:
        cells = dict(zip(_COLUMNS, _row(edge), strict=True))
        table.add_row(*(plain(str(cells[column])) for column in shown))
    return table


def _row(edge: dict[str, Any]) -> tuple[object, ...]:
    heard, behind, days = edge.get("heard_s"), edge.get("behind"), (edge.get("certificate_s") or 0) // 86_400
    return (
        edge.get("edge"),
        edge.get("pop"),
        "live" if edge.get("live") else f"gone {round(heard or 0)} s",
        edge.get("requests_s"),
        edge.get("machines"),
        f"{(edge.get('free_bytes') or 0) >> 20}M",
        "never" if edge.get("catalogue_s") == -1 else f"{edge.get('catalogue_s')} s",
        "?" if behind is None else behind,
        "none" if edge.get("certificate_s") == -1 else f"{days} d",
        _settings_of(edge),
        edge.get("version"),
    )


def _settings_of(edge: dict[str, Any]) -> str:
    """The version of the fleet settings that an edge goes by, and what of it is to be noticed."""
    measured = edge.get("measured")
    said = measured.get("settings") if isinstance(measured, dict) else None
    if not isinstance(said, dict):
        return "?"
    state = said.get("state")
    return f"{said.get('number')}" if state == "kept" else f"{said.get('number')} {state}"
