"""`nunatak parent`: run a parent. Its options are the fields of `ParentConfig`."""

import inspect
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from edge.common import log
from edge.common.verifying import never_sign
from edge.config.command_line import given_texts, option_parameter, parameter
from edge.parent.options import load_parent_config, parent_options

app = typer.Typer()


def parent(context: typer.Context, config: Path | None, verbose: bool, **texts: str | list[str]) -> None:
    """Run a parent: what edges and other parents fetch from in an origin's place.

    It keeps what it has fetched and verified, asks its own sources once for all who want the same, and has no machines
    and no keys. Each option is also a key of the file, as in source, and a variable of the environment, as
    NUNATAK_PARENT_SOURCE. SIGTERM ends it when what is under way is done; a second one ends it at once.
    """
    import uvloop

    never_sign()
    from edge.parent.serve import serve

    loaded = load_parent_config(config, given_texts(context, texts), os.environ)
    logging.getLogger().setLevel(logging.DEBUG if verbose else logging.INFO)
    log.send_to(log.opened(""))
    uvloop.run(serve(loaded))


_CONFIG = typer.Option(help="TOML file with the same options.", metavar="FILE", show_default="none")
_PARAMETERS = [
    parameter("context", typer.Context),
    *map(option_parameter, parent_options()),
    parameter("config", Annotated[Path | None, _CONFIG], None),
    parameter("verbose", Annotated[bool, typer.Option("--verbose", help="Log at level DEBUG.")], False),
]
# typer reads a command's options from its signature; this one comes from the configuration's fields.
parent.__signature__ = inspect.Signature(_PARAMETERS)  # type: ignore[attr-defined]
parent.__annotations__ = {each.name: each.annotation for each in _PARAMETERS}
app.command("parent")(parent)
