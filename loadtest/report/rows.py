"""Measured numbers as values, as a table and as JSON: median and spread, beside what was promised."""

import functools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from rich.console import Console
from rich.table import Table

TIERS: Final = ("resident", "parked", "disk", "blob", "origin")  # where an answer may come from, the nearest first


@dataclass(frozen=True)
class Row:
    """One number: its name, what it says, its unit, which way is better, and the reach that is promised, if any."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    reach: float | None = None


@dataclass(frozen=True)
class Measurement:
    """A row with its samples, and the command that measures it again."""

    row: Row
    samples: Sequence[float]
    command: str

    @property
    def median(self) -> float:
        """The middle of the samples."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """First and third quartile; the extremes when there are too few samples for quartiles."""
        if len(self.samples) < 4:
            return min(self.samples), max(self.samples)
        low, _, high = statistics.quantiles(self.samples, n=4)
        return low, high

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the promise; `None` where none was made."""
        if self.row.reach is None:
            return None
        return self.median >= self.row.reach if self.row.better == "higher" else self.median <= self.row.reach


def show(console: Console, measurements: Sequence[Measurement], *, client: str) -> None:
    """Print all of them as one table."""
    table = Table(title=f"measured with {client}, {_machine()}", title_justify="left", title_style="dim")
    for header, justify in (("what", "left"), ("median", "right"), ("spread", "right"), ("reach", "right")):
        table.add_column(header, justify="left" if justify == "left" else "right", no_wrap=justify == "right")
    table.add_column("again with", style="dim", no_wrap=True)
    for found in measurements:
        low, high = (_number(value) for value in found.spread)
        colour = {True: "green", False: "red", None: "default"}[found.met]
        table.add_row(
            found.row.title,
            f"[{colour}]{_number(found.median)} {found.row.unit}[/]",
            f"{low} .. {high}" if len(found.samples) > 1 else "",
            "" if found.row.reach is None else f"{'≥' if found.row.better == 'higher' else '≤'} {found.row.reach:,g}",
            found.command,
        )
    console.print(table)


def save(
    path: Path, measurements: Sequence[Measurement], *, client: str, took_s: Mapping[str, float], quick: bool
) -> None:
    """Write all of them, samples included, as JSON.

    :param took_s: seconds by scenario. :param quick: few samples, not to be quoted.
    """
    rows = [
        {**asdict(found.row), "median": found.median, "spread": found.spread, "samples": list(found.samples)}
        | {"met": found.met, "command": found.command}
        for found in measurements
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {"machine": _machine(), "client": client, "quick": quick, "took_s": dict(took_s), "rows": rows}
    path.write_text(json.dumps(kept, indent=1) + "\n")


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote.

    :raises ValueError: the file holds something else.
    """
    kept = json.loads(path.read_text())
    if not isinstance(kept, dict) or not isinstance(kept.get("rows"), list):
        raise ValueError(f"{path}: samples of `nunatak bench` expected")
    return kept


def _machine() -> str:
    system = platform.uname()
    kind = f", {found[1]}" if (found := re.search(r"^model name\s*: (.+)$", _read("/proc/cpuinfo"), re.M)) else ""
    hypervisor = ", in a virtual machine" if re.search(r"^flags.* hypervisor\b", _read("/proc/cpuinfo"), re.M) else ""
    kvm = "with KVM" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "without KVM"
    return f"{os.cpu_count()} processors{kind}{hypervisor}, {kvm}, {system.system} {system.release}, {_program()}"


@functools.cache
def _program() -> str:
    """Which version runs, on which Python, compiled or not: what `nunatak --version` says."""
    asked = [sys.executable, "-m", "edge.main", "--version"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "no nunatak"


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _number(value: float) -> str:
    """Three digits that mean something, thousands marked."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
