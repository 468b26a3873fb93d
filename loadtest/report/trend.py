"""Figures over time: a line of JSON for each run, and what the newest is beside the runs before it on such a machine.

One run is compared with the median of the last few, not with the one before it alone: machines have days.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

RUNS: Final = 5  # that a figure is compared with, at most


def append(path: Path, run: Mapping[str, Any]) -> None:
    """Add a run, as `rows.load` gives it, to the file; it is made if it is not there.

    Runs that are not to be quoted are left out: a figure of few samples would be taken for a change.
    """
    if run["quick"]:
        return
    rows = {row["name"]: {"median": row["median"], "spread": row["spread"]} for row in run["rows"]}
    entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": run["machine"], "rows": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def usual(path: Path, run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each row of the run as it usually was on this machine: medians and spread over the last runs that have it.

    :raises ValueError: a line of the file is no run.
    """
    if not path.exists():
        return []
    earlier = [entry["rows"] for entry in _entries(path) if entry["machine"] == run["machine"]]
    found = []
    for row in run["rows"]:
        before = [rows[row["name"]] for rows in earlier if row["name"] in rows][-RUNS:]
        if before:
            medians = [one["median"] for one in before]
            low = min(min(medians), *(one["spread"][0] for one in before))
            high = max(max(medians), *(one["spread"][1] for one in before))
            found.append({**row, "median": statistics.median(medians), "spread": (low, high)})
    return found


def _entries(path: Path) -> Sequence[dict[str, Any]]:
    entries = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or not isinstance(entry.get("rows"), dict) or "machine" not in entry:
            raise ValueError(f"{path}: a run of `nunatak bench` expected in line {number}")
        entries.append(entry)
    return entries
