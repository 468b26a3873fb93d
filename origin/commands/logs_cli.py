"""The command `nunatak logs`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from origin.commands.shared import KeysOption, OriginOption, PlainOption, TokenOption, load_upload_token
from vmimage import oci
from vmimage.errors import OriginError, OriginUnreachable, PublisherError
from vmimage.manifest import is_name
from vmimage.text import plain

if TYPE_CHECKING:
    import urllib3

FOLLOW_WAIT_S: Final = 20
TRIES: Final = 5  # to reach an origin whose log is followed
NOWHERE: Final = (403, 404)  # to a tenant a service that nobody knows is as another's


def logs(
    service: Annotated[str, typer.Argument(help="Name of the service.", metavar="SERVICE")],
    origin: OriginOption,
    keys: KeysOption,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing as lines come.")] = False,
    log: Annotated[
        str | None,
        typer.Option(
            help="Log disk to print alone; - stands for lines of nk_log and the console.",
            metavar="NAME",
            show_default="all of them",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as edges wrote them.")] = False,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Print what a service has logged, on all edges."""
    from origin.model.exchange import refuse_plain_http

    if not is_name(service):
        raise PublisherError(
            f"the name of a service, 1 to 63 of a-z 0-9 . _ -, expected, got {service!r}: check the name"
        )
    refuse_plain_http(origin, plain_http)
    token = load_upload_token(keys, token_file)
    url = f"{origin.rstrip('/')}/logs/{service}"
    place = printed = 0
    wait_s = 0
    while True:
        answer = _ask(f"{url}?after={place}&wait={wait_s}", token, wait_s, TRIES if follow else 1)
        if answer.status in NOWHERE:
            _explain(service, origin, keys)
        if answer.status != 200:
            said = oci.reason(answer.data) or "no reason given"
            raise OriginError(f"{url}: status 200 expected, got {answer.status}: {said}")
        printed += sum(_print_line(line, log, as_json) for line in answer.data.splitlines())
        next_place = int(answer.headers.get("Nunatak-Next", place))
        at_end = next_place == place
        if at_end and not wait_s and not printed:
            _say_empty(service, log if place else None, follow)
        if at_end and not follow:
            return
        place, wait_s = next_place, FOLLOW_WAIT_S if at_end else 0


def _ask(url: str, token: str, wait_s: int, tries: int) -> urllib3.BaseHTTPResponse:
    import urllib3

    for attempt in range(tries):
        try:
            return urllib3.request(
                "GET",
                url,
                headers={"Authorization": f"Bearer {token}"},
                timeout=urllib3.Timeout(connect=5, read=wait_s + 15),
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            if attempt + 1 == tries:
                raise OriginUnreachable(f"{url}: {error}") from None
            time.sleep(2**attempt)
    raise ValueError(f"at least one try expected, got {tries}")


def _explain(service: str, origin: str, keys: Path) -> None:
    """Say that there is no such service, and which names are close, where the catalogue can be read.

    :raises PublisherError: so it is.
    """
    from origin.keys import load_trust
    from origin.publish.client import carry_out
    from origin.publish.listing import all_services, unknown
    from vmimage.errors import OperatorError

    try:
        records = carry_out(all_services(load_trust(keys)), url=origin)
    except OperatorError:  # a key folder with the token alone: the origin's own words must do
        return
    if all(record.service != service for record in records):
        raise PublisherError(
            f"a service of this origin expected, got {unknown(service, records)}: `nunatak services list` has the names"
        )


def _say_empty(service: str, log: str | None, follow: bool) -> None:
    what = "" if log is None else f" on log disk {log}" if log != "-" else " with nk_log or on the console"
    hint = "; waiting for lines" if follow else ": edges send logs where they have a log token (--log-token)"
    typer.echo(f"{service} has logged nothing yet{what}{hint}", err=True)


def _print_line(line: bytes, log: str | None, as_json: bool) -> bool:
    """Whether it is one of those that are wanted."""
    try:
        entry = json.loads(line)
        if log is not None and entry["log"] != ("" if log == "-" else log):
            return False
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(entry["at"])) + f"{entry['at'] % 1:.3f}"[1:] + "Z"
        shown = f"{at} {entry['log'] or '-'} {entry.get('text', entry.get('data'))}"
    except (ValueError, TypeError, LookupError, OverflowError, OSError, RecursionError, AttributeError):
        raise OriginError(f"lines of JSON as edges write them expected, got {line[:200]!r}") from None
    # As JSON again and not as it came: escapes for all that is not ASCII.
    typer.echo(json.dumps(entry, separators=(",", ":")) if as_json else plain(shown))
    return True
