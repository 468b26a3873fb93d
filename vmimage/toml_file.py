"""A TOML file with the lines that its keys are in, which `tomllib` does not tell.

The lines are found with the same parser: a statement ends with the first line up to which it is valid TOML by itself,
under the header that it stands below. So nothing here knows the grammar a second time.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

_LINE: Final = re.compile(r"\(at line ([0-9]+)")
BYTES_MAX: Final = 1 << 20  # of a configuration: some thousand times what one has


def parse_toml(name: str, data: bytes) -> Mapping[str, Any]:
    """The values of a file.

    :param name: of the file, for messages.
    :raises ValueError: it is larger than BYTES_MAX, or no TOML; the message names file and line.
    """
    if len(data) > BYTES_MAX:
        raise ValueError(f"{name}: at most {BYTES_MAX} bytes expected")
    try:
        return tomllib.loads(data.decode() + "\n")  # so that what is wrong in the last line is told with its number
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name}:{line}: UTF-8 expected") from None
    except tomllib.TOMLDecodeError as error:
        found = _LINE.search(str(error))
        raise ValueError(f"{name}:{found[1] if found else 1}: {error}") from None
    except RecursionError:
        raise ValueError(f"{name}:1: values within fewer values expected") from None


def lines_of(text: str) -> dict[str, int]:
    """The first line, from 1, that names each key of the outermost table.

    :param text: valid TOML.
    """
    found: dict[str, int] = {}
    for first, keys in _statements(text):
        for key in keys:
            found.setdefault(key, first)
    return found


def _statements(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    header, statement, first = "", "", 1
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        try:
            keys = tomllib.loads(header + statement)
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        yield first, keys
        if statement.lstrip().startswith("["):
            header = statement
        statement, first = "", number + 1
