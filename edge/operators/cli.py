"""`nunatak admin`, `ps` and `top`: an edge on this machine, seen and steered by its operator."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from edge.operators.secrets_cli import app as secrets
from vmimage.errors import OperatorError

if TYPE_CHECKING:
    from edge.operators.looks import Look

LEAST_INTERVAL_S: Final = 0.2

CacheOption = Annotated[
    Path | None, typer.Option(help="Cache folder of the edge.", metavar="FOLDER", show_default="none")
]
SocketOption = Annotated[
    Path | None, typer.Option(help="Socket of the edge.", metavar="FILE", show_default="admin.sock in --cache")
]
SortOption = Annotated[str, typer.Option(help="Order: rate, memory, requests, crashes or name.", metavar="ORDER")]
MatchOption = Annotated[
    str, typer.Option(help="Only services with this text in their name or hosts.", metavar="TEXT", show_default="all")
]

app = typer.Typer()
app.add_typer(secrets, name="secrets")


@app.command()
def admin(
    page: Annotated[
        str,
        typer.Argument(
            help="Page to print (metrics, services, reports, workers, health, ready, secrets) or action (park, drain).",
            metavar="PAGE",
        ),
    ],
    cache: CacheOption = None,
    socket: SocketOption = None,
    service: Annotated[str, typer.Option(help="Service to park.", metavar="NAME", show_default="all services")] = "",
) -> None:
    """Print an operators' page of an edge on this machine, park its machines, or drain it.

    The exit code is 1 if the edge refuses.
    """
    from edge.operators.client import ask
    from edge.operators.pages import ACTIONS

    method = "POST" if page in ACTIONS else "GET"
    status, body = ask(place_of(cache, socket), page, {"service": service} if service else None, method)
    sys.stdout.buffer.write(body)
    raise typer.Exit(int(status >= 400))


@app.command()
def ps(
    cache: CacheOption = None,
    socket: SocketOption = None,
    sort: SortOption = "name",
    match: MatchOption = "",
) -> None:
    """List the services that an edge on this machine knows, and where their machines are."""
    from rich.console import Console

    from edge.operators.looks import lines, sort_of
    from edge.operators.screen import table

    order = sort_of(sort)
    shown = table(lines(_look(place_of(cache, socket)), None, order, match))
    console = Console()
    console.print(shown, width=None if console.is_terminal else 200)


@app.command()
def top(
    cache: CacheOption = None,
    socket: SocketOption = None,
    sort: SortOption = "rate",
    match: MatchOption = "",
    interval: Annotated[
        float, typer.Option(help="Time between two looks, from 0.2 s.", metavar="SECONDS", min=LEAST_INTERVAL_S)
    ] = 2.0,
    looks: Annotated[
        int, typer.Option(help="Number of looks, after which it ends.", metavar="COUNT", min=0, show_default="no end")
    ] = 0,
) -> None:
    """Watch an edge on this machine: its health, and its services with their rates, the busiest first.

    Ctrl-C ends it.
    """
    from rich.console import Console
    from rich.live import Live

    from edge.operators.looks import lines, sort_of, summary
    from edge.operators.screen import screen

    place, order = place_of(cache, socket), sort_of(sort)
    console = Console()
    before, now = None, _look(place)
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        seen = 0
        while True:
            rows = console.height if console.is_terminal else 10_000
            live.update(screen(now, summary(now, before), lines(now, before, order, match), rows), refresh=True)
            seen += 1
            if seen == looks:
                return
            time.sleep(interval)
            before, now = now, _look(place)


def place_of(cache: Path | None, socket: Path | None) -> Path:
    """Where an edge's operators' pages are.

    :raises OperatorError: neither was given.
    """
    path = socket or (cache / "admin.sock" if cache else None)
    if path is None:
        raise OperatorError("--cache or --socket must be given: name the folder that the edge was started with")
    return path


def _look(place: Path) -> "Look":
    from edge.operators.client import ask, ask_list
    from edge.operators.looks import Look, health_lines

    health = health_lines(ask(place, "health")[1])
    services, workers = ask_list(place, "services"), ask_list(place, "workers")
    return Look(time.monotonic(), services, workers, health)
