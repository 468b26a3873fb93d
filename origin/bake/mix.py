"""What a world is made of: programs and how many services each has of the whole, as `nunatak world --mix` says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from vmimage.errors import PublisherError

WEIGHT_MAX: Final = 1000
FOLDER: Final = Path(str(files("libos"))) / "examples" / "world"
SAMPLES: Final[Mapping[str, Path]] = {
    "c": FOLDER / "shop.c",
    "js": FOLDER / "quotes.js",
    "lua": FOLDER / "diary.lua",
}


@dataclass(frozen=True)
class Share:
    """One program and its weight beside the others."""

    source: Path
    weight: int = 1


def parse_mix(text: str) -> tuple[Share, ...]:
    """`c=3,js=2,lua=1`, `c,js`, or paths of sources in place of these names.

    :raises PublisherError: no program, one that is not there or is named twice, or a weight out of 1 to 1000.
    """
    shares = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, weight = part.rpartition("=")
        if not equals:
            name, weight = part, "1"
        if not (weight.isascii() and weight.isdigit() and 1 <= int(weight) <= WEIGHT_MAX):
            raise PublisherError(f"--mix: a weight of 1 to {WEIGHT_MAX} expected, got {part!r}")
        source = SAMPLES.get(name) or Path(name)
        if not source.exists():
            raise PublisherError(f"--mix: {', '.join(SAMPLES)} or a program's path expected, got {name!r}")
        shares.append(Share(source, int(weight)))
    if not shares:
        raise PublisherError(f"--mix: programs such as c=3,js=2,lua=1 expected, got {text!r}")
    if len({share.source for share in shares}) != len(shares):
        raise PublisherError(f"--mix: each program once expected, got {text!r}")
    return tuple(shares)


def turns(shares: tuple[Share, ...]) -> list[Path]:
    """One round of programs, each as often as its weight says, spread evenly.

    Smooth weighted round robin (nginx, `ngx_http_upstream_get_peer`): whoever has waited for the most goes first.
    """
    total = sum(share.weight for share in shares)
    waited = [0] * len(shares)
    found = []
    for _ in range(total):
        for number, share in enumerate(shares):
            waited[number] += share.weight
        first = waited.index(max(waited))
        waited[first] -= total
        found.append(shares[first].source)
    return found
