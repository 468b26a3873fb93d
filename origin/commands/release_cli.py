"""The commands `nunatak release`: a new version of a service for a part of its visitors, step by step, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from origin.commands.shared import (
    JsonOption,
    KeysOption,
    OriginOption,
    PlainOption,
    TokenOption,
    WithKeyOption,
    WrittenOption,
    load_upload_token,
    written_choice,
)
from origin.commands.signing import Signatory
from origin.commands.waiting import WaitOption
from vmimage.canonical import is_name
from vmimage.errors import FormatError, PublisherError
from vmimage.release import BOUNDS, STICKY, Gates, percent_text, share_of
from vmimage.text import plain

if TYPE_CHECKING:  # imported when it is needed: `nunatak --help` stays quick
    from origin.publish.entries import Exchange
    from origin.publish.releases import Plan, Publisher

ServiceArgument = Annotated[str, typer.Argument(help="Name of the service.", metavar="SERVICE")]
PopOption = Annotated[
    list[str] | None,
    typer.Option("--pop", help="POP whose edges take part; may be repeated.", metavar="NAME", show_default="all"),
]

ReleaseOption = Annotated[
    str | None,
    typer.Option(
        "--release",
        help="Begin a release for so many percent of the visitors, from 0.01 to 100, as `nunatak release start` does.",
        metavar="PERCENT",
        show_default="all at once",
    ),
]


def gate_option(name: str, help_: str, form: str) -> Any:
    """The option that sets a gate."""
    low, high = BOUNDS[name]
    shown = name.replace("_", "-")
    return typer.Option(f"--{shown}", min=low, max=high, help=help_, metavar=form)


_DEFAULT = Gates()

release = typer.Typer(
    help="Release a new version of a service in stages, and take it back; edges stop by themselves what is bad.",
    no_args_is_help=True,
)


@release.command()
def start(
    image: Annotated[Path, typer.Argument(help="Image file of `nunatak build`.", metavar="IMAGE")],
    service: Annotated[str, typer.Option(help="Name of the service.", metavar="NAME")],
    origin: OriginOption,
    keys: KeysOption,
    percent: Annotated[str, typer.Option(help="Part of the visitors, from 0.01 to 100.", metavar="PERCENT")] = "1",
    pop: PopOption = None,
    errors: Annotated[
        int,
        gate_option("errors", "Failed answers more than of the stable version, in hundredths of a percent.", "COUNT"),
    ] = _DEFAULT.errors,
    p99_ms: Annotated[
        int, gate_option("p99_ms", "Time within which 99 of 100 answers begin.", "MILLISECONDS")
    ] = _DEFAULT.p99_ms,
    crashes: Annotated[int, gate_option("crashes", "Crashes of machines on one edge.", "COUNT")] = _DEFAULT.crashes,
    requests: Annotated[
        int, gate_option("requests", "Requests before errors and times are judged.", "COUNT")
    ] = _DEFAULT.requests,
    windows: Annotated[int, gate_option("windows", "Windows in a row that must be bad.", "COUNT")] = _DEFAULT.windows,
    sticky: Annotated[
        str, typer.Option(help="What visitors are known by: a cookie over HTTPS, or their network.", metavar="WORD")
    ] = "cookie",
    choose: Annotated[
        bool, typer.Option("--choose", help="Let visitors choose with X-Nunatak-Choose: candidate or stable.")
    ] = False,
    wait: WaitOption = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Let a part of a service's visitors get a new image. An edge that finds it bad stops it there by itself."""
    from origin.publish.releases import Plan

    by_word = {word: word for word in STICKY}
    if sticky not in by_word:
        raise PublisherError(f"--sticky: {' or '.join(STICKY)} expected, got {sticky!r}")
    gates = Gates(errors, p99_ms, crashes, requests, windows)
    plan = Plan(share_named(percent), pops_named(pop), gates, by_word[sticky], choose)
    signatory = Signatory(origin, keys, with_key, token_file, plain_http)
    signatory.warn_of_pops(plan.pops)
    _begin(image, service, plan, signatory, wait)


def start_plainly(
    percent: str,
    image: Path | None,
    service: str | None,
    others: Iterable[object],
    by: Signatory,
    wait: float | None,
) -> None:
    """`nunatak publish --release`: a release begins as `start` lets it where nothing but the percentage is said.

    :param others: options of `publish` that say what a release does not change, or has no use for; none may be set.
    :raises PublisherError: one is, or no image and service are named, or `percent` is none.
    """
    from origin.publish.releases import Plan

    if image is None or service is None or any(others):
        raise PublisherError(
            "--release: IMAGE with --service, and none of --batch, --host, --disk, --tenant, --written, --registry "
            "and --dry-run expected: a release begins with a service as it is, and changes its image alone"
        )
    _begin(image, service, Plan(share_named(percent, "--release")), by, wait)


