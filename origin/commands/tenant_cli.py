"""The commands `nunatak tenant`: tenants with keys of their own, and which names are theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from origin.commands.shared import JsonOption, KeysOption, OriginOption, PlainOption, TokenOption, WithKeyOption
from origin.commands.signing import Signatory
from vmimage.errors import OperatorError, PublisherError
from vmimage.text import path_text, plain

if TYPE_CHECKING:
    from origin.model.exchange import Request, Response
    from origin.publish.tenants import Operator

_Result = TypeVar("_Result")

TenantArgument = Annotated[str, typer.Argument(help="Name of the tenant.", metavar="TENANT")]
CardArgument = Annotated[
    Path, typer.Argument(help="The tenant's card, tenant.json of `nunatak tenant keygen`.", metavar="CARD")
]
ServiceOption = Annotated[
    list[str] | None,
    typer.Option("--service", help="Name of a service; may be repeated.", metavar="NAME", show_default="none"),
]
HostOption = Annotated[
    list[str] | None, typer.Option("--host", help="Host name; may be repeated.", metavar="HOST", show_default="none")
]

tenant = typer.Typer(
    help="Tenants with keys of their own: make keys, add tenants, give them names.", no_args_is_help=True
)


@tenant.command()
def keygen(
    folder: Annotated[Path, typer.Argument(help="Key folder to make.", metavar="FOLDER")],
    name: Annotated[str, typer.Option("--tenant", help="Name of the tenant, without dots.", metavar="NAME")],
    trust: Annotated[
        Path | None,
        typer.Option(
            help="Folder with root.json and targets.json of the origin's operator, which are copied.",
            metavar="FOLDER",
            show_default="none, they are put there later",
        ),
    ] = None,
    signers: Annotated[int, typer.Option(min=1, max=16, help="How many keys.", metavar="KEYS")] = 1,
    threshold: Annotated[int, typer.Option(min=1, max=16, help="How many of them sign.", metavar="KEYS")] = 1,
) -> None:
    """Make the key folder of a tenant, and its card for the operator."""
    from origin.model.tenant_keys import CARD_FILE, generate

    card = generate(folder, name, signers, threshold, trust)
    typer.echo(f"{folder / CARD_FILE}: give this to the operator of the origin, who adds tenant {card.tenant} by it")


@tenant.command()
def add(
    card: CardArgument,
    origin: OriginOption,
    keys: KeysOption,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Add a tenant by its card: from then on it alone signs services NAME.anything, and what it is given.

    Needs the operator's publisher key and token, as all that follows but for `renew` and `proof`.
    """
    from origin.model.tenant_keys import load_card
    from origin.publish import tenants

    read = load_card(card)
    _carry_out(lambda by: tenants.add(by, read), Signatory(origin, keys, with_key, token_file, plain_http))
    typer.echo(f"tenant {read.tenant}: {read.threshold} of {len(read.keys)} keys sign its services {read.tenant}.NAME")


