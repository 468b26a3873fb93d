"""What caches are told of an asset. Pure.

A file with a hash of its content in its name never changes, so it is asked for once. Any other may change with the next
version, so browsers look again soon. Edges keep either for as long as the version lasts: what they keep of a service is
void when another version is published.
"""

import re
from collections.abc import Sequence
from typing import Final

from origin.bake.assets.folder import is_among
from origin.bake.assets.model import Fields

YEAR_S: Final = 31_536_000
EDGES: Final = ("Nunatak-Cache-Control", f"max-age={YEAR_S}")  # no other cache sees it
# Hashes as webpack and Parcel, esbuild, and Rollup with Vite write them: hexadecimal, base 32, base 64. Words, dates
# and words with a number stand in names, too: a digit and a letter have to be there, in the latter two in this order.
_HASH: Final = re.compile(
    r"(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8,64}"
    r"|(?=[A-Z]*[2-7]+[A-Z])[A-Z2-7]{8}"
    r"|(?=[A-Za-z]*\d+[A-Za-z])(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])[0-9A-Za-z]{8}"
)
_PAGES: Final = (".html", ".htm", ".xhtml")  # people keep their URLs


def is_hashed(name: str) -> bool:
    """Whether a file's name says which content it has: a part of it is a hash, between the first and the suffix."""
    parts = re.split(r"[.\-_]", name.rpartition("/")[2])[1:-1]
    return not name.endswith(_PAGES) and any(_HASH.fullmatch(part) for part in parts)


def cache_fields(name: str, immutable: Sequence[str], max_age_s: int) -> Fields:
    """The header fields for caches.

    :param immutable: patterns of files that never change, whatever their names.
    :param max_age_s: for how long browsers use others without asking.
    """
    if is_hashed(name) or is_among(name, immutable):
        return (("Cache-Control", f"public, max-age={YEAR_S}, immutable"), EDGES)
    return (("Cache-Control", f"public, max-age={max_age_s}, must-revalidate"), EDGES)
