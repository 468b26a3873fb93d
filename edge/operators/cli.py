"""`nunatak admin`, `ps`, `top`, `ctl` and `console`: an edge seen and steered by its operator."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from edge.operators.secrets_cli import app as secrets
from vmimage.errors import OperatorError

if TYPE_CHECKING:
    from rich.console import Console

LEAST_INTERVAL_S: Final = 0.2
PIPE_WIDTH: Final = 200

CacheOption = Annotated[
    Path | None, typer.Option(help="Cache folder of the edge.", metavar="FOLDER", show_default="none")
]
SocketOption = Annotated[
    Path | None, typer.Option(help="Socket of the edge.", metavar="FILE", show_default="admin.sock in --cache")
]
UrlOption = Annotated[
    str, typer.Option(help="Address of the edge's operators' pages.", metavar="http://HOST:PORT", show_default="none")
]
TokenOption = Annotated[
    Path | None, typer.Option(help="File with the token for --url.", metavar="FILE", show_default="none")
]
SortOption = Annotated[
    str, typer.Option(help="Order: rate, p99, memory, requests, waiting, crashes or name.", metavar="ORDER")
]
MatchOption = Annotated[
    str,
    typer.Option(
        help="Only services with this text in their name, hosts or tenant.", metavar="TEXT", show_default="all"
    ),
]
OnlyOption = Annotated[
    str,
    typer.Option(
        help="Only services that are resident, parked, disk, blob or cold, or held, quarantined or crashed.",
        metavar="WHICH",
        show_default="all",
    ),
]
ServiceArgument = Annotated[str, typer.Argument(help="Name of the service.", metavar="SERVICE")]

app = typer.Typer()
ctl = typer.Typer(
    no_args_is_help=True,
    help="Give an edge an order; each is noted in its audit log.\n\nThe exit code is 1 if it refuses.",
)
app.add_typer(ctl, name="ctl")
app.add_typer(secrets, name="secrets")


@app.command()
def admin(
    page: Annotated[
        str,
        typer.Argument(
            help="Page (metrics, services, view, reports, workers, health, ready, settings, secrets) or action (park, "
            "drain).",
            metavar="PAGE",
        ),
    ],
    cache: CacheOption = None,
    socket: SocketOption = None,
    url: UrlOption = "",
    token: TokenOption = None,
    service: Annotated[str, typer.Option(help="Service to park.", metavar="NAME", show_default="all services")] = "",
) -> None:
    """Print an operators' page of an edge, park its machines, or drain it.

    The exit code is 1 if the edge refuses.
    """
    from edge.operators.client import Door, ask
    from edge.operators.pages import ACTIONS

    method = "POST" if page in ACTIONS else "GET"
    status, body = ask(Door.of(cache, socket, url, token), page, {"service": service} if service else None, method)
    sys.stdout.buffer.write(body)
    raise typer.Exit(int(status >= 400))


@app.command()
def ps(
    cache: CacheOption = None,
    socket: SocketOption = None,
    url: UrlOption = "",
    token: TokenOption = None,
    sort: SortOption = "name",
    match: MatchOption = "",
    only: OnlyOption = "",
) -> None:
    """List the services that an edge knows: where their machines are, and how they answered in the last half minute."""
    from rich.console import Console

    from edge.operators.client import Door, ask_object
    from edge.operators.looks import chosen, query_of
    from edge.operators.screen import table

    query = query_of(match, only, sort)
    entries = ask_object(Door.of(cache, socket, url, token), "services")["services"]
    console = _console(Console)
    console.print(table(chosen(entries, query), console.width))


@app.command()
def top(
    cache: CacheOption = None,
    socket: SocketOption = None,
    url: UrlOption = "",
    token: TokenOption = None,
    sort: SortOption = "rate",
    match: MatchOption = "",
    only: OnlyOption = "",
    interval: Annotated[
        float, typer.Option(help="Time between two looks, from 0.2 s.", metavar="SECONDS", min=LEAST_INTERVAL_S)
    ] = 2.0,
    looks: Annotated[
        int, typer.Option(help="Number of looks, after which it ends.", metavar="COUNT", min=0, show_default="no end")
    ] = 0,
) -> None:
    """Watch an edge: its health, workers and catalogue, its services with their rates and times, the last crashes.

    Rates, times and hits are of the last quarter to half of a minute. Ctrl-C ends it.
    """
    from rich.console import Console
    from rich.live import Live

    from edge.operators.client import Door, ask_object
    from edge.operators.looks import query_of
    from edge.operators.query import LIMIT_MAX
    from edge.operators.screen import screen

    door, query = Door.of(cache, socket, url, token), query_of(match, only, sort)._replace(limit=LIMIT_MAX)
    asked = {name: str(value) for name, value in query._asdict().items()}
    console = _console(Console)
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        seen = 0
        while True:
            rows = console.height if console.is_terminal else 10_000
            live.update(screen(ask_object(door, "view", asked), rows, console.width), refresh=True)
            seen += 1
            if seen == looks:
                return
            time.sleep(interval)


def _console(kind: "type[Console]") -> "Console":
    """The terminal; what is no terminal is as wide as the lines are."""
    found = kind()
    return found if found.is_terminal else kind(width=PIPE_WIDTH)


@app.command()
def console(
    cache: CacheOption = None,
    socket: SocketOption = None,
    port: Annotated[
        int,
        typer.Option(help="Port on 127.0.0.1.", metavar="PORT", min=0, max=65535, show_default="0, a free one"),
    ] = 0,
) -> None:
    """Show an edge in a browser: serve its console on 127.0.0.1 and print a link that opens it once.

    Enter prints another link, Ctrl-C ends it. An edge whose pages are on an address has its console there, at
    /-/console, and asks for the token.
    """
    import asyncio

    from edge.operators.bridge import serve
    from edge.operators.client import Door

    if cache is None and socket is None:
        raise OperatorError("--cache or --socket must be given")
    door = Door.of(cache, socket, "", None)
    assert door.socket is not None
    asyncio.run(serve(door.socket, port))


def _order(
    order: str, service: str, cache: Path | None, socket: Path | None, url: str, token: Path | None
) -> dict[str, object]:
    """What came of an order; where the edge refuses, that is said and the command ends."""
    from edge.operators.client import Door, ask
    from vmimage.text import plain

    door = Door.of(cache, socket, url, token)
    status, body = ask(door, order, {"service": service} if service else None, "POST")
    if status >= 400:
        typer.echo(plain(body.decode("utf-8", "replace"), lines=True).rstrip(), err=True)
        raise typer.Exit(1)
    done = json.loads(body)
    assert isinstance(done, dict)
    return done


@ctl.command()
def park(
    service: Annotated[str, typer.Argument(help="Name of the service.", metavar="SERVICE", show_default="all")] = "",
    cache: CacheOption = None,
    socket: SocketOption = None,
    url: UrlOption = "",
    token: TokenOption = None,
) -> None:
    """Park the machine of a service, or every idle machine: the next request wakes it."""
    typer.echo(f"parked: {_order('park', service, cache, socket, url, token)['parked']}")


@ctl.command()
def restart(
    service: ServiceArgument,
    cache: CacheOption = None,
    socket: SocketOption = None,
    url: UrlOption = "",
    token: TokenOption = None,
) -> None:
    """Let a service begin anew from its image: what its machine remembers is gone, requests under way are finished."""
    done = _order("restart", service, cache, socket, url, token)
    typer.echo(f"{service}: the next request starts from the image; machines that go: {done['restarted']}")


@ctl.command()
def hold(
    service: ServiceArgument,
    cache: CacheOption = None,
    socket: SocketOption = None,
    url: UrlOption = "",
    token: TokenOption = None,
) -> None:
    """Let a service not run until it is released, also after a restart of the edge: it answers 503, on_hold."""
    _order("hold", service, cache, socket, url, token)
    typer.echo(f"{service}: on hold")


@ctl.command()
def release(
    service: ServiceArgument,
    cache: CacheOption = None,
    socket: SocketOption = None,
    url: UrlOption = "",
    token: TokenOption = None,
) -> None:
    """Let a service that is on hold run again."""
    _order("release", service, cache, socket, url, token)
    typer.echo(f"{service}: released")


@ctl.command()
def drain(
    cache: CacheOption = None, socket: SocketOption = None, url: UrlOption = "", token: TokenOption = None
) -> None:
    """End an edge: requests under way are finished, machines parked on disk."""
    _order("drain", "", cache, socket, url, token)
    typer.echo("draining")
