"""Files of variables for `--env-file`, in the form of dotenv: NAME=VALUE, quotes, comments, `export`.

Nothing in a value is replaced: `$HOME` stays what it is, so that an image does not depend on who builds it.
"""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from vmimage.errors import PublisherError

BYTES_MAX: Final = 64 << 10  # an image's environment is smaller
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LIKE_A_SECRET: Final = re.compile(r"(?i)(?:^|_)(?:key|token|secret|password|passwd|credentials?)(?:_|$)")


def read_env_files(paths: Sequence[Path]) -> dict[str, str]:
    """The variables of all files; a later file goes before an earlier one.

    :raises PublisherError: a line of one is none; the message has file and line.
    """
    found: dict[str, str] = {}
    for path in paths:
        found |= _read(path)
    return found


def _read(path: Path) -> dict[str, str]:
    from dotenv.parser import parse_stream  # of the extra `build`

    try:
        with path.open("rb") as file:
            text = file.read(BYTES_MAX + 1).decode()
    except OSError as error:
        raise PublisherError(f"--env-file: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PublisherError(f"--env-file: {path}: UTF-8 expected") from None
    if len(text.encode()) > BYTES_MAX:
        raise PublisherError(f"--env-file: {path}: at most {BYTES_MAX} bytes expected")
    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        said = binding.original.string
        first = binding.original.line + said[: len(said) - len(said.lstrip())].count("\n")  # after empty lines
        place = f"--env-file: {path}:{first}"
        if binding.error or (binding.key is not None and binding.value is None):
            raise PublisherError(f"{place}: NAME=VALUE expected, got {said.strip()[:40]!r}: write it so")
        if binding.key is None or binding.value is None:
            continue  # empty, or a comment
        if not _NAME.fullmatch(binding.key):
            raise PublisherError(f"{place}: a name of A-Z a-z 0-9 _ expected, got {binding.key[:40]!r}: rename it")
        found[binding.key] = binding.value
    return found


def like_secrets(variables: Mapping[str, str]) -> list[str]:
    """Names of variables that are probably not meant for an image, which whoever has it can read."""
    return [name for name, value in variables.items() if value and _LIKE_A_SECRET.search(name)]
