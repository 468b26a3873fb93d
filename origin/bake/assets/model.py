"""What a folder of files becomes: assets by the path that they answer for. Values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Fields = tuple[tuple[str, str], ...]

CODINGS: Final[Mapping[str, str]] = {
    ".br": "br",
    ".gz": "gzip",
    ".zst": "zstd",
}  # by the suffix of a file beside another


@dataclass(frozen=True)
class Variant:
    """The bytes of an asset in one content coding."""

    coding: str  # as in Content-Encoding; "" for the file as it is
    tag: str  # the strong entity tag, quotes included
    data: int  # where they begin among the contents
    size: int  # bytes


@dataclass(frozen=True)
class Asset:
    """What is answered for a path: a file in its variants, or a redirect."""

    status: int = 200
    fields: Fields = ()
    type: str = ""  # Content-Type; "" for a redirect
    location: str = ""  # of a redirect, percent-encoded; begins with / or with a scheme
    modified_s: int = 0  # since 1970
    variants: tuple[Variant, ...] = ()  # the smallest first; one of them without a coding


@dataclass(frozen=True)
class Choices:
    """What a publisher may choose."""

    exclude: tuple[str, ...] = ()  # patterns of files that are left out
    compress: bool = False  # make br and gzip of what is text
    clean_urls: bool = False  # /about for about.html
    single_page: bool = False  # index.html for every path that no file has
    max_age_s: int = 60  # of what may change
    immutable: tuple[str, ...] = ()  # patterns of files that never change, beside those with a hash in their name
