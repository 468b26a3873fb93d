"""By whom a command signs, and the origin that it is sent to: the same for every command that publishes something."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import typer

from origin.commands.shared import load_operator, load_signing, load_upload_token
from origin.commands.waiting import wait_for_edges
from vmimage.errors import NunatakError

if TYPE_CHECKING:  # imported when it is needed: `nunatak --help` stays quick
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from origin.model.elsewhere import Elsewhere
    from origin.publish.client import Exchange
    from origin.publish.releases import Publisher
    from origin.publish.tenants import Operator
    from vmimage.trust import Trust

_Result = TypeVar("_Result")


class Signatory(NamedTuple):
    """What --origin, --keys, --with-key, --token-file and --plain-http say; files are read when they are asked for."""

    origin: str
    keys: Path
    with_key: Sequence[str] | None
    token_file: Path | None
    plain_http: bool

    def trust(self) -> Trust:
        """:raises OperatorError: the key folder has none."""
        from origin.keys import load_trust

        return load_trust(self.keys)

    def publisher(self) -> Publisher:
        """As who publishes services: a tenant with keys of its own, or the operator.

        :raises OperatorError: a key is missing, or others may read it.
        """
        from origin.publish.releases import Publisher

        return Publisher(self.trust(), load_signing(self.keys, self.with_key), now(), warn)

    def operator(self) -> Operator:
        """As the operator, where no tenant may.

        :raises OperatorError: as `publisher`, or the key folder is a tenant's.
        """
        from origin.publish.tenants import Operator

        return Operator(self.trust(), load_operator(self.keys, self.with_key), now(), warn)

    def carry_out(self, exchange: Exchange[_Result], *, registry: Elsewhere | None = None) -> _Result:
        """Have the origin do it, with a bar on a terminal while something is sent.

        :raises NunatakError: as `origin.publish.client.carry_out`, or there is no token.
        """
        from origin.publish.client import carry_out
        from origin.publish.progress import upload_bar

        token = load_upload_token(self.keys, self.token_file)
        with upload_bar() as progress:
            return carry_out(
                exchange,
                url=self.origin,
                token=token,
                progress=progress,
                plain_http=self.plain_http,
                registry=registry,
            )

    def warn_of_pops(self, pops: Iterable[str] | None) -> None:
        """Say which of these POPs no live edge says that it is in, to whom may see the fleet: an operator."""
        from origin.publish.client import carry_out
        from origin.publish.fleet import show

        if not pops:
            return
        token = load_upload_token(self.keys, self.token_file)
        try:
            edges = carry_out(show(), url=self.origin, token=token, plain_http=self.plain_http)["edges"]
        except NunatakError:
            return
        there = {edge.get("pop") for edge in edges if edge.get("live")}
        for pop in sorted(set(pops) - there):
            warn(f"no live edge says that it is in POP {pop}: `nunatak fleet list` has those that say where they are")

    def wait(self, seconds: float | None) -> None:
        """As `--wait` says.

        :raises typer.Exit: live edges have not applied it.
        """
        if seconds is not None:
            token = load_upload_token(self.keys, self.token_file)
            wait_for_edges(seconds, self.origin, token, self.plain_http)


def warn(line: str) -> None:
    """What is done all the same, and should be known."""
    typer.echo(f"warning: {line}", err=True)


def now() -> datetime:
    """The time from which on what is signed is good."""
    return datetime.now(UTC)
