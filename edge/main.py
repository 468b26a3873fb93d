"""The `nunatak` command: one door for the commands that edge, origin and load tester bring.

Each program names its commands in the entry point group "nunatak.commands", so that this module imports none of them by
name. Rules for them: raise a `NunatakError` for what the user can repair; it leaves here as one line and exit code 2.
"""

import sys
from importlib.metadata import entry_points, version
from typing import Annotated, Final

import typer

from vmimage.errors import NunatakError, OperatorError
from vmimage.text import plain

EXIT_REFUSED: Final = 2  # the same as a usage error: nothing was done
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nunatak {version('nunatak')}")
        raise typer.Exit


def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """A content delivery network whose edge caches hold virtual machines instead of files."""


def build_app() -> typer.Typer:
    """All installed commands as one application.

    :raises OperatorError: nothing is installed under the entry point group.
    """
    app = typer.Typer(
        name="nunatak", callback=_root, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    groups = sorted(entry_points(group="nunatak.commands"), key=lambda entry: entry.name)
    if not groups:
        raise OperatorError("commands expected, none found: nunatak is not installed (pip install -e .)")
    for entry in groups:
        app.add_typer(entry.load())
    return app


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        build_app()()
    except NunatakError as error:
        # It may quote a server, a compiler or a program.
        print(f"nunatak: {plain(str(error), lines=True)}", file=sys.stderr)
        sys.exit(EXIT_REFUSED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
