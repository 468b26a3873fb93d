"""The commands `nunatak token`: tokens of tenants, for uploads, and of edges, for logs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmimage.errors import OperatorError

if TYPE_CHECKING:
    from origin.model.tokens import For

token = typer.Typer(help="Tokens of tenants, for uploads, and of edges, for logs.", no_args_is_help=True)

KeysOption = Annotated[
    Path, typer.Option("--keys", envvar="NUNATAK_KEYS", help="Key folder that `nunatak keygen` made.", metavar="DIR")
]


@token.command()
def add(
    keys: KeysOption,
    tenant: Annotated[
        str | None, typer.Option(help="For uploads of this tenant's services and hosts, and no others.", metavar="NAME")
    ] = None,
    edge: Annotated[
        str | None, typer.Option(help="For logs that this edge sends (--log-token).", metavar="NAME")
    ] = None,
) -> None:
    """Make a token and print it, this once. A running origin takes it at once."""
    from origin.model.tokens import TOKENS_FILE
    from origin.model.tokens import add as add_token

    if (tenant is None) == (edge is None):
        raise OperatorError("either --tenant or --edge expected")
    use: For = "tenant" if tenant is not None else "edge"
    made, text = add_token(keys / TOKENS_FILE, use, tenant or edge or "", datetime.now(UTC))
    typer.echo(f"token {made.id} for {made.use} {made.name}; remove it by `nunatak token remove {made.id}`", err=True)
    typer.echo(text)


@token.command("list")
def list_(keys: KeysOption) -> None:
    """Show which tokens there are: identifier, whom for, and since when. Nobody can show the tokens themselves."""
    from origin.model.tokens import TOKENS_FILE, load

    for entry in load(keys / TOKENS_FILE):
        typer.echo(f"{entry.id} {entry.use} {entry.name} {entry.made}")


@token.command()
def remove(
    id_: Annotated[str, typer.Argument(help="Identifier, see `nunatak token list`.", metavar="ID")], keys: KeysOption
) -> None:
    """Take a token away. A running origin refuses it at once."""
    from origin.model.tokens import TOKENS_FILE
    from origin.model.tokens import remove as remove_token

    gone = remove_token(keys / TOKENS_FILE, id_)
    typer.echo(f"token {gone.id} for {gone.use} {gone.name} is no longer taken")
