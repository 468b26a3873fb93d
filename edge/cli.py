"""`nunatak edge`: run an edge node. Its options are the fields of `EdgeConfig`."""

import dataclasses
import inspect
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.config.options import Option, load_config, options
from edge.vmm.kernel import host
from vmimage.errors import OperatorError

ADMIN_TIMEOUT_S = 60.0  # for an edge to park everything; see `supervisor.PARK_S`

app = typer.Typer()


def edge(config: Path | None, verbose: bool, **given: str | None) -> None:
    """Run an edge node: load services' machines from an origin on demand and answer HTTP with them.

    SIGTERM drains: requests in flight are finished and machines parked on disk, then it leaves.
    """
    import uvloop

    from edge.serve import serve

    if not host.LINUX:
        raise OperatorError(f"Linux expected, whose sandbox parts guests from the host, got {sys.platform}")
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("tuf").setLevel(logging.WARNING)
    loaded = load_config(config, {name: text for name, text in given.items() if text is not None})
    uvloop.run(serve(loaded))


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option(option: Option) -> inspect.Parameter:
    required = option.default is dataclasses.MISSING
    help_ = option.sentence + (" Must be given, here or in the file." if required else "")
    if option.default_text and not required:
        help_ += f" Default {option.default_text}."
    return _parameter(
        option.name, Annotated[str | None, typer.Option(option.flag, help=help_, show_default=False)], None
    )


_PARAMETERS = [
    *map(_option, options()),
    _parameter("config", Annotated[Path | None, typer.Option(help="TOML file with the same names as keys.")], None),
    _parameter("verbose", Annotated[bool, typer.Option(help="Log at level DEBUG.")], False),
]
# typer reads a command's options from its signature; this one comes from the configuration's fields.
edge.__signature__ = inspect.Signature(_PARAMETERS)  # type: ignore[attr-defined]
edge.__annotations__ = {parameter.name: parameter.annotation for parameter in _PARAMETERS}
app.command("edge")(edge)


@app.command()
def admin(
    page: Annotated[str, typer.Argument(help="metrics, services, reports, workers, health, park or drain.")],
    cache: Annotated[Path | None, typer.Option(help="The edge's cache folder.", metavar="DIR")] = None,
    socket: Annotated[
        Path | None, typer.Option(help="The edge's socket, if it is not admin.sock in that folder.", metavar="PATH")
    ] = None,
    service: Annotated[str, typer.Option(help="For park: this service only.")] = "",
) -> None:
    """Print a page of an edge on this machine, or have it park machines or drain; exit code 1 if it would not."""
    import http.client
    from urllib.parse import quote, urlencode

    from edge.common import unix_socket
    from edge.operators.pages import ACTIONS, PREFIX

    path = socket or (cache / "admin.sock" if cache else None)
    if path is None:
        raise OperatorError("--cache or --socket must be given")
    target = PREFIX + quote(page) + (f"?{urlencode({'service': service})}" if service else "")
    connection = http.client.HTTPConnection("localhost")
    connection.sock = unix_socket.connect(path, ADMIN_TIMEOUT_S)
    try:
        connection.request("POST" if page in ACTIONS else "GET", target)
        answer = connection.getresponse()
        sys.stdout.buffer.write(answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise OperatorError(f"{path}: an answer expected: {error}") from None
    finally:
        connection.close()
    raise typer.Exit(int(answer.status >= 400))


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Option(help="The edge's TOML file, for what it allows.")] = None,
) -> None:
    """Say what this machine gives an edge, what it lacks, and what would fix it; exit code 1 if an edge cannot run."""
    from rich.console import Console
    from rich.table import Table

    from edge.doctor import examine

    marks = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "fail": "[red]✗[/]"}
    table = Table(box=None, show_header=False)
    failed = False
    kvm_ring0 = config is not None and load_config(config, {}).kvm_ring0 == "on"
    for finding in examine(kvm_ring0=kvm_ring0):
        failed |= finding.state == "fail"
        table.add_row(marks[finding.state], finding.name, finding.found, f"[dim]{finding.fix}[/]")
    Console().print(table)
    raise typer.Exit(int(failed))
