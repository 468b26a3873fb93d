"""Applications of two frameworks, from npm and bundled by esbuild, run as they are; workerd agrees on the bundle."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from libos.toolchain.bundle import bundle
from libos.toolchain.packages import Package
from loadtest.peers.npm import PeerMissing
from loadtest.peers.peers import Workerd
from loadtest.site.fetch import Client
from loadtest.site.site import Site
from vmimage.errors import OperatorError

WORKERS = Path(__file__).parent / "workers"
FRAMEWORKS = {
    "hono": Package("npm", "hono", "4.13.19", "ec0825774aef43124f0ddde51a1883d24a3fa3e174c539eaa175010b77c62ba5"),
    "itty": Package("npm", "itty-router", "6.0.0", "fc65d1f9d8780c69fcebe605265716777c1dcd533cc6cbe4928df3379993f69b"),
}
REQUESTS: dict[str, list[tuple[str, str, bytes | None]]] = {
    "hono": [
        ("GET", "/?name=%3Cb%3E", None),
        ("GET", "/api/names", None),
        ("GET", "/api/names/1", None),
        ("GET", "/api/names/7", None),
        ("POST", "/api/names", json.dumps({"name": "Liv"}).encode()),
        ("OPTIONS", "/api/names", None),
        ("GET", "/stream", None),
        ("GET", "/throw", None),
        ("GET", "/nowhere", None),
    ],
    "itty": [
        ("GET", "/hello/Kari", None),
        ("GET", "/json", None),
        ("GET", "/query?a=1&b=2&b=3", None),
        ("POST", "/sum", b"[1,2,39]"),
        ("GET", "/refused", None),
        ("GET", "/nowhere", None),
    ],
}
COMPARED = ("content-type", "access-control-allow-origin", "access-control-allow-methods")


Answers = list[tuple[int, dict[str, str], bytes]]


def answers(client: Client, name: str) -> Answers:
    """Status, fields that are compared, and body, for each of the application's requests."""
    found = []
    for method, path, body in REQUESTS[name]:
        answer = client.request(method, path, host=f"fw-{name}.test", body=body)
        fields = {field: answer.headers[field] for field in COMPARED if field in answer.headers}
        found.append((answer.status, fields, answer.body))
    return found


@dataclass
class Application:
    """One that runs here, and what it answered; workerd's answers where there is one."""

    name: str
    client: Client
    ours: Answers
    theirs: Answers | None


@pytest.fixture(scope="module", params=sorted(FRAMEWORKS))
def application(
    request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Application]:
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    try:
        worker = folder / "worker.js"
        bundle(WORKERS / f"{name}.js", [FRAMEWORKS[name]], worker)
    except OperatorError as error:
        pytest.skip(f"npm is needed: {error}")
    theirs = None
    with suppress(PeerMissing), Workerd(folder / "workerd", worker) as peer, Client(peer.url) as client:
        theirs = answers(client, name)
    site.publish(site.build(worker, "--env", "COLOUR=green", name=f"fw-{name}"), f"fw-{name}", f"fw-{name}.test")
    with Client(site.edges[0].url) as client:
        yield Application(name, client, answers(client, name), theirs)


def test_every_route_answers(application: Application) -> None:
    expected = {"hono": [200, 200, 200, 404, 201, 204, 200, 500, 404], "itty": [200, 200, 200, 200, 403, 404]}
    assert [status for status, _, _ in application.ours] == expected[application.name]


def test_every_route_answers_as_on_workerd(application: Application) -> None:
    if application.theirs is None:
        pytest.skip("there is no workerd to compare with")
    assert application.ours == application.theirs


def test_settings_reach_the_application(application: Application) -> None:
    if application.name != "hono":
        pytest.skip("only hono's application asks for settings")
    assert application.client.get("/env", host="fw-hono.test").body == b"green"
