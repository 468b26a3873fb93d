"""`nunatak dev`: its options are those of `nunatak build`, whatever they are, and a few of its own."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from origin.commands.build_cli import build as build_command
from vmimage.errors import PublisherError

if TYPE_CHECKING:
    from origin.dev.terminal import Progress
    from vmimage.archive import ImageBundle

app = typer.Typer()


def dev(source: Path, listen: str, port: int | None, upstreams: str, **options: Any) -> None:
    """Build a program, serve it on this machine as an edge would, and build it again whenever it changes.

    The terminal shows every request, what the program writes, and where it crashed. Ctrl-C ends it.
    """
    import uvloop

    from origin.bake.disk_options import parse_drives
    from origin.bake.recipe import images_of, name_of
    from origin.dev.serve import LOOPBACK, Made, own_address, quiet_logs, serve

    made = Made(source, options["assets"])

    def build(progress: "Progress") -> "list[ImageBundle]":
        return images_of(source, progress=progress, made_of=made.of, **options)

    at = own_address(listen if port is None else f"{LOOPBACK}:{port}")
    if not source.exists():
        raise PublisherError(f"source: a program or a folder expected, got {source}: no such file: check the path")
    disks = [drive.disk for drive in parse_drives(options["disk"] or []) if drive.disk is not None]
    quiet_logs()
    uvloop.run(
        serve(
            source,
            build,
            made,
            name=options["name"] or name_of(source),
            listen=at,
            upstreams=upstreams,
            disks=disks,
        )
    )


def _own(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


_LISTEN = Annotated[
    str,
    typer.Option(
        help="Address and port to listen on, of this machine's own; port 0 takes a free one.", metavar="ADDRESS:PORT"
    ),
]
_PORT = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Short for --listen 127.0.0.1:PORT.", metavar="PORT", show_default="none"),
]
_UPSTREAMS = Annotated[
    str,
    typer.Option(
        help="Networks that requests of the program may reach; public stands for the internet.",
        metavar="NETWORK,...|public",
    ),
]
_BUILD = inspect.signature(build_command, eval_str=True).parameters
_PARAMETERS = [
    *(
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in _BUILD.values()
        if parameter.name != "output"
    ),
    _own("listen", _LISTEN, "127.0.0.1:8000"),
    _own("port", _PORT, None),
    _own("upstreams", _UPSTREAMS, "public"),
]
# typer reads a command's options from its signature; these come from the one of `build`.
dev.__signature__ = inspect.Signature(_PARAMETERS)  # type: ignore[attr-defined]
dev.__annotations__ = {parameter.name: parameter.annotation for parameter in _PARAMETERS}
app.command("dev")(dev)
