"""The command `nunatak audit`: does an origin, and what stands in its place, show everybody one catalogue?"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from origin.commands.shared import JsonOption
from vmimage.errors import OperatorError, OriginError, VerificationError

if TYPE_CHECKING:  # imported when it is needed: `nunatak --help` stays quick
    from origin.publish.auditor import Alarm, Known, Look

ALARMED: Final = 1  # the exit code: somebody was lied to
ENTRY_PAUSE_S: Final = 1.0  # between looks for an entry that is not there yet

SourcesOption = Annotated[
    list[str],
    typer.Option(
        "--origin",
        envvar="NUNATAK_ORIGIN",
        help="URL of an origin, or of a mirror of it; may be repeated, and then all must show one log.",
        metavar="URL",
    ),
]


def audit(
    origin: SourcesOption,
    trust: Annotated[Path, typer.Option(help="Trust root, root.json of the key folder.", metavar="FILE")],
    state: Annotated[
        Path,
        typer.Option(help="File that keeps what was seen; it is made if missing.", metavar="FILE"),
    ],
    every: Annotated[
        int | None,
        typer.Option(
            min=1, max=86400, help="Look again after so long.", metavar="SECONDS", show_default="none, it looks once"
        ),
    ] = None,
    grace: Annotated[
        int,
        typer.Option(
            min=0, max=3600, help="How long a snapshot that is served may have no entry in the log.", metavar="SECONDS"
        ),
    ] = 30,
    as_json: JsonOption = False,
) -> None:
    """Audit an origin by its log of snapshots: nobody was shown a catalogue that others were not.

    It ends with status 1 and says why where it finds two snapshots of one version, a second log, a shorter log, or a
    snapshot without an entry. What was known before stays in the state, with the checkpoint that its signer cannot
    deny. An origin that gives no proper answer is named, and the others are looked at all the same; with --every it is
    asked again then, else this, too, ends with status 1.
    """
    from origin.publish.auditor import UNREACHABLE, read_state

    known = read_state(_read(state)) if state.exists() else {}
    root = _read(trust)
    while True:
        looks, alarms = _look_at(origin, root, known, grace)
        known |= {url: found.known for url, found in looks.items()}
        _keep(state, known)
        _say(looks, alarms, as_json=as_json)
        kinds = {alarm.kind for found in alarms.values() for alarm in found}
        if kinds - {UNREACHABLE} or (kinds and not every):
            raise typer.Exit(ALARMED)
        if not every:
            return
        time.sleep(every)


def _look_at(
    urls: Sequence[str], root: bytes, known: Mapping[str, Known], grace_s: int
) -> tuple[dict[str, Look], dict[str, list[Alarm]]]:
    looks: dict[str, Look] = {}
    alarms: dict[str, list[Alarm]] = {}
    for url in urls:
        found, alarms[url] = _look(url, root, known, grace_s)
        if found is not None:
            looks[url] = found
    by_size = sorted(looks, key=lambda url: looks[url].checkpoint.size)
    for smaller, larger in pairwise(by_size):
        alarms[larger] += _compared(larger, looks[smaller], looks[larger])
    return looks, alarms


def _look(url: str, root: bytes, known: Mapping[str, Known], grace_s: int) -> tuple[Look | None, list[Alarm]]:
    from origin.publish.auditor import LOOK_S, UNREACHABLE, Alarm, Known, look
    from origin.publish.client import carry_out

    until = time.monotonic() + grace_s
    while True:
        try:
            found = carry_out(look([root], known.get(url, Known())), url=url, within_s=LOOK_S)
        except VerificationError as error:
            return None, [Alarm("unverifiable", str(error))]
        except OriginError as error:
            return None, [Alarm(UNREACHABLE, str(error))]
        if [alarm.kind for alarm in found.alarms] != ["unlogged"] or time.monotonic() >= until:
            return found, list(found.alarms)
        time.sleep(ENTRY_PAUSE_S)


def _compared(url: str, smaller: Look, larger: Look) -> list[Alarm]:
    from origin.publish.auditor import LOOK_S, UNREACHABLE, Alarm, compare
    from origin.publish.client import carry_out

    try:
        return carry_out(compare(smaller.checkpoint, larger.checkpoint), url=url, within_s=LOOK_S)
    except OriginError as error:
        return [Alarm(UNREACHABLE, str(error))]


def _say(looks: Mapping[str, Look], alarms: Mapping[str, list[Alarm]], *, as_json: bool) -> None:
    for url, found in alarms.items():
        seen = looks.get(url)
        if as_json:
            typer.echo(json.dumps(_about(url, seen, found)))
            continue
        if seen is not None and not found:
            typer.echo(f"{url}: snapshot {seen.served.version}, {seen.checkpoint.size} entries, one log")
        for alarm in found:
            typer.echo(f"{url}: {alarm.kind}: {alarm.text}", err=True)


def _about(url: str, seen: Look | None, alarms: list[Alarm]) -> dict[str, Any]:
    about: dict[str, Any] = {"origin": url, "alarms": [alarm._asdict() for alarm in alarms]}
    if seen is not None:
        about |= {"snapshot": seen.served.version, "entries": seen.checkpoint.size, "root": seen.checkpoint.root.hex()}
    return about


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(f"a file that can be read expected, got {path}: {error.strerror}: name another") from None


def _keep(path: Path, known: Mapping[str, Known]) -> None:
    from origin.keys import replace_private
    from origin.publish.auditor import write_state

    replace_private(path, write_state(known))
