"""The command `nunatak run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from origin.commands.shared import EnvFileOption, EnvOption, FilesOption
from vmimage.errors import PublisherError


def run(
    program: Annotated[
        Path, typer.Argument(help="Static Linux program (ELF), or its source in C or C++.", metavar="PROGRAM")
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="Arguments of the program.", metavar="[ARGUMENT]...", show_default="none"),
    ] = None,
    env: EnvOption = None,
    env_file: EnvFileOption = None,
    files: FilesOption = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Pass standard input on to the program; without this it finds none.")
    ] = False,
    strace: Annotated[
        bool, typer.Option("--strace", help="Print every system call on standard error, and count them.")
    ] = False,
    engine: Annotated[str, typer.Option(help="Engine to run it on.", metavar="unicorn|kvm")] = "unicorn",
    memory: Annotated[str, typer.Option(help="Memory of the machine.", metavar="SIZE")] = "32MiB",
    cpu_ms: Annotated[
        int, typer.Option(min=1, max=60_000, help="CPU time that the program may take.", metavar="MILLISECONDS")
    ] = 60_000,
) -> None:
    """Run a static Linux program in a machine on this computer and exit with its exit code.

    Its output is passed on byte for byte, with any escapes for the terminal that are in it.
    """
    from origin.bake.env_file import read_env_files
    from origin.bake.linux import linux_program, packed
    from origin.bake.recipe import parse_environment
    from origin.bake.run import Run
    from origin.bake.sizes import size_option
    from vmimage.manifest import Limits

    if engine not in ("unicorn", "kvm"):
        raise PublisherError(f"--engine: unicorn or kvm expected, got {engine!r}")
    if not program.exists():
        raise PublisherError(f"program: a static Linux program expected, got {program}: no such file: check the path")
    started = Run(
        linux_program(program),
        arguments=(program.name, *(arguments or [])),
        env={**read_env_files(env_file or []), **parse_environment(env or [])},
        files=packed(files),
        engine="kvm" if engine == "kvm" else "unicorn",
        memory_bytes=size_option("memory", memory),
        limits=Limits(cpu_ms=cpu_ms, output_bytes=1 << 30),
        trace=strace,
    )
    out, err = sys.stdout.buffer, sys.stderr.buffer
    result = started(sys.stdin.buffer.read() if stdin else b"", out.write, err.write, err.write)
    out.flush()
    if strace:
        for name, count in result.calls.most_common():
            unknown = f", {result.unknown[name]} of them ENOSYS" if name in result.unknown else ""
            typer.echo(f"{count:9} {name}{unknown}", err=True)
    elif result.unknown:
        typer.echo(f"unknown calls: {', '.join(f'{name} {n}' for name, n in result.unknown.items())}", err=True)
    raise typer.Exit(result.code)
