"""Looks at an edge as text for a terminal. Names are other people's, so they are cleaned before they are shown."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from edge.operators.looks import Line, Look, Summary
from vmimage.text import plain

COLUMNS = ("SERVICE", "VERSION", "TIER", "WORKER", "REQ/S", "REQUESTS", "WAITING", "CRASHES", "MEMORY")


def table(shown: Sequence[Line]) -> Table:
    """A line for each service."""
    out = Table(box=None, header_style="bold", pad_edge=False)
    for column in COLUMNS:
        out.add_column(column, justify="left" if column in ("SERVICE", "TIER") else "right", no_wrap=True)
    for line in shown:
        tier = line.tier if line.state in (line.tier, "cold") else f"{line.tier}, {line.state}"
        out.add_row(
            Text(plain(line.service)),
            str(line.version),
            Text(f"{tier}, quarantined" if line.quarantined else tier, "red" if line.quarantined else ""),
            "-" if line.worker is None else str(line.worker),
            "-" if line.rate is None else f"{line.rate:,.1f}",
            f"{line.requests:,}",
            str(line.waiting),
            Text(str(line.crashes), "red" if line.crashes else ""),
            decimal(line.memory) if line.memory else "-",
        )
    return out


def screen(look: Look, total: Summary, shown: Sequence[Line], rows: int) -> RenderableType:
    """The edge above, as many services below as there are rows for."""
    tiers = ", ".join(f"{count:,} {tier}" for tier, count in total.by_tier.items()) or "none"
    rate = "-" if total.rate is None else f"{total.rate:,.0f}"
    ok = look.health[:1] == ["ok"]
    head = [
        Text("  ".join(plain(line) for line in look.health) or "no health page", "green" if ok else "red"),
        Text(f"{total.services:,} services: {tiers}; {total.workers} workers"),
        Text(
            f"{rate} requests/s, {total.waiting:,} waiting, {total.crashes:,} crashes; machines "
            f"{decimal(total.resident_bytes)}, parked in memory {decimal(total.parked_bytes)}"
        ),
        Text(""),
    ]
    room = max(1, rows - len(head) - 2)  # the table's own head, and a line for what is not shown
    below: list[RenderableType] = [table(shown[:room])]
    if len(shown) > room:
        below.append(Text(f"{len(shown) - room:,} more", "dim"))
    return Group(*head, *below)
