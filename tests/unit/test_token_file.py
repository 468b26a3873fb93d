"""The file of tokens: what is written is what is read, and what is none is refused."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from origin.model.tokens import Token, Tokens, add, load
from vmimage.errors import OperatorError

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_a_token_is_found_again_as_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    made = [
        add(path, "tenant", "acme", NOW),
        add(path, "edge", "zrh-1", NOW, "zrh"),
        add(path, "edge", "zrh-2", NOW, "zrh", 2.5),
    ]
    assert load(path) == [token for token, _ in made]
    found = Tokens(path)
    assert [found.find(token.use, text) for token, text in made] == [token for token, _ in made]
    assert [(token.pop, token.weight) for token, _ in made] == [("", 1.0), ("zrh", 1.0), ("zrh", 2.5)]
    assert path.read_text().count("weight") == 1, "a file without other weights is as it always was"


@pytest.mark.parametrize("weight", [0.0, -1.0, 1001.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_not_written(tmp_path: Path, weight: float) -> None:
    with pytest.raises(OperatorError, match="--weight: a number above 0"):
        add(tmp_path / "tokens", "edge", "zrh-1", NOW, "zrh", weight)
    assert load(tmp_path / "tokens") == []


def test_a_weight_is_of_an_edge_among_others(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="for an edge with --pop"):
        add(tmp_path / "tokens", "edge", "zrh-1", NOW, "", 2.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"weight": 0},
        {"weight": "2"},
        {"weight": True, "pop": ""},
        {"weight": 2, "pop": ""},
        {"name": 5},
        {"for": "all"},
    ],
)
def test_a_file_with_something_else_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    path = tmp_path / "tokens"
    token = Token("01234567", "edge", "zrh-1", "ab" * 32, NOW.isoformat(), "zrh")
    entry = {
        "id": token.id,
        "for": "edge",
        "name": token.name,
        "sha256": token.sha256,
        "made": token.made,
        "pop": "zrh",
    }
    path.write_text(json.dumps({"tokens": [entry], "version": 1}))
    path.chmod(0o600)
    assert load(path) == [token]
    path.write_text(json.dumps({"tokens": [entry | fields], "version": 1}))
    with pytest.raises(OperatorError, match="a file of tokens"):
        load(path)
