"""Edges of one POP on this machine: started, told of each other, and ready to ask each other."""

import json
import os
import re
import signal
from collections.abc import Mapping, Sequence

from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.edges import eventually

_PEERS = re.compile(r"peers on (\S+), certificate ([0-9a-f]{64})")
Config = Mapping[str, int | float | str | bool]


class Pop:
    """Some edges of a site, in one POP."""

    def __init__(self, site: Site, count: int, config: Config | None = None) -> None:
        self.list = site.folder / "peers.json"
        self.list.write_text('{"members": []}')
        fields = {"peer_listen": "127.0.0.1:0", "peers": str(self.list), **(config or {})}
        # The same port everywhere, as in a POP: services are told of it, so kept answers are told apart by it.
        first = site.add_edge(config=fields)
        port = first.url.rpartition(":")[2]
        self.edges = [first, *(site.add_edge(config=fields, listen=f"127.0.1.{n}:{port}") for n in range(1, count))]
        self.names = [f"edge-{number}" for number in range(count)]
        self.tell(self.members())

    def members(self) -> list[dict[str, object]]:
        """What the list has of all of them."""
        found = []
        for name, edge in zip(self.names, self.edges, strict=True):
            said = _PEERS.findall(edge.log.read_text())[-1]
            found.append({"id": name, "pop": "here", "peer": said[0], "sha256": said[1]})
        return found

    def tell(self, members: Sequence[Mapping[str, object]]) -> None:
        """Have all read this list, and wait until each knows the certificates of the others."""
        self.list.write_text(json.dumps({"members": members}))
        for edge in self.edges:
            if edge.running:
                os.kill(edge.pid, signal.SIGHUP)
        listed = {str(each["id"]) for each in members}
        for name, edge in zip(self.names, self.edges, strict=True):
            if edge.running and name in listed:
                for other in listed - {name}:
                    line = re.compile(rf"peer_learned .*{other}\b")
                    eventually(lambda: bool(line.search(edge.log.read_text())), f"{name} knows {other}")  # noqa: B023

    def of(self, name: str) -> Server:
        """An edge by its name in the list."""
        return self.edges[self.names.index(name)]
