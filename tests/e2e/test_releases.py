"""Is a bad candidate stopped by a running edge, do visitors keep their version, and does the good one come out?"""

import json
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.main import build_app
from loadtest.site.fetch import Answer, Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.edges import admin, eventually, metrics
from vmimage.errors import PublisherError

APP = build_app()
HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}

GOOD = """#include <nunatak.h>
static void page(nk_request *request) {
    nk_header(request, "Cache-Control", "max-age=600");
    nk_printf(request, "%s\\n");
}
int main(void) { return nk_serve(page); }
"""
CRASHES = """#include <nunatak.h>
static void page(nk_request *request) { *(volatile char *)(unsigned long)(request == 0) = 1; }
int main(void) { return nk_serve(page); }
"""
FAILS = """#include <nunatak.h>
static int asked;
static void page(nk_request *request) {
    if (++asked % 10 == 0) nk_status(request, 500);
    nk_printf(request, "candidate %d\\n", asked);
}
int main(void) { return nk_serve(page); }
"""
PROGRAMS = {"old": GOOD % "old", "new": GOOD % "new", "crashes": CRASHES, "fails": FAILS}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An origin and an edge behind a proxy, for this file alone: it stops and starts them."""
    config: dict[str, int | float | str | bool] = {"refresh": 0.2, "trusted_proxies": "127.0.0.1"}
    with Site(tmp_path_factory.mktemp("releases"), edge_config=config) as running:
        yield running


@pytest.fixture(scope="module")
def images(fleet: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Images of the programs."""
    folder, built = tmp_path_factory.mktemp("programs"), dict[str, Path]()
    for name, text in PROGRAMS.items():
        source = folder / f"{name}.c"
        source.write_text(text)
        built[name] = fleet.build(source, name=f"release-{name}")
    return built


def _run(site: Site, *words: str) -> str:
    result = CliRunner().invoke(APP, [*words, "--origin", site.origin.url, "--keys", str(site.keys)])
    assert result.exit_code == 0, result.output
    return result.output


def _release(site: Site, *words: str) -> str:
    return _run(site, "release", *words)


def _publish(site: Site, image: Path, service: str) -> None:
    _run(site, "publish", str(image), "--service", service, "--host", f"{service}.test")


def _start(site: Site, image: Path, service: str, *words: str) -> None:
    _release(site, "start", str(image), "--service", service, *words)


def _ask(edge: Server, service: str, headers: dict[str, str] | None = None, path: str = "/") -> Answer:
    with Client(edge.url) as client:
        return client.request("GET", path, host=f"{service}.test", headers=headers or {})


def _described(edge: Server, service: str) -> dict[str, Any]:
    [row] = [row for row in json.loads(admin(edge, "services").body)["services"] if row["service"] == service]
    return dict(row)


def _state(edge: Server, service: str) -> str:
    release = _described(edge, service).get("release")
    return str(release["state"]) if release else ""


def _is(edge: Server, service: str, state: str) -> bool:
    return _state(edge, service) == state


def _stops(edge: Server, cause: str) -> float:
    return metrics(edge).get(f"releases_stopped_total{{{cause}}}", 0)


def _visitor(number: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"10.{number // 256}.{number % 256}.7"}


