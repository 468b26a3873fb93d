"""A fleet as operators run it: does a purge, a hold, a new version reach every edge at once, whatever is killed?

Edges look at the catalogue once an hour here: what reaches them, the feed has brought.
"""

import json
from pathlib import Path

import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.server import Server
from loadtest.site.site import CommandFailed, Site, example
from tests.support.edges import PATIENCE_S, eventually, metrics

HOST = "kept.test"
WAIT = ("--wait", f"{PATIENCE_S:g}")


@pytest.fixture
def fleet(tmp_path: Path) -> Site:
    """An origin, and two edges with names and tokens of their own; nothing runs yet."""
    return Site(tmp_path, edges=0, edge_config={"refresh": 3600})


def add_named_edge(site: Site, name: str) -> Server:
    file = site.folder / f"{name}.token"
    file.touch(0o600)
    file.write_text(site.run("token", "add", "--keys", str(site.keys), "--edge", name))
    return site.add_edge(config={"edge_name": name, "edge_token": str(file), "pop": "fra"})


def told(site: Site, *words: str) -> str:
    return site.run(*words, "--origin", site.origin.url, "--keys", str(site.keys))


def ask(edge: Server) -> Answer:
    with Client(edge.url) as client:
        return client.get("/", host=HOST)


def is_kept(edge: Server) -> bool:
    return "hit" in ask(edge).headers.get("cache-status", "").split("; ")


def applied(edge: Server) -> int:
    return int(metrics(edge)["feed_applied"])


def test_purges_holds_and_versions_reach_all_edges_and_none_is_lost(fleet: Site) -> None:
    with fleet as site:
        edges = [add_named_edge(site, name) for name in ("edge-1", "edge-2")]
        eventually(lambda: json.loads(told(site, "fleet", "list", "--json"))["feed"]["followers"] == 2, "they follow")
        source = site.folder / "kept.c"
        source.write_text(example("news").read_text().replace("max-age=3,", "max-age=3600,"))
        site.publish(site.build(source), "kept", HOST, options=WAIT)
        for edge in edges:
            ask(edge)
            assert is_kept(edge)

        said = told(site, "fleet", "purge", "kept", *WAIT)
        assert "is applied by 2 live edges: p50 " in said
        assert [is_kept(edge) for edge in edges] == [False, False]

        told(site, "hold", "add", "--service", "kept", *WAIT)
        assert [ask(edge).error for edge in edges] == ["on_hold"] * 2
        told(site, "hold", "release", "--service", "kept", *WAIT)
        assert [ask(edge).status for edge in edges] == [200] * 2

        # An edge that is away finds what it has missed; who waits is told that it lags.
        assert [is_kept(edge) for edge in edges] == [True, True]
        edges[1].kill()
        with pytest.raises(CommandFailed, match=r"not in 0\.5 s by: edge-2") as lagging:
            told(site, "fleet", "purge", "--url", f"http://{HOST}/", "--wait", "0.5")
        assert lagging.value.exit_code == 3
        assert not is_kept(edges[0])
        last = applied(edges[0])

        # So does one whose origin is killed: what was taken before is in the log, and in the timestamp of the next.
        site.origin.kill()
        site.restart(site.origin)
        site.restart(edges[1])
        eventually(lambda: applied(edges[1]) == last, "the edge that was away has the purge")
        assert not is_kept(edges[1])
        told(site, "fleet", "purge", "--all", *WAIT)
        eventually(lambda: [applied(edge) for edge in edges] == [last + 1] * 2, "both follow again")
