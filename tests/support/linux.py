"""Linux programs for tests: compiled once, baked as services or CGI programs, or run here and now."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from libos.toolchain.compile_linux import compile_linux
from origin.bake.elf import Program, parse_program
from origin.bake.files import FILE_MODE, FOLDER_MODE, pack
from origin.bake.run import Result, Run
from tests.support.guests import ENGINE, PROGRAMS, baker
from vmimage import abi
from vmimage.archive import ImageBundle
from vmimage.manifest import DEFAULT_TERMS, Limits

FILES = pack(
    {
        "": (FOLDER_MODE, b""),
        "etc": (FOLDER_MODE, b""),
        "etc/motd": (FILE_MODE, b"hello world\n"),
        "etc/empty": (FILE_MODE, b""),
        "big": (FILE_MODE, b"x" * 10_000),
        "deep": (FOLDER_MODE, b""),
        "deep/er": (FOLDER_MODE, b""),
        "deep/er/leaf": (FILE_MODE, b"leaf"),
    }
)
ENVIRONMENT = {"COLOUR": "green"}


@cache
def program(name: str, flags: tuple[str, ...] = (), link_flags: tuple[str, ...] = ()) -> Program:
    """One of the test programs."""
    return parse_program(compile_linux([PROGRAMS / name], flags=flags, link_flags=link_flags))


@cache
def bake_linux(name: str, kind: int = abi.PROGRAM_LINUX, arguments: tuple[str, ...] = ()) -> ImageBundle:
    """The image of a test program, with `FILES`."""
    return baker().bake(
        program(name),
        name=Path(name).stem.replace("_", "-"),
        env=ENVIRONMENT,
        terms=replace(DEFAULT_TERMS, instance="request") if kind == abi.PROGRAM_CGI else DEFAULT_TERMS,
        progress=print,
        kind=kind,
        arguments=(name, *arguments),
        files=FILES,
    )


def run(what: Program, *arguments: str, stdin: bytes = b"", trace: bool = False) -> tuple[Result, str, str]:
    """How it ended, its output, its errors (and trace)."""
    out, err = bytearray(), bytearray()
    started = Run(
        what,
        arguments=("program", *arguments),
        env=ENVIRONMENT,
        files=FILES,
        engine=ENGINE.get(),
        limits=Limits(cpu_ms=30_000),
        trace=trace,
        baker=baker(),
    )
    return started(stdin, out.extend, err.extend, err.extend), out.decode(), err.decode()
