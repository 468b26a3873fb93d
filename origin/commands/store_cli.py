"""The commands `nunatak store`: what origins keep, as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from vmimage.errors import OperatorError

store = typer.Typer(help="Copy what an origin keeps: for a back-up, or to another place.", no_args_is_help=True)
_PLACE = "FOLDER|s3://BUCKET/PREFIX"


@store.callback()
def _commands() -> None:
    """More than one may come."""


@store.command()
def copy(
    source: Annotated[
        str, typer.Argument(help="Store that is copied; origins may serve it meanwhile.", metavar=f"FROM ({_PLACE})")
    ],
    target: Annotated[
        str, typer.Argument(help="Store that is written, which no origin serves.", metavar=f"TO ({_PLACE})")
    ],
) -> None:
    """Copy a store, while origins publish and renew in it: images, catalogue, tags, audit lines and logs.

    What is there already is not copied again. The copy is whole at the end, and says what was published when it was
    begun; one that was cut off is finished by the next. Never into one that is ahead.
    """
    from rich.filesize import decimal

    from origin.storage.blobs import NoAnswer
    from origin.storage.copying import copy as copying
    from origin.storage.opening import open_store

    if source.rstrip("/") == target.rstrip("/"):
        raise OperatorError(f"two stores expected, got {source} twice: name another as the second")
    from_, to = open_store(source, reading=True), open_store(target)
    try:
        done = copying(from_, to)
    except OSError as error:
        said = error.detail if isinstance(error, NoAnswer) else error.strerror or error
        raise OperatorError(f"the copy is not whole: {said}: see to that, and run it again") from None
    finally:
        to.close()
    typer.echo(f"copied: {done.objects} objects, {decimal(done.size)}; there already: {done.there}")
