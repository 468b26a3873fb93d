"""`--wait`: a command answers when every live edge has applied what it did, and names those that have not."""

from __future__ import annotations

from typing import Annotated, Final

import typer

EXIT_LAGGING: Final = 3  # it is done, and some edges have not applied it in time
WAIT_S: Final = 10.0  # a bare --wait

WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait",
        min=0.1,
        max=3600,
        help="Answer when every live edge has applied it, at the latest after so many seconds. The exit code is "
        f"{EXIT_LAGGING} when some have not, which are named.",
        metavar="SECONDS",
        show_default="it is not waited",
    ),
]


def wait_for_edges(seconds: float | None, origin: str, token: str, plain_http: bool, seq: int | None = None) -> None:
    """Wait, where it is wanted.

    :param seq: number of the event; None: the last one.
    :raises typer.Exit: live edges have not applied it.
    """
    if seconds is None:
        return
    from origin.publish.client import carry_out
    from origin.publish.fleet import wait
    from vmimage.text import plain

    reached = carry_out(wait(seconds, seq), url=origin, token=token, plain_http=plain_http)
    times = f": p50 {reached.p50_ms:g} ms, p99 {reached.p99_ms:g} ms" if reached.p50_ms is not None else ""
    typer.echo(f"event {reached.seq} is applied by {len(reached.applied)} live edges{times}")
    if reached.lagging:
        typer.echo(plain(f"not in {seconds:g} s by: {' '.join(reached.lagging)}"), err=True)
        raise typer.Exit(EXIT_LAGGING)
