"""What operators and programs can name for a purge, and what is no purge."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cache.purges import Purge
from edge.model.flow import ClientError
from edge.operators.purge_cli import app
from edge.operators.purging import SELECTORS_MAX, invalidations_of, purges_of
from vmimage.errors import OperatorError


@pytest.mark.parametrize(
    ("query", "purges"),
    [
        ("all=1", [Purge("all")]),
        ("all&soft", [Purge("all", soft=True)]),
        ("service=shop", [Purge("service", "shop")]),
        ("service=shop&tag=A&tag=b", [Purge("tag", "shop", "a"), Purge("tag", "shop", "b")]),
        ("tag=a", [Purge("tag", "", "a")]),
        ("uri=https%3A%2F%2FShop.Example%3A8443%2Fx%3Fy%3D1%23z", [Purge("uri", "", "shop.example/x?y=1")]),
        ("uri=http://shop.example", [Purge("uri", "", "shop.example/")]),
        ("prefix=shop.example/img/", [Purge("prefix", "", "shop.example/img/")]),
        ("uri=shop.example/a?u=http://b", [Purge("uri", "", "shop.example/a?u=http://b")]),
    ],
)
def test_queries(query: str, purges: list[Purge]) -> None:
    assert purges_of(query) == purges


@pytest.mark.parametrize(
    "query",
    [
        "",
        "soft",
        "sevice=shop",
        "service=../shop",
        "service=a&service=b",
        "uri=",
        "uri=/only/a/path",
        "uri=ftp://a.test/",
        "uri=http://[::1/",
        f"uri=a.test/{'x' * 9000}",
        "tag=",
        "tag=a%20b",
        f"tag={'x' * 129}",
        "&".join(f"tag=t{number}" for number in range(SELECTORS_MAX)),
    ],
)
def test_what_is_no_purge_is_400(query: str) -> None:
    if query.startswith("tag=t0&"):
        purges_of(query)
        query += "&tag=more"
    with pytest.raises(ClientError) as refused:
        purges_of(query)
    assert refused.value.refusal.status == 400


@pytest.mark.parametrize(
    ("event", "purges"),
    [
        ({"type": "uri", "selectors": ["https://a.test/x"], "purge": True}, [Purge("uri", "", "a.test/x")]),
        ({"type": "uri-prefix", "selectors": ["https://a.test/x"]}, [Purge("prefix", "", "a.test/x", True)]),
        ({"type": "origin", "selectors": ["https://a.test"], "purge": True}, [Purge("prefix", "", "a.test/")]),
        ({"type": "group", "selectors": ["A", "b"], "purge": False}, [Purge("tag", "", x, True) for x in "ab"]),
    ],
)
def test_events(event: dict[str, object], purges: list[Purge]) -> None:
    assert invalidations_of(json.dumps(event).encode()) == purges


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"{",
        b"[" * 60_000,
        b'"uri"',
        b'{"type": "uri"}',
        b'{"type": ["uri"], "selectors": ["https://a.test/"]}',
        b'{"type": "uri", "selectors": []}',
        b'{"type": "uri", "selectors": "https://a.test/"}',
        b'{"type": "uri", "selectors": [1]}',
        b'{"type": "group", "selectors": ["a b"]}',
        json.dumps({"type": "group", "selectors": ["x"] * (SELECTORS_MAX + 1)}).encode(),
    ],
)
def test_what_is_no_event_is_400(body: bytes) -> None:
    with pytest.raises(ClientError) as refused:
        invalidations_of(body)
    assert refused.value.refusal.status == 400


@pytest.mark.parametrize(
    "words", [("a b",), ("--url", "no host/"), ("--tag", "a b"), ("shop", "--prefix", "ftp://a.test/")]
)
def test_what_cannot_be_purged_is_told_before_the_edge_is_asked(words: tuple[str, ...], tmp_path: Path) -> None:
    error = CliRunner().invoke(app, [*words, "--cache", str(tmp_path)]).exception
    assert isinstance(error, OperatorError)
    assert "a service's name, a URL with its host, or a tag expected" in str(error)
    assert words[-1] in str(error)
