"""What the terminal of `nunatak dev` shows, a line at a time: requests, builds, problems, and what the guest says."""

import logging
import time
from collections.abc import Callable
from typing import Final

import click

from origin.dev.page import Problem
from vmimage.text import plain

Progress = Callable[[str], None]
WAITS: Final = "initialising, "  # and for how long; for a status that is written over


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


class Steps:
    """The steps of builds, and the lines that a program writes while it is baked: what is as in the build before is
    not said again."""

    def __init__(self) -> None:
        self._before: set[str] = set()
        self._now: set[str] = set()

    def begin(self) -> None:
        """Another build."""
        self._before, self._now = self._now or self._before, set()

    def say(self, step: str) -> None:
        """One step, or one line."""
        self._now.add(step)
        if step not in self._before and not step.startswith(WAITS):
            click.secho(f"         build | {plain(step)}", dim=True)


class GuestLines(logging.Handler):
    """Shows the guest's console and log lines as they come."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line; `edge.supervisor.supervisor` attaches its text."""
        click.secho(f"         guest | {plain(str(getattr(record, 'text', record.getMessage())))}", fg="green")


def _block(what: Problem) -> None:
    if what.logged:
        lines = [what.excerpt.where, *what.excerpt.text()] if what.excerpt else []
    else:
        lines = what.text().splitlines()[1:]
    for line in lines:
        click.echo(f"         {plain(line)}")


def _now() -> str:
    return time.strftime("%H:%M:%S")
