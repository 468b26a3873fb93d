"""Is a world made of what `--mix` says, evenly, and is a mix that cannot be meant refused?"""

from collections import Counter
from pathlib import Path

import pytest

from origin.bake.mix import SAMPLES, Share, parse_mix, turns
from vmimage.errors import PublisherError


def test_a_mix_is_names_paths_and_weights(tmp_path: Path) -> None:
    odd = tmp_path / "a=b.c"
    odd.write_text("int main(void) { return 0; }")
    assert parse_mix(f"c=3, js,{odd}=2") == (Share(SAMPLES["c"], 3), Share(SAMPLES["js"]), Share(odd, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "programs such as"),
        (",", "programs such as"),
        ("c=0", "a weight of 1 to 1000 expected, got 'c=0'"),
        ("c=1001", "a weight of 1 to 1000"),
        ("c=x", "a weight of 1 to 1000"),
        ("c=²", "a weight of 1 to 1000"),
        ("cobol", "c, js, lua or a program's path expected, got 'cobol'"),
        ("c=2,js,c", "each program once"),
    ],
)
def test_a_mix_that_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(PublisherError, match=message):
        parse_mix(text)


def test_turns_are_weighted_and_spread() -> None:
    order = [path.suffix for path in turns(parse_mix("c=3,js=2,lua=1"))]
    assert Counter(order) == {".c": 3, ".js": 2, ".lua": 1}
    assert order == [".c", ".js", ".c", ".lua", ".js", ".c"], "nobody comes twice while another waits for longer"


def test_samples_are_there() -> None:
    assert all(path.is_file() for path in SAMPLES.values())