def test_a_candidate_that_crashes_is_stopped_by_the_edge_and_stays_so_over_a_restart(
    fleet: Site, images: dict[str, Path]
) -> None:
    """A few of its visitors fail, all others are served, and nobody has done anything."""
    site, edge = fleet, fleet.edges[0]
    _publish(site, images["old"], "crashing")
    assert _ask(edge, "crashing").body == b"old\n"
    _start(site, images["crashes"], "crashing", "--percent", "20")
    eventually(partial(_is, edge, "crashing", "under way"), "the candidate is under way")
    answers = [_ask(edge, "crashing", _visitor(number)) for number in range(120)]
    failed = [answer for answer in answers if answer.status != 200]
    assert 3 <= len(failed) <= 5
    assert all(answer.headers["x-nunatak-version"].endswith("; candidate") for answer in failed)
    assert _state(edge, "crashing") == "stopped"
    assert _stops(edge, "crashes") + _stops(edge, "all_failed") == 1
    assert all(answer.status == 200 for answer in answers[-40:])
    edge.stop()
    site.restart(edge)
    answers = [_ask(edge, "crashing", _visitor(number)) for number in range(40)]
    assert {answer.body for answer in answers} == {b"old\n"}
    assert _state(edge, "crashing") == "stopped"
    assert metrics(edge)["candidates_stopped"] >= 1
    assert any("candidate" in line and "stopped by the edge: " in line for line in _log(site, "crashing"))
    _release(site, "back", "crashing")
    eventually(partial(_is, edge, "crashing", ""), "the release is over")


def _ask_all(edge: Server, service: str, count: int, path: str = "/") -> dict[int, str]:
    """What so many visitors are answered, by visitor."""
    return {number: _ask(edge, service, _visitor(number), path).body.decode() for number in range(count)}


def _named_edge(site: Site, name: str, pop: str) -> Server:
    file = site.folder / f"{name}.token"
    file.touch(0o600)
    file.write_text(CliRunner().invoke(APP, ["token", "add", "--keys", str(site.keys), "--edge", name]).stdout)
    return site.add_edge(config={"edge_name": name, "edge_token": str(file), "pop": pop})


def test_what_two_edges_stop_the_origin_freezes_on_all_of_them(fleet: Site, images: dict[str, Path]) -> None:
    """The third has had no visitor for the candidate, and lets none come. One alone would not do."""
    edges = [_named_edge(fleet, f"edge-{pop}", pop) for pop in ("ams", "fra", "lhr")]
    _publish(fleet, images["old"], "frozen")
    _start(fleet, images["crashes"], "frozen", "--percent", "50", "--pop", "ams", "--pop", "fra", "--pop", "lhr")
    for edge in edges:
        _ask(edge, "frozen")
        eventually(partial(_is, edge, "frozen", "under way"), "the candidate is under way")
    eventually(lambda: "edge-lhr in lhr: under way" in _release(fleet, "status", "frozen"), "the origin is told")
    everywhere = [word for pop in ("ams", "fra", "lhr", "nowhere") for word in ("--pop", pop)]
    [line] = [line for line in _release(fleet, "widen", "frozen", *everywhere).splitlines() if "no live edge" in line]
    assert line.startswith("warning: no live edge says that it is in POP nowhere:")
    elsewhere = fleet.edges[0]
    assert {_ask(elsewhere, "frozen", _visitor(number)).body for number in range(20)} == {b"old\n"}
    assert _state(elsewhere, "frozen") == ""

    def stop(edge: Server) -> None:
        for number in range(1000):
            if _state(edge, "frozen") == "stopped":
                return
            _ask(edge, "frozen", _visitor(number))

    def told(name: str) -> dict[str, Any]:
        found = json.loads(_release(fleet, "status", "frozen", "--json"))["fleet"]
        return {"frozen": found["frozen"], **{each["edge"]: each["stopped"] for each in found["edges"]}}

    stop(edges[0])
    eventually(lambda: bool(told("frozen").get("edge-ams")), "the origin hears of the first")
    assert not told("frozen")["frozen"]
    stop(edges[1])
    eventually(partial(_is, edges[2], "frozen", "stopped"), "the third is told")
    assert _described(edges[2], "frozen")["release"]["candidate"]["failed"] <= 1  # of the look that made it known
    assert told("frozen")["frozen"]
    assert "edge-lhr in lhr: stopped (" in _release(fleet, "status", "frozen")
    for edge in edges:
        edge.stop()
        fleet.edges.remove(edge)


