"""The files of the console, as they lie in `console/`: given to whoever may ask this listener at all, token or not.

Nothing of the edge is in them. What they may do in a browser is said by the fields here: their own scripts and styles,
requests to where they came from, no frames, no code in a page or made of text.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge.front.page import Page

FOLDER: Final = Path(__file__).with_name("console")
PAGE: Final = "console"  # what a person asks for: /-/console
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
# Of all that this listener says, pages of data as well.
SAFE: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def load() -> Mapping[str, Page]:
    """All files, by the page under which they are: `console`, `console/console.css` and the others."""
    files = {f"{PAGE}/{path.name}": path for path in sorted(FOLDER.iterdir()) if path.suffix in _TYPES}
    files[PAGE] = files.pop(f"{PAGE}/index.html")
    return {name: Page(200, path.read_bytes(), _TYPES[path.suffix]) for name, path in files.items()}


def is_public(page: str) -> bool:
    """Whether a page, without its prefix, is one of these, or would be."""
    return page == PAGE or page.startswith(f"{PAGE}/")
