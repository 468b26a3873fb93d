"""The commands `nunatak withdraw`, `nunatak rename` and `nunatak hosts`: a service's name and hosts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from origin.commands.shared import (
    KeysOption,
    OriginOption,
    PlainOption,
    TokenOption,
    WithKeyOption,
    written_choice,
)
from origin.commands.signing import Signatory

if TYPE_CHECKING:
    from origin.publish.authors import Signing
    from origin.publish.chain import Warn
    from origin.publish.entries import Exchange
    from vmimage.trust import Trust

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
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Withdraw a service: edges refuse it with 421 and end its machines.

    Its hosts are free then, its name stays its tenant's. Its history stays: `nunatak rollback` or `nunatak publish`
    brings it back, under a higher version.
    """
    from origin.publish import names

    choice = written_choice(written)
    signatory = Signatory(origin, keys, with_key, token_file, plain_http)
    by = signatory.publisher()
    [record] = signatory.carry_out(names.withdraw(service, by.trust, by.signer, by.now, choice, by.warn))
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
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Give a service another name. Image, hosts and tenant go along; history and log stay under the old name.

    The old name is withdrawn in the same version of the catalogue, so no request is refused.
    """
    from origin.publish import names
    from origin.publish.client import carry_out
    from origin.publish.progress import report

    choice = written_choice(written)
    signatory = Signatory(origin, keys, with_key, token_file, plain_http)
    by = signatory.publisher()
    carry_out(names.look_at_rename(old, new, by.trust, by.signer, by.now, choice), url=origin)
    _hold_both(old, new, signatory)
    records = signatory.carry_out(names.rename(old, new, by.trust, by.signer, by.now, choice, by.warn))
    report([record for record in records if record.service == new])
    typer.echo(f"{old} is withdrawn; its log stays there: nunatak logs {old}", err=True)


def _hold_both(old: str, new: str, signatory: Signatory) -> None:
    """A hold goes along where the operator renames: first, so that no edge runs it between. Tenants are refused.

    Nothing is held for a rename that is refused: that is known before.
    """
    from origin.model.tenant_keys import is_tenants
    from origin.publish.client import carry_out
    from origin.publish.holds import all_holds, hold

    if is_tenants(signatory.keys):
        return
    if f"service {old}" not in carry_out(all_holds(signatory.trust()), url=signatory.origin).since:
        return
    signatory.carry_out(hold(signatory.operator(), [f"service {new}"]))
    typer.echo(f"{new} is held too, as {old} is: nunatak hold release", err=True)


@hosts.command()
def add(
    service: ServiceArgument,
    names: HostsArgument,
    origin: OriginOption,
    keys: KeysOption,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Have a service answer for more hosts, as a new version of the same image. Its machines go on."""
    from origin.publish.names import add_hosts

    _change_hosts(add_hosts, service, names, Signatory(origin, keys, with_key, token_file, plain_http))


@hosts.command()
def remove(
    service: ServiceArgument,
    names: HostsArgument,
    origin: OriginOption,
    keys: KeysOption,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Have a service answer for hosts no more, which are free then. Its machines go on."""
    from origin.publish.names import remove_hosts

    _change_hosts(remove_hosts, service, names, Signatory(origin, keys, with_key, token_file, plain_http))


def _change_hosts(
    change: Callable[[str, Sequence[str], Trust, Signing, datetime, Warn], Exchange],
    service: str,
    names: Sequence[str],
    signatory: Signatory,
) -> None:
    from origin.publish.progress import report

    by = signatory.publisher()
    report(signatory.carry_out(change(service, names, by.trust, by.signer, by.now, by.warn)))
