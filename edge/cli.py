"""`nunatak edge`: run an edge node. Its options are the fields of `EdgeConfig`."""

import inspect
import logging
import os
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from edge.common import log
from edge.common.verifying import never_sign
from edge.config.command_line import given_texts, option_parameter, parameter
from edge.config.options import load_config, load_settings, options
from edge.operators.cli import app as operators
from edge.parent.cli import app as parent
from edge.vmm.kernel import host
from vmimage.errors import OperatorError

if TYPE_CHECKING:
    from edge.doctor import Finding

app = typer.Typer()
app.add_typer(operators)  # admin, ps, top
app.add_typer(parent)


def edge(
    context: typer.Context,
    config: Path | None,
    verbose: bool,
    check: bool,
    print_config: bool,
    take_over: bool,
    **texts: str | list[str],
) -> None:
    """Run an edge node: load services' machines from an origin on demand and answer HTTP with them.

    Each option is also a key of the file, as in origin, and a variable of the environment, as NUNATAK_EDGE_ORIGIN. What
    is given here goes before the environment, which goes before the file. SIGHUP has the edge read the file again.
    SIGTERM drains: the edge finishes requests in flight, parks its machines on disk and ends. A second one ends it at
    once.
    """
    import uvloop

    if not (check or print_config):
        never_sign()
    from edge.running import Own, begun_with
    from edge.serve import serve

    if not (check or print_config or host.LINUX):
        raise OperatorError(
            f"Linux expected, whose sandbox parts guests from the host, got {sys.platform}: run it on Linux"
        )
    given = given_texts(context, texts)
    loaded, settings = load_settings(config, given, os.environ)
    if print_config:
        shown = begun_with(Own(loaded, settings))
        typer.echo(shown.settings.to_toml(shown.config), nl=False)
    if check:
        from edge.check import check as checked

        raise typer.Exit(int(_tell(checked(loaded))))
    if print_config:
        return
    logging.getLogger().setLevel(logging.DEBUG if verbose else logging.INFO)
    log.send_to(log.opened(loaded.log))
    logging.getLogger("tuf").setLevel(logging.WARNING)
    own = Own(loaded, settings)
    uvloop.run(serve(own, again=lambda: Own(*load_settings(config, given, os.environ)), take_over=take_over))


_CONFIG = typer.Option(help="TOML file with the same options.", metavar="FILE", show_default="none")
_CHECK = typer.Option(
    "--check",
    help="Start nothing: say what of the configuration can be used here. The exit code is 1 if it would not start.",
)
_PRINT = typer.Option("--print-config", help="Start nothing: print all options as a file, and who said each.")
_TAKE_OVER = (
    "Take the place of the edge that runs on the same cache folder: its listeners are handed over, so that no "
    "connection is refused, and it drains and ends."
)
_PARAMETERS = [
    parameter("context", typer.Context),
    *map(option_parameter, options()),
    parameter("config", Annotated[Path | None, _CONFIG], None),
    parameter("take_over", Annotated[bool, typer.Option("--take-over", help=_TAKE_OVER)], False),
    parameter("verbose", Annotated[bool, typer.Option("--verbose", help="Log at level DEBUG.")], False),
    parameter("check", Annotated[bool, _CHECK], False),
    parameter("print_config", Annotated[bool, _PRINT], False),
]
# typer reads a command's options from its signature; this one comes from the configuration's fields.
edge.__signature__ = inspect.Signature(_PARAMETERS)  # type: ignore[attr-defined]
edge.__annotations__ = {parameter.name: parameter.annotation for parameter in _PARAMETERS}
app.command("edge")(edge)


@app.command()
def doctor(
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of the edge, which says whether KVM is allowed, what it trusts, where its cache is, "
            "where it listens and what its sources are.",
            metavar="FILE",
            show_default="none",
        ),
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            help="Trust root (root.json) of an edge or a key folder, to say when what is signed by hand ends.",
            metavar="FILE",
            show_default="that of the configuration",
        ),
    ] = None,
) -> None:
    """Say what this machine offers an edge, what it lacks, and how to fix that.

    The exit code is 1 if no edge can run here.
    """
    from edge.check import listeners, sources
    from edge.doctor import examine

    loaded = load_config(config, {}, os.environ) if config is not None else None
    kvm_ring0 = loaded is not None and loaded.kvm_ring0 == "on"
    kept = loaded.cache / "tuf" if loaded is not None and trust is None else None
    trust = trust or (loaded.trust if loaded is not None else None)
    named = chain(listeners(loaded), sources(loaded)) if loaded is not None else ()
    raise typer.Exit(int(_tell(chain(examine(kvm_ring0=kvm_ring0, trust=trust, kept=kept), named))))


def _tell(findings: "Iterable[Finding]") -> bool:
    """Print findings; whether one of them is a failure."""
    from rich.console import Console
    from rich.table import Table

    marks = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "fail": "[red]✗[/]"}
    table = Table(box=None, show_header=False)
    failed = False
    for finding in findings:
        failed |= finding.state == "fail"
        table.add_row(
            marks[finding.state], *map(escape, (finding.name, finding.found)), f"[dim]{escape(finding.fix)}[/]"
        )
    Console().print(table)
    return failed
