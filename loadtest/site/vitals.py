"""What a site uses and has done at one moment: its processes' memory, open files and disk, and an edge's metrics."""

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.site.fetch import Client
from loadtest.site.server import Server, process_tree, tree_cpu_s, tree_memory_bytes
from loadtest.site.site import Site

_SAMPLE: Final = re.compile(r"^nunatak_(\w+)(?:\{\w+=\"([^\"]*)\"\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Vitals:
    """One look; bytes and seconds of CPU time since the processes began."""

    edge_memory: int
    origin_memory: int
    edge_files: int  # open file descriptors
    origin_files: int
    edge_disk: int
    edge_cpu_s: float
    origin_cpu_s: float
    metrics: Mapping[str, float]  # "name" or "name{value of its label}", without the prefix

    def total(self, name: str) -> float:
        """A counter over all values of its label."""
        return sum(value for key, value in self.metrics.items() if key == name or key.startswith(name + "{"))


def look(site: Site) -> Vitals:
    """At a site's origin and first edge.

    :raises OSError: the edge does not answer.
    """
    edge, origin = site.edges[0], site.origin
    return Vitals(
        edge_memory=tree_memory_bytes(edge.pid),
        origin_memory=tree_memory_bytes(origin.pid),
        edge_files=open_files(edge),
        origin_files=open_files(origin),
        edge_disk=folder_bytes(site.folder / edge.name),
        edge_cpu_s=tree_cpu_s(edge.pid),
        origin_cpu_s=tree_cpu_s(origin.pid),
        metrics=metrics(edge),
    )


def metrics(edge: Server) -> dict[str, float]:
    """Every sample of `/-/metrics`, as `Vitals.metrics`."""
    with Client(edge.admin_url) as client:
        text = client.get("/-/metrics").body.decode()
    return {f"{name}{{{label}}}" if label else name: float(value) for name, label, value in _SAMPLE.findall(text)}


def open_files(server: Server) -> int:
    """File descriptors of a server's processes."""
    count = 0
    for pid in process_tree(server.pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            count += len(os.listdir(f"/proc/{pid}/fd"))
    return count


def folder_bytes(folder: Path) -> int:
    """Disk space that the files under a folder take, in whole blocks of 512 bytes as stat(2) counts them."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return total
