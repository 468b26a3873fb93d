"""Whether sources answer, asked once from the command line: for `doctor` and `edge --check`, never by an edge itself.

Blocking. One request each, without credentials; nothing of the answers is believed.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import urllib3

from edge.config.sources import Place

PATIENCE_S: Final = 3.0  # for a connection, and for an answer


class Probed(NamedTuple):
    """What came of asking one source."""

    place: Place
    problem: str  # empty where it answers as one should


def probed(places: Sequence[Place]) -> list[Probed]:
    """Ask all of them at once, in order."""
    with urllib3.PoolManager(timeout=PATIENCE_S, retries=False) as pool, ThreadPoolExecutor(len(places)) as threads:
        return list(threads.map(lambda place: Probed(place, _problem(pool, place)), places))


def _problem(pool: urllib3.PoolManager, place: Place) -> str:
    url = f"{place.metadata_url}timestamp.json" if place.metadata_url else f"{place.base}/v2/"
    # A registry that wants a token is well (distribution specification, "Determining Support").
    expected = (200, 301, 302, 307, 308) if place.metadata_url else (200, 401)
    try:
        response = pool.request("GET", url, preload_content=False, redirect=False)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        return f"{url}: {error}"
    response.close()
    return "" if response.status in expected else f"{url}: status {expected[0]} expected, got {response.status}"
