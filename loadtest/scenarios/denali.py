"""Denali's two results on this VMM, measured and drawn: `python -m loadtest.scenarios.denali`.

`edge/vmm/bench/denali.py` measures; this builds the two guests, keeps every sample as JSON and draws two plots. They
need the extra `bench` (matplotlib); without it the samples are kept all the same.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from loadtest.site.site import Site, example

TIMEOUT_S: Final = 900.0
ENGINES: Final = ("unicorn", "kvm")
GUESTS: Final = ("arrivals", "metronome")

Rows = Sequence[Mapping[str, Any]]


def measure(*, quick: bool = False) -> Rows:
    """Rows with "figure", "engine", "side", "x", "unit" and "samples".

    :raises subprocess.SubprocessError: the measurement failed.
    """
    with tempfile.TemporaryDirectory(prefix="nunatak-denali-") as folder:
        site = Site(Path(folder))
        images = [part for guest in GUESTS for part in (f"--{guest}", str(site.build(example(guest))))]
        command = [sys.executable, "-m", "edge.vmm.bench.denali", "--json", *images, *(["--quick"] if quick else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=True)
    rows: Rows = json.loads(done.stdout)
    return rows


def curves(rows: Rows, figure: str, unit: str) -> dict[tuple[str, str], list[tuple[int, float, float, float]]]:
    """By engine and side: x, first quartile, median, third quartile, in order of x."""
    found: dict[tuple[str, str], list[tuple[int, float, float, float]]] = {}
    for row in rows:
        if row["figure"] == figure and row["unit"] == unit:
            samples = row["samples"]
            low, middle, high = statistics.quantiles(samples, n=4) if len(samples) > 1 else samples * 3
            found.setdefault((row["engine"], row["side"]), []).append((row["x"], low, middle, high))
    return {key: sorted(points) for key, points in found.items()}


def draw(rows: Rows, folder: Path) -> list[Path]:
    """Both plots as PNG; their paths. Lines are medians, bands first to third quartile.

    :raises ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    plots = {
        "interrupts": [("1/s", "records per second", "records offered at once")],
        "idle": [
            ("1/s", "beats in time per second", "machines on one processor"),
            ("%", "processor time, %", "machines on one processor"),
        ],
    }
    paths = []
    for figure, panels in plots.items():
        engines = [engine for engine in ENGINES if any(row["engine"] == engine for row in rows)]
        drawing, axes = pyplot.subplots(
            len(panels), len(engines), squeeze=False, figsize=(5 * len(engines), 4 * len(panels))
        )
        for line, (unit, label, below) in enumerate(panels):
            found = curves(rows, figure, unit)
            for column, engine in enumerate(engines):
                axis = axes[line][column]
                for (of, side), points in found.items():
                    if of == engine:
                        xs, lows, middles, highs = zip(*points, strict=True)
                        axis.plot(xs, middles, marker="o", label=side)
                        axis.fill_between(xs, lows, highs, alpha=0.2)
                axis.set(title=engine, xlabel=below, ylabel=label, xscale="log", ylim=(0, None))
                axis.set_xscale("log", base=2)
                axis.grid(visible=True, alpha=0.3)
                axis.legend()
        path = folder / f"denali-{figure}.png"
        drawing.tight_layout()
        drawing.savefig(path, dpi=120)
        pyplot.close(drawing)
        paths.append(path)
    return paths


def main() -> int:
    """Measure, keep and draw."""
    parser = argparse.ArgumentParser(prog="loadtest.scenarios.denali", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder for denali.json and the plots")
    parser.add_argument("--quick", action="store_true", help="few samples: to try it, not to quote it")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = measure(quick=arguments.quick)
    kept = arguments.out / "denali.json"
    kept.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"samples in {kept}")
    try:
        for path in draw(rows, arguments.out):
            print(f"plot in {path}")
    except ImportError as error:
        print(f"no plots: {error}; the extra `bench` brings matplotlib", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
