"""What publishing shows: a bar while it goes on, the services at its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from origin.publish.written import notes
from vmimage.trust import ServiceRecord


def report(records: list[ServiceRecord]) -> None:
    """Print what is published now, and on stderr what the publisher should know of it."""
    writing = [note for record in records for note in notes(record)]
    for note in writing[:20]:
        typer.echo(note, err=True)
    if len(writing) > 20:
        typer.echo(f"and {len(writing) - 20} disks more, of which each edge keeps its own copy", err=True)
    if len(records) > 20:
        typer.echo(f"{len(records)} services published, {records[0].service} to {records[-1].service}")
        return
    for record in records:
        hosts = ", ".join(record.hosts) or "no host"
        typer.echo(f"{record.service} version {record.version}: {record.manifest_digest} on {hosts}")


@contextmanager
def upload_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr; the value takes bytes sent and bytes in all."""
    columns = (TextColumn("publishing"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("publishing", total=None)
        yield lambda sent, total: bar.update(task, completed=sent, total=total)
