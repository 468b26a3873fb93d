"""Workers with Node's modules, and a handful on packages of npm, answer as on workerd; `make parity` asks them all."""

import json
import re
from pathlib import Path

import pytest

from libos.toolchain.packages import cache_folder
from loadtest.peers.npm import PeerMissing
from loadtest.peers.peers import Workerd
from loadtest.site.fetch import Client
from loadtest.site.site import Site
from tests.support import packages

CONTEXT = Path(__file__).parents[1] / "guest" / "workers" / "context.js"
OURS_ALONE = {"/enter"}  # workerd's enterWith() throws
HANDFUL = ("cheerio", "hono-context-storage", "node-modules", "valibot", "zod")


def test_the_context_goes_where_workerd_takes_it(site: Site, tmp_path: Path) -> None:
    paths = set(re.findall(r'^  "(/\w+)"', CONTEXT.read_text("utf-8"), re.MULTILINE)) - OURS_ALONE
    assert len(paths) > 20
    try:
        with Workerd(tmp_path / "workerd", CONTEXT, packages.FLAGS) as peer, Client(peer.url) as client:
            theirs = {path: json.loads(client.get(path).body) for path in paths}
    except PeerMissing as error:
        pytest.skip(str(error))
    site.publish(site.build(CONTEXT, name="context"), "context")
    with Client(site.edges[0].url) as client:
        ours = {path: json.loads(client.get(path, host="context.test").body) for path in paths}
    assert ours == theirs


def test_a_handful_of_packages(tmp_path: Path) -> None:
    if not (cache_folder() / "npm").is_dir():
        pytest.skip("`make parity` brings the packages")
    try:
        workers = [packages.WORKERS / f"{name}.js" for name in HANDFUL]
        differing = {each.name: each.difference() for each in packages.compare(workers, tmp_path) if not each.same}
    except PeerMissing as error:
        pytest.skip(str(error))
    assert differing == {}


def test_a_difference_is_told() -> None:
    there, here = [(200, [("a", "b")], b"same")], [(200, [("a", "b")], b"other")]
    assert packages.Outcome("x", there, there).same
    assert "'same' there, 'other' here" in packages.Outcome("x", there, here).difference()
    assert "status 200 there, 500 here" in packages.Outcome("x", there, [(500, [], b"")]).difference()
    assert packages.Outcome("x", there, [], "not built: why").difference() == "not built: why"
