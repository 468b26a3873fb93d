"""Every kind of program, built, published and served on each engine that this machine has."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import Site, example
from tests.conftest import kvm_missing
from tests.e2e.test_wakeups import worker
from tests.support.edges import eventually, metrics

# Runtimes are fetched and compiled by the first test that needs them: some minutes, once a machine.
pytestmark = pytest.mark.timeout(900)

EXAMPLES = example("peaks").parent
PROGRAMS = Path(__file__).parents[1] / "guest" / "programs"
ENGINES = ("unicorn", pytest.param("kvm", marks=pytest.mark.skipif(bool(kvm_missing()), reason=kvm_missing())))


class Kind(NamedTuple):
    """A program of this kind, its build options, what to ask it and what its answer holds."""

    source: Path
    options: tuple[str, ...]
    path: str
    expected: str


KINDS = {
    "c": Kind(EXAMPLES / "hello.c", (), "/x", r"hello from /x, request \d"),
    "c-prepared": Kind(EXAMPLES / "airports", (), "/?q=kef", '"iata": "KEF"'),
    "cgi": Kind(EXAMPLES / "words", ("--cgi",), "/", "<"),
    "js": Kind(EXAMPLES / "json.js", (), "/?above=3000", "Gunnbjørn Fjeld"),
    "js-folder": Kind(EXAMPLES / "wiki", (), "/Nunatak", "above a glacier"),
    "lua": Kind(EXAMPLES / "moon", (), "/", "<"),
}


@pytest.fixture(scope="module", params=ENGINES)
def engine_site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Site]]:
    """An edge that runs everything on one engine."""
    config = {"refresh": 0.2, "engine": request.param, "response_memory": 0}  # each answer is a machine's
    with Site(tmp_path_factory.mktemp(request.param), edge_config=config) as site:
        yield request.param, site


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_a_program_is_served_warm_and_parked(engine_site: tuple[str, Site], kind: Kind) -> None:
    engine, site = engine_site
    name = f"kind-{re.sub('[^a-z]', '-', kind.source.name)}"
    site.publish(site.build(kind.source, *kind.options, name=name), name)
    with Client(site.edges[0].url) as client:
        for tier in ("origin", "resident"):
            answer = client.get(f"/~service/{name}{kind.path}")
            assert (answer.status, answer.error, answer.tier) == (200, "", tier)
            assert re.search(kind.expected, answer.body.decode())
        site.park(name)
        woken = client.get(f"/~service/{name}{kind.path}")
        assert (woken.status, woken.tier) == (200, "parked")
        assert re.search(kind.expected, woken.body.decode())
    edge = site.edges[0]
    resident = metrics(edge)["resident_machines"]
    expected = resident if engine == "kvm" else 0

    def all_there() -> bool:
        return worker(edge).get("kvm_machines") == expected

    eventually(all_there, f"{resident:.0f} machines on {engine}")  # a worker says it once a second
