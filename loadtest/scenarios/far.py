"""A cold start far from the origin: which requests cross the wide area, in what order, and how long it takes.

    python -m loadtest.scenarios.far --picture waterfall.png --parents parents.png

An origin, and between it and edges with empty caches a link of so many milliseconds (`loadtest.wan`): alone, with a
parent half way, and with one near the edge that knows nothing yet or everything. Each case is played several times, by
turns. Round trips are counted, not timed; waterfalls are those of the median of first bytes.
"""

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loadtest.report.plots import BLUE, GREEN, ORANGE
from loadtest.site.checks import require
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import LOOPBACK, NUNATAK, Site, example
from loadtest.wan.exchanges import Exchange, longest_chain, round_trips
from loadtest.wan.link import INITIAL_WINDOW, Link
from loadtest.wan.proxy import Wan

RTT_S: Final = 0.080
RATE: Final = 20e6 / 8  # bytes a second, of the case with little bandwidth
NEAR_S: Final = 0.001  # round trip to a parent near the edge
SERVICES: Final = (
    ("c", "C, the first service of its base"),
    ("c-again", "C, its base is here"),
    ("js", "JavaScript, the first service of its base"),
    ("js-again", "JavaScript, its base is here"),
)
PICTURE_COLOURS: Final = 32
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
class Way:
    """How an edge comes to the origin's bytes."""

    title: str
    far: Link  # to the origin
    near: Link | None = None  # to a parent; None: there is none
    warm: bool = False  # the parent has everything already
    knows: bool = False  # the edge knows the catalogue whole, as it does a small one


@dataclass(frozen=True)
class Start:
    """One cold start."""

    way: Way
    what: str
    first_byte_ms: float
    exchanges: Sequence[Exchange]  # of the edge
    behind: Sequence[Exchange] = ()  # of the parent with the origin

    @property
    def case(self) -> str:
        """In words."""
        return f"{self.way.title}: {self.what}"

    @property
    def round_trips(self) -> int:
        """Of the edge that had to follow one another."""
        return round_trips(longest_chain(self.exchanges))

    @property
    def far_round_trips(self) -> int:
        """The same to the origin, of whoever asks it."""
        return round_trips(longest_chain(self.behind)) if self.way.near else self.round_trips

    @property
    def bytes(self) -> int:
        """That the edge got."""
        return sum(each.down_bytes for each in self.exchanges)


def ways(rtt_s: float, rate: float) -> list[Way]:
    """All that are compared.

    :param rate: bytes a second of each long link; 0: no limit.
    """
    limit = f", {rate * 8 / 1e6:g} Mbit/s" if rate else ""
    far, half = (Link(part * rtt_s, rate=rate, window_bytes=INITIAL_WINDOW) for part in (1, 0.5))
    near = Link(NEAR_S, window_bytes=INITIAL_WINDOW)
    return [
        Way(f"no parent{limit}", far),
        Way(f"no parent, a small catalogue{limit}", far, knows=True),
        Way(f"a parent half way, cold{limit}", half, half),
        Way(f"a parent near, cold{limit}", far, near),
        Way(f"a parent near, warm{limit}", far, near, warm=True),
    ]


def cold_starts(site: Site, way: Way, number: int) -> list[Start]:
    """Services of an edge that starts empty: the first of each base, one more, and, without a parent, one that is new.

    :param number: that no other call has.
    """
    with ExitStack() as stack:
        far = near = stack.enter_context(Wan(site.origin.url, way.far))
        if way.near is not None:
            words = ["parent", "--source", far.url, "--cache", str(site.folder / f"parent-{number}")]
            command = [*NUNATAK, *words, "--listen", f"{LOOPBACK}:0"]
            parent = stack.enter_context(Server(f"parent-{number}", command, site.folder))
            near = stack.enter_context(Wan(parent.url, way.near))
        if way.warm:
            other = site.add_edge(config={"refresh": 300}, origin=near.url)
            with Client(other.url) as client:
                for name, _ in SERVICES:
                    require(client.get(f"/~service/{name}/"), name, ("origin",))
            other.stop()
        ahead: dict[str, int] = {} if way.knows else {"catalogue_ahead": 0}
        edge = site.add_edge(config={"refresh": 300, **ahead}, origin=near.url)
        stack.callback(edge.stop)
        found = [_start(edge, way, (near, far), name, what) for name, what in SERVICES]
        if way.near is None:
            site.publish(site.folder / "images" / "echo.oci.tar", f"late-{number}")
            found.append(_start(edge, way, (near, far), f"late-{number}", "C, published after the edge looked"))
    return found


@contextmanager
def _published() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="nunatak-far-") as folder, Site(Path(folder), edges=0) as site:
        site.publish(site.build(example("hello")), "c")
        site.publish(site.build(example("clock")), "c-again")
        site.build(example("echo"))
        for name in ("js", "js-again"):
            source = site.folder / f"{name}.js"
            source.write_text(example("hello").with_suffix(".js").read_text() + f"\n// {name}\n")
            site.publish(site.build(source), name)
        yield site


