"""The runtime's own JavaScript as bytecode of its engine, made when the runtime is built.

`prelude/` is evaluated in the base image, in the order of its names. Each file of `lazy/` is an ES module whose
default export is a function of the prelude's `share`, which is also a name that it finds; it may import its neighbours
and the npm packages that `PACKAGES` names for it, and `require` what other parts have of Node's modules. esbuild makes
one script of it, and a machine evaluates that at the first use of `share.part(NAME)`: until then a part is read-only
bytes that all machines of a base have in common.
"""

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from libos.runtimes.js.collation import collation_tables
from libos.runtimes.js.intl_data import INTL_PACKAGES, INTL_TABLES, runtime_tables
from libos.runtimes.js.node_packages import NODE_PACKAGES, node_options
from libos.runtimes.js.packed import UNPACKED
from libos.runtimes.js.web_packages import INSTEAD, WEB_PACKAGES, WEB_TABLES
from libos.toolchain.build import run_tool
from libos.toolchain.bundle import ESBUILD
from libos.toolchain.compile_linux import compile_linux
from libos.toolchain.packages import Package, cache_folder, keep_in_cache, source_tree
from vmimage.errors import PublisherError

HERE: Final = Path(__file__).resolve().parent
LAZY: Final = HERE / "lazy"
COMPILER: Final = HERE / "precompile" / "precompile.c"
PACKER: Final = HERE / "packed.py"
COMPILE_TIMEOUT_S: Final = 60
# What each part imports from npm, with all that those packages import in turn.
PACKAGES: Final[dict[str, Sequence[Package]]] = {
    **WEB_PACKAGES,
    **NODE_PACKAGES,
    **INTL_PACKAGES,
    "html_rewriter": (
        Package("npm", "htmlparser2", "12.0.0", "bd21df686ef9b29b6786aac9aa75a9d20e1e884ad3f3089882db1d576dd4aaa0"),
        Package("npm", "css-what", "8.0.0", "1eccce8f4d523832253a082815495f823b8621d0aab6a2eea5853d0d37eb4417"),
    ),
}
# Files of packages that are written shorter, and by what.
TABLES: Final = {**WEB_TABLES, **INTL_TABLES}
# A part is an expression: a function of `share`. Names that esbuild puts at its top level stay inside.
BUNDLE: Final = (
    *("--bundle", "--format=cjs", "--platform=neutral", "--main-fields=module,main", "--conditions=worker,import"),
    *("--target=es2023", "--minify", "--charset=ascii", "--legal-comments=none", "--log-level=warning"),
    "--banner:js=(share)=>{const module={exports:{}},require=share.require;",
    "--footer:js=;return module.exports.default(share)}",
)


def bytecode(engine: Path, sources: Sequence[Path], flags: Sequence[str]) -> Path:
    """An assembler file with the preludes, parts and tables of text, and how main.c and parts.c find them.

    :param engine: folder of the engine's headers.
    :param sources: the engine's C files beside quickjs.c, which the compiler of scripts brings in itself.
    :param flags: for the C compiler.
    :raises OperatorError: a package cannot be had.
    :raises PublisherError: esbuild or the engine refuses a file; with its message.
    """
    same = hashlib.sha256(COMPILER.read_bytes() + repr(flags).encode())
    for path in (engine / "quickjs.c", *sources):
        same.update(path.read_bytes())
    compiler = _Compiler(same.digest(), engine, sources, flags)
    preludes = [
        (f"prelude/{path.name}", compiler.compiled(f"prelude/{path.name}", path.read_bytes()))
        for path in sorted((HERE / "prelude").glob("*.js"))
    ]
    parts = [(path.stem, compiler.compiled(f"lazy/{path.name}", _bundled(path))) for path in sorted(LAZY.glob("*.js"))]
    lines = [
        *_table("preludes", preludes),
        *_table("parts", parts),
        *_table("tables", _texts()),
        '.section .note.GNU-stack,"",@progbits',
    ]
    text = "".join(f"{line}\n" for line in lines).encode()
    return _kept("S", text, text)


