"""The catalogue sample: a database on a disk, queried over HTTP, and noted in by one service alone."""

import json
import sqlite3
from pathlib import Path

import pytest

from libos.examples.catalogue.database import make
from loadtest.site.fetch import Client
from loadtest.site.site import Site, example
from tests.support.edges import metrics

OSLO = 3143244


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slice: one country."""
    path = tmp_path_factory.mktemp("catalogue") / "no.db"
    assert make(path, "NO") > 500
    return path


@pytest.fixture(scope="module")
def services(site: Site, database: Path) -> Site:
    disk = site.folder / "no.disk"
    site.run("disk", "build", str(database), "-o", str(disk), "--name", "places")
    for kind in ("shared", "cow"):
        image = site.build(example("catalogue"), "--disk", f"places={disk}:{kind}", name=f"catalogue-{kind}")
        site.publish(image, f"cat-{kind}", disks=[disk])
    return site


def test_queries_answer_as_the_database_does(services: Site, database: Path) -> None:
    with sqlite3.connect(database) as host, Client(services.edges[0].url) as client:
        found = json.loads(client.get("/?q=Ber", host="cat-shared.test").body)["places"]
        expected = host.execute(
            "SELECT DISTINCT p.id, p.population FROM found AS f JOIN place AS p ON p.id = f.place "
            "WHERE f.folded >= 'ber' AND f.folded < 'ber' || char(0x10FFFF) ORDER BY p.population DESC LIMIT 20"
        ).fetchall()
        assert [(place["id"], place["population"]) for place in found] == expected
        largest = json.loads(client.get("/country/NO", host="cat-shared.test").body)["places"]
        assert largest[0]["id"] == OSLO
        place = json.loads(client.get(f"/place/{OSLO}", host="cat-shared.test").body)
        names = [name for (name,) in host.execute("SELECT name FROM spelling WHERE place = ? ORDER BY name", (OSLO,))]
        assert [row["name"] for row in place["names"]] == names
        part = json.loads(client.get("/?part=rondhei", host="cat-shared.test").body)["places"]
        assert part[0]["name"] == "Trondheim"
        page = client.request("GET", "/?q=oslo", host="cat-shared.test", headers={"Accept": "text/html"})
        assert b"<td>Europe/Oslo" in page.body


def test_notes_are_one_services_own_and_stay(services: Site) -> None:
    with Client(services.edges[0].url) as client:
        refused = client.request("POST", f"/place/{OSLO}", host="cat-shared.test", body=b"mine")
        assert refused.status == 403
        answer = client.request("POST", f"/place/{OSLO}", host="cat-cow.test", body="grüße".encode())
        assert (answer.status, answer.body) == (200, b"noted\n")
        assert metrics(services.edges[0])["pages_kept_total"] > 0, "a commit is a flush"
        services.park("cat-cow")
        noted = json.loads(client.get(f"/place/{OSLO}", host="cat-cow.test").body)["notes"]
        assert [note["text"] for note in noted] == ["grüße"]
        assert json.loads(client.get(f"/place/{OSLO}", host="cat-shared.test").body)["notes"] == []
    with Client(services.edges[1].url) as client:
        assert json.loads(client.get(f"/place/{OSLO}", host="cat-cow.test").body)["notes"] == []
