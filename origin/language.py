"""Programs in a language: its runtime is what is baked, the program's files are what the runtime finds at `/`."""

from pathlib import Path

from libos.languages import language_of
from origin.linux import read_folder
from vmimage import files as archive
from vmimage.elf import Program, parse_program
from vmimage.errors import PublisherError


def language_program(source: Path, files: Path | None) -> tuple[Program, tuple[str, ...], bytes] | None:
    """Runtime, arguments and files' archive for a program in a language; `None` for other programs.

    :param source: a file, or a folder with a main file.
    :param files: a folder whose files are there too.
    :raises PublisherError: the files cannot be packed, or a name is there twice.
    """
    language = language_of(source)
    main = language.main_of(source) if language else None
    if language is None or main is None:
        return None
    own = read_folder(source) if source.is_dir() else {main: (archive.FILE_MODE, source.read_bytes())}
    others = read_folder(files) if files else {}
    for name in own.keys() & others.keys():
        if own[name] != others[name]:
            raise PublisherError(f"files: {name}: one file of this name expected, the program has one too")
    content = {"": (archive.FOLDER_MODE, b""), **others, **own}
    return parse_program(language.runtime()), (f"/{main}",), archive.pack(content)
