"""Programs in a language: the files that its runtime finds at `/`."""

from collections.abc import Mapping
from pathlib import Path

from libos.languages import Language
from origin.linux import read_folder
from vmimage import files as archive
from vmimage.errors import PublisherError


def files_of(language: Language, source: Path, files: Path | None) -> tuple[str, Mapping[str, tuple[int, bytes]]]:
    """The path of a program's main file, and all its files by path, with their modes.

    :param source: a file, or a folder with a main file.
    :param files: a folder whose files are there too.
    :raises PublisherError: the files cannot be packed, or a name is there twice.
    """
    main = language.main_of(source)
    if main is None:
        raise PublisherError(f"{source}: a program in {language.name} expected")
    own = read_folder(source) if source.is_dir() else {main: (archive.FILE_MODE, source.read_bytes())}
    others = read_folder(files) if files else {}
    for name in own.keys() & others.keys():
        if own[name] != others[name]:
            raise PublisherError(f"files: {name}: one file of this name expected, the program has one too")
    return main, {"": (archive.FOLDER_MODE, b""), **others, **own}