def test_visitors_keep_their_version_while_it_is_widened_finished_and_taken_back(
    fleet: Site, images: dict[str, Path]
) -> None:
    """Kept answers too are each version's own: both say that they may be kept."""
    edge = fleet.edges[0]
    _publish(fleet, images["old"], "staged")
    assert set(_ask_all(edge, "staged", 3).values()) == {"old\n"}
    _start(fleet, images["new"], "staged", "--percent", "20")
    eventually(partial(_is, edge, "staged", "under way"), "the candidate is under way")
    few = _ask_all(edge, "staged", 60)
    assert 2 <= sum(body == "new\n" for body in few.values()) <= 30
    assert _ask_all(edge, "staged", 60) == few
    edge.stop()
    fleet.restart(edge)
    _ask(edge, "staged")
    eventually(partial(_is, edge, "staged", "under way"), "the candidate is under way again")
    assert _ask_all(edge, "staged", 60) == few
    _release(fleet, "widen", "staged", "--percent", "60")
    eventually(lambda: _described(edge, "staged")["release"]["share"] == 60, "it is widened")
    more = _ask_all(edge, "staged", 60)
    assert all(more[number] == "new\n" for number, body in few.items() if body == "new\n")
    assert sum(body == "new\n" for body in more.values()) > sum(body == "new\n" for body in few.values())
    _release(fleet, "finish", "staged")
    eventually(partial(_is, edge, "staged", ""), "it is finished")
    assert set(_ask_all(edge, "staged", 20).values()) == {"new\n"}
    _start(fleet, images["old"], "staged", "--percent", "100")
    eventually(partial(_is, edge, "staged", "under way"), "another is under way")
    assert set(_ask_all(edge, "staged", 20).values()) == {"old\n"}
    _release(fleet, "back", "staged")
    eventually(partial(_is, edge, "staged", ""), "it is taken back")
    assert set(_ask_all(edge, "staged", 20).values()) == {"new\n"}


def test_a_cookie_over_https_keeps_the_version_and_none_can_be_chosen_unless_the_publisher_says_so(
    fleet: Site, images: dict[str, Path]
) -> None:
    edge = fleet.edges[0]
    _publish(fleet, images["old"], "sticky")
    _start(fleet, images["new"], "sticky", "--percent", "50")
    _ask(edge, "sticky")
    eventually(partial(_is, edge, "sticky", "under way"), "the candidate is under way")
    versions = set()
    for _ in range(20):
        first = _ask(edge, "sticky", HTTPS)
        cookie, _, attributes = first.headers["set-cookie"].partition(";")
        assert cookie.startswith("__Host-nunatak-visitor=")
        assert {"Secure", "HttpOnly", "Path=/"} <= set(attributes.replace(" ", "").split(";"))
        again = [_ask(edge, "sticky", {**HTTPS, "Cookie": f"a=b; {cookie}"}) for _ in range(3)]
        assert all("set-cookie" not in answer.headers for answer in again)
        assert {answer.body for answer in again} == {first.body}
        versions.add(first.body)
    assert versions == {b"old\n", b"new\n"}
    plain = _ask(edge, "sticky", _visitor(1))
    assert "set-cookie" not in plain.headers
    for choice in ("stable", "candidate"):
        assert _ask(edge, "sticky", {**_visitor(1), "X-Nunatak-Choose": choice}).body == plain.body
    _release(fleet, "back", "sticky")
    eventually(partial(_is, edge, "sticky", ""), "it is taken back")
    assert "x-nunatak-version" not in _ask(edge, "sticky").headers
    _start(fleet, images["new"], "sticky", "--percent", "1", "--choose", "--sticky", "address")
    eventually(partial(_is, edge, "sticky", "under way"), "one that may be chosen is under way")
    for choice in ("stable", "candidate"):
        chosen = _ask(edge, "sticky", {**HTTPS, "X-Nunatak-Choose": choice})
        assert chosen.body == {"stable": b"old\n", "candidate": b"new\n"}[choice]
        assert "set-cookie" not in chosen.headers


