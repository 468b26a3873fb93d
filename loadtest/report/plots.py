"""Pictures of what was measured, each from the rows of one run; a picture whose rows are not there is not drawn."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from loadtest.report.rows import TIERS

Rows = Mapping[str, Mapping[str, Any]]  # by name, as `report.save` writes them

# Okabe and Ito's colours, which people with any kind of colour vision tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2 #E69F00 #009E73 #D55E00 #CC79A7 #56B4E9 #F0E442 #000000".split()
)
TIER_COLOURS: Final = dict(zip(TIERS, (GREEN, SKY, YELLOW, ORANGE, RED), strict=True))


ALL_FIT_PERCENT: Final = 99.0  # of answers from resident machines, from which on all of them fit


class Nothing(Exception):
    """The rows of this picture were not measured."""


def _row(rows: Rows, name: str) -> Mapping[str, Any]:
    if name not in rows:
        raise Nothing(name)
    return rows[name]


def first_bytes(axes: Any, rows: Rows) -> None:
    """Distribution of the time to the first byte, by where the machine was."""
    lines = (
        ("warm-first-byte", "resident", GREEN),
        ("parked-first-byte", "parked, C", SKY),
        ("parked-js", "parked, JavaScript", BLUE),
        ("cold-first-byte", "not on the edge, C", ORANGE),
        ("cold-js", "not on the edge, JavaScript", RED),
        ("cold-workerd", "fresh workerd process", BLACK),
    )
    known = [(rows[name]["samples"], label, colour) for name, label, colour in lines if name in rows]
    if not known:
        raise Nothing("first bytes")
    for samples, label, colour in known:
        times = sorted(samples)
        axes.step(
            times, [100 * (n + 1) / len(times) for n in range(len(times))], label=label, color=colour, where="post"
        )
    axes.set(xscale="log", xlabel="time to the first byte, ms", ylabel="of requests, %", ylim=(0, 101))
    axes.legend(loc="lower right", fontsize=8)


def waterfall(axes: Any, rows: Rows) -> None:
    """A cold start's stages, one after the other."""
    stages = ("fetch", "verify", "restore", "guest", "rest")
    medians = [_row(rows, f"cold-{stage}")["median"] for stage in stages]
    at = 0.0
    for place, ms in enumerate(medians):
        axes.barh(place, ms, left=at, color=(BLUE, SKY, GREEN, ORANGE, "#999999")[place])
        axes.text(at + ms, place, f" {ms:.2f} ms", va="center", fontsize=9)
        at += ms
    labels = ["fetch", "verify and unpack", "restore", "guest", "catalogue, HTTP, waiting"]
    axes.set(yticks=range(len(stages)), yticklabels=labels, xlabel="ms since the request", xlim=(0, at * 1.2))
    axes.invert_yaxis()


def _counts(rows: Rows) -> list[int]:
    found = sorted(int(name.split("-")[1]) for name in rows if name.startswith("scale-") and name.endswith("-memory"))
    if not found:
        raise Nothing("scale")
    return found


def parked_times(axes: Any, rows: Rows) -> None:
    """Time to the first byte of one among ever more parked services."""
    counts = _counts(rows)
    for suffix, label, colour in (("first-byte", "p50", BLUE), ("p99", "p99", RED)):
        axes.plot(counts, [rows[f"scale-{n}-{suffix}"]["median"] for n in counts], "o-", label=label, color=colour)
    axes.set(xscale="log", xlabel="parked services", ylabel="parked to first byte, ms", ylim=(0, None))
    axes.legend()


