"""Randomness through whole edges: machines of one image on two of them, and what the publisher is told."""

import subprocess
from pathlib import Path

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import NUNATAK, Site
from tests.support.guests import PROGRAMS

CHANCE = PROGRAMS / "linux_chance.c"
WORKER = "export default { fetch: () => new Response(`secret ${crypto.randomUUID()}${Math.random()}\\nid -\\n`) };"


def facts(edge: Server, host: str) -> dict[str, str]:
    with Client(edge.url) as client:
        answer = client.get("/", host=host)
    assert answer.status == 200
    return dict(line.split(" ", 1) for line in answer.body.decode().splitlines())


def test_no_two_edges_have_the_same_secret_and_a_parked_machine_keeps_its_own(site: Site) -> None:
    site.publish(site.build(CHANCE, "--linux", name="ch-own"), "ch-own")
    found = [facts(edge, "ch-own.test") for edge in site.edges]
    assert found[0]["secret"] != found[1]["secret"]
    assert found[0]["id"] != found[1]["id"]
    site.park("ch-own", site.edges[0])
    again = facts(site.edges[0], "ch-own.test")
    assert again["secret"] == found[0]["secret"]
    assert len({each["id"] for each in (*found, again)}) == 3
    assert len({each["now"] for each in (*found, again)}) == 3


def test_every_request_of_a_fresh_service_has_a_secret_of_its_own(site: Site) -> None:
    site.publish(site.build(CHANCE, "--linux", "--fresh", name="ch-fresh"), "ch-fresh")
    assert len({facts(edge, "ch-fresh.test")["secret"] for edge in site.edges for _ in range(3)}) == 6


def test_workers_in_javascript_differ_between_edges_and_restores(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "worker.js"
    source.write_text(WORKER)
    site.publish(site.build(source, name="ch-js"), "ch-js")
    found = [facts(edge, "ch-js.test")["secret"] for edge in site.edges]
    site.park("ch-js", site.edges[0])
    assert len({*found, facts(site.edges[0], "ch-js.test")["secret"]}) == 3


def test_what_is_baked_is_the_same_on_all_edges_and_can_be_seen(site: Site) -> None:
    image = site.build(CHANCE, "--linux", "--bake-entropy", name="ch-baked")
    site.publish(image, "ch-baked")
    assert len({facts(edge, "ch-baked.test")["secret"] for edge in site.edges}) == 1
    images = site.inspect(image)["images"]
    assert isinstance(images, list)
    assert [each["baked_entropy"] for each in images] == [False, True]


def test_the_build_warns_and_goes_on(tmp_path: Path) -> None:
    command = [*NUNATAK, "build", str(CHANCE), "--linux", "-o", str(tmp_path / "image.oci.tar")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (warning,) = (line for line in done.stderr.splitlines() if "random bytes" in line)
    assert "getrandom, main" in warning
    assert warning.endswith("build with --bake-entropy if all machines may share what is made of them")
    refused = subprocess.run(
        [*command, "--cgi", "--bake-entropy"], capture_output=True, text=True, timeout=120, check=False
    )
    assert refused.returncode
    assert "a program that runs while it is built expected, got one for --cgi" in refused.stderr