def _candidate(site: Site, service: str) -> dict[str, Any]:
    """What is signed of a release, but when it began."""
    found = json.loads(_release(site, "status", service, "--json"))["candidate"]
    return {name: value for name, value in found.items() if name != "since"}


def test_publish_with_a_percentage_signs_what_release_start_does(fleet: Site, images: dict[str, Path]) -> None:
    image = str(images["new"])
    _publish(fleet, images["old"], "short")
    _start(fleet, images["new"], "short", "--percent", "7")
    started = _candidate(fleet, "short")
    assert started["share"] == 7
    _release(fleet, "back", "short")
    said = _run(fleet, "publish", image, "--service", "short", "--release", "7%")
    assert "candidate for 7 % of the visitors: " in said
    assert _candidate(fleet, "short") == started


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--service", "refused", "--release", "0"], "--release: a percentage from 0.01 to 100"),
        (["--service", "refused", "--release", "7", "--host", "other.test"], "none of --batch, --host"),
        (["--service", "refused", "--release", "7", "--dry-run"], "none of --batch, --host"),
        (["--release", "7"], "--release: IMAGE with --service"),
        (["--service", "nobodys", "--release", "7"], "a published service expected, got 'nobodys'"),
    ],
)
def test_publish_with_a_percentage_refuses_what_no_release_is(
    fleet: Site, images: dict[str, Path], words: list[str], said: str
) -> None:
    if "refused" in words:
        _publish(fleet, images["old"], "refused")
    to = ["--origin", fleet.origin.url, "--keys", str(fleet.keys)]
    with pytest.raises(PublisherError, match=re.escape(said)):
        CliRunner().invoke(APP, ["publish", str(images["new"]), *words, *to], catch_exceptions=False)
    if "refused" in words:
        assert json.loads(_release(fleet, "status", "refused", "--json")).get("candidate") is None


def test_a_candidate_whose_image_is_missing_takes_nobody(fleet: Site, images: dict[str, Path]) -> None:
    edge = fleet.edges[0]
    _publish(fleet, images["old"], "missing")
    assert _ask(edge, "missing").body == b"old\n"
    _start(fleet, images["new"], "missing", "--percent", "100")
    digest = json.loads(_release(fleet, "status", "missing", "--json"))["candidate"]["image"]
    _release(fleet, "back", "missing")
    eventually(partial(_is, edge, "missing", ""), "it is taken back")
    name = digest.removeprefix("sha256:")
    edge.stop()
    shutil.rmtree(fleet.folder / "edge-1" / "blobs")  # it may have fetched the image
    away = [path for path in fleet.store.rglob(f"*{name}*") if path.is_file()]
    assert away
    kept = {path: path.read_bytes() for path in away}
    fleet.restart(edge)
    _start(fleet, images["new"], "missing", "--percent", "100")
    for path in away:
        path.unlink()
    assert _ask(edge, "missing").body == b"old\n"
    eventually(lambda: bool((_described(edge, "missing")["release"] or {}).get("cause")), "it is tried")
    assert {_ask(edge, "missing", _visitor(number)).body for number in range(20)} == {b"old\n"}
    assert _state(edge, "missing") == "preparing"
    assert sum(count for name, count in metrics(edge).items() if name.startswith("releases_not_begun_total")) == 1
    for path, data in kept.items():
        path.write_bytes(data)
    eventually(partial(_is, edge, "missing", "under way"), "it is tried again")
    assert _ask(edge, "missing").body == b"new\n"


