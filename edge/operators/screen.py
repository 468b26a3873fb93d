"""Views of an edge as text for a terminal. Names are other people's, so they are cleaned before they are shown."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from vmimage.text import plain

LEFT: Final = ("SERVICE", "TIER")
WIDE: Final = 110  # columns of a terminal from which on all is shown; below it the names are worth more than these
LEFT_OUT: Final = ("WORKER", "HITS", "WAITING", "VERSION")
NARROW: Final = 72  # columns below which these are left out, too
ALSO_LEFT_OUT: Final = ("P50 MS", "REQUESTS", "MEMORY")
CRASHES_MAX: Final = 3  # told below the services
DAY_S: Final = 86_400

Entry = Mapping[str, Any]


def table(entries: Iterable[Entry], width: int) -> Table:
    """A line for each service, as the pages `services` and `view` describe it.

    :param width: of the terminal, in columns.
    """
    out = Table(box=None, header_style="bold", pad_edge=False)
    known = list(map(_cells, entries))
    left_out = (*LEFT_OUT * (width < WIDE), *ALSO_LEFT_OUT * (width < NARROW))
    shown = [column for column in known[0] if column not in left_out] if known else []
    for column in shown:
        out.add_column(column, justify="left" if column in LEFT else "right", no_wrap=True)
    for cells in known:
        out.add_row(*(cells[column] for column in shown))
    return out


def _cells(entry: Entry) -> dict[str, Text]:
    memory = entry["resident_bytes"] or entry["parked_bytes"]
    return {
        "SERVICE": Text(plain(entry["service"])),
        "TIER": _where(entry),
        "WORKER": Text("-" if entry["worker"] is None else str(entry["worker"])),
        "REQ/S": Text(f"{entry['rate']:,.1f}"),
        "P50 MS": Text(_ms(entry["p50_ms"])),
        "P99 MS": Text(_ms(entry["p99_ms"])),
        "HITS": Text(_percent(entry["hits"])),
        "REQUESTS": Text(f"{entry['requests']:,}"),
        "WAITING": Text(str(entry["waiting"])),
        "CRASHES": Text(str(entry["crashes"]), "red" if entry["crashes"] else ""),
        "MEMORY": Text(decimal(memory) if memory else "-"),
        "VERSION": Text(str(entry["version"])),
    }


def _where(entry: Entry) -> Text:
    words = [entry["tier"]]
    if entry["state"] not in (entry["tier"], "cold"):
        words.append(entry["state"])
    if entry["quarantined"]:
        words.append("quarantined")
    if entry["held_since"] is not None:
        words.append("on hold")
    if (release := entry["release"]) is not None:
        words.append(f"release {release['state']}")
    if entry["refused"] is not None:
        words.append("version refused")
    is_ill = entry["quarantined"] or entry["held_since"] is not None or entry["refused"] is not None
    stopped = release is not None and release["state"] == "stopped"
    return Text(plain(", ".join(words)), "red" if is_ill or stopped else "")


def screen(view: Mapping[str, Any], rows: int, width: int) -> RenderableType:
    """The edge above, as many services below as there are rows for, and the last crashes.

    :param rows: of the terminal, as `width` its columns.
    """
    edge = view["edge"]
    head = list(_head(edge))
    crashes = [_crash(report) for report in edge["reports"][:CRASHES_MAX]]
    room = max(1, rows - len(head) - len(crashes) - 2)  # the table's own head, and a line for what is not shown
    shown = view["services"][:room]
    below: list[RenderableType] = [table(shown, width)]
    if view["total"] > len(shown):
        below.append(Text(f"{view['total'] - len(shown):,} more", "dim"))
    return Group(*head, *below, *crashes)


def _head(edge: Mapping[str, Any]) -> Iterable[Text]:
    ill = edge["health"] or edge["draining"]
    words = ["draining"] * edge["draining"] + edge["health"]
    yield Text("  ".join(plain(line) for line in words) or "ok", "red" if ill else "green")
    tiers = ", ".join(f"{count:,} {tier}" for tier, count in edge["by_tier"].items()) or "none"
    held = f"; on hold {edge['held']['count']}: {_names(edge['held']['names'])}" if edge["held"]["count"] else ""
    confined = f"; {edge['quarantined']} quarantined" if edge["quarantined"] else ""
    yield Text(f"{edge['services']:,} services: {tiers}{held}{confined}")
    yield Text(
        f"{edge['rate']:,.1f} requests/s, p50 {_ms(edge['p50_ms'])} ms, p99 {_ms(edge['p99_ms'])} ms, hits "
        f"{_percent(edge['hits'])}; {edge['waiting']:,} waiting, {edge['crashes']:,} crashes"
    )
    yield Text(f"serves on {plain(', '.join(edge['serves_on'])) or 'nothing'}")
    yield Text(f"memory: {_budgets(edge['memory'])}; disk: {_budgets(edge['disk'])}")
    yield Text(f"workers: {'; '.join(map(_worker, edge['workers'])) or 'none'}")
    cache = ", ".join(f"{plain(result)} {count:,}" for result, count in sorted(edge["cache"].items()))
    yield Text(f"kept answers: {cache or 'none asked for'}")
    yield _catalogue(edge["catalogue"], edge["time"])
    yield Text("")


def _budgets(budgets: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"{what} {decimal(used)} of {decimal(most)}" for what, (used, most) in budgets.items())


def _worker(worker: Mapping[str, Any]) -> str:
    engines = ", ".join(f"{count} {plain(engine)}" for engine, count in worker["on"].items() if count)
    place = "" if worker["place"] == "shared" else f" ({plain(worker['place'] + ' ' + worker['whose'])})"
    return f"{worker['index']}{place}: {worker['machines']} machines{f' ({engines})' if engines else ''}"


def _catalogue(catalogue: Mapping[str, Any], now: float) -> Text:
    ago = catalogue["looked_ago_s"]
    looked = "never looked at since the start" if ago is None else f"looked at {ago:,.0f} s ago"
    ends = (f"{role} ends in {(end - now) / DAY_S:,.0f} d" for role, end in catalogue["expires"].items())
    expired = ["expired: new images are refused"] if catalogue["expired"] else []
    return Text(f"catalogue: {'; '.join([looked, *expired, *ends])}", "red" if expired else "")


def _crash(report: Mapping[str, Any]) -> Text:
    at = datetime.fromtimestamp(report["time"], UTC).strftime("%H:%M:%S")
    asked = f" at {report['requests'][0]}" if report["requests"] else ""
    return Text(plain(f"{at} {report['service']} crashed{asked}: {report['error']}: {report['message']}"), "red")


def _names(names: Sequence[str]) -> str:
    return plain(" ".join(names[:3])) + (" ..." if len(names) > 3 else "")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"
