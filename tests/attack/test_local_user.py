"""What can another user of the machine read of an edge and of an origin, whatever umask they were started with?"""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import Site

PROGRAM = Path(__file__).parent.parent / "guest" / "programs" / "disks.c"
NOBODY = 65534
SECRET = "TOPSECRET-OF-A-TENANT"
PUBLIC = {"keys/root.json", "keys/targets.json"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Started by somebody who lets everybody read and write."""
    before = os.umask(0)
    try:
        with Site(tmp_path / "site", edge_config={"refresh": 0.2}) as running:
            yield running
    finally:
        os.umask(before)


def _used(site: Site) -> None:
    """Parked memory, written pages and log lines of a tenant, all of them secret."""
    (site.folder / "data.bin").write_bytes(bytes(4096))
    disk = site.folder / "data.disk"
    site.run("disk", "build", str(site.folder / "data.bin"), "-o", str(disk), "--name", "data")
    drives = ("--disk", f"data={disk}:cow", "--disk", "tmp=scratch", "--disk", "audit=log")
    site.publish(site.build(PROGRAM, *drives, name="own"), "own", disks=[disk])
    with Client(site.edges[0].url) as client:
        for path in ("/write?offset=0&byte=65", "/flush", f"/append?disk=audit&text={SECRET}", "/flush?disk=audit"):
            assert client.get(path, host="own.test").status == 200, path
    site.park("own")


def _open_to_others(folder: Path) -> set[str]:
    found = set()
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & 0o077:
            found.add(str(path.relative_to(folder.parent)))
    return found


def test_nothing_is_open_to_others(site: Site) -> None:
    _used(site)
    site.edges[0].stop()
    cache = site.folder / "edge-1"
    kept = {path.name for path in cache.rglob("*") if path.is_file()}
    assert {"cache.db", "written.db", "key", "lock", "catalogue.json", "next"} <= kept
    assert _open_to_others(cache) == set()
    assert site.store.stat().st_mode & 0o777 == 0o700
    assert _open_to_others(site.store / "logs") == set()
    assert _open_to_others(site.keys) <= PUBLIC
    assert {path.stat().st_mode & 0o777 for path in site.keys.glob("*.key")} == {0o600}


def test_what_an_earlier_edge_left_open_is_closed_at_the_start(site: Site) -> None:
    _used(site)
    edge, cache = site.edges[0], site.folder / "edge-1"
    edge.stop()
    site.origin.stop()
    for path in (cache, site.store, *cache.rglob("*"), *(site.store / "logs").rglob("*")):
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() else 0o666)
    site.restart(site.origin)
    site.restart(edge)
    assert _open_to_others(cache) == set()
    assert _open_to_others(site.store / "logs") == set()
    assert site.store.stat().st_mode & 0o777 == 0o700


READER = """
import os, sys
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
opened = []
for root in sys.argv[1:]:
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                open(os.path.join(folder, name), "rb").close()
                opened.append(os.path.join(folder, name))
            except OSError:
                pass
print(opened)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="ANOTHER USER IS NOT TRIED HERE: only root can become one")
def test_another_user_opens_nothing_while_it_runs(site: Site) -> None:
    _used(site)
    for folder in (site.folder, *site.folder.parents):  # the way there is open: it is the folders that are not
        folder.chmod(folder.stat().st_mode | 0o011)
    code = READER.format(nobody=NOBODY)
    places = [str(site.folder / "edge-1"), str(site.store)]
    done = subprocess.run(
        ["/usr/bin/env", sys.executable, "-c", code, *places], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
