"""Do running edges take up the operator's settings in turn, and go back by themselves from those that are bad?"""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from tuf.api.metadata import TargetFile
from typer.testing import CliRunner

from edge.main import build_app
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from origin.keys import load_signer, load_trust
from origin.publish.client import carry_out
from origin.publish.holds import all_holds
from origin.publish.tenants import Edit, Operator, change
from tests.support.edges import admin, eventually, metrics
from vmimage.errors import OperatorError, PublisherError
from vmimage.holds import HOLDS_PATH, holds_target
from vmimage.tenancy import Book

APP = build_app()
PAGE = """#include <nunatak.h>
static void page(nk_request *request) { nk_printf(request, "page\\n"); }
int main(void) { return nk_serve(page); }
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An origin, an edge in each of two POPs, and a third with a word of its own."""
    folder = tmp_path_factory.mktemp("settings")
    with Site(folder, edges=0) as running:
        source = folder / "page.c"
        source.write_text(PAGE)
        for name, pop, more in (("edge-fra", "fra", {}), ("edge-ams", "ams", {}), ("edge-own", "ams", OWN)):
            file = folder / f"{name}.token"
            file.touch(0o600)
            words = ["token", "add", "--keys", str(running.keys), "--edge", name]
            file.write_text(CliRunner().invoke(APP, words).stdout)
            running.add_edge(config={"edge_name": name, "edge_token": str(file), "pop": pop, **more}, name=name)
        running.publish(running.build(source, name="settings-page"), "page")
        yield running


OWN = {"max_body": "3MiB"}


