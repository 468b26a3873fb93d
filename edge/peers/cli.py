"""`nunatak peer-certificate`: by what the other edges of a POP know this one."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("peer-certificate")
def peer_certificate(
    cache: Annotated[Path, typer.Option(help="The edge's cache folder.", metavar="FOLDER")],
) -> None:
    """Print the SHA-256 of the certificate that an edge shows its peers; made if there is none yet."""
    from edge.common.private import private_folder
    from edge.peers.identity import load_identity

    private_folder(cache)
    typer.echo(load_identity(cache).sha256)
