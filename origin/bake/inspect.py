"""What `nunatak inspect` tells of an image: as plain values, and as tables."""

from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vmimage.archive import ImageBundle
from vmimage.symbols import SymbolTable, is_line
from vmimage.text import plain

_MIB: Final = 1 << 20


def describe(bundle: ImageBundle, symbols_shown: int) -> dict[str, Any]:
    """The image as values that JSON can hold; sizes in bytes, addresses as numbers.

    :param symbols_shown: how many of the largest symbols to name.
    :raises FormatError: its symbols do not unpack.
    """
    manifest = bundle.manifest
    symbols = SymbolTable.decode(bundle.blobs[manifest.symbols.digest]) if manifest.symbols else ()
    table = [symbol for symbol in symbols if not is_line(symbol)]
    largest = sorted(table, key=lambda symbol: (-symbol.size, symbol.address))[:symbols_shown]
    return {
        "name": manifest.name,
        "kind": manifest.kind,
        "digest": manifest.digest,
        "base": manifest.base,
        "abi": manifest.abi,
        "manifest_bytes": len(manifest.to_bytes()),
        "memory_bytes": manifest.memory_bytes,
        "pages": manifest.page_count,
        "snapshot_bytes": manifest.snapshot_bytes,
        "snapshot_wire_bytes": manifest.snapshot.size,
        "symbols_wire_bytes": manifest.symbols.size if manifest.symbols else 0,
        "sources_wire_bytes": manifest.sources.size if manifest.sources else 0,
        "instance": manifest.instance,
        "upstreams": list(manifest.upstreams),
        "disks": [asdict(disk) for disk in manifest.disks],
        "pool": manifest.pool,
        "limits": asdict(manifest.limits),
        "rejuvenate": asdict(manifest.rejuvenate),
        "baked_entropy": manifest.baked_entropy,
        "regions": [{"start": r.start, "end": r.end, "access": r.access} for r in manifest.regions],
        "symbol_count": len(table),
        "largest_symbols": [{"address": s.address, "bytes": s.size, "name": s.name} for s in largest],
    }


def render(images: list[dict[str, Any]]) -> None:
    """Print images that `describe` described: in full the last one, for which the file was built."""
    console = Console(highlight=False)
    *bases, image = images
    console.print(_summary(image))
    console.print(_regions(image))
    if image["largest_symbols"]:
        console.print(_symbols(image))
    for base in bases:
        console.print(_summary(base))


def _summary(image: dict[str, Any]) -> Table:
    table = Table(title=f"{image['kind']} image {image['name']}", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    raw, wire = image["snapshot_bytes"], image["snapshot_wire_bytes"]
    limits = image["limits"]
    table.add_row("digest", image["digest"], style="bold")
    table.add_row("base", image["base"] or "none: a whole snapshot")
    table.add_row("architecture", f"version {image['abi']}")
    table.add_row("memory", f"{image['memory_bytes'] / _MIB:g} MiB, {image['pages']} pages in the snapshot")
    table.add_row("snapshot", f"{raw:,} bytes, {wire:,} compressed ({wire / raw:.1%})")
    table.add_row("manifest", f"{image['manifest_bytes']:,} bytes")
    table.add_row("symbols", f"{image['symbol_count']:,}, {image['symbols_wire_bytes']:,} bytes compressed")
    if image["sources_wire_bytes"]:
        table.add_row("sources", f"names for lines, {image['sources_wire_bytes']:,} bytes compressed")
    kept = {
        "service": "one machine, kept",
        "request": f"a fresh machine for every request, up to {image['pool']} at once",
        "pool": f"up to {image['pool']} machines, kept",
    }
    table.add_row("instance", kept[image["instance"]])
    table.add_row(
        "limits",
        f"{limits['cpu_ms']} ms CPU a request, {limits['output_bytes'] / _MIB:g} MiB a response, "
        f"{limits['streams']} requests at once, {limits['log_bytes'] / 1024:g} KiB of log a second, "
        + (f"{limits['cpu_percent']} % of a processor" if limits["cpu_percent"] else "no CPU quota"),
    )
    causes = [f"{name} {value:,}" for name, value in image["rejuvenate"].items() if value]
    table.add_row("starts anew", " or ".join(causes) or "only when it crashed, was evicted or replaced")
    if image["kind"] == "derived":
        own, baked = "each machine has its own", "the builder's are in the image: all machines share them"
        table.add_row("random bytes", baked if image["baked_entropy"] else own)
    table.add_row("upstreams", ", ".join(image["upstreams"]) or "none: it sends no requests of its own")
    for disk in image["disks"]:
        under = f"{disk['digest']}" if disk["digest"] else "nothing under it"
        table.add_row(f"disk {disk['name']}", f"{disk['kind']}, {disk['bytes']:,} bytes, {under}")
    return table


def _regions(image: dict[str, Any]) -> Table:
    table = Table(title="memory", title_justify="left")
    for heading in ("from", "to", "bytes", "access"):
        table.add_column(heading, justify="left" if heading == "access" else "right")
    colours = {"rx": "green", "rw": "yellow", "r": "cyan"}
    for region in image["regions"]:
        start, end, access = region["start"], region["end"], region["access"]
        table.add_row(f"{start:#x}", f"{end:#x}", f"{end - start:,}", f"[{colours[access]}]{access}[/]")
    return table


def _symbols(image: dict[str, Any]) -> Table:
    table = Table(title="largest symbols", title_justify="left")
    table.add_column("address", justify="right")
    table.add_column("bytes", justify="right")
    table.add_column("name")
    for symbol in image["largest_symbols"]:
        table.add_row(f"{symbol['address']:#x}", f"{symbol['bytes']:,}", escape(plain(symbol["name"])))
    return table