def parked_memory(axes: Any, rows: Rows) -> None:
    """Memory of the whole edge with ever more parked services."""
    counts = _counts(rows)
    axes.plot(counts, [rows[f"scale-{n}-memory"]["median"] for n in counts], "o-", color=BLUE)
    for n in counts:
        axes.annotate(
            f"{rows[f'scale-{n}-each']['median']:.1f} KiB each",
            (n, rows[f"scale-{n}-memory"]["median"]),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set(xscale="log", xlabel="parked services", ylabel="memory of all the edge's processes, MiB", ylim=(0, None))
    axes.margins(x=0.15, y=0.15)


def deciles(axes: Any, rows: Rows) -> None:
    """Tails by how often a service is asked for."""
    known = [n for n in range(1, 11) if f"crowd-d{n:02d}-p99" in rows]
    if not known:
        raise Nothing("deciles")
    for suffix, colour in (("p50", BLUE), ("p99", RED)):
        axes.plot(known, [rows[f"crowd-d{n:02d}-{suffix}"]["median"] for n in known], "o-", label=suffix, color=colour)
    axes.set(yscale="log", xlabel="tenth of services, the most popular first", ylabel="ms from when it was due")
    axes.set_xticks(known)
    axes.legend()


def tiers(axes: Any, rows: Rows) -> None:
    """Who answered the crowd."""
    at = 0.0
    for tier, colour in TIER_COLOURS.items():
        share = _row(rows, f"crowd-tier-{tier}")["median"]
        axes.barh(0, share, left=at, color=colour, label=f"{tier} {share:.1f} %")
        at += share
    axes.set(yticks=[], xlabel="of answers, %", xlim=(0, 100))
    axes.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.0), fontsize=9)
    axes.set_ylim(-0.6, 1.2)


def fairness(axes: Any, rows: Rows) -> None:
    """A victim's tail beside each neighbour."""
    cases = [name.split("-")[1] for name in rows if name.startswith("fair-") and name.endswith("-ratio")]
    if not cases:
        raise Nothing("fairness")
    for place, case in enumerate(cases):
        row = rows[f"fair-{case}-ratio"]
        low, high = row["spread"]
        axes.bar(place, row["median"], color=BLUE, width=0.6)
        axes.vlines(place, low, high, color=BLACK)
    axes.axhline(1, color=BLACK, linewidth=0.8)
    axes.axhline(2, color=RED, linestyle="--", linewidth=1)
    axes.text(len(cases) - 0.45, 2, "reach", color=RED, va="bottom", ha="right", fontsize=9)
    labels = {"spinner": "spins", "queue": "1,000 in\nits queue", "flood": "emits\n100 MB", "heads": "pipelines\nheads"}
    labels |= {"lines": "logs", "exchanges": "drops\nexchanges", "flushes": "flushes", "blocks": "reads\na disk"}
    axes.set(xticks=range(len(cases)), xticklabels=[labels.get(case, case) for case in cases])
    axes.tick_params(axis="x", labelsize=8)
    axes.set(xlabel="what the neighbour does")
    axes.set(ylabel="victim's p99, times that alone", ylim=(0, None))


def peers(axes: Any, rows: Rows) -> None:
    """The same pages from us and from others."""
    known = [row for name, row in rows.items() if name.startswith("contest-")]
    if not known:
        raise Nothing("peers")
    known.sort(key=lambda row: row["median"])
    for place, row in enumerate(known):
        ours = "machine" in row["title"]
        axes.barh(place, row["median"], color=BLUE if ours else "#999999")
        low, high = row["spread"]
        axes.hlines(place, low, high, color=BLACK)
        axes.text(high, place, f" {row['median']:,.0f}", va="center", fontsize=8)
    axes.set(yticks=range(len(known)), yticklabels=[row["title"].partition(",")[0] for row in known])
    axes.set_xlabel("requests per second, 32 connections; bars are medians, lines first to third quartile", loc="right")
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.12)


Points = Sequence[tuple[int, float]]  # services, figure; rising


