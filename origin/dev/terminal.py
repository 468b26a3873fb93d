"""What the terminal of `nunatak dev` shows, a line at a time: requests, builds, problems, and what the guest says."""

import logging
import time
from collections.abc import Callable

import click

from origin.dev.page import Problem
from vmimage.text import plain

Progress = Callable[[str], None]


def say(line: str, problem: Problem | None = None) -> None:
    """One request, and why it had no answer of the guest's."""
    colour = "red" if problem else None
    click.secho(f"{_now()} {plain(line)}", fg=colour)
    if problem is not None:
        _block(problem)


def problem(what: Problem) -> None:
    """Something that no request is to blame for."""
    click.secho(f"{_now()} {what.title}", fg="red")
    _block(what)


def note(line: str) -> None:
    """A line of the development server's own."""
    click.secho(f"{_now()} {plain(line)}", fg="cyan")


def progress(step: str) -> None:
    """A step of a build, or a line that the program writes while it is baked."""
    click.secho(f"         build | {plain(step)}", dim=True)


class GuestLines(logging.Handler):
    """Shows the guest's console and log lines as they come."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line; `edge.supervisor.supervisor` attaches its text."""
        click.secho(f"         guest | {plain(str(getattr(record, 'text', record.getMessage())))}", fg="green")


def _block(what: Problem) -> None:
    for line in what.text().splitlines()[1:]:
        click.echo(f"         {plain(line)}")


def _now() -> str:
    return time.strftime("%H:%M:%S")
