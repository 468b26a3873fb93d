"""What `origin` and `source` say: the places that blobs and the catalogue are fetched from, in order.

    http(s)://HOST[:PORT][/PATH]             an origin, a parent, or a mirror of one: blobs and the catalogue
    oci+http(s)://HOST[:PORT]/REPOSITORY     any OCI registry: blobs and manifests
    files+http(s)://HOST[:PORT][/PREFIX]     files as an origin keeps them, in a bucket: blobs and the catalogue

Pure: nothing is asked of anybody here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal, NamedTuple

from edge.config.places import is_origin
from vmimage.manifest import REPOSITORY
from vmimage.options import About
from vmimage.settings import Problem

Kind = Literal["origin", "oci", "files"]
SOURCES_MAX: Final = 16  # each is a label in metrics, and may be asked for each blob that the others have not
TEXT_MAX: Final = 512  # characters of one
FORM: Final = "URL, oci+URL/REPOSITORY or files+URL, of http or https,"
# "Pulling manifests" of the OCI distribution specification 1.1: a repository's name.
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"(https?://[^/]+)/({_PART}(?:/{_PART})*)", re.ASCII)
REGISTRY_AUTH: Final = About(
    "File of mode 0600 with credentials for registries, as `docker login` writes it.",
    form="FILE",
    unset="none, registries are read without credentials",
)


class Place(NamedTuple):
    """One source."""

    text: str  # as it was written: its name in metrics, pages and log lines
    kind: Kind
    base: str  # an http or https URL without a slash at its end
    repository: str = REPOSITORY

    def content_url(self, kind: str, digest: str) -> str:
        """Where content is.

        :param kind: "blobs" or "manifests". :param digest: sha256:<64 hex digits>.
        """
        if self.kind == "files":
            algorithm, _, hexes = digest.partition(":")
            return f"{self.base}/{kind}/{algorithm}/{hexes[:2]}/{hexes}"
        return f"{self.base}/v2/{self.repository}/{kind}/{digest}"

    @property
    def metadata_url(self) -> str:
        """The folder of the catalogue's files, with a slash at its end; empty where there is none."""
        return "" if self.kind == "oci" else f"{self.base}/tuf/"


def parse_place(text: str) -> Place:
    """:raises ValueError: it is none."""
    kind, _, url = text.rpartition("+") if text.startswith(("oci+", "files+")) else ("origin", "", text)
    url = url.rstrip("/")
    if not is_origin(url) or len(text) > TEXT_MAX:
        raise ValueError(f"{FORM} expected, got {text!r:.200}")
    if "@" in url.split("/")[2]:  # it would be in log lines and in the list of processes
        raise ValueError("a URL without user and password expected: credentials are in a file, see registry_auth")
    if kind == "oci":
        match = _REPOSITORY.fullmatch(url)
        if match is None:
            raise ValueError(f"oci+URL/REPOSITORY expected, with a repository's name in lower case, got {text!r:.200}")
        return Place(text, "oci", match[1], match[2])
    return Place(text, "files" if kind == "files" else "origin", url)


def parse_places(first: str, others: str) -> tuple[Place, ...]:
    """All sources in order.

    :param first: what `origin` says; "" for none. :param others: what `source` says, parted by blanks; where the
        origin is among them, that is its place.
    :raises ValueError: one is none, or is named twice; there are none, or too many.
    """
    found = tuple(map(parse_place, others.split()))
    if first and parse_place(first)[1:] not in [place[1:] for place in found]:
        found = (parse_place(first), *found)
    if not 0 < len(found) <= SOURCES_MAX:
        raise ValueError(f"1 to {SOURCES_MAX} sources expected, got {len(found)}")
    at = [(place.kind, place.base, place.repository) for place in found]
    if twice := [place.text for place in found if at.count((place.kind, place.base, place.repository)) > 1]:
        raise ValueError(f"each source once expected, got {twice[-1]} again")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Where else an edge fetches from, beside its origin."""

    source: Annotated[
        str,
        About(
            "Where blobs and the catalogue are fetched where the origin, or the source before, does not give them: "
            "another origin or a parent (URL), an OCI registry (oci+URL/REPOSITORY, blobs only), or files as an origin "
            "keeps them, as a bucket's public URL (files+URL). May be given several times; asked in that order, after "
            "the origin or, where the origin is among them, around it.",
            form="URL|oci+URL|files+URL",
            unset="none, all is fetched from the origin",
            many="words",
        ),
    ] = ""
    registry_auth: Annotated[str, REGISTRY_AUTH] = ""
    catalogue_ahead: Annotated[
        int,
        About(
            "A catalogue of at most this size is fetched whole, before anybody asks for what is in it: a service that "
            "is asked for the first time then needs no look-up at the origin. 0: each part when it is asked for.",
            "bytes",
            0,
            1 << 30,
        ),
    ] = 1 << 20
    catalogue_stale: Annotated[
        float,
        About(
            "For how long services go on after the signed catalogue has passed its date and no source has a newer one; "
            "then the edge is not ready, and refuses requests.",
            "s",
            0,
            1 << 30,
            unset="0, without end",
        ),
    ] = 0


def source_problems(origin: str, source: str) -> Iterator[Problem]:
    """What is wrong with `source`, where `origin` is right."""
    try:
        parse_places(origin, source)
    except ValueError as error:
        yield "source", str(error)
