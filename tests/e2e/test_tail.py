"""`nunatak tail`: what an operator sees of a service's requests while they are answered, and what its clients see."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import NUNATAK, Site

PROGRAM = Path(__file__).parents[1] / "guest" / "programs" / "says.c"
KEPT = {"Say": "Cache-Control: max-age=60"}


@pytest.fixture(scope="module")
def program(site: Site) -> Path:
    return site.build(PROGRAM, name="says-tail")


@contextmanager
def following(site: Site, service: str, *words: str, absent: bool = False) -> Iterator["subprocess.Popen[str]"]:
    """The command, which is following.

    :param absent: the catalogue has no such service.
    """
    begins = f"following {service}, which is no service's name now;" if absent else f"following {service};"
    cache = str(site.folder / site.edges[0].name)
    command = [*NUNATAK, "tail", service, *words, "--cache", cache]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr is not None
            assert running.stderr.readline().startswith(begins), running.stderr.read()
            yield running
        finally:
            running.terminate()


def told(running: "subprocess.Popen[str]", count: int) -> list[str]:
    assert running.stdout is not None
    return [running.stdout.readline().rstrip("\n") for _ in range(count)]


def test_requests_are_told_as_they_end_hits_and_errors_among_them(site: Site, program: Path) -> None:
    site.publish(program, "tail")
    with following(site, "tail", "--json") as running, Client(site.edges[0].url) as client:
        first, hit = (client.request("GET", "/page", host="tail.test", headers=KEPT) for _ in range(2))
        missing = client.request("POST", "/page?b", host="tail.test", headers={"Code": "404"})
        crashed = client.request("GET", "/page?c", host="tail.test", headers={"Crash": "now"})
        said: list[dict[str, Any]] = [json.loads(line) for line in told(running, 4)]
    answers = [first, hit, missing, crashed]
    assert [each["id"] for each in said] == [answer.headers["x-request-id"] for answer in answers]
    assert [(each["method"], each["target"], each["status"]) for each in said] == [
        ("GET", "/page", 200),
        ("GET", "/page", 200),
        ("POST", "/page?b", 404),
        ("GET", "/page?c", crashed.status),
    ]
    assert [(each["cache"], each["tier"]) for each in said] == [
        ("miss", first.tier),
        ("hit", None),
        ("bypass", "resident"),
        (None, None),
    ]
    assert [each["error"] for each in said] == [None, None, None, crashed.error]
    assert all(each["whole"] and each["service"] == "tail" and "client" not in each for each in said)
    assert [each["body_bytes"] for each in said] == [len(answer.body) for answer in answers]
    assert [each["guest_ms"] is None for each in said] == [False, True, False, True]
    assert [each["trace_id"] is None for each in said] == [False, True, False, False], "nobody asks a guest about a hit"


def test_lines_are_of_what_is_asked_for(site: Site, program: Path) -> None:
    site.publish(program, "tail-some")
    with following(site, "tail-some", "--status", "4xx", "--method", "GET", "--client") as running:
        with Client(site.edges[0].url) as client:
            for method, code in (("GET", "200"), ("POST", "404"), ("GET", "404")):
                last = client.request(method, "/last", host="tail-some.test", headers={"Code": code})
        [line] = told(running, 1)
    assert line.split()[1:3] == ["404", "GET"]
    assert line.split()[-3:] == [last.headers["x-request-id"], "127.0.0.1", "tail-some.test/last"]


def test_what_cannot_be_followed_is_refused(site: Site) -> None:
    command = [*NUNATAK, "tail", "tail", "--status", "4x", "--cache", str(site.folder / site.edges[0].name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nunatak: --status: 404, 5xx, 400-499 (100 to 599, the lower first) or gone expected")


def test_a_service_that_is_not_there_is_followed_and_said_so(site: Site) -> None:
    with following(site, "tail-none", absent=True):
        pass


def test_a_purge_of_what_is_not_there_is_said(site: Site, program: Path) -> None:
    """By name, by the host of a URL, and from the origin; what is there is purged in silence, met or not."""
    site.publish(program, "tail-unmet")
    cache = ("--cache", str(site.folder / site.edges[0].name))
    operator = ("--origin", site.origin.url, "--keys", str(site.keys))
    for words, absent in (
        (("purge", "tail-unmet", *cache), ""),
        (("purge", "--url", "http://tail-unmet.test/page", *cache), ""),
        (("purge", "--tag", "anything", *cache), ""),
        (("purge", "--all", *cache), ""),
        (("fleet", "purge", "tail-unmet", *operator), ""),
        (("purge", "tail-none", *cache), "service tail-none"),
        (("purge", "tail-none", "--tag", "x", *cache), "service tail-none"),
        (("purge", "--url", "http://none.test/page", *cache), "host none.test"),
        (("purge", "--prefix", "http://none.test/", *cache), "host none.test"),
        (("fleet", "purge", "tail-none", *operator), "service tail-none"),
        (("fleet", "purge", "--url", "http://tail-unmet.test/page", *operator), ""),
    ):
        done = subprocess.run([*NUNATAK, *words], capture_output=True, text=True, timeout=60, check=False)
        said = f"{absent}: the " if absent else ""
        assert (done.returncode, done.stderr.startswith(said)) == (int(bool(absent)), True), (words, done.stderr)
        assert bool(done.stderr) == bool(absent), (words, done.stderr)
    # Of a host that no service has an origin cannot say more: edges may serve all services by name on one of their own.
    for option, url in (("--url", "http://None.test:80/page"), ("--prefix", "none.test/")):
        command = [*NUNATAK, "fleet", "purge", option, url, *operator]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr.startswith("host none.test: no service has it")) == (0, True), done.stderr
