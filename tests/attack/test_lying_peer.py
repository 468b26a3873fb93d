"""A member of a POP that answers falsely, and asks what it may not: a real edge beside it, with a client that asks."""

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from edge.peers.placement import Member, Owners, service_key
from edge.peers.said import FIELD
from loadtest.site.site import Publication, Site, example
from tests.support.edges import PATIENCE_S, eventually, metrics
from tests.support.lying_peer import LyingPeer, lying_peer
from tests.support.pops import Pop

NAMES = ["edge-0", "liar"]


class Scene:
    """An edge, the liar, and services that the liar owns, of which nobody knows anything yet."""

    def __init__(self, site: Site, liar: LyingPeer, pop: Pop) -> None:
        owners = Owners(Member(each) for each in NAMES)
        names = (f"hello-{number}" for number in range(1000))
        self.services = [name for name in names if owners.of(service_key(name))[0] == "liar"][:20]
        self.site, self.liar, self.pop = site, liar, pop

    def begin_anew(self) -> None:
        """Have the edge forget how the liar was before."""
        log = self.pop.of("edge-0").log
        before = log.read_text().count("peers=0")
        self.pop.tell(self.pop.members())
        eventually(lambda: log.read_text().count("peers=0") > before, "it has no peers")
        self.pop.tell([*self.pop.members(), self.liar.member("liar")])

    def ask(self, service: str) -> tuple[int, bytes]:
        """The edge, as a client."""
        connection = http.client.HTTPConnection(urlsplit(self.pop.of("edge-0").url).netloc, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/", headers={"Host": f"{service}.test"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("lying-peer")
    config: dict[str, int | float | str | bool] = {"share": "requests"}
    with Site(folder / "site", edges=0, edge_config={"refresh": 0.2}) as site, lying_peer(folder / "liar") as liar:
        pop = Pop(site, 1, config)
        pop.tell([*pop.members(), liar.member("liar")])
        made = Scene(site, liar, pop)
        image = site.build(example("hello"), name="hello")
        site.publish_batch(Publication(image, name, (f"{name}.test",)) for name in made.services)
        yield made


LIES = {
    "another-protocol": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nanything",
    "refusal-that-is-interim": b"HTTP/1.1 103 Early Hints\r\nX-Nunatak-Error: quarantine\r\n\r\n",
    "refusal-that-is-none": b"HTTP/1.1 200 OK\r\nX-Nunatak-Error: quarantine\r\nContent-Length: 0\r\n\r\n",
    "answer-of-another-image": b"HTTP/1.1 200 OK\r\nX-Nunatak-Image: sha256:00\r\nContent-Length: 3\r\n\r\nlie",
    "answer-of-no-image": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nlie",
}


@pytest.mark.parametrize("lie", list(LIES.values()), ids=list(LIES))
def test_what_no_answer_of_a_peer_is_costs_a_try_and_the_client_has_a_true_one(scene: Scene, lie: bytes) -> None:
    """A 101 would make the client's connection the liar's, with all that comes on it from then on."""
    scene.begin_anew()
    scene.liar.answer = lie
    asked = len(scene.liar.asked)
    status, body = scene.ask(scene.services.pop())
    assert (status, body.startswith(b"hello from /")) == (200, True), body
    assert len(scene.liar.asked) > asked, "it was asked"
    assert scene.liar.after == [], "and has heard no more"


def test_an_edge_that_shares_images_alone_takes_no_word_of_a_peer_for_a_client(scene: Scene) -> None:
    """Who names members, with the origin's snapshot key, would else say who clients are."""
    edge = scene.pop.members()[0]
    field = f"{FIELD.decode()}: 1 192.0.2.7 80 - 0123456789 sha256:{'0' * 64} -"
    request = f"GET / HTTP/1.1\r\nHost: {scene.services[0]}.test\r\n{field}\r\n\r\n".encode()
    assert b"x-nunatak-elsewhere: other-image" in scene.liar.says(str(edge["peer"]), request)
    scene.pop.share("edge-0", "images")
    try:
        before = metrics(scene.pop.of("edge-0"))["requests_total"]
        said = scene.liar.says(str(edge["peer"]), request)
        assert b" 421 " in said
        assert b"x-nunatak-elsewhere: not-shared" in said
        assert metrics(scene.pop.of("edge-0"))["requests_total"] == before
    finally:
        scene.pop.share("edge-0", "requests")
