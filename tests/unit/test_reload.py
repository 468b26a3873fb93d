"""What becomes of a configuration that is read again while an edge runs."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from edge.config.options import EdgeConfig, options
from edge.config.reload import LIVE, reread

NOW = EdgeConfig(origin="http://origin.example", trust=Path("root.json"), cache=Path("cache"))


def another(name: str, type_: Any) -> object:
    """A value that an option does not have in `NOW`."""
    value = getattr(NOW, name)
    if choices := get_args(type_):
        return next(choice for choice in choices if choice != value)
    return Path("elsewhere") if type_ is Path else value + ("1" if type_ is str else 1)


@pytest.mark.parametrize("option", options(), ids=lambda option: str(option.name))
def test_every_option_is_taken_up_or_waits(option: Any) -> None:
    change: dict[str, Any] = {option.name: another(option.name, option.type)}
    read = replace(NOW, **change)
    found = reread(NOW, read)
    if option.name in LIVE:
        assert (found.config, found.changed, found.waiting) == (read, [option.name], [])
    else:
        assert (found.config, found.changed, found.waiting) == (NOW, [], [option.name])


def test_what_waits_is_named_each_time() -> None:
    read = replace(NOW, memory=NOW.memory * 2, drain=3.0)
    first = reread(NOW, read)
    assert (first.config.drain, first.config.memory) == (3.0, NOW.memory)
    assert reread(first.config, read)[1:] == ([], ["memory"])


def test_options_that_are_taken_up_are_options() -> None:
    assert set(LIVE) <= {option.name for option in options()}


def test_the_guide_names_them_all() -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "run-as-a-service.md"
    table = guide.read_text("utf-8").partition("| option | takes effect |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(LIVE)
