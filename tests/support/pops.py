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
_RELOADED = re.compile(r"event=reloaded changed=share")
Config = Mapping[str, int | float | str | bool]


def _names(count: int) -> list[str]:
    return [f"edge-{number}" for number in range(count)]


def _started(site: Site, count: int, configs: Sequence[Config]) -> list[Server]:
    """The same port everywhere, as in a POP: services are told of it, so kept answers are told apart by it."""
    first = site.add_edge(config=configs[0])
    port = first.url.rpartition(":")[2]
    more = [site.add_edge(config=configs[n], listen=f"127.0.1.{n}:{port}") for n in range(1, count)]
    return [first, *more]


def _knows(edge: Server, other: str) -> None:
    """Wait until an edge accepts another one."""
    line = re.compile(rf"peer_learned peer={other}$", re.MULTILINE)
    eventually(lambda: line.search(edge.log.read_text()) is not None, f"{edge.name} knows {other}")


def pop_of_origin(site: Site, count: int, config: Config) -> list[Server]:
    """Edges with tokens, whose origin says who they are: each knows the certificates of all others."""
    configs = []
    for name in _names(count):
        token = site.folder / f"{name}.token"
        token.touch(0o600)
        token.write_text(site.run("token", "add", "--keys", str(site.keys), "--edge", name, "--pop", "there"))
        said = {"edge_name": name, "edge_token": str(token), "pop": "there", "peer_listen": "127.0.0.1:0"}
        configs.append({**said, **config})
    edges = _started(site, count, configs)
    for name, edge in zip(_names(count), edges, strict=True):
        for other in set(_names(count)) - {name}:
            _knows(edge, other)
    return edges


class Pop:
    """Some edges of a site, in one POP."""

    def __init__(self, site: Site, count: int, config: Config | None = None) -> None:
        self.list = site.folder / "peers.json"
        self.list.write_text('{"members": []}')
        fields = {"peer_listen": "127.0.0.1:0", "peers": str(self.list), **(config or {})}
        self.edges = _started(site, count, [fields] * count)
        self.names = _names(count)
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
                    _knows(edge, other)

    def share(self, name: str, how: str) -> None:
        """Have one of them share as much as that from now on."""
        edge = self.of(name)
        file = edge.log.with_suffix(".toml")
        before = len(_RELOADED.findall(edge.log.read_text()))
        file.write_text(re.sub(r'^share = ".*"$', f'share = "{how}"', file.read_text(), flags=re.MULTILINE))
        os.kill(edge.pid, signal.SIGHUP)
        eventually(lambda: len(_RELOADED.findall(edge.log.read_text())) > before, f"{name} shares {how}")

    def of(self, name: str) -> Server:
        """An edge by its name in the list."""
        return self.edges[self.names.index(name)]
