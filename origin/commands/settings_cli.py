"""The commands `nunatak settings`: options of all edges, for a part of them first, step by step, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from origin.commands.release_cli import PopOption, gate_option, pops_named, share_named
from origin.commands.shared import (
    JsonOption,
    KeysOption,
    OriginOption,
    PlainOption,
    TokenOption,
    WithKeyOption,
    load_upload_token,
)
from origin.commands.signing import Signatory
from origin.commands.waiting import WaitOption
from vmimage.errors import PublisherError
from vmimage.release import Gates, percent_text
from vmimage.text import plain
from vmimage.toml_file import BYTES_MAX

if TYPE_CHECKING:  # imported when it is needed: `nunatak --help` stays quick
    from origin.publish.tenants import Exchange, Operator
    from vmimage.fleet_settings import FleetSettings, Version

_DEFAULT = Gates()

settings = typer.Typer(
    help="Set options of all edges, in stages; an edge goes back by itself from what is bad there.",
    no_args_is_help=True,
)


@settings.command()
def start(
    file: Annotated[Path, typer.Argument(help="TOML file with options, as an edge's own has them.", metavar="FILE")],
    origin: OriginOption,
    keys: KeysOption,
    percent: Annotated[str, typer.Option(help="Part of the edges, from 0.01 to 100.", metavar="PERCENT")] = "1",
    pop: PopOption = None,
    errors: Annotated[
        int, gate_option("errors", "Failed answers more than before, in hundredths of a percent.", "COUNT")
    ] = _DEFAULT.errors,
    p99_ms: Annotated[
        int, gate_option("p99_ms", "Time within which 99 of 100 answers begin.", "MILLISECONDS")
    ] = _DEFAULT.p99_ms,
    crashes: Annotated[int, gate_option("crashes", "Crashes of machines on one edge.", "COUNT")] = _DEFAULT.crashes,
    requests: Annotated[
        int, gate_option("requests", "Requests before errors and times are judged.", "COUNT")
    ] = _DEFAULT.requests,
    windows: Annotated[int, gate_option("windows", "Windows in a row that must be bad.", "COUNT")] = _DEFAULT.windows,
    wait: WaitOption = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Let a part of the edges go by the options in FILE, which are all that are set from then on.

    What an edge's own file, environment and command line say goes before. Needs the operator's publisher key and token.
    """
    from edge.config.fleet_settings import read_file
    from origin.publish import fleet_settings

    with file.open("rb") as opened:
        values = read_file(str(file), opened.read(BYTES_MAX + 1))
    gates = Gates(errors, p99_ms, crashes, requests, windows)
    plan = fleet_settings.Plan(share_named(percent), pops_named(pop), gates)
    signatory = Signatory(origin, keys, with_key, token_file, plain_http)
    signatory.warn_of_pops(plan.pops)
    _carry_out(lambda by: fleet_settings.start(by, values, plan), signatory, wait)


@settings.command()
def widen(
    origin: OriginOption,
    keys: KeysOption,
    percent: Annotated[
        str | None,
        typer.Option(help="Part of the edges.", metavar="PERCENT", show_default="the next of 1, 5, 25, 100"),
    ] = None,
    pop: PopOption = None,
    everywhere: Annotated[bool, typer.Option("--everywhere", help="In all POPs.")] = False,
    wait: WaitOption = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Let more edges go by the candidate. Which has it keeps it."""
    from origin.publish import fleet_settings

    if everywhere and pop:
        raise PublisherError("--pop or --everywhere expected, got both: say where")
    share = None if percent is None else share_named(percent)
    pops = () if everywhere else None if pop is None else pops_named(pop)
    signatory = Signatory(origin, keys, with_key, token_file, plain_http)
    signatory.warn_of_pops(pops)
    _carry_out(lambda by: fleet_settings.widen(by, share, pops), signatory, wait)


@settings.command()
def finish(
    origin: OriginOption,
    keys: KeysOption,
    wait: WaitOption = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Make the candidate the stable version, once all edges had their turn: also where an edge went back from it."""
    from origin.publish import fleet_settings

    _carry_out(fleet_settings.finish, Signatory(origin, keys, with_key, token_file, plain_http), wait)


@settings.command()
def back(
    origin: OriginOption,
    keys: KeysOption,
    wait: WaitOption = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Let all edges go by the stable version again."""
    from origin.publish import fleet_settings

    _carry_out(fleet_settings.back, Signatory(origin, keys, with_key, token_file, plain_http), wait)


@settings.command()
def status(
    origin: OriginOption,
    keys: KeysOption,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Show what is set, what is tried where, and what edges have seen of it. Needs the operator's token."""
    from origin.keys import load_trust
    from origin.publish.client import carry_out
    from origin.publish.fleet import settings_reported
    from origin.publish.fleet_settings import present

    said = carry_out(present(load_trust(keys)), url=origin)
    token = load_upload_token(keys, token_file)
    fleet = carry_out(settings_reported(), url=origin, token=token, plain_http=plain_http)
    if as_json:
        typer.echo(json.dumps({**asdict(said), "fleet": fleet}, indent=1))
        return
    _show(said)
    if fleet.get("stopped"):
        typer.echo("the candidate is stopped on all edges")
    for edge in fleet["edges"]:
        cause = f" ({edge.get('cause')})" if edge.get("cause") else ""
        about = f"version {edge.get('number')}, {edge.get('state')}{cause}"
        typer.echo(plain(f"{edge.get('edge')} in {edge.get('pop')}: {about}"))
    if not fleet["edges"]:
        typer.echo("no live edge reports on it", err=True)


def _show(said: FleetSettings) -> None:
    if said.stable.number:
        typer.echo(plain(f"version {said.stable.number} since {said.stable.since}: {_text(said.stable)}"))
    else:
        typer.echo("nothing is set for all edges")
    staged = said.candidate
    if staged is None:
        return
    where = ", ".join(staged.pops) or "all POPs"
    typer.echo(
        plain(f"candidate version {staged.version.number} since {staged.version.since}: {_text(staged.version)}")
    )
    typer.echo(plain(f"for {percent_text(staged.share)} of the edges, in {where}"))
    typer.echo("gates: " + ", ".join(f"{name} {value}" for name, value in asdict(staged.gates).items()))


def _text(version: Version) -> str:
    return ", ".join(f"{option} = {value}" for option, value in sorted(version.values.items())) or "no option"


def _carry_out(begin: Callable[[Operator], Exchange], signatory: Signatory, wait: float | None) -> None:
    from origin.publish.client import carry_out
    from origin.publish.fleet_settings import present

    by = signatory.operator()
    signatory.carry_out(begin(by))
    _show(carry_out(present(by.trust), url=signatory.origin))
    signatory.wait(wait)
