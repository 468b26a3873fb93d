"""What runs this program: which Python, how that was built, and whether the hot modules are compiled."""

import platform
import sysconfig
from typing import Final

from edge.compiled.finder import Found, install

PGO: Final = "--enable-optimizations"  # of Python's configure: built with a profile of its own test suite
LTO: Final = "--with-lto"


def built(arguments: str) -> str:
    """How a Python was built.

    :param arguments: of its configure.
    """
    words = [word.strip("'\"") for word in arguments.split()]
    found = [name for option, name in ((PGO, "PGO"), (LTO, "LTO")) if any(_is(word, option) for word in words)]
    return "with " + " and ".join(found) if found else "without PGO"


def _is(word: str, option: str) -> bool:
    name, _, value = word.partition("=")
    return name == option and value != "no"


def this_python() -> str:
    """Version and build of the Python that runs this."""
    return f"Python {platform.python_version()} {built(str(sysconfig.get_config_var('CONFIG_ARGS') or ''))}"


def modules(found: Found) -> str:
    """What the hot modules are."""
    match found.kind:
        case "compiled":
            return "hot modules compiled"
        case "stale":
            return "hot modules plain: what was compiled is of another source"
        case "plain":
            return "hot modules plain"


def description() -> str:
    """All of it in a line."""
    return f"{this_python()}, {modules(install())}"
