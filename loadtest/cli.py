"""Commands of the load tester: `nunatak demo` and `nunatak bench`."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer()

EXIT_NOT_SHOWN: Final = 1
PIPE_COLUMNS: Final = 140
EXIT_TERMINATED: Final = 128 + signal.SIGTERM


@app.command()
def demo(
    serve: Annotated[bool, typer.Option("--serve", help="Stay up afterwards and print where to look.")] = False,
) -> None:
    """Start an origin and an edge on this machine and show the whole way, from key to page."""
    from loadtest.demo import StepFailed, run_demo
    from loadtest.server import ServerFailed
    from loadtest.site import CommandFailed

    _stop_on_sigterm()
    try:
        run_demo(_console(), serve=serve)
    except (StepFailed, ServerFailed, CommandFailed, OSError) as error:
        _complain("demo", error)


@app.command()
def bench(
    only: Annotated[list[str] | None, typer.Option(help="Just this experiment; may be repeated.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few samples: to try the bench, not to quote it.")] = False,
    json_file: Annotated[Path, typer.Option("--json", help="Where the samples go.")] = Path("build/bench.json"),
) -> None:
    """Measure what SPECIFICATION.md promises: medians and spread, both sides of a comparison in one run."""
    import subprocess

    from loadtest.bench import FULL, QUICK, BenchFailed, run_bench
    from loadtest.server import ServerFailed
    from loadtest.site import CommandFailed

    _stop_on_sigterm()
    try:
        run_bench(_console(), QUICK if quick else FULL, json_file, only or [])
    except (BenchFailed, ServerFailed, CommandFailed, OSError, subprocess.SubprocessError) as error:
        _complain("bench", error)


def _console() -> "Console":
    """The terminal as it is; where there is none, as wide as the tables are."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)


def _stop_on_sigterm() -> None:
    """Let SIGTERM leave through the `with` blocks, so that servers are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))


def _complain(command: str, error: BaseException) -> None:
    for note in getattr(error, "__notes__", ()):
        typer.echo(note, err=True)
    typer.secho(f"nunatak {command}: {error}", fg="red", err=True)
    raise typer.Exit(EXIT_NOT_SHOWN)
