"""What this room remembers over a restart: small JSON files of the edge's own, of which a damaged one costs a line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from edge.common import log

_logger: Final = log.logger("releases")
_Kept = TypeVar("_Kept")


def read_kept(path: Path, at_most: int, parse: Callable[[Any], dict[str, _Kept]], event: str) -> dict[str, _Kept]:
    """What a file holds; nothing where there is none, or none that can be used, which is logged as `event`.

    :param at_most: bytes. :param parse: takes the JSON; may raise ValueError, TypeError, LookupError, AttributeError.
    """
    try:
        with path.open("rb") as file:
            data = file.read(at_most + 1)
        if len(data) > at_most:
            raise ValueError(f"at most {at_most} bytes expected")
        return parse(json.loads(data))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        _logger.error(log.line(event, file=path, error=error))
        return {}
