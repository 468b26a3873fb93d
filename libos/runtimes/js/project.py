"""Where a JavaScript or TypeScript program begins, and whether it is one file as it stands.

A folder begins with `worker.js`, or another of `worker.*`; else with what its `package.json` names. What is one file
already is taken as it is; everything else goes through esbuild (`bundling`).
"""

import json
import re
from pathlib import Path
from typing import Any, Final

NAME: Final = "worker.js"  # of the program in the machine
PLAIN: Final = (".js", ".mjs")
SUFFIXES: Final = (*PLAIN, ".ts", ".mts", ".tsx", ".jsx")
CONDITIONS: Final = ("workerd", "worker", "browser")  # of a package's `exports`, as wrangler has them
# Node's modules are the runtime's (prelude/7-modules.js), which also says which of them it has not.
NODE: Final = (
    *("assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto", "dgram"),
    *("diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2", "https", "inspector", "module", "net"),
    *("os", "path", "perf_hooks", "process", "punycode", "querystring", "readline", "repl", "stream", "string_decoder"),
    *("sys", "timers", "tls", "trace_events", "tty", "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib"),
)
_PACKAGE_MAX: Final = 1 << 20  # bytes of a package.json
# Import declarations, `export ... from`, and import() of a text. What only looks so, in a comment, costs a bundle.
_IMPORT: Final = re.compile(
    rb"""^[ \t]*(?:import|export)\b[^;'"`()]*?\bfrom[ \t]*["']([^"'\n]+)["']"""
    rb"""|^[ \t]*import[ \t]*["']([^"'\n]+)["']|\bimport\([ \t]*["']([^"'\n]+)["']""",
    re.MULTILINE,
)


def entry_of(folder: Path) -> Path | None:
    """The file that the program of a folder begins with; None where there is none."""
    for suffix in SUFFIXES:
        if (found := folder / f"worker{suffix}").is_file():
            return found
    return _named_by(folder, folder / "package.json")


def root_of(entry: Path) -> Path:
    """The folder of the project that a file belongs to: the nearest one with a package.json, else its own."""
    own = entry.resolve().parent
    return next((folder for folder in (own, *own.parents) if (folder / "package.json").is_file()), own)


def needs_bundling(entry: Path, text: bytes) -> bool:
    """Whether a file is more than one module of JavaScript: another language, or with imports of its own."""
    return entry.suffix not in PLAIN or imported(text) is not None


def imported(text: bytes) -> str | None:
    """The first module that a text imports and the runtime does not have."""
    names = (next(filter(None, found.groups())).decode(errors="replace") for found in _IMPORT.finditer(text))
    return next((name for name in names if not _is_nodes(name)), None)


def _is_nodes(name: str) -> bool:
    return name.startswith("node:") or name.split("/")[0] in NODE


def _named_by(folder: Path, package: Path) -> Path | None:
    """What `exports`, `module` or `main` of a package.json name, if it is a program and lies in the folder."""
    try:
        about = json.loads(package.read_bytes()) if package.stat().st_size <= _PACKAGE_MAX else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(about, dict):
        return None
    exports = about.get("exports")
    begin = exports.get(".", exports) if isinstance(exports, dict) else exports
    for name in (_chosen(begin), about.get("module"), about.get("main")):
        if isinstance(name, str):
            entry = (folder / name).resolve()
            if entry.suffix in SUFFIXES and entry.is_file() and entry.is_relative_to(folder.resolve()):
                return folder / name
    return None


def _chosen(value: Any) -> Any:
    """What conditional exports give under our conditions, in their own order, as Node chooses."""
    if isinstance(value, dict):
        for condition, inner in value.items():
            if condition in (*CONDITIONS, "import", "default") and (found := _chosen(inner)) is not None:
                return found
        return None
    return value if isinstance(value, str) else None
