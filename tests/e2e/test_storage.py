"""What an edge keeps on its disk, through republished disks, damage and a full disk: nothing is lost without a word."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import NUNATAK, CommandFailed, Site
from tests.support.edges import admin, eventually, metrics

PROGRAM = Path(__file__).parent.parent / "guest" / "programs" / "disks.c"
PAGE = 4096


def _get(edge: Server, path: str, host: str = "own.test") -> bytes:
    with Client(edge.url) as client:
        answer = client.get(path, host=host)
    assert answer.status == 200, (path, answer.status, answer.error)
    return answer.body


def _image(site: Site, fill: int, pages: int = 4) -> tuple[Path, Path]:
    """The program over a disk that is full of one byte."""
    name = f"of-{fill}-{pages}"
    (site.folder / f"{name}.bin").write_bytes(bytes([fill]) * PAGE * pages)
    disk = site.folder / f"{name}.disk"
    site.run("disk", "build", str(site.folder / f"{name}.bin"), "-o", str(disk), "--name", "data")
    drives = ("--disk", f"data={disk}:cow", "--disk", "tmp=scratch", "--disk", "audit=log")
    return site.build(PROGRAM, *drives, name=name), disk


def _publish(site: Site, fill: int, *options: str, pages: int = 4) -> None:
    image, disk = _image(site, fill, pages)
    site.publish(image, "own", disks=[disk], options=options)


def _written(edge: Server) -> list[tuple[str, int]]:
    services = json.loads(admin(edge, "services").body)["services"]
    (own,) = [service for service in services if service["service"] == "own"]
    return [(each["aside"], each["bytes"]) for each in own["written"]]


def test_a_republished_disk_keeps_or_leaves_what_was_written(own_site: Site) -> None:
    edge = own_site.edges[0]
    _publish(own_site, 1)
    assert _get(edge, f"/write?offset={PAGE}&byte=65") == b"4096\n"
    assert _get(edge, "/flush") == b"0\n"
    with pytest.raises(CommandFailed, match="--written keep or --written drop expected, got neither"):
        _publish(own_site, 2)
    assert _get(edge, "/read?offset=0&size=1") == b"\1", "nothing was published"

    _publish(own_site, 2, "--written", "keep")
    eventually(lambda: _get(edge, "/read?offset=0&size=1") == b"\2", "the new base is there")
    assert _get(edge, f"/read?offset={PAGE - 1}&size=2") == b"\2A"
    after = metrics(edge)
    assert (after["overlays_carried_total"], after["overlays_aside"], after["written_services"]) == (1, 0, 1)

    own_site.park("own")
    edge.stop()
    _publish(own_site, 3, "--written", "drop")  # the edge learns of it when it comes back
    own_site.restart(edge)
    eventually(lambda: _get(edge, "/read?offset=0&size=1") == b"\3", "the newest base is there")
    assert _get(edge, f"/read?offset={PAGE - 1}&size=2") == b"\3\3"
    assert _written(edge) == [("dropped", PAGE)]
    after = metrics(edge)
    assert after["overlays_set_aside_total{dropped}"] == 1
    assert (after["overlay_aside_bytes"], after["written_services"]) == (PAGE, 0)
    assert "overlay_set_aside" in edge.log.read_text()


def test_a_publisher_is_told_that_each_edge_has_its_own_copy(own_site: Site) -> None:
    image, disk = _image(own_site, 1)
    words = ["publish", str(image), "--service", "own", "--disk", str(disk), "--origin", own_site.origin.url]
    done = subprocess.run([*NUNATAK, *words, "--keys", str(own_site.keys)], capture_output=True, text=True, check=True)
    assert "own: each edge keeps its own copy of what is written to disk data" in done.stderr
    assert done.stdout.startswith("own version 1: ")


# Damage.


def test_an_edge_starts_over_damage_of_every_kind(own_site: Site) -> None:
    edge = own_site.edges[0]
    _publish(own_site, 1)
    _get(edge, f"/write?offset={PAGE}&byte=65")
    _get(edge, "/flush")
    own_site.park("own")
    assert edge.stop() == 0
    cache = own_site.folder / "edge-1"
    databases = ("blobs/cache.db", "parked/cache.db", "responses.db", "written.db")
    for name in (*databases, "key", "logs/edge", "logs/next", "lock"):
        data = (cache / name).read_bytes()
        (cache / name).write_bytes(b"\xa5" * 512 + data[512:])
    for name in ("catalogue.json", "tuf/timestamp.json", "tuf/root_history/1.root.json"):
        (cache / "tuf" / name).write_bytes(b"\xa5" * 100)
    for rest in cache.rglob("*.db-*"):
        rest.unlink()
    own_site.restart(edge)
    assert _get(edge, f"/read?offset={PAGE - 1}&size=2") == b"\1\1"
    assert (cache / "written.db.damaged-1").exists(), "what is nowhere else is kept"
    assert (cache / "key.damaged-1").exists()
    after = metrics(edge)
    assert after["caches_rebuilt_total"] == 3
    assert after["overlays_set_aside_total{file damaged}"] == 1
    assert edge.stop() == 0
    assert "Traceback" not in edge.log.read_text()
    own_site.restart(edge)
    assert _get(edge, "/read?offset=0&size=1") == b"\1"


def test_written_pages_that_were_changed_are_not_served(own_site: Site) -> None:
    edge = own_site.edges[0]
    _publish(own_site, 1)
    _get(edge, f"/write?offset={PAGE}&byte=65")
    _get(edge, "/flush")
    edge.stop()
    with sqlite3.connect(own_site.folder / "edge-1" / "written.db") as database:
        database.execute("UPDATE page SET data = ?", (b"E" * PAGE,))
    database.close()
    own_site.restart(edge)
    assert _get(edge, f"/read?offset={PAGE}&size=1") == b"\1"
    assert _written(edge) == [("damaged", PAGE)]


# A full disk.


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system with little room."""
    place = tmp_path / "small"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("A FULL DISK IS NOT TESTED HERE: no tmpfs can be mounted")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(place: Path) -> None:
    with (place / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(PAGE)):
                pass
        except OSError:
            pass


