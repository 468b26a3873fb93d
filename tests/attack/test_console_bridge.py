"""Somebody else on the machine, or a web page, wants to use the console that an operator has open on 127.0.0.1."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.site import Site
from tests.support.console import Console, console
from tests.support.edges import admin


@pytest.fixture(scope="module")
def bridge(site: Site) -> Iterator[Console]:
    with console(site.folder / site.edges[0].name) as running:
        yield running


def ask(bridge: Console, page: str, method: str = "GET", **headers: str) -> Answer:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    with Client(bridge.url) as client:
        return client.request(method, f"/-/{page}", headers=fields)


def bearer(secret: str) -> str:
    return f"Bearer {secret}"


def key_of(link: str) -> str:
    return link.partition("#key=")[2]


def token(bridge: Console) -> str:
    answer = ask(bridge, "session", "POST", Authorization=bearer(key_of(bridge.another_link())))
    assert answer.status == 200
    return answer.body.decode().split('"')[3]


def test_a_key_is_good_once_and_for_nothing_but_its_exchange(bridge: Console) -> None:
    key = key_of(bridge.another_link())
    assert ask(bridge, "view", Authorization=bearer(key)).status == 401
    assert ask(bridge, "session", "POST", Authorization=bearer(key)).status == 200
    assert ask(bridge, "session", "POST", Authorization=bearer(key)).status == 401
    assert ask(bridge, "session", "POST", Authorization=bearer(token(bridge))).status == 401, "a token makes no other"


def test_without_the_token_nothing_passes(site: Site, bridge: Console) -> None:
    pages = ("view", "services", "reports", "metrics", "health", "feed", "lines?service=a")
    for page, method in (*((page, "GET") for page in pages), ("drain", "POST"), ("park", "POST"), ("session", "POST")):
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": bearer("x" * 43)}, {"Cookie": "token=x"}):
            assert ask(bridge, page, method, **headers).status == 401
    assert admin(site.edges[0], "health").status == 200


def test_with_the_token_the_edge_answers_and_it_alone(bridge: Console) -> None:
    mine = bearer(token(bridge))
    assert b'"services"' in ask(bridge, "view", Authorization=mine).body
    assert ask(bridge, "no-such", Authorization=mine).error == "no_such_page"
    with Client(bridge.url) as client:
        for target in ("/", "/x", "http://192.0.2.1/-/view", "//192.0.2.1/-/view"):
            assert client.request("GET", target, headers={"Authorization": mine}).status in (403, 404)
        answer = client.request("POST", "/-/park", headers={"Authorization": mine}, body=b"x")
        assert (answer.status, answer.error) == (413, "no_body_expected")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.test"},
        {"Host": "localhost.attacker.test"},
        {"Host": ""},
        {"Origin": "http://attacker.test"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_a_web_page_is_refused_even_with_the_token(bridge: Console, headers: dict[str, str]) -> None:
    mine = bearer(token(bridge))
    for page, method in (("view", "GET"), ("park", "POST"), ("session", "POST")):
        assert ask(bridge, page, method, Authorization=mine, **headers).status == 403


def test_its_own_page_is_served_and_answered(bridge: Console) -> None:
    page = ask(bridge, "console")
    assert (page.status, page.headers["x-frame-options"], "unsafe" in page.headers["content-security-policy"]) == (
        200,
        "DENY",
        False,
    )
    own = {"Host": urlsplit(bridge.url).netloc, "Origin": bridge.url, "Sec_Fetch_Site": "same-origin"}
    assert ask(bridge, "park", "POST", Authorization=bearer(token(bridge)), **own).status == 200


def test_it_says_so_where_there_is_no_edge(site: Site) -> None:
    with pytest.raises(AssertionError, match="no link"), console(site.folder / "nowhere"):
        pass