@release.command()
def widen(
    service: ServiceArgument,
    origin: OriginOption,
    keys: KeysOption,
    percent: Annotated[
        str | None,
        typer.Option(
            help="Part of the visitors.",
            metavar="PERCENT",
            show_default="the next of 1, 5, 25, 100",
        ),
    ] = None,
    pop: PopOption = None,
    wait: WaitOption = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Let more visitors get the candidate. Who has it keeps it."""
    from origin.publish.releases import widen as more

    share, pops = None if percent is None else share_named(percent), None if pop is None else pops_named(pop)
    signatory = Signatory(origin, keys, with_key, token_file, plain_http)
    signatory.warn_of_pops(pops)
    _carry_out(lambda by: more(by, service, share, pops), signatory, wait)


@release.command()
def finish(
    service: ServiceArgument,
    origin: OriginOption,
    keys: KeysOption,
    written: WrittenOption = None,
    wait: WaitOption = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Make the candidate the version that all visitors get."""
    from origin.publish.releases import finish as end

    choice = written_choice(written)
    _carry_out(lambda by: end(by, service, choice), Signatory(origin, keys, with_key, token_file, plain_http), wait)


@release.command()
def back(
    service: ServiceArgument,
    origin: OriginOption,
    keys: KeysOption,
    wait: WaitOption = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Let all visitors get the stable version again."""
    from origin.publish.releases import back as take_back

    _carry_out(lambda by: take_back(by, service), Signatory(origin, keys, with_key, token_file, plain_http), wait)


@release.command()
def status(
    service: ServiceArgument,
    origin: OriginOption,
    keys: KeysOption,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Show what is released of a service, to whom, and what live edges have seen of it.

    What edges have seen is for the operator's token and the tenant's own.
    """
    from origin.keys import load_trust
    from origin.publish.client import carry_out
    from origin.publish.fleet import released
    from origin.publish.listing import one_service, summary

    about = summary(carry_out(one_service(service, load_trust(keys)), url=origin).record)
    if about.get("candidate") is not None:
        token = load_upload_token(keys, token_file)
        about["fleet"] = carry_out(released(service), url=origin, token=token, plain_http=plain_http)
    if as_json:
        typer.echo(json.dumps(about, indent=1))
        return
    typer.echo(plain(f"{service} version {about['version']}: {about['image']}"))
    candidate = about.get("candidate")
    if candidate is None:
        typer.echo("no release is under way", err=True)
        return
    where = ", ".join(candidate["pops"]) or "all POPs"
    typer.echo(plain(f"candidate since {candidate['since']}: {candidate['image']}"))
    typer.echo(plain(f"for {candidate['share']:g} % of the visitors, by {candidate['sticky']}, in {where}"))
    typer.echo("gates: " + ", ".join(f"{name} {value}" for name, value in candidate["gates"].items()))
    _show_edges(about["fleet"])


def _show_edges(fleet: dict[str, Any]) -> None:
    if fleet.get("frozen"):
        typer.echo("frozen on all edges")
    for edge in fleet["edges"]:
        state = f"stopped ({edge.get('stopped')})" if edge.get("stopped") else "under way"
        typer.echo(plain(f"{edge.get('edge')} in {edge.get('pop')}: {state}"))
        for version in ("candidate", "stable"):
            said = ", ".join(f"{name} {count}" for name, count in dict(edge.get(version) or {}).items())
            typer.echo(plain(f"  {version}: {said}"))
    if not fleet["edges"]:
        typer.echo("no live edge reports on it", err=True)


def share_named(text: str, option: str = "--percent") -> int:
    """A share in hundredths of a percent.

    :raises PublisherError: none, told with the option that names it.
    """
    try:
        return share_of(text)
    except FormatError as error:
        raise PublisherError(f"{option}: {error}") from None


def pops_named(names: Iterable[str] | None) -> tuple[str, ...]:
    """POPs as `--pop` has them; none for all.

    :raises PublisherError: no name of a POP.
    """
    pops = tuple(names or ())
    for name in pops:
        if not is_name(name):
            raise PublisherError(f"--pop: 1 to 63 of a-z 0-9 . _ - expected, got {name!r}")
    return pops


def _begin(image: Path, service: str, plan: Plan, signatory: Signatory, wait: float | None) -> None:
    from origin.publish.image_files import publication, read_attachments, read_image
    from origin.publish.releases import start as begin

    published = publication(image, read_image(image), service, [], (), read_attachments(image))
    _carry_out(lambda by: begin(by, published, plan), signatory, wait)


def _carry_out(start: Callable[[Publisher], Exchange], signatory: Signatory, wait: float | None) -> None:
    for record in signatory.carry_out(start(signatory.publisher())):
        typer.echo(f"{record.service} version {record.version}: {record.manifest_digest}")
        if record.candidate is not None:
            share = percent_text(record.candidate.share)
            typer.echo(f"candidate for {share} of the visitors: {record.candidate.digest}")
    signatory.wait(wait)
