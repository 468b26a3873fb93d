"""Applications of two frameworks, from npm and bundled by esbuild, run as they are; workerd agrees on the bundle."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from libos.bundle import bundle
from libos.packages import Package
from loadtest.fetch import Client
from loadtest.peers import PeerMissing, Workerd
from loadtest.site import Site
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


@pytest.fixture(scope="module", params=sorted(FRAMEWORKS))
def application(
    request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Client, Client | None]]:
    """Its name, ours, and theirs where there is a workerd."""
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    try:
        worker = folder / "worker.js"
        bundle(WORKERS / f"{name}.js", [FRAMEWORKS[name]], worker)
    except OperatorError as error:
        pytest.skip(f"npm is needed: {error}")
    site.publish(site.build(worker, "--env", "COLOUR=green", name=f"fw-{name}"), f"fw-{name}", f"fw-{name}.test")
    with Client(site.edges[0].url) as ours:
        try:
            with Workerd(folder / "workerd", worker) as peer, Client(peer.url) as theirs:
                yield name, ours, theirs
        except PeerMissing:
            yield name, ours, None


def answers(client: Client, name: str) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, fields that are compared, and body, for each of the application's requests."""
    found = []
    for method, path, body in REQUESTS[name]:
        answer = client.request(method, path, host=f"fw-{name}.test", body=body)
        fields = {field: answer.headers[field] for field in COMPARED if field in answer.headers}
        found.append((answer.status, fields, answer.body))
    return found


def test_every_route_answers(application: tuple[str, Client, Client | None]) -> None:
    name, ours, _ = application
    expected = {"hono": [200, 200, 200, 404, 201, 204, 200, 500, 404], "itty": [200, 200, 200, 200, 403, 404]}
    assert [status for status, _, _ in answers(ours, name)] == expected[name]


def test_every_route_answers_as_on_workerd(application: tuple[str, Client, Client | None]) -> None:
    name, ours, theirs = application
    if theirs is None:
        pytest.skip("there is no workerd to compare with")
    assert answers(ours, name) == answers(theirs, name)


def test_settings_reach_the_application(application: tuple[str, Client, Client | None]) -> None:
    name, ours, _ = application
    if name == "hono":
        assert ours.get("/env", host="fw-hono.test").body == b"green"
