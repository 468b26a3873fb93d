"""A cold start far from the origin: which requests cross the wide area, in what order, and how long it takes.

    python -m loadtest.scenarios.far --picture waterfall.png

An origin, and between it and edges with empty caches a link of so many milliseconds (`loadtest.wan`). Round trips are
counted, not timed; times are of one run.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loadtest.report.plots import BLUE, ORANGE
from loadtest.site.checks import require
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from loadtest.wan.exchanges import Exchange, longest_chain, round_trips
from loadtest.wan.link import INITIAL_WINDOW, Link
from loadtest.wan.proxy import Wan

RTT_S: Final = 0.080
RATE: Final = 20e6 / 8  # bytes a second, of the case with little bandwidth
QUIET_S: Final = 2.0  # in which an edge that has started comes to rest, beside what its link takes
_WHAT: Final = (
    (re.compile(r"/tuf/timestamp"), "timestamp"),
    (re.compile(r"/tuf/\d+\.bin-"), "catalogue: a bin"),
    (re.compile(r"/tuf/\d+\.tenant-"), "catalogue: a tenant's file"),
    (re.compile(r"/tuf/\d+\.(\w+)\.json"), "catalogue: {}"),
    (re.compile(r"/manifests/"), "manifest"),
    (re.compile(r"/blobs/"), "snapshot"),
)


@dataclass(frozen=True)
class Start:
    """One cold start."""

    case: str
    first_byte_ms: float
    exchanges: Sequence[Exchange]

    @property
    def round_trips(self) -> int:
        """That had to follow one another."""
        return round_trips(longest_chain(self.exchanges))

    @property
    def bytes(self) -> int:
        """That came over the link."""
        return sum(each.down_bytes for each in self.exchanges)


def cold_starts(link: Link, title: str) -> list[Start]:
    """Services of an edge that starts empty, over that link: the first of each base, one more, and one that is new."""
    with _published() as site, Wan(site.origin.url, link) as wan:
        edge = site.add_edge(config={"refresh": 300}, origin=wan.url)
        found = [
            _start(edge, wan, link, name, f"{title}{what}")
            for name, what in (
                ("c", "C, the first service of its base"),
                ("c-again", "C, its base is here"),
                ("js", "JavaScript, the first service of its base"),
                ("js-again", "JavaScript, its base is here"),
            )
        ]
        site.publish(site.build(example("echo")), "late")
        return [*found, _start(edge, wan, link, "late", f"{title}C, published after the edge looked")]


@contextmanager
def _published() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="nunatak-far-") as folder, Site(Path(folder), edges=0) as site:
        site.publish(site.build(example("hello")), "c")
        site.publish(site.build(example("clock")), "c-again")
        for name in ("js", "js-again"):
            source = site.folder / f"{name}.js"
            source.write_text(example("hello").with_suffix(".js").read_text() + f"\n// {name}\n")
            site.publish(site.build(source), name)
        yield site


def _start(edge: Server, wan: Wan, link: Link, name: str, case: str) -> Start:
    time.sleep(QUIET_S + 8 * link.rtt_s)  # what began with the edge, or with the last one, is over
    wan.taken()
    with Client(edge.url) as client:
        answer = require(client.get(f"/~service/{name}/"), name, ("origin",))
    return Start(case, answer.first_byte_ms, [each for each in wan.taken() if each.ended_s is not None])


def table(starts: Sequence[Start]) -> str:
    """As Markdown."""
    lines = ["| cold start | round trips | kB | first byte, ms |", "|---|---|---|---|"]
    lines += [f"| {s.case} | {s.round_trips} | {s.bytes / 1000:,.0f} | {s.first_byte_ms:,.0f} |" for s in starts]
    return "\n".join(lines)


def draw(starts: Sequence[Start], path: Path) -> None:
    """The waterfalls of cold starts, one below the other.

    :raises ImportError: matplotlib is not installed (the extra `bench`).
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    heights = [len(start.exchanges) + 1.6 for start in starts]
    drawing, all_axes = pyplot.subplots(
        len(starts),
        figsize=(7.5, 0.28 * sum(heights) + 0.4),
        gridspec_kw={"height_ratios": heights},
        sharex=True,
        squeeze=False,
    )
    for start, (axes,) in zip(starts, all_axes, strict=True):
        _waterfall(axes, start)
    all_axes[-1][0].set_xlabel("ms since the edge asked first")
    drawing.tight_layout()
    drawing.savefig(path, dpi=110)
    pyplot.close(drawing)


def _waterfall(axes: Any, start: Start) -> None:
    began_s = min(each.began_s for each in start.exchanges)
    chain = longest_chain(start.exchanges)
    for place, each in enumerate(sorted(start.exchanges, key=lambda each: each.began_s)):
        at, ended = 1000 * (each.began_s - began_s), 1000 * ((each.ended_s or each.began_s) - began_s)
        axes.barh(place, ended - at, left=at, color=ORANGE if each in chain else BLUE, height=0.7)
        axes.text(ended, place, f" {each.down_bytes / 1000:,.1f} kB", va="center", fontsize=8)
    labels = [_label(each.what) for each in sorted(start.exchanges, key=lambda each: each.began_s)]
    axes.set(yticks=range(len(labels)), yticklabels=labels)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_title(
        f"{start.case}: {start.round_trips} round trips, {start.first_byte_ms:,.0f} ms", fontsize=9, loc="left"
    )
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.grid(visible=True, axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _label(line: str) -> str:
    for pattern, label in _WHAT:
        if match := pattern.search(line):
            return label.format(*match.groups())
    return line[:40]


def main(arguments: Sequence[str]) -> None:
    """Play all cases, print the table and draw the picture."""
    parser = argparse.ArgumentParser(description="Cold starts of an edge far from its origin.")
    parser.add_argument("--rtt", type=float, default=RTT_S * 1000, help="milliseconds")
    parser.add_argument("--picture", type=Path, help="file for the waterfalls")
    asked = parser.parse_args(arguments)
    link = Link(asked.rtt / 1000, window_bytes=INITIAL_WINDOW)
    starts = cold_starts(link, "")
    narrow = Link(asked.rtt / 1000, rate=RATE, window_bytes=INITIAL_WINDOW)
    slow = cold_starts(narrow, f"{RATE * 8 / 1e6:g} Mbit/s: ")
    print(table([*starts, *slow]))
    if asked.picture is not None:
        draw(starts, asked.picture)


if __name__ == "__main__":
    main(sys.argv[1:])
