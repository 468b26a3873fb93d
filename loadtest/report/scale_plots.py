"""Pictures of what `nunatak simulate --json FILE` found out.

python -m loadtest.report.scale_plots FILE FOLDER
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from loadtest.report.plots import BLACK, BLUE, GREEN, ORANGE, RED, SKY, TIER_COLOURS, YELLOW

Rows = Sequence[Mapping[str, Any]]


def owners(axes: Any, rows: Rows) -> None:
    """Hits in memory with and without owners."""
    for place, row in enumerate(rows):
        axes.barh(place, 100 * row["resident"], color=GREEN, label="resident" if not place else None)
        parked = 100 * (row["in memory"] - row["resident"])
        axes.barh(place, parked, left=100 * row["resident"], color=SKY, label="parked in memory" if not place else None)
        text = f"{100 * row['resident']:.1f} % resident, busiest edge {row['max/mean']:.2f} times its share"
        axes.text(2, place, text, va="center", fontsize=9)
    axes.set(yticks=range(len(rows)), yticklabels=[row["case"].replace(", ", ",\n") for row in rows])
    axes.set(xlabel="of requests, %", xlim=(0, 101))
    axes.invert_yaxis()
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.27), ncols=2, fontsize=9)


def eviction(axes: Any, rows: Rows) -> None:
    """Resident hits by order of eviction and demand."""
    policies = {"lru": (BLUE, "LRU, as edges do"), "s3-fifo": (GREEN, "S3-FIFO"), "gdsf": (ORANGE, "GDSF")}
    policies |= {"pins": (SKY, "LRU, pins by rate")}
    width = 0.8 / len(policies)
    for number, (policy, (colour, label)) in enumerate(policies.items()):
        places = [place + (number - 1.5) * width for place in range(len(rows))]
        axes.bar(places, [100 * row[policy] for row in rows], width, color=colour, label=label)
    axes.set(xticks=range(len(rows)), xticklabels=[row["demand"] for row in rows])
    axes.set(ylabel="requests that find a resident machine, %", ylim=(0, 100))
    axes.legend(fontsize=9, ncols=2)


def purge(axes: Any, rows: Rows) -> None:
    """How long a purge takes as the fleet grows."""
    for parents, label, colour in ((False, "each edge hears the origin", RED), (True, "through parents", BLUE)):
        found = [row for row in rows if bool(row["parents"]) is parents and not row["cut off"]]
        edges = [row["edges"] for row in found]
        axes.plot(edges, [row["p50 ms"] for row in found], "o--", color=colour, label=f"{label}, p50")
        axes.plot(edges, [row["p99 ms"] for row in found], "o-", color=colour, label=f"{label}, p99")
    axes.axhline(150, color=BLACK, linewidth=0.8, linestyle=":")
    axes.text(100, 154, "reach: p99 150 ms", fontsize=8)
    axes.set(xscale="log", xlabel="edges", ylabel="until the edges know, ms", ylim=(0, None))
    axes.legend(fontsize=9)


def publishing(axes: Any, rows: Rows) -> None:
    """What a publication costs an edge."""
    services = [row["services"] for row in rows]
    axes.plot(services, [row["an edge kB"] for row in rows], "o-", color=RED, label="bin and snapshot")
    axes.plot(services, [row["bin kB"] for row in rows], "o--", color=ORANGE, label="the bin")
    axes.plot(services, [row["snapshot kB"] for row in rows], "o--", color=BLUE, label="the snapshot of the catalogue")
    for row in rows:
        where = (row["services"], row["an edge kB"])
        label = f"{row['bins']:,} bins"
        axes.annotate(label, where, xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="services", ylabel="kB that an edge fetches for one publication")
    axes.margins(y=0.15)
    axes.legend(fontsize=9)


def fleet(axes: Any, rows: Rows) -> None:
    """Where a fleet's machines come from."""
    colours = {**TIER_COLOURS, "fetched": TIER_COLOURS["origin"], "blob": YELLOW}
    for place, row in enumerate(rows):
        at = 0.0
        for tier in ("resident", "parked", "disk", "blob", "fetched"):
            share = 100 * row[tier]
            axes.barh(place, share, left=at, color=colours[tier], label=tier if not place else None)
            if share > 4:
                axes.text(at + share / 2, place, f"{share:.0f}", ha="center", va="center", fontsize=9)
            at += share
        per_second = f"the origin: {row['origin fetches']:,} fetches, at most {row['origin peak/s']:,} in a second"
        axes.text(0, place - 0.47, per_second, fontsize=9, va="bottom")
    axes.set(yticks=range(len(rows)), yticklabels=[row["case"].replace(" and ", "\nand ") for row in rows])
    axes.set(xlabel="of requests, %", xlim=(0, 100), ylim=(len(rows) - 0.4, -0.8))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=5, fontsize=9)


PICTURES: Final[Mapping[str, tuple[str, Callable[[Any, Rows], None]]]] = {
    "owners": ("Eight edges, memory of each for a tenth of the machines", owners),
    "eviction": ("Who goes when memory is full: one edge, memory for a tenth of the machines", eviction),
    "purge": ("Until every edge knows of a purge", purge),
    "publishing": ("What one publication costs each edge that knows its bin", publishing),
    "fleet": ("Where a fleet's machines come from", fleet),
}


def draw(studies: Mapping[str, Rows], folder: Path) -> list[Path]:
    """Draw each study that there is a picture of, as scale-NAME.png.

    :raises ImportError: matplotlib is not installed (the extra `bench`).
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn = []
    for name, (title, picture) in PICTURES.items():
        if name not in studies:
            continue
        drawing, axes = pyplot.subplots(figsize=(7.5, 3.2 if name in ("owners", "fleet") else 4.2))
        picture(axes, studies[name])
        axes.grid(visible=True, alpha=0.25)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.set_title(title, fontsize=11, loc="left")
        drawing.tight_layout()
        drawn.append(folder / f"scale-{name}.png")
        drawing.savefig(drawn[-1], dpi=110)
        pyplot.close(drawing)
    return drawn


if __name__ == "__main__":
    for path in draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])):
        print(path)
