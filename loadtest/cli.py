"""Commands of the load tester: `nunatak demo`, `nunatak bench` and `nunatak soak`."""

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
    from loadtest.scenarios.demo import StepFailed, run_demo
    from loadtest.site.server import ServerFailed
    from loadtest.site.site import CommandFailed

    _stop_on_sigterm()
    try:
        run_demo(_console(), serve=serve)
    except (StepFailed, ServerFailed, CommandFailed, OSError) as error:
        _complain("demo", error)


@app.command()
def bench(
    only: Annotated[list[str] | None, typer.Option(help="Just this scenario; may be repeated.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few samples: to try the bench, not to quote it.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Say what there is to measure, and measure nothing.")] = False,
    baseline: Annotated[Path | None, typer.Option(help="JSON of a run to compare with.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 if a row is worse than the baseline's.")
    ] = False,
    json_file: Annotated[Path, typer.Option("--json", help="Where the samples go.")] = Path("build/bench.json"),
    report: Annotated[Path, typer.Option(help="Folder of the report: a page and its pictures.")] = Path("build/report"),
) -> None:
    """Measure what SPECIFICATION.md promises: medians and spread, both sides of a comparison in one run."""
    import subprocess

    from loadtest.bench import run_bench, show_scenarios
    from loadtest.report.baseline import compare, show_changes
    from loadtest.report.html_report import write_report
    from loadtest.report.rows import load
    from loadtest.scenarios.scales import FULL, QUICK
    from loadtest.site.checks import NotServed
    from loadtest.site.server import ServerFailed
    from loadtest.site.site import CommandFailed

    console = _console()
    if list_:
        show_scenarios(console)
        return
    _stop_on_sigterm()
    try:
        before = load(baseline)["rows"] if baseline else None
        try:
            run_bench(console, QUICK if quick else FULL, json_file, only or [])
        finally:
            if json_file.exists():
                console.print(f"report in {write_report(load(json_file), report)}")
    except (NotServed, ServerFailed, CommandFailed, OSError, ValueError, subprocess.SubprocessError) as error:
        _complain("bench", error)
    if before is not None:
        changes = compare(load(json_file)["rows"], before)
        show_changes(console, changes)
        if strict and any(change.verdict == "worse" for change in changes):
            raise typer.Exit(EXIT_NOT_SHOWN)


@app.command()
def soak(
    minutes: Annotated[float, typer.Option(min=0.1, max=10_080, help="How long.")] = 10.0,
    services: Annotated[int, typer.Option(min=150, max=100_000, help="How many services.")] = 1000,
    load: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of what the edge can do.")] = 0.7,
    rate: Annotated[float, typer.Option(min=0, help="Requests a second in place of that share; 0: the share.")] = 0.0,
    mix: Annotated[str, typer.Option(help="What `nunatak world --mix` takes.")] = "c=3,js=2,lua=1",
    workers: Annotated[int, typer.Option(min=1, max=256, help="Worker processes of the edge.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed is the same traffic.")] = 1,
    json_file: Annotated[Path, typer.Option("--json", help="Where figures and samples go.")] = Path("build/soak.json"),
    plot: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("build/soak.png"),
) -> None:
    """Load an edge whose every tier is too small, for long; exit code 1 if anything fails, grows or is not evicted."""
    import json
    import tempfile

    from loadtest.scenarios.soak import Plan
    from loadtest.scenarios.soak import soak as run_soak
    from loadtest.scenarios.soak_report import draw, lines
    from loadtest.site.checks import NotServed
    from loadtest.site.server import ServerFailed
    from loadtest.site.site import CommandFailed

    _stop_on_sigterm()
    plan = Plan(services, minutes * 60, load, mix, workers, rate=rate, seed=seed)
    try:
        with tempfile.TemporaryDirectory(prefix="nunatak-soak-") as folder:
            result = run_soak(Path(folder), plan, typer.echo)
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(result.to_json(), indent=1) + "\n")
        plot.parent.mkdir(parents=True, exist_ok=True)
        draw(result, plot)
    except (NotServed, ServerFailed, CommandFailed, ImportError, OSError) as error:
        _complain("soak", error)
    typer.echo("\n".join(lines(result)))
    typer.echo(f"samples in {json_file}, picture in {plot}")
    if result.complaints():
        raise typer.Exit(EXIT_NOT_SHOWN)


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
