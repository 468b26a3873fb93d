"""The command `nunatak renew`: what is signed by hand, signed anew before it ends, or by new keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from origin.commands.shared import KeysOption, OriginOption, PlainOption, TokenOption
from vmimage.errors import PublisherError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securesystemslib.signer import Signer


def renew(
    origin: OriginOption,
    keys: KeysOption,
    roles: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to sign anew: root, targets (both with the offline keys), bins (with the publisher's).",
            metavar="ROLE...",
            show_default="root targets bins",
        ),
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option(
            help="Role that gets a new key in the key folder: root, targets, snapshot, timestamp or publisher; may be "
            "repeated. What the old key has signed is signed again, and as many keys have to sign as before.",
            metavar="ROLE",
            show_default="none",
        ),
    ] = None,
    with_key: Annotated[
        list[str] | None,
        typer.Option(
            help="Another key of root or targets, where more than one has to sign: a file, env:NAME, or KEYID=SOURCE "
            "of a token or key service; may be repeated.",
            metavar="KEY",
            show_default="none",
        ),
    ] = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Sign root, targets and bins anew, each good for a year from now, and publish them. Edges follow by themselves.

    Needs the operator's token and the private keys of what it signs. The origin renews snapshot and timestamp itself.
    """
    from origin.keys import (
        TOKEN_FILE,
        folder_signers,
        load_signer,
        load_token,
        load_top,
        load_trust,
        new_signer,
        settle,
    )
    from origin.model.signers import signer
    from origin.publish.client import carry_out
    from origin.publish.renew import ROLES, Plan, needed
    from origin.publish.renew import renew as renewing
    from vmimage.trust import KEY_ROLES, OFFLINE_ROLES

    new = sorted(set(replace or ()))
    wanted = frozenset(roles) if roles else (needed(new) if new else frozenset(ROLES))
    if unknown := sorted(wanted - set(ROLES)):
        raise PublisherError(f"{', '.join(ROLES)} expected, got {unknown[0]!r}: the origin renews the others itself")
    if unknown := sorted(set(new) - set(KEY_ROLES)):
        raise PublisherError(f"--replace: one of {', '.join(KEY_ROLES)} expected, got {unknown[0]!r}")
    wanted |= needed(new)
    others = [signer(source, load_trust(keys).root.keys.values()) for source in with_key or ()]
    signers: dict[str, Sequence[Signer]] = {
        role: [*(folder_signers(keys, role) or ([] if others else [load_signer(keys, role)])), *others]
        for role in OFFLINE_ROLES
        if role in wanted
    }
    publisher = load_signer(keys, "publisher") if "bins" in wanted and "publisher" not in new else None
    root, targets = load_top(keys)
    token = load_token(token_file or keys / TOKEN_FILE)
    old = {role: load_signer(keys, role).public_key.keyid for role in new}
    plan = Plan.of(wanted, signers, publisher, {role: new_signer(keys, role) for role in new}, old)
    exchange = renewing(plan, root, targets, datetime.now(UTC))
    done = carry_out(exchange, url=origin, token=token, plain_http=plain_http)
    settle(keys, [root, *done.roots], done.targets, new)
    for line in done.lines:
        typer.echo(line)
    for role in new:
        typer.echo(f"{keys / f'{role}.key'}: a new key; the one before is {role}.key.old", err=True)
