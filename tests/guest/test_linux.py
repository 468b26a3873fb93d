"""Do static Linux programs, which know nothing of us, run as they do on Linux?"""

from functools import cache
from pathlib import Path

from libos.compile_linux import compile_linux
from tests.guests import PROGRAMS, Guest, baker, load
from vmimage import abi
from vmimage.archive import ImageBundle
from vmimage.elf import parse_program
from vmimage.manifest import DEFAULT_TERMS


@cache
def bake_linux(
    source: Path, kind: int = abi.PROGRAM_LINUX, files: bytes = b"", arguments: tuple[str, ...] = ()
) -> ImageBundle:
    """The image of a Linux program."""
    return baker().bake(
        parse_program(compile_linux([source])),
        name=source.stem.replace("_", "-"),
        env={"COLOUR": "green"},
        terms=DEFAULT_TERMS,
        progress=print,
        kind=kind,
        arguments=(source.stem, *arguments),
        files=files,
    )


def test_main_prepares_and_the_handler_serves() -> None:
    guest = Guest(load(bake_linux(PROGRAMS / "linux_service.c", arguments=("one",))))
    assert bytes(guest.get().body) == b"linux_service 2 green 2.50 now"
    assert bytes(Guest(guest.machine.image, parked=guest.park()).get().body) == b"linux_service 2 green 2.50 now"
