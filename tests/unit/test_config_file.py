"""The options of `nunatak origin` from a file and from the environment; and variables of all commands."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.main import build_app
from vmimage.errors import OperatorError, PublisherError

WIDE = {"COLUMNS": "250", "TERM": "dumb", "NO_COLOR": "1"}


def test_a_file_says_what_neither_line_nor_environment_says(tmp_path: Path) -> None:
    file = tmp_path / "origin.toml"
    file.write_text(
        'store = "a"\nkeys = "keys"\nlisten = "127.0.0.1:1"\ntimestamp-minutes = 30\n'
        'registry = ["oci+https://r.example/a", "oci+https://r.example/b"]\n'
    )
    runner = CliRunner(env={**WIDE, "NUNATAK_ORIGIN_LISTEN": "127.0.0.1:2", "NUNATAK_ORIGIN_STORE": "b"})
    words = ["origin", "--config", str(file), "--store", "c", "--print-config"]
    done = runner.invoke(build_app(), words)
    assert done.exit_code == 0, done.exception
    assert sorted(done.output.splitlines()) == sorted(
        [
            'store = "c"  # option',
            f'keys = "keys"  # {file}',
            'listen = "127.0.0.1:2"  # environment',
            '# token_file = ""  # default',
            'registry = ["oci+https://r.example/a", "oci+https://r.example/b"]  # ' + str(file),
            '# issuers = ""  # default',
            '# nats = ""  # default',
            f"timestamp_minutes = 30  # {file}",
        ]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nstroe = 1", ":2: stroe: no option of this name: did you mean store?"),
        ("store = 'a'\ntimestamp_minutes = 99999", ":2: timestamp_minutes: "),
        ("timestamp_minutes = 'soon'", ":1: timestamp_minutes: "),
        ("store = ['a']", ":1: store: a whole number or text expected, got ['a']"),
        ("store = 1.5", ":1: store: a whole number or text expected, got 1.5"),
        ("token-file = 'a'\ntoken_file = 'b'", ":2: token_file: one spelling expected, it is given twice"),
        ("config = 'x'", ":1: config: no option of this name"),
        ("store = ", ":1: Invalid value"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "origin.toml"
    file.write_text(text)
    done = CliRunner(env=WIDE).invoke(build_app(), ["origin", "--config", str(file), "--keys", "k", "--print-config"])
    assert isinstance(done.exception, OperatorError), done.output
    assert str(done.exception).startswith(f"{file}{message}")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = CliRunner(env=WIDE).invoke(build_app(), ["origin", "--config", str(tmp_path / "no.toml")])
    assert "no.toml: No such file or directory" in str(done.exception)


def test_each_option_of_a_command_is_a_variable_too() -> None:
    """`--engine` of `nunatak run`, which is refused for its value before anything is done with the program."""
    done = CliRunner(env={**WIDE, "NUNATAK_RUN_ENGINE": "steam"}).invoke(build_app(), ["run", "nothing"])
    assert isinstance(done.exception, PublisherError)
    assert "unicorn or kvm expected, got 'steam'" in str(done.exception)


def test_help_names_the_rule_and_only_variables_that_do_not_follow_it() -> None:
    runner = CliRunner(env=WIDE)
    assert "NUNATAK_BUILD_MEMORY" in runner.invoke(build_app(), ["--help"]).output
    assert "NUNATAK_BUILD_MEMORY" not in runner.invoke(build_app(), ["build", "--help"]).output
    assert "NUNATAK_KEYS" in runner.invoke(build_app(), ["publish", "--help"]).output


def test_no_variable_asks_for_the_version() -> None:
    done = CliRunner(env={**WIDE, "NUNATAK_VERSION": "1.2.3"}).invoke(build_app(), ["run", "--help"])
    assert (done.exit_code, "Usage" in done.output) == (0, True)
