"""Which paths lead to a folder's files, and which are sent elsewhere. Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import quote

INDEX: Final = "index.html"
MOVED: Final = 301
# What may stand in a path as it is (RFC 3986 section 3.3), but for the percent sign that stands for itself.
_PLAIN: Final = "/!$&'()*+,;=:@-._~"


class Redirect(NamedTuple):
    """Another place for a path."""

    location: str  # percent-encoded
    status: int = MOVED


def encoded(path: str) -> str:
    """A path as it is written in a URL."""
    return quote(path, safe=_PLAIN)


def paths_of(names: Iterable[str], *, clean: bool) -> dict[str, str | Redirect]:
    """What each path, percent-decoded, leads to: the name of a file, or another path.

    A folder with an `index.html` is found at its path with a slash, and the path without it leads there. Where two
    claim a path, a file with that very name goes first, then a page without its suffix, then a folder.

    :param clean: pages are found without `.html`, and their own names lead there.
    """
    files: dict[str, str | Redirect] = {}
    pages: dict[str, str | Redirect] = {}
    folders: dict[str, str | Redirect] = {}
    for name in names:
        path, is_index = f"/{name}", name.rpartition("/")[2] == INDEX
        folder = path.removesuffix(INDEX)
        if is_index:
            pages[folder] = name
            folders[folder.removesuffix("/")] = Redirect(encoded(folder))
        if not clean or not name.endswith(".html"):
            files[path] = name
        elif is_index:
            folders[path] = Redirect(encoded(folder))
        else:
            short = path.removesuffix(".html")
            pages[short] = name
            folders[path] = Redirect(encoded(short))
    return {**folders, **pages, **files}