def _settings(site: Site, *words: str) -> str:
    told = ["--origin", site.origin.url, "--keys", str(site.keys)]
    result = CliRunner().invoke(APP, ["settings", *words, *told], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def _start(site: Site, values: str, *words: str) -> str:
    file = site.folder / "settings.toml"
    file.write_text(values)
    return _settings(site, "start", str(file), *words)


def _said(edge: Server) -> dict[str, Any]:
    return dict(json.loads(admin(edge, "settings").body))


def _is(edge: Server, state: str, number: int) -> bool:
    said = _said(edge)
    return (said["state"], said["number"]) == (state, number)


def _ask(edge: Server, body: bytes = b"") -> int:
    with Client(edge.url) as client:
        return client.request("POST" if body else "GET", "/", host="page.test", body=body).status


def _goes_by(edge: Server, number: int) -> bool:
    return bool(_said(edge)["number"] == number)


def _takes(edge: Server, value: str) -> bool:
    return _max_body(edge)[0] == value


def _max_body(edge: Server) -> tuple[str, str]:
    said = _said(edge)["options"]["max_body"]
    return said["value"], said["from"]


def test_a_bad_candidate_of_one_pop_is_gone_back_from_and_not_tried_again(fleet: Site) -> None:
    """It refuses every body. Nobody does anything; the other POP never hears of it."""
    fra, ams, _ = fleet.edges
    _start(fleet, "max_body = 1\n", "--percent", "100", "--pop", "fra")

    def tried() -> bool:
        assert _ask(fra, b"four") in (200, 413)
        return _said(fra)["state"] in ("trying", "back")

    eventually(tried, "it is measured and tried")
    eventually(lambda: _ask(fra, b"four") > 0 and _is(fra, "back", 0), "it goes back")
    assert _said(fra)["cause"] == "all_failed"
    assert _ask(fra, b"four") == 200
    conditions = {each["name"] for each in json.loads(admin(fra, "health").body)["conditions"]}
    assert conditions == {"settings_back"}
    assert [metrics(edge)["fleet_settings_back"] for edge in (fra, ams)] == [1, 0]
    assert _is(ams, "kept", 0)
    eventually(lambda: "edge-fra in fra: version 0, back (all_failed)" in _settings(fleet, "status"), "it is reported")
    fra.stop()
    fleet.restart(fra)
    eventually(partial(_is, fra, "back", 0), "it remembers")
    assert _max_body(fra) == ("64MiB", "default")
    _settings(fleet, "back")
    eventually(partial(_is, fra, "kept", 0), "there is nothing to go back from")


def test_what_ends_an_edge_while_it_is_tried_counts_as_gone_back(fleet: Site) -> None:
    fra = fleet.edges[0]
    _start(fleet, 'max_body = "2MiB"\n', "--percent", "100", "--pop", "fra")
    eventually(lambda: _ask(fra) == 200 and _said(fra)["state"] == "trying", "it is tried")
    assert _max_body(fra)[0] == "2MiB"
    os.kill(fra.pid, signal.SIGKILL)
    fra.stop()
    fleet.restart(fra)
    eventually(partial(_is, fra, "back", 0), "it is not tried again")
    assert _said(fra)["cause"] == "ended"
    assert _max_body(fra) == ("64MiB", "default")
    _settings(fleet, "back")


def test_what_two_edges_went_back_from_the_origin_stops_on_all(fleet: Site) -> None:
    """The third has no requests, and does not get to try it."""
    fra, ams, own = fleet.edges
    _start(fleet, "max_body = 1\n", "--percent", "100")

    def both_back() -> bool:
        return all(_ask(edge, b"four") > 0 and _said(edge)["state"] == "back" for edge in (fra, ams))

    eventually(both_back, "two go back by themselves")
    eventually(lambda: _said(own)["state"] == "back", "the third is told")
    assert _said(own)["cause"] == "stopped"
    assert [each["by"] for each in _said(own)["back"].values()] == ["origin"]
    assert "stopped on all edges" in _settings(fleet, "status")
    _settings(fleet, "back")


def test_a_finished_version_is_everywhere_but_where_an_edge_says_otherwise(fleet: Site) -> None:
    """Also after SIGHUP, which reads an edge's own again; what is malformed leaves the last good."""
    fra, ams, own = fleet.edges
    _start(fleet, 'max_body = "1MiB"\n', "--percent", "1")
    with pytest.raises(PublisherError, match=r"a candidate of all edges expected, got one of 1 %"):
        _settings(fleet, "finish")
    _settings(fleet, "widen", "--percent", "100")
    assert "max_body = 1MiB" in _settings(fleet, "finish")
    number = json.loads(_settings(fleet, "status", "--json"))["stable"]["number"]
    for edge in fleet.edges:
        eventually(partial(_goes_by, edge, number), "it is taken up")
    assert _max_body(fra) == _max_body(ams) == ("1MiB", f"fleet settings {number}")
    assert _max_body(own)[0] == "3MiB"
    file = fleet.folder / "edge-ams.toml"
    before = file.read_text()
    for text, value in ((before + 'max_body = "5MiB"\n', "5MiB"), (before, "1MiB")):
        file.write_text(text)
        os.kill(ams.pid, signal.SIGHUP)
        eventually(partial(_takes, ams, value), f"SIGHUP: {value}")
    _sign(fleet, {"last": 99, "stable": {"number": "many"}, "candidate": None})
    eventually(partial(_is, fra, "refused", number), "it is refused")
    assert _max_body(fra)[0] == "1MiB"
    conditions = {each["name"] for each in json.loads(admin(fra, "health").body)["conditions"]}
    assert conditions == {"settings_refused"}
    assert metrics(fra)["fleet_settings_back"] == 1
    _start(fleet, "max_queue = 7\n", "--percent", "1")
    assert json.loads(_settings(fleet, "status", "--json"))["last"] == 100


@pytest.mark.parametrize(
    "values", ["request_timeout = '1ms'\n", "admin_hosts = 'a.example'\n", "upstreams = '10.0.0.0/8'\n"]
)
def test_what_no_edge_would_take_is_not_signed(fleet: Site, values: str) -> None:
    before = _settings(fleet, "status", "--json")
    with pytest.raises(OperatorError, match=r"settings\.toml"):
        _start(fleet, values)
    assert json.loads(_settings(fleet, "status", "--json"))["last"] == json.loads(before)["last"]


def _sign(site: Site, settings: Mapping[str, object]) -> None:
    """Sign what no command would."""
    trust = load_trust(site.keys)
    holds = carry_out(all_holds(trust), url=site.origin.url)
    entries: dict[str, TargetFile | None] = {HOLDS_PATH: holds_target(type(holds)(holds.since, holds.pins, settings))}

    def edit(_: Book) -> Edit:
        return Edit(entries)

    by = Operator(trust, load_signer(site.keys, "publisher"), datetime.now(UTC))
    token = (site.keys / "token").read_text().strip()
    carry_out(change(by, edit, [HOLDS_PATH], []), url=site.origin.url, token=token)
