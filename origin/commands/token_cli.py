"""The commands `nunatak token`: tokens of tenants, for uploads, of edges, for logs, and of operators."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from origin.commands.shared import KeysOption
from vmimage.errors import OperatorError

if TYPE_CHECKING:
    from origin.model.tokens import For

token = typer.Typer(
    help="Make, list and remove tokens: of tenants for uploads, of edges for logs, of operators.", no_args_is_help=True
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
            help="Edge that sends logs with it (--log-token) and says how it is (--edge-token).",
            metavar="NAME",
            show_default="none",
        ),
    ] = None,
    pop: Annotated[
        str,
        typer.Option(
            help="POP of the edge, whose edges are its peers; without it is nobody's peer by the origin's list.",
            metavar="NAME",
            show_default="none",
        ),
    ] = "",
    weight: Annotated[
        float,
        typer.Option(
            help="Of the edge in its POP: of what its edges have together it has a share by this, so that one with "
            "twice the memory can have twice as much.",
            metavar="NUMBER",
        ),
    ] = 1.0,
    operator: Annotated[
        str | None,
        typer.Option(
            help="Operator for whom it is as good as the token of the key folder, which is not needed then.",
            metavar="NAME",
            show_default="none",
        ),
    ] = None,
) -> None:
    """Make a token and print it, which happens only once. A running origin accepts it from now on."""
    from origin.model.tokens import TOKENS_FILE
    from origin.model.tokens import add as add_token

    named: dict[For, str | None] = {"tenant": tenant, "edge": edge, "operator": operator}
    given = [(use, name) for use, name in named.items() if name is not None]
    if len(given) != 1:
        raise OperatorError("one of --tenant, --edge and --operator expected: say whom the token is for")
    [(use, name)] = given
    made, text = add_token(keys / TOKENS_FILE, use, name, datetime.now(UTC), pop, weight)
    typer.echo(f"token {made.id} for {made.use} {made.name}; remove it by `nunatak token remove {made.id}`", err=True)
    typer.echo(text)


@token.command("list")
def list_(keys: KeysOption) -> None:
    """List the tokens: identifier, tenant or edge, when it was made, of an edge its POP, and its weight if it is not 1.

    The tokens themselves cannot be shown.
    """
    from origin.model.tokens import TOKENS_FILE, load

    for entry in load(keys / TOKENS_FILE):
        weight = [f"weight={entry.weight:g}"] if entry.weight != 1 else []
        typer.echo(" ".join((entry.id, entry.use, entry.name, entry.made, *filter(None, (entry.pop,)), *weight)))


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
