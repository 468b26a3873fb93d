"""`nunatak purge`: what an edge keeps of services' answers is void from now on."""

import json
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from edge.model.flow import ClientError
from edge.operators.cli import CacheOption, SocketOption
from vmimage.errors import OperatorError
from vmimage.text import plain

app = typer.Typer()

_Many = list[str] | None


@app.command()
def purge(
    service: Annotated[
        str,
        typer.Argument(
            help="All answers of this service, or those with --tag.", metavar="SERVICE", show_default="none"
        ),
    ] = "",
    url: Annotated[
        _Many, typer.Option(help="The answers for a URL, all variants.", metavar="URL", show_default="none")
    ] = None,
    prefix: Annotated[
        _Many, typer.Option(help="Those for all URLs that begin so.", metavar="URL", show_default="none")
    ] = None,
    tag: Annotated[
        _Many, typer.Option(help="Those with a tag, of SERVICE or of all services.", metavar="TAG", show_default="none")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those of all services.")] = False,
    soft: Annotated[
        bool, typer.Option("--soft", help="Make them stale: they are validated, or stand in while their guest fails.")
    ] = False,
    cache: CacheOption = None,
    socket: SocketOption = None,
    url_of_edge: Annotated[
        str,
        typer.Option(
            "--edge", help="Address of the edge's operators' pages.", metavar="http://HOST:PORT", show_default="none"
        ),
    ] = "",
    token: Annotated[
        Path | None, typer.Option(help="File with the token for --edge.", metavar="FILE", show_default="none")
    ] = None,
) -> None:
    """Purge answers that an edge keeps; when it returns none of them is served any more.

    Each purge is noted in the edge's audit log. The exit code is 1 if the edge refuses, or if the catalogue has no
    such service, or none with the host of a URL.
    """
    from edge.operators import purging
    from edge.operators.client import Door, ask

    pairs = [
        *(("service", name) for name in [service] if name),
        *(("uri", text) for text in url or ()),
        *(("prefix", text) for text in prefix or ()),
        *(("tag", text) for text in tag or ()),
        *((name, "1") for name, given in (("all", everything), ("soft", soft)) if given),
    ]
    if not any(name != "soft" for name, _ in pairs):
        raise OperatorError("SERVICE, --url, --prefix, --tag or --all must be given: say what to purge")
    try:
        purging.purges_of(urlencode(pairs))
    except ClientError:
        said = ", ".join(text for name, text in pairs if name in ("service", "uri", "prefix", "tag"))
        raise OperatorError(
            f"a service's name, a URL with its host, or a tag expected, at most {purging.SELECTORS_MAX} of them, "
            f"got {said[:200]!r}: write it as in `nunatak purge --help`"
        ) from None
    status, body = ask(Door.of(cache, socket, url_of_edge, token, option="--edge"), "purge", pairs, "POST")
    if status >= 400:
        typer.echo(plain(f"the edge refuses: {body.decode('utf-8', 'replace').rstrip()}", lines=True), err=True)
        raise typer.Exit(1)
    sys.stdout.buffer.write(body)
    unknown = json.loads(body).get("unknown", [])
    for name in unknown:
        typer.echo(plain(f"{name}: the catalogue has none of this name, so nothing was kept for it"), err=True)
    raise typer.Exit(int(bool(unknown)))
