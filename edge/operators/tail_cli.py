"""`nunatak tail`: the requests of one service, as an edge answers them."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from edge.operators.cli import CacheOption, ServiceArgument, SocketOption, TokenOption, UrlOption
from vmimage.errors import OperatorError
from vmimage.text import plain

app = typer.Typer()


@app.command()
def tail(
    service: ServiceArgument,
    status: Annotated[
        str,
        typer.Option(
            help="Only these, with commas: 404, 5xx, 400-499, or gone where the client left before an answer began.",
            metavar="STATUS",
            show_default="all",
        ),
    ] = "",
    method: Annotated[str, typer.Option(help="Only these, with commas.", metavar="METHOD", show_default="all")] = "",
    client: Annotated[bool, typer.Option("--client", help="Show clients' addresses.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print an object in JSON for each.")] = False,
    cache: CacheOption = None,
    socket: SocketOption = None,
    url: UrlOption = "",
    token: TokenOption = None,
) -> None:
    """Follow the requests of a service as an edge answers them, those that it answers without a machine too.

    Of each: when it came, the status, the method, how long it took, whether it was a hit or from which tier its machine
    came, its identifier, and what it was for. Who reads too slowly loses some, and is told how many. Ctrl-C ends it.
    """
    from edge.operators.client import Door, follow
    from edge.operators.tail import methods, statuses
    from vmimage.manifest import is_name

    if not is_name(service):
        raise OperatorError(f"SERVICE: 1 to 63 of a-z 0-9 . _ - expected, got {service!r}: name a service")
    for option, text, read in (("--status", status, statuses), ("--method", method, methods)):
        try:
            read(text)
        except ValueError as error:
            raise OperatorError(f"{option}: {error}") from None
    query = {"service": service, "status": status, "method": method, "client": "1" if client else "0"}
    for event, data in follow(Door.of(cache, socket, url, token), "requests", query):
        if event == "following":
            absent = "" if data.get("known", True) else ", which is no service's name now"
            typer.echo(f"following {service}{absent}; Ctrl-C ends it", err=True)
        elif event == "requests":
            if data["lost"]:
                typer.echo(f"{data['lost']} requests lost here: they came faster than they were read", err=True)
            for each in data["requests"]:
                typer.echo(json.dumps(each, separators=(",", ":")) if as_json else line(each))
    raise OperatorError("the edge ended, or let nobody follow any more: see whether it still runs")


def line(request: Mapping[str, Any]) -> str:
    """A request as a line."""
    time = datetime.fromisoformat(request["time"]).astimezone()
    status = str(request["status"]) if request["status"] else "gone"
    words = [
        time.strftime("%H:%M:%S.") + f"{time.microsecond // 1000:03}",
        f"{status if request['whole'] or not request['status'] else f'{status} cut':7}",
        f"{request['method']:7}",
        f"{request['ms']:9.2f} ms",
        f"{_how(request):20}",
        request["id"],
        *([request["client"]] if "client" in request else []),
        f"{request['host']}{request['target']}",
    ]
    return plain("  ".join(words))


def _how(request: Mapping[str, Any]) -> str:
    if request["error"]:
        return str(request["error"])
    return " ".join(filter(None, (request["cache"], request["tier"]))) or "-"
