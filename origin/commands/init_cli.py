"""The command `nunatak init`: a new program to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from vmimage.errors import PublisherError

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = Path(__file__).parent / "templates"
IGNORED: Final = ".gitignore"


class Template(NamedTuple):
    """A folder of `templates`."""

    about: str
    options: str = ""  # of `build` and `dev`


TEMPLATES: Final[Mapping[str, Template]] = {
    "javascript": Template("a worker in one file, worker.js"),
    "typescript": Template("a worker in TypeScript, in several modules, bundled by esbuild"),
    "c": Template("a page in C, on nunatak.h"),
    "cgi": Template("a CGI program in C, on any libc", "--cgi "),
    "lua": Template("a page in Lua, with a template in HTML"),
}


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; it is made if missing.", metavar="FOLDER")] = Path(
        "."
    ),
    template: Annotated[
        str, typer.Option("--template", "-t", help="What to begin with, see --list.", metavar="NAME")
    ] = "javascript",
    show: Annotated[bool, typer.Option("--list", help="Print the templates, and write nothing.")] = False,
) -> None:
    """Write a small program to begin with: it builds, runs under `nunatak dev`, and can be published as it is.

    Where one of its files is there already nothing is written; a .gitignore stays as it is.
    """
    from origin.bake.recipe import name_of

    if show:
        for name, each in TEMPLATES.items():
            typer.echo(f"{name:12}{each.about}")
        return
    if template not in TEMPLATES:
        raise PublisherError(f"--template: one of {', '.join(TEMPLATES)} expected, got {template!r}")
    written = write_template(template, folder)
    name, options = name_of(folder), TEMPLATES[template].options
    typer.echo(f"{folder}: {', '.join(written)}")
    typer.echo("then:", err=True)
    typer.echo(f"  nunatak dev {options}{folder}", err=True)
    typer.echo(f"  nunatak build {options}{folder} -o {name}.oci.tar", err=True)
    typer.echo(f"  nunatak publish {name}.oci.tar --service {name} --host {name}.example", err=True)


def write_template(template: str, folder: Path) -> list[str]:
    """Write the files of a template, but for a .gitignore where there is one; their names.

    :raises PublisherError: one of them is there already, so that nothing was written; or the folder takes none.
    """
    source = FOLDER / template
    files = {_name_of(path.relative_to(source)): path for path in sorted(source.rglob("*")) if path.is_file()}
    there = [name for name in files if (folder / name).is_symlink() or (folder / name).exists()]
    if there == [IGNORED]:
        del files[IGNORED]
    elif there:
        raise PublisherError(
            f"{folder}: a folder without {', '.join(there)} expected: nothing was written, name a new folder"
        )
    try:
        for name, path in files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                file.write(path.read_bytes())
    except OSError as error:
        raise PublisherError(f"{folder}: a folder that can be written expected, choose another: {error}") from None
    return list(files)


def _name_of(path: Path) -> str:
    """`gitignore` has no dot among the templates, where it would hide files of ours."""
    return IGNORED if path.name == "gitignore" else path.as_posix()