class _Compiler:
    """The engine's compiler as a program of this machine, built when the first script is not in the cache."""

    def __init__(self, key: bytes, engine: Path, sources: Sequence[Path], flags: Sequence[str]) -> None:
        self._key = key
        self._make = partial(compile_linux, [*sources, COMPILER], include=[engine], flags=flags)

    def compiled(self, name: str, source: bytes) -> Path:
        key = self._key + name.encode() + b"\0" + source
        place = _place("bytecode", key)
        if not place.exists():
            with tempfile.TemporaryDirectory(prefix="nunatak-") as folder:
                program = Path(folder) / "precompile"
                program.write_bytes(self._make())
                program.chmod(0o700)
                done = subprocess.run(
                    [program, name], input=source, capture_output=True, timeout=COMPILE_TIMEOUT_S, check=False
                )
            if done.returncode:
                raise PublisherError(f"{name}: {done.stderr.decode(errors='replace').strip()}")
            keep_in_cache(place, done.stdout)
        return place


def _texts() -> list[tuple[str, Path]]:
    """The tables of Intl, made anew where a package or how they are made has changed."""
    key = b"".join((HERE / name).read_bytes() for name in ("intl_data.py", "collation.py", "packed.py"))
    index = _place("tables", key)
    if not index.exists():
        made = [(name, _kept("table", text, text).name) for name, text in (*runtime_tables(), *collation_tables())]
        keep_in_cache(index, json.dumps(made).encode())
    return [(name, index.parent / file) for name, file in json.loads(index.read_bytes())]


def _bundled(part: Path) -> bytes:
    packages, instead = PACKAGES.get(part.stem, ()), INSTEAD.get(part.stem, {})
    given = node_options(LAZY.relative_to(HERE), packages), sorted(instead.items())
    tables = [(package, TABLES.get(package.name, {})) for package in packages]
    sums = [(each.name, each.sha256, [(file, write.__name__) for file, write in own.items()]) for each, own in tables]
    about = repr((ESBUILD.sha256, BUNDLE, part.stem, given, sums)).encode() + PACKER.read_bytes()
    key = about + b"".join(path.name.encode() + b"\0" + path.read_bytes() for path in sorted(LAZY.rglob("*.js")))
    place = _place("bundled.js", key)
    if not place.exists():
        with tempfile.TemporaryDirectory(prefix="nunatak-") as scratch:
            folder, out = Path(scratch) / "lazy", Path(scratch) / "out.js"
            shutil.copytree(LAZY, folder)
            for package, shorter in tables:
                place_of_package = folder / "node_modules" / package.name
                shutil.copytree(source_tree(package), place_of_package)
                for file, write in shorter.items():
                    written = write((place_of_package / file).read_text("utf-8"))
                    (place_of_package / file).write_text(written, "utf-8")
            esbuild = source_tree(ESBUILD) / "bin" / "esbuild"
            options = [
                *node_options(folder, packages),
                *(f"--alias:{name}={folder / file}" for name, file in instead.items()),
                f"--alias:{UNPACKED}={folder / 'common' / 'unpacked.js'}",
            ]
            if any(file.endswith(".json") for _, shorter in tables for file in shorter):
                options.append("--loader:.json=js")
            run_tool([str(esbuild), str(folder / part.name), *BUNDLE, *options, f"--outfile={out}"], "esbuild")
            keep_in_cache(place, out.read_bytes())
    return place.read_bytes()


def _table(name: str, files: Sequence[tuple[str, Path]]) -> Iterator[str]:
    """`const struct script NAME[]` of host.h: name, bytes, size; the last has no name. The base erases what it read."""
    yield '.section .data,"aw",@progbits'
    for number, (file, code) in enumerate(files):
        yield f".L{name}_name_{number}: .asciz {json.dumps(file)}"
        yield f".L{name}_code_{number}: .incbin {json.dumps(str(code))}"
    yield '.section .data.rel.ro,"aw",@progbits'
    yield ".balign 8"
    yield f".globl {name}"
    yield f"{name}:"
    for number, (_, code) in enumerate(files):
        yield f".quad .L{name}_name_{number}, .L{name}_code_{number}, {code.stat().st_size}"
    yield ".quad 0, 0, 0"


def _kept(kind: str, key: bytes, data: bytes) -> Path:
    place = _place(kind, key)
    if not place.exists():
        keep_in_cache(place, data)
    return place


def _place(kind: str, key: bytes) -> Path:
    return cache_folder() / "js" / f"{hashlib.sha256(kind.encode() + key).hexdigest()}.{kind}"
