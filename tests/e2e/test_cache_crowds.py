"""Many who ask for the same at the same moment: how often its guest runs for them. Counted, not timed."""

import re
import socket
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edge.cache.prospects import SERVICE_ANSWERS
from loadtest.site.fetch import Client
from loadtest.site.site import Site

PROGRAM = Path(__file__).parents[1] / "guest" / "programs" / "says.c"
CROWD = 100
AT_ONCE = 8  # what one machine does
TIMEOUT_S = 60.0

_RUN = re.compile(rb"run (\d+), at most (\d+) at once")
_STATUS = re.compile(rb"Cache-Status: nunatak; ([^\r]*)")


@pytest.fixture(scope="module")
def image(site: Site) -> Path:
    """A page that answers as it is told to."""
    return site.build(PROGRAM, name="crowd")


@pytest.fixture
def service(site: Site, image: Path, request: pytest.FixtureRequest) -> str:
    """A service of which nothing is known yet, whose machine runs."""
    name = str(request.node.name).replace("_", "-")[5:45].strip("-")
    site.publish(image, name)
    with Client(site.edges[0].url) as client:
        assert (
            client.request("GET", "/first", host=f"{name}.test", headers={"Say": "Cache-Control: max-age=60"}).status
            == 200
        )
    return name


def crowd(site: Site, service: str, path: str, say: str, size: int = CROWD) -> Sequence[bytes]:
    """Their answers, after all have asked."""
    parts = urlsplit(site.edges[0].url)
    fields = f"Host: {service}.test\r\nSay: {say}\r\nWait: 400\r\nConnection: close\r\n"
    connections = [socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_S) for _ in range(size)]
    for connection in connections:
        connection.sendall(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
    return [read_all(connection) for connection in connections]


def read_all(connection: socket.socket) -> bytes:
    """What comes until the edge closes."""
    got = b""
    with connection:
        while more := connection.recv(1 << 16):
            got += more
    assert got.startswith(b"HTTP/1.1 200 "), got[:200]
    return got


def runs(answers: Sequence[bytes]) -> tuple[int, int]:
    """How many runs wrote them, and how many of the service there were at once until then."""
    found = [match for answer in answers if (match := _RUN.search(answer))]
    assert len(found) == len(answers)
    return len({match[1] for match in found}), max(int(match[2]) for match in found)


def test_a_crowd_on_a_cold_page_is_one_run(site: Site, service: str) -> None:
    answers = crowd(site, service, "/page", "Cache-Control: max-age=60")
    assert runs(answers)[0] == 1
    did = Counter(match[1].split(b";")[0] for answer in answers if (match := _STATUS.search(answer)))
    collapsed = sum(b"; collapsed" in answer for answer in answers)
    assert did[b"hit"] + collapsed == CROWD - 1
    assert collapsed > 0


def test_a_crowd_on_what_is_not_kept_runs_at_once(site: Site, service: str) -> None:
    answers = crowd(site, service, "/page", "Cache-Control: no-store")
    assert runs(answers) == (CROWD, AT_ONCE)
    assert not any(b"; collapsed" in answer for answer in answers)


def test_where_nothing_is_kept_nobody_waits_for_a_head(site: Site, image: Path) -> None:
    """All run at once from the beginning, on a page that nobody has asked for before: the first is one of them."""
    site.publish(image, "never-kept")
    for number in range(SERVICE_ANSWERS):
        assert runs(crowd(site, "never-kept", f"/{number}", "Cache-Control: no-store", 1))[0] == 1
    answers = crowd(site, "never-kept", "/new", "Cache-Control: no-store", AT_ONCE)
    assert runs(answers) == (AT_ONCE, AT_ONCE)


def test_a_path_that_is_not_kept_is_known_by_one_of_its_queries(site: Site, service: str) -> None:
    assert runs(crowd(site, service, "/search?q=a", "Cache-Control: no-store", 1))[0] == 1
    answers = crowd(site, service, "/search?q=b", "Cache-Control: no-store", AT_ONCE)
    assert runs(answers) == (AT_ONCE, AT_ONCE)
