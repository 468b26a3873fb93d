"""The requests that wrk makes: by Zipf's law, the same each time."""

import re
from collections import Counter

from loadtest.zipf_scale import script

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


def test_services_are_named_as_a_world_names_them() -> None:
    assert "/~service/zipf-%05d/" in script(3, 0.9, 10)
    assert set(_drawn(script(3, 0.9, 1000))) == {0, 1, 2}
