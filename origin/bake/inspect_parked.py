"""What `nunatak inspect` tells of a parked machine's record, as an edge keeps it: as plain values, and as a table."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from vmimage import abi
from vmimage.parked import UNFLUSHED, is_sealed, parse_parked
from vmimage.snapshot import Slices
from vmimage.text import plain


def describe_parked(data: bytes, key: bytes | None, now: datetime) -> dict[str, Any]:
    """A record as values that JSON can hold; sizes in bytes, times in seconds. Its pages are not unpacked.

    :param key: the edge's; None: what only the key can tell is None.
    :raises FormatError: no record of this version, or a state that is none.
    """
    record = parse_parked(data)
    state = Slices(record.state, memory_bytes=abi.MEMORY_MAX)
    began = datetime.fromtimestamp(record.began_us / 1e6, UTC)
    return {
        "kind": "parked",
        "service": record.service,
        "tenant": record.tenant,
        "image": record.image,
        "bytes": len(data),
        "sealed": is_sealed(data, key) if key is not None else None,
        "began": began.isoformat(timespec="seconds"),
        "lived_s": max(0.0, (now - began).total_seconds()),
        "served": record.served,
        "disk_versions": [None if version == UNFLUSHED else version for version in record.disk_versions],
        "state_bytes": len(record.state),
        "scratch_bytes": len(record.scratch),
        "pages": len(state.page_nos),
        "cpu_ns": state.devices.virtual_ns,
        "rip": state.registers.rip,
    }


def render_parked(about: dict[str, Any]) -> None:
    """Print what `describe_parked` found."""
    table = Table(title="parked machine", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("service", plain(about["service"]), style="bold")
    table.add_row("tenant", plain(about["tenant"]) or "none")
    table.add_row("image", about["image"])
    table.add_row("began", f"{about['began']}, {about['lived_s']:,.0f} s ago")
    table.add_row("served", f"{about['served']:,} requests, {about['cpu_ns'] / 1e6:,.1f} ms of CPU time")
    table.add_row("state", f"{about['state_bytes']:,} bytes, {about['pages']:,} pages that differ from the image")
    table.add_row("scratch disks", f"{about['scratch_bytes']:,} bytes")
    for place, version in enumerate(about["disk_versions"]):
        what = "pages that the disk never took: it is not woken" if version is None else f"version {version:#x}"
        table.add_row(f"disk {place}", what)
    seal = {
        None: "not checked: that takes the edge's key (--key)",
        True: "made with this key, over just these bytes",
        False: "NOT of this key, or not over these bytes: the edge refuses the record",
    }
    table.add_row("check", seal[about["sealed"]])
    Console(highlight=False).print(table)
