"""The requests that wrk makes: by Zipf's law, the same each time; and what is made of the answers."""

import re
import shutil
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loadtest.scenarios.zipf_scale import rows, script
from loadtest.traffic.pressure import Pressure, press

DRAWS = 20_000


def _drawn(text: str) -> list[int]:
    found = re.search(r"\{([\d,]+)\}", text)
    assert found is not None
    return [int(number) for number in found[1].split(",")]


def test_draws_follow_the_law_and_repeat() -> None:
    text = script(100, 1.0, DRAWS)
    assert text == script(100, 1.0, DRAWS)
    counts = [count for _, count in Counter(_drawn(text)).most_common()]
    assert sum(counts) == DRAWS
    whole = sum(1 / rank for rank in range(1, 101))
    for rank in (1, 2, 5, 10):
        expected = DRAWS / rank / whole
        assert 0.85 * expected < counts[rank - 1] < 1.15 * expected


def test_a_larger_alpha_is_more_for_the_first() -> None:
    first = [Counter(_drawn(script(1000, alpha, DRAWS))).most_common(1)[0][1] for alpha in (0.7, 0.9, 1.1)]
    assert first == sorted(first)
    assert first[0] < first[2]


def test_the_same_services_are_popular_at_each_point_of_a_count() -> None:
    """Otherwise a point would begin with tiers full of what was popular at the point before."""
    points = [_drawn(script(1000, alpha, DRAWS, part)) for alpha, part in ((0.9, 0), (1.1, 0), (0.9, 1))]
    assert len({tuple(drawn) for drawn in points}) == 3, "other requests"
    first = [[service for service, _ in Counter(drawn).most_common(2)] for drawn in points]
    assert first[0] == first[1] == first[2]


def test_services_are_named_as_a_world_names_them() -> None:
    assert "/~service/zipf-%05d/" in script(3, 0.9, 10)
    assert set(_drawn(script(3, 0.9, 1000))) == {0, 1, 2}


def test_wrk_asks_for_what_was_drawn_in_turn_and_then_again_from_the_first(tmp_path: Path) -> None:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is needed: apt-get install wrk")
    asked: list[str] = []

    class Page(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    lua = tmp_path / "draws.lua"
    lua.write_text(script(100, 0.9, draws=50))
    drawn = [f"/~service/zipf-{number:05d}/" for number in _drawn(lua.read_text())]
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            found = press(f"http://127.0.0.1:{server.server_port}", connections=1, seconds=1, script=lua)
        finally:
            server.shutdown()
    assert found.errors == 0
    assert len(asked) > 2 * len(drawn), "the draws are used more than once"
    # wrk calls the script once before it starts, to see how many requests a call makes.
    expected = [drawn[(1 + number) % len(drawn)] for number in range(len(asked))]
    assert asked == expected


def test_a_point_has_each_tiers_share_of_the_answers_since_the_look_before() -> None:
    before = {"answers_total{resident}": 1000.0, "answers_total{parked}": 50.0, "answers_total{error}": 7.0}
    after = {"answers_total{resident}": 1060.0, "answers_total{parked}": 80.0, "answers_total{disk}": 10.0}
    figures = {
        row.name: values for row, values in rows(100, 0.9, Pressure(20_000, 5000.0, 1.5, 9.0, 0), before, after).items()
    }
    shares = {name.rpartition("-")[2]: values for name, values in figures.items()}
    assert shares == {
        "rate": [5000.0],
        "p50": [1.5],
        "p99": [9.0],
        "resident": [60.0],
        "parked": [30.0],
        "disk": [10.0],
        "blob": [0.0],
        "origin": [0.0],
    }
    assert all(name.startswith("zipf-0.9-100-") for name in figures)


def test_a_point_without_answers_has_no_shares() -> None:
    figures = rows(10, 0.7, Pressure(0, 0.0, 0.0, 0.0, 0), {}, {})
    assert all(values == [0.0] for values in figures.values())
