"""Whether what operators name is in the catalogue: what names nothing is done all the same, and said.

Kept answers and requests may be of a service that this edge has not met yet, so its own list does not decide.
"""

import asyncio
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from edge.cache.purges import Purge
from edge.catalogue.directory import Directory
from edge.catalogue.names import Kind
from vmimage.errors import NunatakError, UnknownService

LOOK_S: Final = 5.0  # for the catalogue to be asked


async def is_there(directory: Directory, kind: Kind, name: str) -> bool:
    """Whether there is such a service or host, held ones too; True also where nobody can say."""
    try:
        async with asyncio.timeout(LOOK_S):
            if kind == "host" and await directory.serves_names() and name == directory.service_host:
                return True
            await directory.find(kind, name)
    except UnknownService:
        return False
    except (NunatakError, TimeoutError):
        return True
    return True


async def nameless(directory: Directory, purges: Iterable[Purge]) -> list[str]:
    """What purges name that is not there: services, and the hosts of URLs."""
    wanted = list(dict.fromkeys(filter(None, map(named, purges))))
    there = await asyncio.gather(*(is_there(directory, kind, name) for kind, name in wanted))
    return [f"{kind} {name}" for (kind, name), known in zip(wanted, there, strict=True) if not known]


def named(purge: Purge) -> tuple[Kind, str] | None:
    """The service or host that a purge is for; None where it is for any."""
    if purge.service:
        return "service", purge.service
    if purge.kind in ("uri", "prefix") and not purge.selector.startswith("/"):
        return "host", urlsplit(f"//{purge.selector}").hostname or ""
    return None
