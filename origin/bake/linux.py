"""What the commands make Linux programs of: an ELF file as it is, or C and C++ compiled with musl."""

from collections.abc import Callable, Mapping
from pathlib import Path

from origin.bake import files as archive
from origin.bake.elf import Program, parse_program
from origin.bake.instructions import check_instructions
from vmimage.errors import PublisherError

SOURCES = (".c", ".cc", ".cpp", ".cxx")


def is_elf(source: Path) -> bool:
    """Whether the file says that it is a program."""
    if not source.is_file():
        return False
    with source.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def linux_program(source: Path, progress: Callable[[str], object] = lambda _: None) -> Program:
    """The program in an ELF file, or of a C or C++ file, or of a folder of them.

    :raises PublisherError: it does not compile, or is no program that a machine can run; with what to do.
    """
    if is_elf(source):
        return checked(parse_program(source.read_bytes()), progress)
    if source.is_dir():
        sources = sorted(path for path in source.iterdir() if path.suffix in SOURCES)
    else:
        sources = [source] if source.suffix in SOURCES else []
    if not sources:
        raise PublisherError(
            f"{source}: a static x86-64 ELF program, or C or C++ files, expected: "
            "compile it with -static, or leave --linux and --cgi away"
        )
    from libos.toolchain.compile_linux import compile_linux

    return checked(
        parse_program(compile_linux(sources, include=[source if source.is_dir() else source.parent])), progress
    )


def checked(program: Program, progress: Callable[[str], object]) -> Program:
    """The program, whose instructions machines have.

    :param progress: gets what a publisher should know of the others.
    :raises PublisherError: it has some that no machine can execute.
    """
    for warning in check_instructions(program):
        progress(warning)
    return program


def packed(folder: Path | None, more: Mapping[str, tuple[int, bytes]] = {}) -> bytes:
    """The archive of a folder and of `more`, by path; nothing where there is neither."""
    found = {**({} if folder is None else read_folder(folder)), **more}
    return archive.pack(found) if found else b""


def read_folder(folder: Path, *, of_program: bool = False) -> dict[str, tuple[int, bytes]]:
    """Path within `folder` -> mode and contents of all that is in it.

    :param of_program: it is the folder of a program: without what tools put there (`is_of_tools`).
    :raises PublisherError: no folder; a link that leads out of it or nowhere; neither file nor folder in it.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise PublisherError(
            f"files: a folder expected, got {folder}: name the folder whose files the program is to find at /"
        )
    found: dict[str, tuple[int, bytes]] = {"": (archive.FOLDER_MODE, b"")}
    total = 0
    open_folders = [(root, "", frozenset((root,)))]
    while open_folders:
        here, prefix, above = open_folders.pop()
        for path in sorted(here.iterdir()):
            if of_program and is_of_tools(path.name):
                continue
            name, target = prefix + path.name, path.resolve()
            if not target.is_relative_to(root) or not target.exists():
                raise PublisherError(
                    f"files: {name}: a link within the folder expected, it leads elsewhere: copy the file in its place"
                )
            if target.is_dir():
                if target in above:
                    raise PublisherError(f"files: {name}: a link that is not a circle expected: remove it")
                found[name] = (archive.FOLDER_MODE, b"")
                open_folders.append((target, name + "/", above | {target}))
            elif target.is_file():
                data = target.read_bytes()
                found[name] = (archive.PROGRAM_MODE if target.stat().st_mode & 0o111 else archive.FILE_MODE, data)
                total += len(data)
            else:
                raise PublisherError(f"files: {name}: a file or folder expected: remove it")
            if total > archive.FILES_MAX or len(found) > archive.ENTRIES_MAX:
                raise PublisherError(
                    f"files: at most {archive.FILES_MAX >> 20} MiB in {archive.ENTRIES_MAX} files expected: "
                    "put what is large on a disk (`nunatak disk build`)"
                )
    return found


def is_of_tools(name: str) -> bool:
    """Whether a file or folder beside a program is no part of it: hidden, other languages' packages, images."""
    return name.startswith(".") or name in ("node_modules", "__pycache__") or name.endswith(".oci.tar")
