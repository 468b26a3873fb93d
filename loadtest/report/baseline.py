"""Figures against those of another run: what became better or worse by more than both runs' spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from rich.console import Console
from rich.table import Table

THRESHOLD: Final = 0.10  # of a figure; less is not spoken of, however small the spread: machines drift by as much

Verdict = Literal["better", "worse", "same"]


@dataclass(frozen=True)
class Change:
    """One row in both runs."""

    name: str
    title: str
    unit: str
    before: float
    now: float
    verdict: Verdict

    @property
    def ratio(self) -> float:
        """Now as a multiple of before; 0 where there was nothing before."""
        return self.now / self.before if self.before else 0.0


def compare(now: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Rows as `report.save` writes them, of two runs; those that only one of them has are left out."""
    known = {row["name"]: row for row in before}
    return [_change(row, known[row["name"]]) for row in now if row["name"] in known]


def _change(now: Mapping[str, Any], before: Mapping[str, Any]) -> Change:
    (low, high), (low_before, high_before) = now["spread"], before["spread"]
    far = abs(now["median"] - before["median"]) > THRESHOLD * abs(before["median"])
    verdict: Verdict = "same"
    if far and (low > high_before or high < low_before):
        rose = now["median"] > before["median"]
        verdict = "better" if rose is (now["better"] == "higher") else "worse"
    return Change(now["name"], now["title"], now["unit"], before["median"], now["median"], verdict)


def show_changes(console: Console, changes: Sequence[Change]) -> None:
    """Print what changed; rows that did not are counted."""
    table = Table(title="against earlier figures", title_justify="left", title_style="dim")
    for header in ("what", "before", "now", "ratio", ""):
        table.add_column(header, justify="left" if header in ("what", "") else "right")
    changed = [change for change in changes if change.verdict != "same"]
    for change in changed:
        colour = "green" if change.verdict == "better" else "red"
        table.add_row(
            change.title,
            f"{change.before:,.4g} {change.unit}",
            f"{change.now:,.4g} {change.unit}",
            f"{change.ratio:.2f}",
            f"[{colour}]{change.verdict}[/]",
        )
    if changed:
        console.print(table)
    console.print(f"{len(changes) - len(changed)} of {len(changes)} rows as before, within spread")
