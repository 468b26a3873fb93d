"""The same worker file on workerd and here: status, what the worker set, and the bytes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.peers.npm import PeerMissing
from loadtest.peers.peers import Workerd
from loadtest.site.fetch import Answer, Client
from loadtest.site.site import Site

WORKER = Path(__file__).parent.parent / "guest" / "workers" / "platform.js"
SET_BY_WORKERS = ("content-type", "location", "x-got", "x-method")

SAME = [
    *(
        "/json",
        "/query?q=a%20b&a=1&a=2",
        "/query?q=%C3%BC&x",
        "/headers",
        "/parts",
        "/large",
        "/digest",
        "/utf8",
        "/clone",
    ),
    *("/abort", "/redirect", "/deep", "/plain", "/count", "/none", "/a%2Fb?c=%20"),
]


@pytest.fixture(scope="module")
def sides(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    """Ours and theirs."""
    try:
        with Workerd(tmp_path_factory.mktemp("workerd"), WORKER) as peer:
            site.publish(site.build(WORKER, name="parity"), "parity", "parity.test")
            with Client(site.edges[0].url) as ours, Client(peer.url) as theirs:
                yield ours, theirs
    except PeerMissing as error:
        pytest.skip(str(error))


def told(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    return answer.status, {name: answer.headers[name] for name in SET_BY_WORKERS if name in answer.headers}, answer.body


@pytest.mark.parametrize("path", SAME)
def test_pages_are_the_same(sides: tuple[Client, Client], path: str) -> None:
    ours, theirs = (told(client.get(path, host="parity.test")) for client in sides)
    assert ours == theirs


@pytest.mark.parametrize("size", [0, 1000, 100_000])
def test_bodies_are_the_same(sides: tuple[Client, Client], size: int) -> None:
    body = bytes(range(250)) * (size // 250)
    ours, theirs = (told(client.request("POST", "/echo", host="parity.test", body=body)) for client in sides)
    assert ours == theirs


@pytest.mark.parametrize("path", ["/throw", "/reject", "/nothing"])
def test_errors_are_500_on_both(sides: tuple[Client, Client], path: str) -> None:
    ours, theirs = (client.get(path, host="parity.test") for client in sides)
    assert ours.status == theirs.status == 500
