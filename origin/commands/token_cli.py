"""The commands `nunatak token`: tokens of tenants, for uploads, and of edges, for logs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from origin.commands.shared import KeysOption
from vmimage.errors import OperatorError

if TYPE_CHECKING:
    from origin.model.tokens import For

token = typer.Typer(
    help="Make, list and remove tokens: of tenants for uploads, of edges for logs.", no_args_is_help=True
)


@token.command()
def add(
    keys: KeysOption,
    tenant: Annotated[
        str | None,
        typer.Option(
            help="Tenant whose services and hosts, and no others, it opens for uploads.",
            metavar="NAME",
            show_default="none",
        ),
    ] = None,
    edge: Annotated[
        str | None,
        typer.Option(
            help="Edge that sends logs with it (--log-token).",
            metavar="NAME",
            show_default="none",
        ),
    ] = None,
) -> None:
    """Make a token and print it, which happens only once. A running origin accepts it from now on."""
    from origin.model.tokens import TOKENS_FILE
    from origin.model.tokens import add as add_token

    if (tenant is None) == (edge is None):
        raise OperatorError("either --tenant or --edge expected: say whom the token is for")
    use: For = "tenant" if tenant is not None else "edge"
    made, text = add_token(keys / TOKENS_FILE, use, tenant or edge or "", datetime.now(UTC))
    typer.echo(f"token {made.id} for {made.use} {made.name}; remove it by `nunatak token remove {made.id}`", err=True)
    typer.echo(text)


@token.command("list")
def list_(keys: KeysOption) -> None:
    """List the tokens: identifier, tenant or edge, and when it was made. The tokens themselves cannot be shown."""
    from origin.model.tokens import TOKENS_FILE, load

    for entry in load(keys / TOKENS_FILE):
        typer.echo(f"{entry.id} {entry.use} {entry.name} {entry.made}")


@token.command()
def remove(
    id_: Annotated[
        str, typer.Argument(help="Identifier of the token, which `nunatak token list` shows.", metavar="ID")
    ],
    keys: KeysOption,
) -> None:
    """Remove a token. A running origin refuses it from now on."""
    from origin.model.tokens import TOKENS_FILE
    from origin.model.tokens import remove as remove_token

    gone = remove_token(keys / TOKENS_FILE, id_)
    typer.echo(f"token {gone.id} for {gone.use} {gone.name} is no longer taken")
