"""Configuration: one set of fields for file, command line and help; bad input is one clear line."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edge.cli import app
from edge.config.options import EdgeConfig, load_config, options
from vmimage.errors import OperatorError

NEEDED = {"origin": "http://127.0.0.1:1", "trust": "root.json", "cache": "cache"}


def test_the_defaults_are_those_of_the_class_and_share_out_the_memory() -> None:
    config = load_config(None, NEEDED)
    assert config == EdgeConfig(origin="http://127.0.0.1:1", trust=Path("root.json"), cache=Path("cache"))
    assert config.resident_bytes + config.image_bytes + config.parked_bytes == config.memory


def test_every_default_is_within_its_own_range() -> None:
    given = {
        option.name: option.default for option in options() if not option.name.startswith(("origin", "trust", "cache"))
    }
    load_config(None, {**NEEDED, **{name: str(value) for name, value in given.items()}})


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('memory = "64MiB"\nrefresh = 2\nworkers = 3\n')
    config = load_config(file, {**NEEDED, "workers": "1"})
    assert (config.memory, config.refresh, config.workers) == (64 << 20, 2.0, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"memroy": "1"}, "unknown configuration key 'memroy'"),
        ({"memory": "1MiB"}, "memory: 16MiB to 1TiB expected, got 1MiB"),
        ({"memory": "lots"}, "memory: a size such as 256MiB expected, got 'lots'"),
        ({"workers": "two"}, "workers: "),
        ({"workers": "-1"}, "workers: 0 to 256 expected, got -1"),
        ({"refresh": "nan"}, "refresh: "),
        ({"listen": "8080"}, "listen: unix:PATH or ADDRESS:PORT ([ADDRESS]:PORT for IPv6) expected, got '8080'"),
        ({"listen": "a:99999"}, "listen: "),
        ({"origin": "ftp://x"}, "origin: an http or https URL expected"),
        ({"kvm_ring0": "true"}, "kvm_ring0: on or off expected, got 'true'"),
        (
            {"admin": "10.0.0.0/8"},
            "configuration key 'admin' is no more: operators' pages have a listener of their own",
        ),
        (
            {"admin_listen": "unix:"},
            "admin_listen: unix:PATH or ADDRESS:PORT ([ADDRESS]:PORT for IPv6) expected, got 'unix:'",
        ),
        ({"admin_listen": "unix:a/"}, "admin_listen: "),
        (
            {"admin_listen": "9090"},
            "admin_listen: unix:PATH or ADDRESS:PORT ([ADDRESS]:PORT for IPv6) expected, got '9090'",
        ),
        ({"admin_listen": "127.0.0.1:9090"}, "admin_token: a file with a token expected for operators' pages on 127"),
    ],
)
def test_bad_values_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(OperatorError) as caught:
        load_config(None, {**NEEDED, **given})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["memory = true", "memory = [1]", "workers = 1.5", "x = 1", "memory = "])
def test_bad_files_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(text)
    with pytest.raises(OperatorError):
        load_config(file, NEEDED)


def test_what_must_be_given_is_named() -> None:
    with pytest.raises(OperatorError, match=r"--origin, --trust, --cache must be given"):
        load_config(None, {})


def test_help_shows_every_option_with_its_default() -> None:
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, ["edge", "--help"])
    assert result.exit_code == 0
    words = " ".join(result.output.split())
    for option in options():
        assert option.flag in words
    assert "[default: 256MiB]" in words
    assert isinstance(app, typer.Typer)


def test_the_command_refuses_before_it_starts_anything() -> None:
    result = CliRunner().invoke(app, ["edge", "--origin", "http://127.0.0.1:1"])
    assert isinstance(result.exception, OperatorError)
    assert "--trust, --cache must be given" in str(result.exception)