def _start(edge: Server, way: Way, links: tuple[Wan, Wan], name: str, what: str) -> Start:
    near, far = links
    time.sleep(QUIET_S + 8 * way.far.rtt_s)  # what began with the edge, or with the last one, is over
    for link in links:
        link.taken()
    with Client(edge.url) as client:
        answer = require(client.get(f"/~service/{name}/"), name, ("origin",))
    exchanges = _ended(near)
    return Start(way, what, answer.first_byte_ms, exchanges, _ended(far) if way.near else ())


def _ended(link: Wan) -> list[Exchange]:
    return [each for each in link.taken() if each.ended_s is not None]


def in_middle(starts: Sequence[Start]) -> Start:
    """The one whose first byte is the median of all."""
    return sorted(starts, key=lambda start: start.first_byte_ms)[len(starts) // 2]


def table(groups: Sequence[Sequence[Start]]) -> str:
    """As Markdown, a line for the starts of each case."""
    lines = ["| cold start | round trips | of them to the origin | kB | first byte, ms |", "|---|---|---|---|---|"]
    for starts in groups:
        times = sorted(start.first_byte_ms for start in starts)
        took = f"{statistics.median(times):,.0f} ({times[0]:,.0f} .. {times[-1]:,.0f})"
        one = in_middle(starts)
        kb = f"{one.bytes / 1000:,.0f}"
        lines.append(f"| {one.case} | {one.round_trips} | {one.far_round_trips} | {kb} | {took} |")
    return "\n".join(lines)


def waterfall(start: Start) -> str:
    """What began and ended when, in ms since the edge asked first, a line each."""
    lines = [f"{start.case}: {start.first_byte_ms:,.0f} ms"]
    for each, whose in _rows(start):
        began, ended = (1000 * (at - _began_s(start)) for at in (each.began_s, each.ended_s or each.began_s))
        label = whose + _label(each.what)
        lines.append(f"  {began:8,.1f} .. {ended:8,.1f}  {each.down_bytes / 1000:9,.1f} kB  {label}")
    return "\n".join(lines)


def _began_s(start: Start) -> float:
    return min(each.began_s for each in start.exchanges)


def _rows(start: Start) -> list[tuple[Exchange, str]]:
    """All exchanges as they began, and whose they are."""
    rows = [(each, "") for each in start.exchanges] + [(each, "parent: ") for each in start.behind]
    return sorted(rows, key=lambda row: row[0].began_s)


def draw(starts: Sequence[Start], path: Path) -> None:
    """The waterfalls of cold starts, one below the other.

    :raises ImportError: matplotlib is not installed (the extra `bench`).
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image

    heights = [len(_rows(start)) + 1.6 for start in starts]
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
    with Image.open(path) as drawn:  # of few colours: a third of the bytes
        drawn.convert("RGB").quantize(PICTURE_COLOURS).save(path, optimize=True)


def _waterfall(axes: Any, start: Start) -> None:
    began_s, rows = _began_s(start), _rows(start)
    chain = longest_chain(start.exchanges)
    for place, (each, whose) in enumerate(rows):
        at, ended = 1000 * (each.began_s - began_s), 1000 * ((each.ended_s or each.began_s) - began_s)
        colour = GREEN if whose else ORANGE if each in chain else BLUE
        axes.barh(place, ended - at, left=at, color=colour, height=0.7)
        axes.text(ended, place, f" {each.down_bytes / 1000:,.1f} kB", va="center", fontsize=8)
    axes.set(yticks=range(len(rows)), yticklabels=[whose + _label(each.what) for each, whose in rows])
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
    parser.add_argument("--parents", type=Path, help="file for those with parents, beside those without")
    parser.add_argument("--times", type=int, default=3, help="starts of each case")
    asked = parser.parse_args(arguments)
    groups = measured([way for rate in (0.0, RATE) for way in ways(asked.rtt / 1000, rate)], asked.times)
    print(table(groups))
    middle = [in_middle(starts) for starts in groups]
    print("", *map(waterfall, middle), sep="\n")
    free = [start for start in middle if not (start.way.far.rate or start.way.knows)]
    if asked.picture is not None:
        draw([start for start in free if start.way.near is None], asked.picture)
    if asked.parents is not None:
        draw(
            [start for what in (SERVICES[0][1], SERVICES[2][1]) for start in free if start.what == what], asked.parents
        )


def measured(all_ways: Sequence[Way], times: int) -> list[list[Start]]:
    """So many starts of each case, by turns, so that what else the machine does is in all of them."""
    groups: dict[str, list[Start]] = {}
    with _published() as site:
        for turn in range(times):
            for place, way in enumerate(all_ways):
                for start in cold_starts(site, way, turn * len(all_ways) + place):
                    groups.setdefault(start.case, []).append(start)
    return list(groups.values())


if __name__ == "__main__":
    main(sys.argv[1:])
