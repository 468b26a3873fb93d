"""`nunatak edge`: run an edge node. Its options are the fields of `EdgeConfig`."""

import inspect
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.common import log
from edge.config.option import Option
from edge.config.options import load_config, options
from edge.operators.cli import app as operators
from edge.vmm.kernel import host
from vmimage.errors import OperatorError

app = typer.Typer()
app.add_typer(operators)  # admin, ps, top


def edge(context: typer.Context, config: Path | None, verbose: bool, **texts: str) -> None:
    """Run an edge node: load services' machines from an origin on demand and answer HTTP with them.

    An option's name in the file is the one here with _ for -; what is given here goes before the file. SIGTERM drains:
    the edge finishes requests in flight, parks its machines on disk and ends.
    """
    import uvloop

    from edge.serve import serve

    if not host.LINUX:
        raise OperatorError(
            f"Linux expected, whose sandbox parts guests from the host, got {sys.platform}: run it on Linux"
        )
    loaded = load_config(config, {name: text for name, text in texts.items() if _is_given(context, name)})
    level = logging.DEBUG if verbose else logging.INFO
    output = _log_file(loaded.log) if loaded.log else log.Output(sys.stderr)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", handlers=[output])
    logging.getLogger("tuf").setLevel(logging.WARNING)
    uvloop.run(serve(loaded))


def _log_file(path: str) -> logging.Handler:
    before = os.umask(0o077)  # what services are asked for is nobody else's business
    try:
        return log.LogFile(path)
    except OSError as error:
        raise OperatorError(
            f"log: a file that can be written expected at {path}: {error.strerror}: make its folder, or name another"
        ) from None
    finally:
        os.umask(before)


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether an option was given, if only with its default: then it goes before the file."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option(option: Option) -> inspect.Parameter:
    help_ = option.sentence + (" It must be given, here or in the file." if option.required else "")
    shown = option.about.unset or not option.required
    about = typer.Option(option.flag, help=help_, metavar=option.form, show_default=shown)
    return _parameter(option.name, Annotated[str, about], option.default_text)


_CONFIG = typer.Option(help="TOML file with the same options.", metavar="FILE", show_default="none")
_PARAMETERS = [
    _parameter("context", typer.Context),
    *map(_option, options()),
    _parameter("config", Annotated[Path | None, _CONFIG], None),
    _parameter("verbose", Annotated[bool, typer.Option("--verbose", help="Log at level DEBUG.")], False),
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
            help="TOML file of the edge, which says whether KVM is allowed, what it trusts and where its cache is.",
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
    from rich.console import Console
    from rich.table import Table

    from edge.doctor import examine

    marks = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "fail": "[red]✗[/]"}
    table = Table(box=None, show_header=False)
    failed = False
    loaded = load_config(config, {}) if config is not None else None
    kvm_ring0 = loaded is not None and loaded.kvm_ring0 == "on"
    kept = loaded.cache / "tuf" if loaded is not None and trust is None else None
    trust = trust or (loaded.trust if loaded is not None else None)
    for finding in examine(kvm_ring0=kvm_ring0, trust=trust, kept=kept):
        failed |= finding.state == "fail"
        table.add_row(marks[finding.state], finding.name, finding.found, f"[dim]{finding.fix}[/]")
    Console().print(table)
    raise typer.Exit(int(failed))