def _zipf(rows: Rows, figure: str) -> Mapping[str, Points]:
    """A figure's curves by alpha."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for name, row in rows.items():
        if name.startswith("zipf-") and name.endswith(f"-{figure}"):
            _, alpha, count, _ = name.split("-")
            curves.setdefault(alpha, []).append((int(count), row["median"]))
    if not curves:
        raise Nothing("zipf")
    return {alpha: sorted(points) for alpha, points in sorted(curves.items())}


def zipf_curve(axes: Any, rows: Rows) -> None:
    """Denali's figure: throughput as ever more services share one edge."""
    rates, hits = _zipf(rows, "rate"), _zipf(rows, "resident")
    for (alpha, points), colour in zip(rates.items(), (GREEN, BLUE, RED), strict=False):
        axes.plot(*zip(*points, strict=True), "o-", label=f"alpha {alpha}", color=colour)
    fitting = [count for count, share in next(iter(hits.values())) if share > ALL_FIT_PERCENT]
    counts = [count for count, _ in next(iter(rates.values()))]
    beyond = [count for count in counts if fitting and count > fitting[-1]]
    if beyond:
        firsts, lasts = [points[0][1] for points in rates.values()], [points[-1][1] for points in rates.values()]
        shape = (
            (counts[0], max(firsts)),
            (fitting[-1], max(firsts)),
            (beyond[0], min(lasts)),
            (counts[-1], min(lasts)),
        )
        label = "shape that Denali describes: flat, a cliff, flat"
        axes.plot(*zip(*shape, strict=True), "--", color="#999999", label=label, zorder=1)
        axes.axvspan(counts[0], fitting[-1], color="#999999", alpha=0.12)
        place = ((counts[0] * fitting[-1]) ** 0.5, 0)
        axes.annotate(
            "all machines\nfit in memory", place, xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set(xscale="log", xlabel="services on the edge", ylabel="requests per second", ylim=(0, None))
    axes.legend(fontsize=9)


def zipf_tiers(axes: Any, rows: Rows) -> None:
    """What moves the cliff: where answers come from; visitors' least skew as lines, their most dashed."""
    for tier, colour in TIER_COLOURS.items():
        curves = list(_zipf(rows, tier).items())
        if not any(share for _, points in curves for _, share in points):
            continue
        for (alpha, points), style in zip((curves[0], curves[-1]), ("o-", "o--"), strict=True):
            axes.plot(*zip(*points, strict=True), style, label=f"{tier}, alpha {alpha}", color=colour, markersize=4)
    axes.set(xscale="log", xlabel="services on the edge", ylabel="of answers, %", ylim=(-2, 102))
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


Picture = tuple[str, str, Callable[[Any, Rows], None]]
PICTURES: Final[Sequence[Picture]] = (
    ("first-bytes", "Time to the first byte: resident, parked, not on the edge", first_bytes),
    ("cold-start", "Where a cold start's time goes (medians)", waterfall),
    ("zipf-throughput", "Throughput by services, visitors by Zipf's law", zipf_curve),
    ("zipf-tiers", "The same run: where answers came from", zipf_tiers),
    ("parked-times", "First byte of one among many parked services", parked_times),
    ("parked-memory", "Memory against parked services", parked_memory),
    ("deciles", "Time to answer by popularity, all tiers too small", deciles),
    ("tiers", "Who answered, all tiers too small", tiers),
    ("fairness", "A victim beside hostile neighbours", fairness),
    ("peers", "The same pages from others, same run", peers),
)


def draw_all(rows: Rows, folder: Path) -> list[tuple[str, Path]]:
    """Draw what can be drawn as PNG; titles and paths.

    :raises ImportError: matplotlib is not installed (the extra `bench`).
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn = []
    for name, title, draw in PICTURES:
        drawing, axes = pyplot.subplots(figsize=(7.5, 4.2))
        try:
            draw(axes, rows)
        except Nothing:
            pyplot.close(drawing)
            continue
        axes.grid(visible=True, alpha=0.25)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.set_title(title, fontsize=11, loc="left")
        path = folder / f"{name}.png"
        drawing.tight_layout()
        drawing.savefig(path, dpi=110)
        pyplot.close(drawing)
        drawn.append((title, path))
    return drawn
