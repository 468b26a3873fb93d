"""Files that hold a token, as options name them."""

import os
import re
import stat
from pathlib import Path
from typing import Final

from vmimage.errors import OperatorError

TOKEN_MIN: Final = 16  # characters: 64 bits even of one that is written in hex
TOKEN_MAX: Final = 256


def admin_token(path: str) -> str:
    """What `admin_token` holds. Errors as `private_token`."""
    return private_token("admin_token", path)


def private_token(option: str, path: str) -> str:
    """What a file holds that only its owner may read.

    :param option: that names the file.
    :raises OperatorError: no such file, readable by others, or no token in it.
    """
    try:
        with Path(path).expanduser().open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            token = file.read(TOKEN_MAX + 2).decode("ascii", "replace").strip()
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ of a user without a home
        raise OperatorError(
            f"{option}: a file expected at {path}: {_why(error)}: name the one with the token"
        ) from None
    if mode & 0o077:
        raise OperatorError(f"{option}: mode 0600 expected of {path}, got {mode:04o}: others may read it")
    if not re.fullmatch(rf"[!-~]{{{TOKEN_MIN},{TOKEN_MAX}}}", token):
        form = f"one word of {TOKEN_MIN} to {TOKEN_MAX} printable characters"
        raise OperatorError(f"{option}: {form} expected in {path}")
    return token


def log_token(path: str) -> str:
    """What `log_token` holds.

    :raises OperatorError: no such file, or no text in it.
    """
    try:
        return Path(path).expanduser().read_text().strip()
    except (OSError, RuntimeError, UnicodeDecodeError) as error:  # RuntimeError: ~ of a user without a home
        raise OperatorError(
            f"log_token: a file with a token expected at {path}: {_why(error)}: name the one with the token"
        ) from None


def _why(error: Exception) -> str:
    """What the system says of a file, without its number and the file's name again."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
