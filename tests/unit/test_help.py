"""Does the help of every command say types and defaults, in whole sentences, and who uses the command?"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from edge.main import FAMILIES, GROUPS, build_app

APP = build_app()
ROOT: Any = get_command(APP)
WIDE = {"COLUMNS": "250", "TERM": "dumb", "NO_COLOR": "1"}
# What typer shows where nobody said how a value is written. For a flag there is nothing to write.
BARE_TYPE = re.compile(r"<(?!bool>|path>)[a-z\[\] ]+>")


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that lead to it, groups included."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*path, name))


COMMANDS = dict(walk(ROOT))
OPTIONS = [
    pytest.param(option, id=" ".join((*path, option.opts[0])))
    for path, command in COMMANDS.items()
    for option in command.params
]


def test_each_command_stands_in_one_group() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(ROOT.commands)


def test_which_commands_have_commands_below_them() -> None:
    assert {name for name, command in ROOT.commands.items() if hasattr(command, "commands")} == FAMILIES


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_terminal_breaks_the_lines_of_a_help(path: tuple[str, ...]) -> None:
    paragraphs = COMMANDS[path].help.split("\n\n")
    assert not [part for part in paragraphs if "\n" in part]


def test_the_groups_are_shown_in_order_with_their_commands() -> None:
    shown = CliRunner(env=WIDE).invoke(APP, ["--help"]).output
    words = [*(word for group, names in GROUPS.items() for word in (group, *(f"│ {name} " for name in names)))]
    places = [shown.find(word) for word in words]
    assert -1 not in places
    assert places == sorted(places)


def test_the_version_option_says_what_it_does() -> None:
    assert "Print the version and exit." in CliRunner(env=WIDE).invoke(APP, ["--help"]).output


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_s_page_is_plain(path: tuple[str, ...]) -> None:
    done = CliRunner(env=WIDE).invoke(APP, [*path, "--help"])
    assert done.exit_code == 0
    words = " ".join(done.output.split())
    assert "Default ." not in words
    assert "default: ]" not in words
    assert not BARE_TYPE.findall(words.partition(" Options ")[2]), "an argument may be any text, an option says more"
    assert COMMANDS[path].help.strip().splitlines()[0].endswith(".")


# Commands that take a key folder for what is public in it, or for its tokens, and sign nothing with a publisher's key.
SIGN_NOTHING = {
    *("origin", "logs", "prune", "hold list", "release status", "settings status", "tenant list", "tenant proof"),
    *("services list", "services show", "services history", "fleet list", "fleet purge"),
    *("token add", "token list", "token remove"),
    *("keys list", "keys prepare", "keys sign", "keys publish", "keys add", "keys remove", "keys rotate"),  # by --key
}


def test_whoever_signs_may_have_the_key_elsewhere() -> None:
    """A command that is not named above takes --with-key, as a tenant's key is in the secret store of its CI."""
    said = {
        " ".join(path): {name for option in command.params for name in option.opts}
        for path, command in COMMANDS.items()
    }
    keyed = {name for name, options in said.items() if "--keys" in options}
    assert {name for name in keyed if "--with-key" not in said[name]} == SIGN_NOTHING


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_says_what_it_is(option: Any) -> None:
    text = option.help or ""
    assert text[:1].isupper() or text.startswith("`")
    assert text.endswith(".")
    assert "Default" not in text
    flag = getattr(option, "is_flag", False)
    if isinstance(option, typer.core.TyperArgument) or flag:
        return
    assert option.metavar, "how its value is written"
    with_default = option.default not in (None, "", ()) and option.show_default is True
    in_words = isinstance(option.show_default, str) and option.show_default
    assert option.required or with_default or in_words or "must be given" in text, "its default"


@pytest.mark.parametrize("option", OPTIONS)
def test_nothing_that_stands_for_something_else_is_shown_bare(option: Any) -> None:
    """A 0 or an empty text that means `whatever is usual` says what that is."""
    if str(option.default) == "0" and option.show_default is True:
        pytest.fail(f"{option.opts[0]}: what does 0 stand for?")


def test_build_names_every_kind_of_source() -> None:
    words = " ".join(CliRunner(env=WIDE).invoke(APP, ["build", "--help"]).output.split())
    for kind in (".c", ".js", ".lua", "folder", "ELF"):
        assert kind in words