def test_a_new_version_that_is_missing_leaves_the_one_that_works_also_over_a_restart(
    fleet: Site, images: dict[str, Path]
) -> None:
    edge, refused = fleet.edges[0], images["new"]
    _publish(fleet, images["old"], "kept")
    _publish(fleet, refused, "other")  # so that its blobs are at the origin, and its manifest's name is known
    edge.stop()
    shutil.rmtree(fleet.folder / "edge-1" / "blobs")  # it may have the new one from another test
    fleet.restart(edge)
    assert _ask(edge, "kept").body == b"old\n"
    digest = json.loads(_run(fleet, "services", "show", "other", "--json"))["image"]
    manifests = [path for path in fleet.store.rglob(f"*{digest[7:]}*") if path.is_file()]
    kept = {path: path.read_bytes() for path in manifests}
    _publish(fleet, refused, "kept")
    for path in manifests:
        path.unlink()
    for _ in range(2):  # the second time it knows by its file
        eventually(lambda: _ask(edge, "kept").body == b"old\n" and _refused(edge) == digest, "the last good goes on")
        edge.stop()
        fleet.restart(edge)
    assert sum(count for name, count in metrics(edge).items() if name.startswith("fell_back_total")) == 0
    assert _ask(edge, "kept").body == b"old\n"
    for path, data in kept.items():
        path.write_bytes(data)
    _publish(fleet, images["old"], "kept")
    eventually(lambda: _refused(edge) is None, "what the catalogue says now is served")
    assert _ask(edge, "kept").body == b"old\n"


def _refused(edge: Server) -> object:
    return _described(edge, "kept")["refused"]


def test_the_operator_pins_a_version_and_with_it_ends_a_release(fleet: Site, images: dict[str, Path]) -> None:
    edge = fleet.edges[0]
    _publish(fleet, images["old"], "pinned")
    _publish(fleet, images["new"], "pinned")
    _start(fleet, images["fails"], "pinned", "--percent", "100")
    assert _ask(edge, "pinned").status == 200
    eventually(lambda: _ask(edge, "pinned").body.startswith(b"candidate"), "the candidate is under way")
    _run(fleet, "hold", "pin", "pinned", "--version", "2")
    eventually(lambda: _ask(edge, "pinned").body == b"new\n", "the stable version alone")
    assert _state(edge, "pinned") == ""
    _run(fleet, "hold", "pin", "pinned", "--version", "1")
    eventually(lambda: _ask(edge, "pinned").body == b"old\n", "an earlier version")
    assert "pin pinned 1" in _run(fleet, "hold", "list")
    _run(fleet, "hold", "unpin", "pinned")
    eventually(lambda: _ask(edge, "pinned").body.startswith(b"candidate"), "what the publisher says")
    digest = json.loads(_release(fleet, "status", "pinned", "--json"))["candidate"]["image"]
    _run(fleet, "hold", "add", "--image", digest)
    eventually(lambda: _ask(edge, "pinned").body == b"new\n", "the candidate is held, and nothing else")
    _run(fleet, "hold", "release", "--image", digest)


def test_one_that_fails_one_in_ten_is_stopped_by_windows(fleet: Site, images: dict[str, Path]) -> None:
    """Few are needed, as the publisher says; the windows themselves last five seconds each."""
    edge = fleet.edges[0]
    _publish(fleet, images["old"], "failing")
    gates = ("--requests", "60", "--windows", "1", "--crashes", "10")
    _start(fleet, images["fails"], "failing", "--percent", "100", *gates)
    _ask(edge, "failing")
    eventually(partial(_is, edge, "failing", "under way"), "the candidate is under way")
    answers = [_ask(edge, "failing", _visitor(number)) for number in range(60)]
    assert 4 <= sum(answer.status == 500 for answer in answers) <= 8
    eventually(partial(_is, edge, "failing", "stopped"), "it is stopped")
    assert _described(edge, "failing")["release"]["cause"] == "errors"
    assert _ask(edge, "failing").body == b"old\n"


def _log(site: Site, service: str) -> list[str]:
    found: list[str] = []

    def said() -> bool:
        found[:] = site.logs(service)
        return any("stopped" in line for line in found)

    eventually(said, "the publisher reads of it")
    return found
