"""Does `nunatak fleet list` say what there is, and why there may be nothing?"""

import io
from typing import Any

from rich.console import Console

from origin.commands.fleet_cli import table_of

EDGE: dict[str, Any] = {
    "edge": "fra-1", "pop": "fra", "live": True, "heard_s": 1.0, "requests_s": 2.0, "machines": 3, "free_bytes": 1,
    "catalogue_s": -1, "behind": None, "certificate_s": -1, "version": "1",
}  # fmt: skip


def shown(*edges: dict[str, Any], refused: int = 0, width: int = 140) -> str:
    file, feed = io.StringIO(), {"seq": 7, "followers": 2, "refused": refused}
    Console(file=file, width=width).print(table_of({"feed": feed, "edges": list(edges)}, width))
    return file.getvalue()


def test_an_empty_fleet_is_explained() -> None:
    assert "no edge was heard of: edges need edge_name and edge_token" in shown()


def test_an_edge_has_a_row_of_words() -> None:
    text = shown(EDGE, EDGE | {"edge": "fra-2", "live": False, "heard_s": 40.0})
    assert "feed at 7, 2 edges and parents follow it" in text
    assert "no edge was heard of" not in text
    assert "no events" not in text
    assert "3 objects of its log were no events" in " ".join(shown(EDGE, refused=3).split())
    for word in ("fra-1", "live", "never", "?", "none", "gone 40 s"):
        assert word in text


def test_a_row_fits_a_terminal_and_has_the_version_of_the_settings() -> None:
    said = {"measured": {"settings": {"number": 12, "state": "kept"}}}
    busy = {
        "free_bytes": 4096 << 20,
        "catalogue_s": 12.3,
        "requests_s": 1234.5,
        "behind": 12,
        "certificate_s": 86_400_000,
    }
    table = shown(EDGE | busy | said | {"version": "0.1.0"})
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 80
    assert " 12 " in table
    assert "0 back" in shown(EDGE | {"measured": {"settings": {"number": 0, "state": "back"}}})
    assert "?" in shown(EDGE | {"measured": {"settings": [5]}})


def test_a_narrow_terminal_shows_who_and_how_in_whole_words() -> None:
    said = {"measured": {"settings": {"number": 12, "state": "kept"}}}
    table = shown(EDGE | said, EDGE | {"edge": "fra-2", "live": False, "heard_s": 40.0}, width=40)
    for words in ("fra-1 fra live ? 12", "fra-2 fra gone 40 s ? ?"):
        assert words in " ".join(table.split())
    assert "…" not in table
