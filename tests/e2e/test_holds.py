"""Does a hold end machines and void kept answers on running edges, and a release bring the service back?"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.main import build_app
from loadtest.site.fetch import Answer, Client
from loadtest.site.server import Server
from loadtest.site.site import CommandFailed, Site
from tests.support.edges import admin, eventually

APP = build_app()
SERVICES = ("hold-hello", "hold-news")


def _ask(edge: Server, service: str) -> Answer:
    with Client(edge.url) as client:
        return client.get("/", host=f"{service}.test")


def _answers(edge: Server, service: str, status: int, error: str = "") -> bool:
    answer = _ask(edge, service)
    return (answer.status, answer.error) == (status, error)


def _hold(site: Site, command: str) -> None:
    named = [word for service in SERVICES for word in ("--service", service)]
    result = CliRunner().invoke(APP, ["hold", command, *named, "--origin", site.origin.url, "--keys", str(site.keys)])
    assert result.exit_code == 0, result.output


def test_a_hold_reaches_running_edges_within_a_refresh(site: Site, image: Callable[..., Path]) -> None:
    """`hello` counts its requests, so a machine that went on would be known; what `news` says may be kept."""
    for program, service in (("hello", "hold-hello"), ("news", "hold-news")):
        site.publish(image(program), service)
    for edge in site.edges:
        assert b"request 1" in _ask(edge, "hold-hello").body
        assert b"request 2" in _ask(edge, "hold-hello").body
        assert _ask(edge, "hold-news").status == 200
    _hold(site, "add")
    for edge in site.edges:
        for service in SERVICES:
            eventually(partial(_answers, edge, service, 503, "on_hold"), f"{service} is held")
        known = {each["service"] for each in json.loads(admin(edge, "services").body)["services"]}
        assert known.isdisjoint(SERVICES)
    _hold(site, "release")
    for edge in site.edges:
        eventually(partial(_answers, edge, "hold-hello", 200), "hello is released")
        assert b"request 2" in _ask(edge, "hold-hello").body, "a machine that began anew, asked once before this"


def test_a_rename_that_is_refused_holds_nothing(site: Site, image: Callable[..., Path]) -> None:
    """A hold goes along with a service: not to a name that another has, nor from one that nobody has."""
    where = ("--origin", site.origin.url, "--keys", str(site.keys))
    for service in ("hold-old", "hold-taken"):
        site.publish(image("hello"), service)
    site.run("hold", "add", "--service", "hold-old", "--service", "hold-none", *where)
    before = site.run("hold", "list", *where)
    for old, new in (("hold-old", "hold-taken"), ("hold-none", "hold-new"), ("hold-old", "hold-old")):
        with pytest.raises(CommandFailed, match="expected, got"):
            site.run("rename", old, new, *where)
    assert site.run("hold", "list", *where) == before
    site.run("rename", "hold-old", "hold-new", *where)
    assert "service hold-new since" in site.run("hold", "list", *where)
    site.run("hold", "release", "--service", "hold-none", "--service", "hold-old", "--service", "hold-new", *where)
