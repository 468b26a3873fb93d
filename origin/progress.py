"""What publishing shows: a bar while it goes on, the services at its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from vmimage.trust import ServiceRecord


def report(records: list[ServiceRecord]) -> None:
    """Print what is published now."""
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
