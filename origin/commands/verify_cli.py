"""The command `nunatak verify`: is a service's image what its publisher signed, and what the source gives?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from origin.commands.shared import JsonOption, OriginOption
from vmimage.errors import OperatorError
from vmimage.text import plain

if TYPE_CHECKING:  # imported when it is needed: `nunatak --help` stays quick
    from origin.bake.rebuild import Rebuilt
    from origin.publish.attaching import Verified

DIFFERENT: Final = 1  # the exit code: the source gives another image


def verify(
    what: Annotated[str, typer.Argument(help="Service, or the digest of one of its images.", metavar="SERVICE|DIGEST")],
    origin: OriginOption,
    trust: Annotated[
        Path, typer.Option(help="Trust root, root.json of the key folder, or the folder.", metavar="PATH")
    ],
    service: Annotated[
        str,
        typer.Option(
            help="Service that the digest is an image of.", metavar="NAME", show_default="none, with a service"
        ),
    ] = "",
    rebuild: Annotated[
        Path | None,
        typer.Option(
            help="Source to build it from again, with the options that its provenance says.",
            metavar="SOURCE",
            show_default="none",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a service's image down to the keys of its publisher, and whether its source gives the same image.

    It checks catalogue, manifest, layers, the signature under the provenance, and the bill of materials.
    With --rebuild it ends with status 1 where another image comes out, and says what differs: compiler, file, layer.
    """
    from origin.bake.rebuild import rebuild as build_again
    from origin.publish.attaching import verify as check
    from origin.publish.client import carry_out
    from vmimage.trust import Trust

    root, targets = _top(trust)
    found = carry_out(check(what, Trust([root], targets), service), url=origin)
    again = None
    if rebuild is not None:
        again = build_again(found.provenance, found.manifest, rebuild, lambda step: typer.echo(plain(step), err=True))
    if as_json:
        typer.echo(json.dumps(_about(found, again), indent=1))
    else:
        for line in _lines(found, again):
            typer.echo(plain(line))
    if again is not None and again.image != found.manifest.digest:
        raise typer.Exit(DIFFERENT)


def _top(path: Path) -> tuple[bytes, bytes]:
    """Root and targets beside each other.

    :raises OperatorError: they are not there.
    """
    from origin.keys import load_top

    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and (path.name != "root.json" or not path.is_file()):
        found = "another file" if path.is_file() else "nothing"
        raise OperatorError(
            f"--trust: root.json with targets.json beside it expected at {path}, found {found}: name those of the "
            "origin's operator"
        )
    return load_top(folder)


def _about(found: Verified, again: Rebuilt | None) -> dict[str, Any]:
    said = found.provenance
    about: dict[str, Any] = {
        "service": found.service,
        "version": found.version,
        "image": found.manifest.digest,
        "signed_by": list(found.keyids),
        "options": dict(said.options),
        "builder": dict(said.builder),
        "materials": dict(said.materials),
        "bill_of_materials": json.loads(found.bill) if found.bill is not None else None,
    }
    if again is not None:
        about["rebuilt"] = {"image": again.image, "differences": list(again.differences)}
    return about


def _lines(found: Verified, again: Rebuilt | None) -> list[str]:
    said = found.provenance
    version = f"version {found.version}" if found.version is not None else "an earlier version"
    lines = [
        f"{found.service} {version}: {found.manifest.digest}",
        "catalogue, manifest and layers: as signed",
        f"provenance: signed by {', '.join(keyid[:16] for keyid in found.keyids)}",
        f"built by: {', '.join(f'{name} {number[:16]}' for name, number in sorted(said.builder.items()))}",
        f"of: {len(said.materials)} files, packages and bases",
    ]
    if found.bill is not None:
        lines.append(f"bill of materials: {len(json.loads(found.bill).get('components', []))} components")
    if again is None:
        return lines
    if again.image == found.manifest.digest:
        return [*lines, "built again: the same image"]
    return [*lines, f"built again: another image, {again.image}", *(f"  {line}" for line in again.differences)]