def test_an_edge_on_a_full_disk_serves_on_drains_and_starts_again(own_site: Site, small: Path) -> None:
    edge = own_site.edges[0]
    edge.stop()
    edge.command[edge.command.index("--cache") + 1] = str(small / "cache")
    own_site.restart(edge)
    _publish(own_site, 1)
    assert _get(edge, f"/write?offset={PAGE}&byte=65") == b"4096\n"
    assert _get(edge, "/flush") == b"0\n"
    _fill(small)
    image, disk = _image(own_site, 7)
    own_site.publish(image, "second", disks=[disk])
    assert _get(edge, "/read?offset=0&size=1", host="second.test") == b"\7", "a service that cannot be kept is served"
    assert _get(edge, f"/read?offset={PAGE}&size=1") == b"A"
    assert int(_get(edge, f"/write?offset={2 * PAGE}&byte=66")) == PAGE
    for _ in range(40):  # what little room there is goes to the log of the database
        status = int(_get(edge, "/flush"))
        _get(edge, f"/write?offset={2 * PAGE}&byte=66")
        if status:
            break
    assert status in (0, -28, -5)
    _get(edge, "/append?disk=audit&text=line")
    own_site.park("own")
    assert _get(edge, f"/read?offset={PAGE}&size=1") == b"A"
    after = metrics(edge)
    assert sum(value for name, value in after.items() if name.startswith("storage_errors_total")) > 0
    assert edge.stop() == 0
    own_site.restart(edge)
    assert _get(edge, f"/read?offset={PAGE}&size=1") == b"A", "written pages are read although nothing can be written"
    assert edge.stop() == 0
    assert "Traceback" not in edge.log.read_text()
    (small / "filler").unlink()
    own_site.restart(edge)
    assert _get(edge, f"/write?offset={PAGE}&byte=67") == b"4096\n"
    assert _get(edge, "/flush") == b"0\n"
    edge.kill()
    own_site.restart(edge)
    assert _get(edge, f"/read?offset={PAGE}&size=1") == b"C"
