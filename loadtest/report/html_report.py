"""The report of a run: one page that needs nothing else, and its pictures beside it."""

import base64
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

from loadtest.report.plots import Rows, draw_all
from loadtest.report.targets import TARGETS, Target

_STYLE: Final = """
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: #102a43; background: #fff }
main { max-width: 64rem; margin: 2rem auto; padding: 0 1.5rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
p { margin: .3rem 0 } .dim { color: #627d98 } .warn { color: #9b4d00; font-weight: 600 }
table { border-collapse: collapse; width: 100%; font-size: .9rem } th { text-align: left; color: #627d98 }
th, td { padding: .35rem .6rem; border-bottom: 1px solid #d9e2ec; vertical-align: top }
td.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.yes { color: #00664b } .no { color: #a33c00 }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 1rem }
img { width: 100%; border: 1px solid #e6ecf2; border-radius: 6px } code { font-size: .85em }
"""


def write_report(kept: Mapping[str, Any], folder: Path) -> Path:
    """Write `index.html` and the PNGs into a folder; the page's path. Without matplotlib there are no pictures.

    :param kept: what `report.load` gives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: Rows = {row["name"]: row for row in kept["rows"]}
    try:
        pictures = draw_all(rows, folder)
    except ImportError as error:
        print(f"no pictures: {error}; the extra `bench` brings matplotlib", file=sys.stderr)
        pictures = []
    images = "".join(
        f'<img alt="{escape(title)}" src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}">'
        for title, path in pictures
    )
    took = ", ".join(f"{escape(name)} {seconds:.0f} s" for name, seconds in kept.get("took_s", {}).items())
    page = folder / "index.html"
    page.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>nunatak: what was measured</title><style>{_STYLE}</style><main><h1>What was measured</h1>"
        f"<p class=dim>{escape(kept['machine'])}; client: {escape(kept['client'])}</p>"
        + ("<p class=warn>Few samples: not to be quoted.</p>" if kept.get("quick") else "")
        + f"<h2>Numbers to reach</h2>{_targets(rows)}<h2>Pictures</h2><div class=pictures>{images}</div>"
        + f"<h2>All rows</h2>{_all(rows)}<p class=dim>Duration: {took}</p></main></html>\n"
    )
    return page


def _targets(rows: Rows) -> str:
    lines = "".join(_target(rows, target) for target in TARGETS)
    return (
        "<table><tr><th>what<th>reach<th>measured<th>spread<th>rival, same run<th>"
        f"{lines}</table><p class=dim>Medians; spread is first to third quartile of the samples.</p>"
    )


def _target(rows: Rows, target: Target) -> str:
    row = rows.get(target.row)
    if row is None:
        return f"<tr><td>{escape(target.title)}<td><td colspan=4 class=dim>not measured in this run"
    reach = "" if row["reach"] is None else f"{'≥' if row['better'] == 'higher' else '≤'} {row['reach']:,g}"
    rival = rows.get(target.rival)
    met = row["met"]
    verdict = "" if met is None else "<span class=yes>reached</span>" if met else "<span class=no>not reached</span>"
    why = f"<br><span class=dim>{escape(target.limit)}</span>" if met is False and target.limit else ""
    return (
        f"<tr><td>{escape(target.title)}{why}<td class=n>{reach}<td class=n>{_figure(row)}<td class=n>{_spread(row)}"
        f"<td class=n>{_figure(rival) if rival else ''}<td>{verdict}"
    )


def _all(rows: Rows) -> str:
    lines = "".join(
        f"<tr><td>{escape(row['title'])}<td class=n>{_figure(row)}<td class=n>{_spread(row)}"
        f"<td class=n>{len(row['samples'])}<td><code>{escape(row['command'])}</code>"
        for row in rows.values()
    )
    return f"<table><tr><th>what<th>median<th>spread<th>samples<th>command{lines}</table>"


def _figure(row: Mapping[str, Any]) -> str:
    return f"{_number(row['median'])} {escape(row['unit'])}"


def _spread(row: Mapping[str, Any]) -> str:
    low, high = row["spread"]
    return f"{_number(low)} .. {_number(high)}" if len(row["samples"]) > 1 else ""


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
