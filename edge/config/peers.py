"""Options for the edges of a POP together: a part of `EdgeConfig`, in a file of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from edge.config.access import AccessOptions
from edge.config.places import host_port, is_address
from vmimage.options import About
from vmimage.settings import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions(AccessOptions):
    """Where peers reach this edge, who they are, and what they do for each other."""

    peer_listen: Annotated[
        str,
        About(
            "Where other edges of the POP reach this one, by mutual TLS; nobody else is answered there.",
            form="ADDRESS:PORT",
            unset="none, this edge has no peers",
        ),
    ] = ""
    peers: Annotated[
        str,
        About(
            "JSON file with the edges of the POP, this one among them: id, pop, peer (HOST:PORT) and sha256 of the "
            "certificate that `nunatak peer-certificate` prints, and perhaps weight. Read again with SIGHUP.",
            form="FILE",
            unset="none, the origin says who they are: see edge_token and pop",
        ),
    ] = ""
    share: Annotated[
        Literal["images", "pages", "requests"],
        About(
            "What peers do for each other: images and blocks of disks come from their owners in the POP; pages: and "
            "who has no kept answer asks its owner, so that one machine in the POP writes it; requests: and requests "
            "for services that are neither here nor popular go to their owner."
        ),
    ] = "images"  # which trust nobody

    @property
    def peer_address(self) -> tuple[str, int] | None:
        """`peer_listen`, parsed; None without."""
        return host_port(self.peer_listen) if self.peer_listen else None

    @property
    def peer_file(self) -> Path | None:
        """`peers`; None without."""
        return Path(self.peers) if self.peers else None

    @property
    def peer_problems(self) -> Iterator[Problem]:
        """What no option can say for itself."""
        if self.peer_listen and not is_address(self.peer_listen):
            yield "peer_listen", f"ADDRESS:PORT ([ADDRESS]:PORT for IPv6) expected, got {self.peer_listen!r}"
        if self.peer_listen.startswith(("0.0.0.0:", "[::]:", "*:")) and not self.peers:
            yield "peer_listen", "an address that peers reach expected, since they are told this one"
        if self.peers and not self.peer_listen:
            yield "peer_listen", "an address expected for peers, which a list of them is of no use without"
