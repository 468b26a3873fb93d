"""A tenant wants to act in another tenant's web origin, or in the one that services share on the operator's host."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.site import Site, example
from tests.support.edges import eventually

THIEF = Path(__file__).parent / "programs" / "origin_thief.c"
OF_AN_ORIGIN = {
    "service-worker-allowed",
    "set-cookie",
    "alt-svc",
    "clear-site-data",
    "strict-transport-security",
    "public-key-pins",
}
NAMES = "names.test"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A bank and a thief on three edges: without a host for names, with one, and with the bank's host for names."""
    with Site(tmp_path_factory.mktemp("town"), edges=0, edge_config={"refresh": 0.2}) as running:
        for service_host in ("", NAMES, "bank.test"):
            running.add_edge(config={"service_host": service_host})
        running.publish(running.build(THIEF), "thief", tenant="mallory")
        running.publish(running.build(example("hello")), "bank", tenant="bank")
        yield running


def ask(town: Site, edge: int, path: str, host: str) -> Answer:
    with Client(town.edges[edge].url) as client:
        return client.request("GET", path, host=host, headers={"Cookie": "__Host-session=SECRET"})


@pytest.mark.parametrize("edge", [0, 1, 2], ids=["no host for names", "a host for names", "the bank's host for names"])
def test_a_path_on_the_host_of_a_tenant_belongs_to_that_tenant_or_to_nobody(town: Site, edge: int) -> None:
    for path in ("/-/services", "/-/drain", "/-/merge_requests", "/a/~service/thief/", "/~service"):
        assert ask(town, edge, path, "bank.test").body.startswith(b"hello from " + path.encode())
    ways = "/~service/thief/ /~service/thief/../thief/ /%7Eservice/thief/ /x/../~service/thief/ //~service/thief/"
    for path in (*ways.split(), "/~service/bank/", "http://bank.test/~service/thief/"):
        for host in ("bank.test", "BANK.test.:80", "thief.test"):
            answer = ask(town, edge, path, host)
            assert (answer.status, answer.error) == (421, "unknown_service")
            assert b"SECRET" not in answer.body


def test_where_no_host_is_named_there_is_no_web_origin_and_services_go_by_their_names(town: Site) -> None:
    answer = ask(town, 0, "/~service/thief/", "")
    assert answer.body == b"thief on  has cookie none"
    assert OF_AN_ORIGIN.isdisjoint(answer.headers)
    for path in ("/", "/-/services", "/~service/nobody/"):
        assert ask(town, 0, path, "").error == "unknown_service"


@pytest.mark.parametrize(("edge", "host"), [(0, NAMES), (0, "127.0.0.1"), (1, "127.0.0.1"), (1, "sub.names.test")])
def test_on_a_host_of_nobody_no_name_leads_anywhere(town: Site, edge: int, host: str) -> None:
    for path in ("/~service/thief/", "/~service/bank/", "/-/services"):
        answer = ask(town, edge, path, host)
        assert (answer.status, answer.error) == (421, "unknown_service")


def test_on_its_own_host_a_tenant_says_what_holds_for_it(town: Site) -> None:
    answer = ask(town, 0, "/", "thief.test")
    assert answer.body == b"thief on thief.test has cookie __Host-session=SECRET"
    assert answer.headers.keys() >= OF_AN_ORIGIN


def test_on_the_host_for_names_nobody_says_what_holds_for_the_others(town: Site) -> None:
    answer = ask(town, 1, "/~service/thief/", NAMES)
    assert answer.body == b"thief on names.test has cookie none"
    assert OF_AN_ORIGIN.isdisjoint(answer.headers)


@pytest.mark.parametrize(("path", "host"), [("/", "thief.test"), ("/~service/thief/", NAMES)])
def test_a_guest_cannot_speak_in_the_name_of_the_edge(town: Site, path: str, host: str) -> None:
    ask(town, 1, path, host)
    answer = ask(town, 1, path, host)
    assert {"x-nunatak-error", "x-accel-redirect"}.isdisjoint(answer.headers)
    assert (answer.tier, answer.headers["x-request-id"] != "forged") == ("resident", True)
    assert answer.headers["server-timing"].count("guest;dur=") == 1
    assert answer.timing_ms["guest"] > 0.001


def test_a_service_host_that_a_service_publishes_later_belongs_to_that_service(town: Site) -> None:
    edge = town.add_edge(config={"service_host": "later.test"})
    with Client(edge.url) as client:
        assert client.get("/~service/bank/x", host="later.test").body.startswith(b"hello from /x,")
        town.publish(town.folder / "images" / "hello.oci.tar", "claimer", "later.test", tenant="claimer")

        def claimed() -> bool:
            return client.get("/x", host="later.test").body.startswith(b"hello from /x,")

        eventually(claimed, "the edge has looked at the catalogue")
        assert client.get("/~service/bank/x", host="later.test").error == "unknown_service"
    eventually(lambda: "service_host_taken host=later.test service=claimer" in edge.log.read_text(), "a line says so")
    assert "service_host_taken host=bank.test service=bank" in town.edges[2].log.read_text()
