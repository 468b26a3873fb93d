"""`nunatak simulate`: a fleet on paper."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmimage.errors import OperatorError

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer()


@app.command()
def simulate(
    studies: Annotated[
        list[str] | None, typer.Argument(help="What to find out.", metavar="STUDY...", show_default="all of them")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the studies and play none.")] = False,
    services: Annotated[
        int, typer.Option(min=100, max=10_000_000, help="Services of the fleet.", metavar="COUNT")
    ] = 1_000_000,
    pops: Annotated[int, typer.Option(min=1, max=10_000, help="POPs of the fleet.", metavar="COUNT")] = 300,
    edges: Annotated[int, typer.Option(min=1, max=250, help="Edges of a POP.", metavar="COUNT")] = 8,
    parents: Annotated[int, typer.Option(min=1, max=1000, help="Parents of the fleet.", metavar="COUNT")] = 30,
    requests: Annotated[
        int, typer.Option(min=2, help="Requests to each POP; the first half of them fills the tiers.", metavar="COUNT")
    ] = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed; the same one gives the same figures.", metavar="NUMBER")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the figures.", metavar="FILE", show_default="none")
    ] = None,
) -> None:
    """Play a fleet's requests through the policies of edges, and say what the fleet would do.

    Nothing is started. The options on size are for the study `fleet`; the fleet of `publishing` is as large.
    """
    from edge.simulation.studies import STUDIES, Scale, titles

    names = studies or list(STUDIES)
    if unknown := sorted(set(names) - set(STUDIES)):
        raise OperatorError(f"a study of {', '.join(STUDIES)} expected, got {', '.join(unknown)}: see them with --list")
    if list_:
        for name, title in titles(names).items():
            typer.echo(f"{name:12} {title}")
        return
    scale = Scale(services, pops, edges, parents, requests, seed)
    found: dict[str, Any] = {}
    for name in names:
        began = time.monotonic()
        rows = STUDIES[name](scale, lambda text: typer.echo(text, err=True))
        found[name] = rows
        _print(_table(f"{name}: {titles([name])[name]}", rows))
        typer.echo(f"{time.monotonic() - began:.0f} s, {_memory_mib()} MiB", err=True)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(found, indent=1) + "\n")


def _print(table: "Table") -> None:
    import sys

    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _table(title: str, rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(*map(_text, row.values()))
    return table


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if value < 10 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _memory_mib() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