@tenant.command()
def rekey(
    card: CardArgument,
    origin: OriginOption,
    keys: KeysOption,
    only: Annotated[
        bool, typer.Option("--only", help="In place of all that sign now, once the tenant has signed with the new.")
    ] = False,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Let the keys of another card sign for a tenant, beside those that do.

    A key is replaced in three steps: this, then the tenant runs `nunatak tenant renew` with its new key, then this
    with --only.
    """
    from origin.model.tenant_keys import load_card
    from origin.publish import tenants

    read = load_card(card)
    _carry_out(lambda by: tenants.rekey(by, read, only=only), Signatory(origin, keys, with_key, token_file, plain_http))
    typer.echo(f"tenant {read.tenant}: {'only ' if only else ''}the keys of the card sign for it")


@tenant.command()
def remove(
    name: TenantArgument,
    origin: OriginOption,
    keys: KeysOption,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Remove a tenant, all of whose services are withdrawn. Hosts and names that it was given are free then.

    Names that it has published under are not: their versions go on.
    """
    from origin.publish import tenants

    _carry_out(lambda by: tenants.remove(by, name), Signatory(origin, keys, with_key, token_file, plain_http))
    typer.echo(f"tenant {name} is removed; its tokens stay until `nunatak token remove`")


@tenant.command("list")
def list_(origin: OriginOption, keys: KeysOption, as_json: JsonOption = False) -> None:
    """List the tenants with keys of their own: keys, services, names that they were given."""
    from dataclasses import asdict

    from origin.keys import load_trust
    from origin.publish.client import carry_out
    from origin.publish.tenants import all_tenants

    found = carry_out(all_tenants(load_trust(keys)), url=origin)
    if as_json:
        said = [asdict(each) | {"expires": each.expires.isoformat() if each.expires else None} for each in found]
        typer.echo(json.dumps(said, indent=1))
        return
    for each in found:
        until = f", good until {each.expires:%Y-%m-%d}" if each.expires else ""
        keyids = ", ".join(keyid[:8] for keyid in each.keyids)
        signing = f"{each.threshold} of {len(each.keyids)} keys sign: {keyids}"
        typer.echo(plain(f"{each.tenant}: {signing}; {len(each.services)} services{until}"))
        for path in each.granted:
            typer.echo(plain(f"  {path_text(path)}"))
    if not found:
        typer.echo("no tenant has keys of its own here", err=True)


@tenant.command()
def grant(
    name: TenantArgument,
    origin: OriginOption,
    keys: KeysOption,
    service: ServiceOption = None,
    host: HostOption = None,
    proof: Annotated[
        list[str] | None,
        typer.Option(
            help="Where to look for the proof that the tenant holds a host: dns (a TXT record), http (a file on its "
            "web server), or none, where the operator knows it; may be repeated.",
            metavar="dns|http|none",
            show_default="dns, then http",
        ),
    ] = None,
    resolver: Annotated[
        str | None,
        typer.Option(help="Name server to ask.", metavar="ADDRESS[:PORT]", show_default="those of this machine"),
    ] = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Give names to a tenant: hosts that it has proved to hold, and services that are not called TENANT.anything."""
    from origin.publish import tenants

    hosts = _hosts(service, host)
    _require_proofs(name, hosts, proof or ["dns", "http"], resolver, origin, keys)
    _carry_out(
        lambda by: tenants.grant(by, name, service or (), hosts),
        Signatory(origin, keys, with_key, token_file, plain_http),
    )
    for path in (*(f"service {each}" for each in service or ()), *(f"host {each}" for each in hosts)):
        typer.echo(f"{path} is tenant {name}'s")


@tenant.command()
def revoke(
    origin: OriginOption,
    keys: KeysOption,
    service: ServiceOption = None,
    host: HostOption = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Take names back that were given to tenants. A host leads nowhere then; a service that is published stays."""
    from origin.publish import tenants

    hosts = _hosts(service, host)
    _carry_out(
        lambda by: tenants.revoke(by, service or (), hosts), Signatory(origin, keys, with_key, token_file, plain_http)
    )
    for path in (*(f"service {each}" for each in service or ()), *(f"host {each}" for each in hosts)):
        typer.echo(f"{path} is no tenant's any more")


@tenant.command()
def proof(host: Annotated[list[str], typer.Argument(help="Host names.", metavar="HOST...")], keys: KeysOption) -> None:
    """Print what proves that hosts are this tenant's, for it to put into DNS or on its web server."""
    from origin.model.tenant_keys import load_card
    from origin.publish.proof import HTTP_PATH, record_name
    from origin.publish.proof import proof as proof_of

    card = load_card(keys)
    for name in _named(host):
        text = proof_of(card.tenant, card.keys[0].keyid, name)
        typer.echo(f'{record_name(name)}. TXT "{text}"')
        typer.echo(f"or the same word as a line of http://{name}{HTTP_PATH}", err=True)


@tenant.command()
def renew(
    origin: OriginOption,
    keys: KeysOption,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Sign what this tenant has published anew, good for a year from now, by the keys in its folder."""
    from origin.publish.authors import Tenant
    from origin.publish.tenants import resign

    signatory = Signatory(origin, keys, with_key, token_file, plain_http)
    by = signatory.publisher()
    if not isinstance(by.signer, Tenant):
        raise OperatorError(f"the key folder of a tenant expected, got {keys}: for an operator's it is `nunatak renew`")
    signatory.carry_out(resign(by.signer, by.trust, by.now, by.warn))
    typer.echo(f"tenant {by.signer.name}: signed anew")


@tenant.command()
def move(
    service: Annotated[list[str], typer.Argument(help="Names of services.", metavar="SERVICE...")],
    tenant_keys: Annotated[Path, typer.Option(help="Key folder of the tenant.", metavar="FOLDER")],
    origin: OriginOption,
    keys: KeysOption,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Let services that the publisher key signs be a tenant's, and their hosts with them, as their next version.

    Their machines go on where the tenant is the one that they had. The tenant is added if it is not there yet.
    """
    from origin.model.tenant_keys import load_card, load_signers
    from origin.publish import tenants
    from origin.publish.authors import Tenant

    card, signing = load_card(tenant_keys), Tenant(*load_signers(tenant_keys))
    _carry_out(
        lambda by: tenants.move(by, service, signing, card), Signatory(origin, keys, with_key, token_file, plain_http)
    )
    typer.echo(f"{len(service)} services are signed by tenant {signing.name} now")


@tenant.command()
def migrate(
    folder: Annotated[Path, typer.Argument(help="Where a key folder for each tenant is made.", metavar="FOLDER")],
    origin: OriginOption,
    keys: KeysOption,
    name: Annotated[
        list[str] | None,
        typer.Option("--tenant", help="Only this tenant; may be repeated.", metavar="NAME", show_default="all"),
    ] = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Give every tenant that services are said to be of keys of its own, and let it sign them.

    Each tenant changes at one instant; if it is interrupted, run it again with the same folder.
    """
    from functools import partial

    from origin.keys import load_trust
    from origin.model.tenant_keys import generate, is_tenants, load_card, load_signers
    from origin.publish import tenants
    from origin.publish.authors import Tenant
    from origin.publish.client import carry_out

    found = carry_out(tenants.claims(load_trust(keys)), url=origin)
    for each in name or ():
        if each not in found and not is_tenants(folder / each):
            raise PublisherError(f"--tenant: a tenant of services that are published expected, got {each!r}")
    if not (found or name):
        typer.echo("no service is said to be of a tenant that could have keys: nothing to do", err=True)
    for each in name or found:
        if each not in found:
            typer.echo(f"tenant {each} signs its services already", err=True)
            continue
        theirs = folder / each
        card = load_card(theirs) if is_tenants(theirs) else generate(theirs, each, 1, 1, keys)
        edit = partial(tenants.move, services=found[each], tenant=Tenant(*load_signers(theirs)), card=card)
        _carry_out(edit, Signatory(origin, keys, with_key, token_file, plain_http))
        typer.echo(f"{theirs}: keys of tenant {each}, which signs {', '.join(found[each])}")


def _hosts(service: Sequence[str] | None, host: Sequence[str] | None) -> list[str]:
    """The hosts that are named, as the catalogue has them.

    :raises PublisherError: neither a host nor a service is named.
    """
    if not (service or host):
        raise PublisherError("--host or --service expected, got neither: say which names are meant")
    return _named(host or ())


def _named(named: Sequence[str]) -> list[str]:
    """:raises PublisherError: one that no catalogue holds; nothing was asked of it."""
    from vmimage.trust import is_host

    hosts = [text.lower().rstrip(".") for text in named]
    if wrong := [host for host in hosts if not is_host(host)]:
        raise PublisherError(
            f"a host name without port, path or wildcard expected, got {wrong[0]!r}: write an internationalised one as "
            "browsers send it, with xn--"
        )
    return hosts


def _require_proofs(
    name: str, hosts: Sequence[str], ways: Sequence[str], resolver: str | None, origin: str, keys: Path
) -> None:
    """:raises PublisherError: a host without one."""
    from typing import get_args

    from origin.commands import proving
    from origin.keys import load_trust
    from origin.publish.client import carry_out
    from origin.publish.tenants import keys_of

    asked: list[proving.Way] = [way for way in get_args(proving.Way) if way in ways]
    if unknown := sorted(set(ways) - {"none", *get_args(proving.Way)}):
        raise PublisherError(f"--proof: dns, http or none expected, got {unknown[0]!r}")
    if "none" in ways or not hosts:
        return
    keyids = carry_out(keys_of(name, load_trust(keys)), url=origin)
    server = None
    if resolver is not None:
        address, _, port = resolver.rpartition(":") if resolver.count(":") == 1 else (resolver, "", "53")
        if not port.isdigit():
            raise PublisherError(f"--resolver: ADDRESS[:PORT] expected, got {resolver!r}")
        server = address, int(port)
    for host in hosts:
        where = proving.find(asked, name, keyids, host, server)
        if not where:
            raise PublisherError(
                f"a proof that tenant {name} holds {host} expected, found none: the tenant puts there what "
                f"`nunatak tenant proof {host}` prints; if you know that it holds the host, give --proof none"
            )
        typer.echo(f"{host}: proved by the {where}", err=True)


def _carry_out(
    start: Callable[[Operator], Generator[Sequence[Request], Sequence[Response], _Result]], signatory: Signatory
) -> _Result:
    return signatory.carry_out(start(signatory.operator()))
