"""What operators and publishers ask of an origin about its fleet: who is there, purges for all, who has applied what.

Decisions without I/O, as `origin.publish.publish`.
"""

import json
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from origin.model.exchange import Request, Response, expect
from vmimage.canonical import canonical_json
from vmimage.errors import FormatError, OriginError, PublisherError
from vmimage.purges import Purge, parse_purges

ASKED_S: Final = 30.0  # of a wait that are asked for at once; it is asked again until its end
SLACK_S: Final = 10.0

_Result = TypeVar("_Result")
Exchange = Generator[Sequence[Request], Sequence[Response], _Result]


@dataclass(frozen=True)
class Reached:
    """How far an event has got."""

    seq: int
    applied: tuple[str, ...]  # edges that have applied it
    lagging: tuple[str, ...]  # live edges that have not
    p50_ms: float | None  # from its number to the origin's knowing that an edge has applied it
    p99_ms: float | None


def show() -> Exchange[dict[str, Any]]:
    """The feed, and every edge that is known, as the origin has them.

    :raises PublisherError: another token than the operator's.
    :raises OriginError: no proper answer.
    """
    [response] = yield [Request("GET", "/fleet")]
    expect(response, 200, "fleet")
    found = _object(response)
    edges, feed = found.get("edges"), found.get("feed")
    if not isinstance(edges, list) or not isinstance(feed, dict) or not all(isinstance(each, dict) for each in edges):
        raise OriginError("fleet: a list of edges expected: is it an origin?")
    return found


def released(service: str) -> Exchange[dict[str, Any]]:
    """What live edges report of a service's release.

    :raises PublisherError: a token that may not read of it.
    :raises OriginError: no proper answer.
    """
    return (yield from _reported("release", f"/fleet/releases/{service}"))


def settings_reported() -> Exchange[dict[str, Any]]:
    """What live edges report of the fleet settings.

    :raises PublisherError: another token than the operator's.
    :raises OriginError: no proper answer.
    """
    return (yield from _reported("settings", "/fleet/settings"))


def _reported(what: str, path: str) -> Exchange[dict[str, Any]]:
    [response] = yield [Request("GET", path)]
    expect(response, 200, what)
    found = _object(response)
    if not isinstance(found.get("edges"), list) or not all(isinstance(each, dict) for each in found["edges"]):
        raise OriginError(f"{what}: a list of edges expected: is it an origin?")
    return found


@dataclass(frozen=True)
class Purged:
    """What became of purges."""

    seq: int  # number of the event
    unknown: tuple[str, ...]  # services that were named and that there never were
    unknown_hosts: tuple[str, ...]  # of URLs, which no service has


def purge(purges: Iterable[Purge]) -> Exchange[Purged]:
    """Have all edges void what they keep.

    :raises PublisherError: a purge that can mean nothing, or that the token is not for.
    :raises OriginError: no proper answer.
    """
    said = [each.to_json() for each in purges]
    try:
        parse_purges(said)
    except FormatError as error:
        raise PublisherError(f"{error}: write it as in `nunatak fleet purge --help`") from None
    [response] = yield [Request("POST", "/fleet/purge", canonical_json({"purges": said}), "application/json")]
    expect(response, 201, "purge")
    found = _object(response)
    seq, unknown, hosts = found.get("seq"), found.get("unknown", []), found.get("unknown_hosts", [])
    if type(seq) is not int or not isinstance(unknown, list) or not isinstance(hosts, list):
        raise OriginError(f"purge: the number of its event expected, got {seq!r:.80}: is it an origin?")
    return Purged(seq, tuple(map(str, unknown)), tuple(map(str, hosts)))


def wait(seconds: float, seq: int | None = None) -> Exchange[Reached]:
    """Who has applied an event, as soon as all live edges have, at the latest after this time.

    :param seq: its number; None: the last one.
    :raises OriginError: no proper answer.
    """
    left = seconds
    while True:
        asked = min(left, ASKED_S)
        path = f"/fleet/wait?seconds={asked:g}" + ("" if seq is None else f"&seq={seq}")
        [response] = yield [Request("GET", path, silence_s=asked + SLACK_S)]
        expect(response, 200, "wait")
        found = _reached(_object(response))
        seq, left = found.seq, left - asked
        if not found.lagging or left <= 0:
            return found


def _reached(found: dict[str, Any]) -> Reached:
    try:
        times = found["p50_ms"], found["p99_ms"]
        if not all(each is None or isinstance(each, int | float) for each in times) or type(found["seq"]) is not int:
            raise ValueError
        return Reached(found["seq"], tuple(map(str, found["applied"])), tuple(map(str, found["lagging"])), *times)
    except (LookupError, TypeError, ValueError):
        raise OriginError("wait: who has applied an event expected: is it an origin?") from None


def _object(response: Response) -> dict[str, Any]:
    try:
        found = json.loads(response.body)
        if not isinstance(found, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise OriginError("an object of JSON expected: is it an origin?") from None
    return found
