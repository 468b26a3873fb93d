"""A fleet on this machine: two origins on one bucket, a parent, edges in two POPs, and the wide area between them.

    bucket <- origin-1, origin-2 <- (wide area) <- parent <- edges of fra, peers of each other
                                 <- (wide area) <- parent and origins <- the edge of sin

All is started through the `nunatak` command. The wide area is of links (`loadtest.wan`) in this process.
"""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from loadtest.site.bucket import Bucket, free_port
from loadtest.site.server import Server
from loadtest.site.site import LOOPBACK, Site
from loadtest.wan.link import Link
from loadtest.wan.proxy import Wan

NEAR: Final = Link(rtt_s=0.020)  # from fra to the origins
FAR: Final = Link(rtt_s=0.080)  # from sin to everybody
NEAR_POP: Final = "fra"
FAR_POP: Final = "sin"
NEAR_EDGES: Final = ("fra-1", "fra-2")
FAR_EDGE: Final = "sin-1"


class Fleet(Site):
    """See above. `origin` is the one that lives through everything: edges send their heart-beats there."""

    def __init__(self, folder: Path) -> None:
        """:param folder: made if it is not there."""
        super().__init__(folder, edges=0, edge_config={"trusted_proxies": f"{LOOPBACK}/32", "refresh": 2})
        self._stack = ExitStack()
        self.bucket = Bucket(folder / "bucket")
        self.parent: Server
        self.doomed: Server  # the other origin
        self.far_links: list[Wan] = []  # those of POP sin

    @property
    def by_name(self) -> dict[str, Server]:
        """The edges."""
        return dict(zip((*NEAR_EDGES, FAR_EDGE), self.edges, strict=True))

    def start(self) -> None:
        """Make keys and the bucket, then start all.

        :raises CommandFailed, ServerFailed: something did not come up.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stack.enter_context(self.bucket)
        self.run("keygen", str(self.keys))
        self.doomed, self.origin = self._origin("origin-1"), self._origin("origin-2")
        near = [self._link(server.url, NEAR).url for server in (self.origin, self.doomed)]
        self.parent = self._parent(near)
        self.far_links = [self._link(url, FAR) for url in (self.parent.url, self.origin.url, self.doomed.url)]
        members = [self._member(name) for name in NEAR_EDGES]
        (self.folder / "peers.json").write_text(json.dumps({"members": members}))
        for name, member in zip(NEAR_EDGES, members, strict=True):
            peers = {"peer_listen": member["peer"], "peers": str(self.folder / "peers.json")}
            self._named_edge(name, NEAR_POP, [self.parent.url, *near], near[0], peers)
        parent, origin, doomed = (link.url for link in self.far_links)
        self._named_edge(FAR_EDGE, FAR_POP, [parent, origin, doomed], origin, {})

    def stop(self) -> None:
        """Stop every process and link; safe to repeat."""
        for edge in self.edges:
            edge.stop()
        for name in ("parent", "doomed", "origin"):
            if hasattr(self, name):
                getattr(self, name).stop()
        self._stack.close()

    def partition(self, on: bool) -> None:
        """Cut POP sin off from everybody else, or connect it again."""
        for link in self.far_links:
            link.partition(on)

    def operator(self, *words: str) -> str:
        """A command of the operator, at the origin that lives."""
        return self.run(*words, "--origin", self.origin.url, "--keys", str(self.keys))

    def _origin(self, name: str) -> Server:
        options = ["origin", "--store", f"s3://{self.bucket.name}/demo", "--keys", str(self.keys)]
        server = self._server(name, [*options, "--token-file", str(self._token_file)])
        server.environment = self.bucket.environment
        server.start()
        return server

    def _parent(self, sources: list[str]) -> Server:
        words = [word for url in sources for word in ("--source", url)]
        server = self._server("parent", ["parent", *words, "--cache", str(self.folder / "parent"), "--memory", "64MiB"])
        server.start()
        return server

    def _link(self, url: str, link: Link) -> Wan:
        return self._stack.enter_context(Wan(url, link))

    def _member(self, name: str) -> dict[str, str]:
        """What its peers are told of an edge that has not started yet."""
        sha256 = self.run("peer-certificate", "--cache", str(self.folder / name)).split()[-1]
        return {"id": name, "pop": NEAR_POP, "peer": f"{LOOPBACK}:{free_port()}", "sha256": sha256}

    def _named_edge(self, name: str, pop: str, sources: list[str], origin: str, more: dict[str, str]) -> None:
        token = self.folder / f"{name}.token"
        token.touch(0o600)
        token.write_text(self.run("token", "add", "--edge", name, "--pop", pop, "--keys", str(self.keys)))
        fields = {"edge_name": name, "edge_token": str(token), "pop": pop, "source": " ".join(sources), **more}
        self.add_edge(config=fields, origin=origin, name=name)
