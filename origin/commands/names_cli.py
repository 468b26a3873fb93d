"""The commands `nunatak withdraw`, `nunatak rename` and `nunatak hosts`: a service's name and hosts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from origin.commands.shared import (
    KeysOption,
    OriginOption,
    PlainOption,
    TokenOption,
    load_signing,
    load_upload_token,
    written_choice,
)

if TYPE_CHECKING:
    from origin.publish.authors import Signing
    from origin.publish.chain import Warn
    from origin.publish.entries import Exchange
    from vmimage.trust import ServiceRecord, Trust

ServiceArgument = Annotated[str, typer.Argument(help="Name of the service.", metavar="SERVICE")]
HostsArgument = Annotated[list[str], typer.Argument(help="Host names.", metavar="HOST...")]

hosts = typer.Typer(help="Have a service answer for more hosts, or for fewer.", no_args_is_help=True)


def withdraw(
    service: ServiceArgument,
    origin: OriginOption,
    keys: KeysOption,
    written: Annotated[
        str | None,
        typer.Option(
            help="What becomes of pages that the service wrote to copy-on-write disks: edges keep them aside while "
            "there is room, for who publishes under this name again, or drop them, which can be said later too.",
            metavar="keep|drop",
            show_default="none, it is asked where there are such disks",
        ),
    ] = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Withdraw a service: edges refuse it with 421 and end its machines.

    Its hosts are free then, its name stays its tenant's. Its history stays: `nunatak rollback` or `nunatak publish`
    brings it back, under a higher version.
    """
    from origin.publish import names

    choice = written_choice(written)

    def start(trust: Trust, signer: Signing, now: datetime) -> Exchange:
        return names.withdraw(service, trust, signer, now, choice, _warn)

    [record] = _carry_out(start, origin, keys, token_file, plain_http)
    typer.echo(f"{record.service} version {record.version}: withdrawn")
    if kept := [disk for disk, since in record.written if since != record.version]:
        typer.echo(f"edges keep aside, while there is room, what was written to disk {', '.join(kept)}", err=True)


def rename(
    old: Annotated[str, typer.Argument(help="Name that the service has.", metavar="OLD")],
    new: Annotated[str, typer.Argument(help="Name that it shall have.", metavar="NEW")],
    origin: OriginOption,
    keys: KeysOption,
    written: Annotated[
        str | None,
        typer.Option(
            help="With drop it begins with copy-on-write disks as they were published; what it wrote is kept aside "
            "under the old name.",
            metavar="drop",
            show_default="none, it is asked where there are such disks",
        ),
    ] = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Give a service another name. Image, hosts and tenant go along; history and log stay under the old name.

    The old name is withdrawn in the same version of the catalogue, so no request is refused.
    """
    from origin.publish import names
    from origin.publish.progress import report

    choice = written_choice(written)

    def start(trust: Trust, signer: Signing, now: datetime) -> Exchange:
        return names.rename(old, new, trust, signer, now, choice, _warn)

    _hold_both(old, new, origin, keys, token_file, plain_http)
    records = _carry_out(start, origin, keys, token_file, plain_http)
    report([record for record in records if record.service == new])
    typer.echo(f"{old} is withdrawn; its log stays there: nunatak logs {old}", err=True)


def _hold_both(old: str, new: str, origin: str, keys: Path, token_file: Path | None, plain_http: bool) -> None:
    """A hold goes along where the operator renames: first, so that no edge runs it between. Tenants are refused."""
    from origin.keys import load_signer, load_trust
    from origin.model.tenant_keys import is_tenants
    from origin.publish.client import carry_out
    from origin.publish.holds import all_holds, hold
    from origin.publish.tenants import Operator

    trust = load_trust(keys)
    if is_tenants(keys) or f"service {old}" not in carry_out(all_holds(trust), url=origin).since:
        return
    by = Operator(trust, load_signer(keys, "publisher"), datetime.now(UTC), _warn)
    token = load_upload_token(keys, token_file)
    carry_out(hold(by, [f"service {new}"]), url=origin, token=token, plain_http=plain_http)
    typer.echo(f"{new} is held too, as {old} is: nunatak hold release", err=True)


@hosts.command()
def add(
    service: ServiceArgument,
    names: HostsArgument,
    origin: OriginOption,
    keys: KeysOption,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Have a service answer for more hosts, as a new version of the same image. Its machines go on."""
    from origin.publish.names import add_hosts

    _change_hosts(add_hosts, service, names, origin, keys, token_file, plain_http)


@hosts.command()
def remove(
    service: ServiceArgument,
    names: HostsArgument,
    origin: OriginOption,
    keys: KeysOption,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Have a service answer for hosts no more, which are free then. Its machines go on."""
    from origin.publish.names import remove_hosts

    _change_hosts(remove_hosts, service, names, origin, keys, token_file, plain_http)


def _change_hosts(
    change: Callable[[str, Sequence[str], Trust, Signing, datetime, Warn], Exchange],
    service: str,
    names: Sequence[str],
    origin: str,
    keys: Path,
    token_file: Path | None,
    plain_http: bool,
) -> None:
    from origin.publish.progress import report

    def start(trust: Trust, signer: Signing, now: datetime) -> Exchange:
        return change(service, names, trust, signer, now, _warn)

    report(_carry_out(start, origin, keys, token_file, plain_http))


def _carry_out(
    start: Callable[[Trust, Signing, datetime], Exchange],
    origin: str,
    keys: Path,
    token_file: Path | None,
    plain_http: bool,
) -> list[ServiceRecord]:
    from origin.keys import load_trust
    from origin.publish.client import carry_out

    exchange = start(load_trust(keys), load_signing(keys), datetime.now(UTC))
    return carry_out(exchange, url=origin, token=load_upload_token(keys, token_file), plain_http=plain_http)


def _warn(line: str) -> None:
    typer.echo(f"warning: {line}", err=True)
