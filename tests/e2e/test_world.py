"""Does `nunatak world` publish many services of several programs at once, each an image of its own?"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.site.fetch import Client, fetch
from loadtest.site.site import CommandFailed, Site
from tests.support.edges import admin, metrics

SERVICES = 12
ORDER = b"a thousand times nothing " * 40


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("world"), edge_config={"refresh": 0.2, "isolation": "crowd"}) as running:
        yield running


def _catalogue_version(site: Site) -> int:
    """The snapshot's: a timestamp has a new one as well when it says another number of the feed."""
    signed = json.loads(fetch(f"{site.origin.url}/tuf/timestamp.json").body)["signed"]
    version = signed["meta"]["snapshot.json"]["version"]
    assert isinstance(version, int)
    return version


def test_a_mix_is_published_at_one_instant_and_all_of_it_answers(site: Site) -> None:
    site.world("c", 1, "before")
    before = _catalogue_version(site)
    names = site.world("c=3,js=2,lua=1", SERVICES, "mixed")
    assert _catalogue_version(site) == before + 1, "one new version of the catalogue for all services"
    kinds: Counter[str] = Counter()
    orders = set()
    with Client(site.edges[0].url) as client:
        for name in names:
            page = client.get(f"/~service/{name}/")
            assert (page.status, page.headers["x-world"]) == (200, name)
            assert name.encode() in page.body
            kinds[page.headers["content-type"].partition(";")[0] + " " + ("<ol>" if b"<ol>" in page.body else "")] += 1
            order = json.loads(client.request("POST", f"/~service/{name}/", body=ORDER).body)
            orders.add((order["bytes"], order["sum"]))
        images = {entry["image"] for entry in json.loads(admin(site.edges[0], "services").body)["services"]}
    assert kinds == {"text/html ": 6, "application/json ": 4, "text/html <ol>": 2}
    assert len(orders) == 1, "three languages agree on a checksum"
    assert len(images) >= SERVICES, "an image of its own for each"
    assert metrics(site.edges[0])["images"] >= SERVICES + 3, "and three bases for all of them"


def test_images_in_turn_and_a_tenant_for_all(site: Site) -> None:
    names = site.world("c,lua", 5, "crowd", images=2, tenant="crowd")
    with Client(site.edges[0].url) as client:
        said = [client.get(f"/~service/{name}/").headers["x-world"] for name in names]
        described = json.loads(admin(site.edges[0], "services").body)["services"]
    assert said == ["crowd-00000", "crowd-00001", "crowd-00000", "crowd-00001", "crowd-00000"]
    workers = {entry["worker"] for entry in described if entry["service"].startswith("crowd-")}
    others = {entry["worker"] for entry in described if entry["service"].startswith("mixed-")}
    assert workers
    assert not workers & others, "the edge isolates this tenant"


def test_what_cannot_be_meant_is_refused_and_publishes_nothing(site: Site, tmp_path: Path) -> None:
    before = _catalogue_version(site)
    with pytest.raises(CommandFailed, match="either SOURCE or --mix expected"):
        site.run("world", "x.c", "--mix", "c", "--origin", site.origin.url, "--keys", str(site.keys))
    with pytest.raises(CommandFailed, match="--tenant: 1 to 63"):
        site.world("c", 1, "x", tenant="No Body")
    with pytest.raises(CommandFailed, match="no such file"):
        site.world(tmp_path / "none.c", 1, "x")
    broken = tmp_path / "broken.lua"
    broken.write_text("return function(")
    with pytest.raises(CommandFailed, match="expected near"):
        site.world(f"c,{broken}", 2, "x")
    assert _catalogue_version(site) == before
