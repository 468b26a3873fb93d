"""The command `nunatak whoami`: who one is at an origin, by key and by token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from origin.commands.shared import (
    JsonOption,
    KeysOption,
    OriginOption,
    PlainOption,
    TokenOption,
    WithKeyOption,
    load_signing,
    load_upload_token,
)
from vmimage.errors import OperatorError
from vmimage.text import plain

if TYPE_CHECKING:
    from origin.publish.authors import Signing
    from origin.publish.whoami import Self


def whoami(
    origin: OriginOption,
    keys: KeysOption,
    as_json: JsonOption = False,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Say who one is at an origin: which key and tenant, which services and hosts, and what the token opens until when.

    What the key may publish is signed by the operator; what the token opens is what the origin says. Nothing changes.
    """
    from origin.keys import load_trust
    from origin.publish import whoami as asking
    from origin.publish.client import carry_out

    signing, why_no_key = _signing(keys, with_key)
    token, why_no_token = _token(keys, token_file)
    exchange = asking.whoami(load_trust(keys), signing, with_token=token is not None)
    found = carry_out(exchange, url=origin, token=token, plain_http=plain_http)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
        return
    for name, text in _lines(found, why_no_key, why_no_token):
        typer.echo(plain(f"{name:<9} {text}"))


def _signing(keys: Path, with_key: list[str] | None) -> tuple[Signing | None, str]:
    try:
        return load_signing(keys, with_key), ""
    except OperatorError as error:
        if with_key:
            raise
        return None, str(error)


def _token(keys: Path, token_file: Path | None) -> tuple[str | None, str]:
    try:
        return load_upload_token(keys, token_file), ""
    except OperatorError as error:
        if token_file is not None:
            raise
        return None, str(error)


def _lines(found: Self, why_no_key: str, why_no_token: str) -> Iterator[tuple[str, str]]:
    if found.keys:
        whom = f"for tenant {found.signs_for}" if found.signs_for else "for the operator: bins of the catalogue"
        yield "key", f"{', '.join(key[:12] for key in found.keys)}, signs {whom}"
        yield "", "edges take what it signs" if found.trusted else "NO EDGE TAKES what it signs: it is not known there"
    else:
        yield "key", f"none: {why_no_key}"
    yield "services", _some(found.services)
    yield "hosts", _some(found.hosts)
    if found.said is None:
        yield "token", f"none: {why_no_token}"
        return
    yield from _of_token(found.said)
    if found.signs_for and not found.said.get("operator") and found.said["tenant"] != found.signs_for:
        yield "", f"TOKEN AND KEY are of two tenants: what {found.signs_for} signs, this token does not publish"


def _of_token(said: dict[str, Any]) -> Iterator[tuple[str, str]]:
    token = said["token"]
    whose = "the operator's" if said.get("operator") else f"tenant {said['tenant']}'s"
    made = {"shared": "of the key folder", "issued": f"of {token.get('issuer')} for {token.get('id')}"}
    ends = f"ends {token['ends']}" if token.get("ends") else "no end: `nunatak token remove` takes it away"
    yield "token", f"{whose}, {made.get(token.get('kind'), token.get('id'))}; {ends}"
    for what, which in said["opens"].items():
        yield "", f"opens {what}: {which if isinstance(which, str) else 'yes' if which else 'no'}"
    yield "at most", ", ".join(f"{number} {what}" for what, number in said["most"].items())


def _some(names: tuple[str, ...], most: int = 20) -> str:
    more = f" and {len(names) - most} more (--json)" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
