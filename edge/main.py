"""The `nunatak` command: one door for the commands that edge, origin and load tester bring.

Each program names its commands in the entry point group "nunatak.commands", so that this module imports none of them.
Rules for them: raise a `NunatakError` for what the user can fix; it leaves here as one line, with what to do, and exit
code 2.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points, version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from edge.compiled.interpreter import description
from vmimage.errors import NunatakError, OperatorError, PublisherError
from vmimage.text import plain

EXIT_REFUSED: Final = 2  # the same as a usage error: nothing was done
SERVERS: Final = ("edge", "origin", "parent")  # that a hang-up does not end
VARIABLES: Final = "NUNATAK"  # begins the name of each option's variable in the environment
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it

# Who uses a command. `nunatak --help` shows the groups, and the commands in each, in this order.
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Author: write a program and look at it": ("init", "build", "run", "dev", "inspect"),
    "Publisher: say what a service is": (
        *("keygen", "publish", "static", "release", "rollback", "services", "verify", "hosts", "rename", "withdraw"),
        *("whoami", "tenant", "keys", "renew", "token", "disk", "logs"),
    ),
    "Operator: run origins and edges": (
        *("origin", "parent", "store", "prune", "audit", "hold", "fleet", "settings", "edge", "secrets"),
        *("console", "ps", "top", "tail", "ctl", "admin", "purge", "doctor", "peer-certificate"),
    ),
    "Lab: try, measure and load it": ("demo", "world", "bench", "soak", "loadtest", "wan", "simulate"),
}
# Commands that have commands below them, so that two words name one.
FAMILIES: Final = frozenset(
    (
        "services",
        "hosts",
        "tenant",
        "keys",
        "token",
        "disk",
        "hold",
        "fleet",
        "settings",
        "release",
        "secrets",
        "store",
        "ctl",
        "loadtest",
    )
)
_GROUP_OF: Final = {name: group for group, names in GROUPS.items() for name in names}


class Commands(TyperGroup):
    """The commands in the order of `GROUPS`; one that stands in no group comes last."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        known = [name for name in _GROUP_OF if name in self.commands]
        for name in known:
            self.commands[name].rich_help_panel = _GROUP_OF[name]  # type: ignore[attr-defined]
        self.commands = {name: self.commands[name] for name in (*known, *self.commands)}
        self.help = _flowing(self.help)
        for command in self.commands.values():
            _prepare(command)


def _prepare(command: Any) -> None:
    """Let a terminal break the lines of a command's help, not its docstring.

    And show no variable with an option that follows the rule for all of them, which the help of `nunatak` has.
    """
    command.help = _flowing(command.help)
    for param in command.params:
        param.show_envvar = getattr(param, "envvar", None) is not None
    for inner in getattr(command, "commands", {}).values():
        _prepare(inner)


def _flowing(text: str | None) -> str | None:
    """A docstring with each paragraph in one line: typer keeps the line breaks of all but the first."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")) if text else text


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nunatak {version('nunatak')}, {description()}")
        raise typer.Exit


def _root(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            allow_from_autoenv=False,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """A content delivery network whose edge caches hold virtual machines instead of files.

    Options may be given in the environment as well, --memory of `nunatak build` as NUNATAK_BUILD_MEMORY; what is given
    here goes before.
    """


def _have_standard_files() -> None:
    """Open what a parent has closed: else the first file or socket would take the place, and lines would go there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  # for as long as the process runs
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def build_app() -> typer.Typer:
    """All installed commands as one application.

    :raises OperatorError: nothing is installed under the entry point group.
    """
    app = typer.Typer(
        name="nunatak",
        cls=Commands,
        callback=_root,
        context_settings={"auto_envvar_prefix": VARIABLES},
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    programs = entry_points(group="nunatak.commands")
    if not programs:
        raise OperatorError("commands expected, none found: nunatak is not installed (pip install -e .)")
    for program in programs:
        app.add_typer(program.load())
    return app


def told(error: NunatakError, words: Sequence[str]) -> str:
    """What happened, and what to do: as the message says, as the kind of error has it, or where the forms are shown.

    :param words: the command line, without the program's name.
    """
    text, remedy = str(error), type(error).remedy
    if text.startswith("--") and ": " not in text.rpartition("expected")[2]:  # a form alone
        return f"{text}: nunatak {' '.join(words[: _command_words(words)])} --help says more"
    if type(error).counter in (PublisherError.counter, OperatorError.counter) or text.endswith("."):
        return text
    return f"{text}. {remedy}"


def _command_words(words: Sequence[str]) -> int:
    """How many of the first words name the command: two of those that have commands below them."""
    return 2 if len(words) > 1 and words[0] in FAMILIES and not words[1].startswith("-") else 1


def main() -> None:
    """Run the command line and exit with its exit code."""
    _have_standard_files()
    if sys.argv[1:2] and sys.argv[1] in SERVERS:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it is known what to read again
    try:
        build_app()()
    except NunatakError as error:
        # It may quote a server, a compiler or a program.
        print(f"nunatak: {plain(told(error, sys.argv[1:]), lines=True)}", file=sys.stderr)
        sys.exit(EXIT_REFUSED)
    except OSError as error:  # a file, folder or address that is not as it should be, wherever it was met
        where = f"{error.filename}: " if error.filename is not None else ""
        print(f"nunatak: {plain(f'{where}{error.strerror or error}')}", file=sys.stderr)
        sys.exit(EXIT_REFUSED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
