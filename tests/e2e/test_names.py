"""The life of a name, by command and through running edges: published, withdrawn, renamed, given hosts; and pruned."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.main import build_app
from loadtest.site.fetch import Answer, Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.edges import admin, eventually, metrics
from tests.support.synthetic import BASE, image
from vmimage.archive import pack_archive
from vmimage.errors import NunatakError, OriginError, PublisherError

PROGRAM = Path(__file__).parent.parent / "guest" / "programs" / "disks.c"
APP = build_app()
PAGE = 4096
DAY_S = 86_400


def ask(edge: Server, service: str, path: str = "/") -> Answer:
    with Client(edge.url) as client:
        return client.get(path, host=f"{service}.test")


def told(site: Site, *words: str) -> tuple[str, str]:
    """What a command says on stdout and on stderr; it runs in this process, since a new one takes a second to start."""
    options = ["--origin", site.origin.url, "--keys", str(site.keys)]
    result = CliRunner().invoke(APP, [*words, *options])
    if isinstance(result.exception, NunatakError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def run(site: Site, *words: str) -> str:
    return told(site, *words)[0]


def names(edge: Server) -> set[str]:
    """Services that an edge knows."""
    return {service["service"] for service in json.loads(admin(edge, "services").body)["services"]}


# Through edges that others use too.


def test_a_withdrawn_service_is_gone_from_every_edge_and_comes_back_anew(
    site: Site, image: Callable[..., Path]
) -> None:
    hello = image("hello")
    site.publish(hello, "nm-life")
    for edge in site.edges:
        assert ask(edge, "nm-life").status == 200
    site.park("nm-life")
    assert run(site, "withdraw", "nm-life") == "nm-life version 2: withdrawn\n"
    for edge in site.edges:
        eventually(lambda edge=edge: ask(edge, "nm-life").status == 421, "it is refused")  # type: ignore[misc]
        eventually(lambda edge=edge: "nm-life" not in names(edge), "its machine has ended")  # type: ignore[misc]
    site.publish(hello, "nm-life")
    for edge, tier in zip(site.edges, ("blob", "blob"), strict=True):
        answer = ask(edge, "nm-life")
        assert (answer.status, f"detail={tier}" in answer.headers["cache-status"]) == (200, True), "nor its record"
    history = json.loads(run(site, "services", "history", "nm-life", "--json"))["versions"]
    assert [(each["version"], each["what"]) for each in history] == [(3, "publish"), (2, "withdraw"), (1, "publish")]


def test_no_request_is_refused_while_a_service_gets_another_name(site: Site, image: Callable[..., Path]) -> None:
    site.publish(image("hello"), "nm-old")
    edge, statuses, renamed = site.edges[0], list[int](), threading.Event()

    def keep_asking() -> None:
        left = 20  # after the edge has seen it
        with Client(edge.url) as client:
            while left:
                left -= renamed.is_set()
                statuses.append(client.get("/", host="nm-old.test").status)

    client = threading.Thread(target=keep_asking)
    client.start()
    try:
        said, noted = told(site, "rename", "nm-old", "nm-new")
        eventually(lambda: "nm-new" in names(edge) and "nm-old" not in names(edge), "the edge has seen it")
    finally:
        renamed.set()
        client.join()
    assert said.startswith("nm-new version 1: sha256:")
    assert said.endswith(" on nm-old.test\n")
    assert "nunatak logs nm-old" in noted
    assert set(statuses) == {200}
    assert len(statuses) > 20


def test_a_host_is_added_and_removed_under_a_machine_that_goes_on(site: Site, image: Callable[..., Path]) -> None:
    site.publish(image("hello"), "nm-hosts")
    edge = site.edges[0]
    assert ask(edge, "nm-hosts").status == 200
    assert run(site, "hosts", "add", "nm-hosts", "nm-more.test").startswith("nm-hosts version 2: ")
    eventually(lambda: ask(edge, "nm-more").status == 200, "the new host answers")
    assert ask(edge, "nm-more").headers["cache-status"] == "nunatak; fwd=uri-miss; detail=resident", "of one machine"
    run(site, "hosts", "remove", "nm-hosts", "nm-hosts.test")
    eventually(lambda: ask(edge, "nm-hosts").status == 421, "the other one is free")
    assert ask(edge, "nm-more").headers["cache-status"] == "nunatak; fwd=uri-miss; detail=resident"


def test_logs_of_nobody_and_of_who_has_said_nothing(site: Site, image: Callable[..., Path]) -> None:
    site.publish(image("hello"), "nm-quiet")
    with pytest.raises(PublisherError, match=r"expected, got 'nm-quite' .did you mean .*nm-quiet"):
        run(site, "logs", "nm-quite")
    with pytest.raises(PublisherError, match="the name of a service"):
        run(site, "logs", "../nm-quiet")
    said, noted = told(site, "logs", "nm-quiet")
    assert said == ""
    assert noted.startswith("nm-quiet has logged nothing yet: ")
    run(site, "withdraw", "nm-quiet")
    assert told(site, "logs", "nm-quiet") == ("", noted), "its log is there for as long as its name"


# What it wrote.


def own_disk(site: Site) -> tuple[Path, Path]:
    """The program over a disk of ones."""
    (site.folder / "ones.bin").write_bytes(b"\1" * PAGE * 4)
    disk = site.folder / "ones.disk"
    site.run("disk", "build", str(site.folder / "ones.bin"), "-o", str(disk), "--name", "data")
    drives = ("--disk", f"data={disk}:cow", "--disk", "tmp=scratch", "--disk", "audit=log")
    return site.build(PROGRAM, *drives), disk


def test_what_a_withdrawn_service_wrote_is_kept_aside_or_deleted(own_site: Site) -> None:
    edge = own_site.edges[0]
    program, disk = own_disk(own_site)
    own_site.publish(program, "own", disks=[disk])
    assert ask(edge, "own", f"/write?offset={PAGE}&byte=65").body == b"4096\n"
    assert ask(edge, "own", "/flush").body == b"0\n"
    own_site.park("own")
    with pytest.raises(PublisherError, match="--written keep or --written drop expected, got neither: edges may have"):
        run(own_site, "withdraw", "own")

    edge.stop()  # it learns of it when it comes back, and nobody asks for the service then
    said, noted = told(own_site, "withdraw", "own", "--written", "keep")
    assert (said, "edges keep aside" in noted) == ("own version 2: withdrawn\n", True)
    own_site.restart(edge)
    eventually(lambda: metrics(edge)["overlays_aside"] == 1, "the pages are aside")
    eventually(lambda: metrics(edge)["parked_disk_machines"] == 0, "the parked machine is gone")
    assert metrics(edge)["overlays_set_aside_total{withdrawn}"] == 1
    assert ask(edge, "own").status == 421

    own_site.publish(program, "own", disks=[disk])
    assert ask(edge, "own", f"/read?offset={PAGE - 1}&size=2").body == b"\1A", "and there for who publishes it again"
    assert metrics(edge)["overlays_aside"] == 0

    run(own_site, "withdraw", "own", "--written", "drop")
    eventually(lambda: metrics(edge).get("overlay_pages_dropped_total{withdrawn}") == 1, "the pages are deleted")
    assert metrics(edge)["overlays"] == 0
    own_site.publish(program, "own", disks=[disk])
    assert ask(edge, "own", f"/read?offset={PAGE - 1}&size=2").body == b"\1\1"


# An origin by itself.


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Site]:
    """An origin without edges."""
    with Site(tmp_path, edges=0) as site:
        yield site


def synthetic(site: Site, content: bytes) -> Path:
    path = site.folder / f"{content.decode()}.oci.tar"
    path.write_bytes(pack_archive([BASE, image("guest", base=BASE.manifest, content=content)]))
    return path


def manifests(site: Site) -> set[str]:
    return {f"sha256:{path.name}" for path in (site.store / "manifests").rglob("*") if path.is_file()}


def test_services_are_listed_shown_and_pruned(alone: Site) -> None:
    for content in (b"one", b"two", b"three"):
        run(alone, "publish", str(synthetic(alone, content)), "--service", "shop", "--host", "shop.example")
    run(alone, "publish", str(synthetic(alone, b"other")), "--service", "other", "--tenant", "acme")
    run(alone, "withdraw", "other")
    [line] = run(alone, "services").splitlines()
    assert line.split() == ["shop", "3", line.split()[2], "-", "shop.example"]
    assert run(alone, "services", "list").splitlines() == [line]
    listed = json.loads(run(alone, "services", "--all", "--json"))
    assert [(each["service"], each["tenant"], bool(each["withdrawn"])) for each in listed] == [
        ("other", "acme", True),
        ("shop", "shop", False),
    ]
    shown = run(alone, "services", "show", "shop")
    for words in ("hosts      shop.example", "version    3, 3 remembered", "limits     cpu_ms=100", "size       "):
        assert words in shown
    about = json.loads(run(alone, "services", "show", "shop", "--json"))
    assert (about["version"], about["limits"]["cpu_ms"], about["image"]) == (3, 100, listed[1]["image"])
    with pytest.raises(PublisherError, match=r"got 'shpo' \(did you mean shop"):
        run(alone, "services", "show", "shpo")
    history = run(alone, "services", "history", "shop").splitlines()
    assert [row.split()[-4:-1] for row in history[1:]] == [
        [*row.split()[-4:-3], "publish", "operator"] for row in history[1:]
    ]
    assert history[0].startswith("* 3 ")

    before = manifests(alone)
    old = time.time() - 2 * DAY_S
    for path in alone.store.rglob("sha256/*/*"):
        os.utime(path, (old, old))
    assert run(alone, "prune", "--dry-run", "--keep", "1").startswith("would go: 1 manifests, 1 blobs, ")
    assert manifests(alone) == before
    gone = json.loads(run(alone, "prune", "--keep", "1", "--json"))
    assert (gone["manifests"], gone["blobs"], gone["kept_manifests"]) == (1, 1, 4)
    versions = json.loads(run(alone, "services", "history", "shop", "--json"))["versions"]
    assert before - manifests(alone) == {versions[2]["image"]}
    with pytest.raises(OriginError, match="manifest sha256:"):
        run(alone, "rollback", "--service", "shop", "--to", "1")
    run(alone, "rollback", "--service", "shop", "--to", "2")
    audit = [json.loads(text) for text in (alone.store / "audit.jsonl").read_text().splitlines()]
    assert [line["what"] for line in audit if line["what"] != "push"][-5:] == [
        "withdraw",
        "prune",
        "pruned",
        "pruned",
        "rollback",
    ]
