"""The runtime's own JavaScript as bytecode of its engine, made when the runtime is built.

`prelude/` is evaluated in the base image, in the order of its names. Each file of `lazy/` is an ES module whose
default export is a function of the prelude's `share`; it may import its neighbours and the npm packages that `PACKAGES`
names for it. esbuild makes one script of it, and a machine evaluates that at the first use of `share.part(NAME)`: until
then a part is read-only bytes that all machines of a base have in common.
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

from libos.toolchain.build import run_tool
from libos.toolchain.bundle import ESBUILD
from libos.toolchain.compile_linux import compile_linux
from libos.toolchain.packages import Package, cache_folder, keep_in_cache, source_tree
from vmimage.errors import PublisherError

HERE: Final = Path(__file__).resolve().parent
LAZY: Final = HERE / "lazy"
COMPILER: Final = HERE / "precompile" / "precompile.c"
COMPILE_TIMEOUT_S: Final = 60
# What each part imports from npm, with all that those packages import in turn.
STREAMS: Final = Package(
    "npm", "web-streams-polyfill", "4.3.0", "79088822b40c14670896a9a803d981d4e26b66c5e2b4ca7d80cd9c143f6078c4"
)
URL: Final = Package("npm", "whatwg-url", "16.0.1", "170548044787ea12d16b1ddaca7c58b8bf83d376ec2ca68dda01db71d5d5fc31")
IDNA: Final = (
    Package("npm", "tr46", "6.0.0", "8737146639e92140a7bf77090b8a09539ec7610b60fcf9a412567cb7280e2881"),
    Package("npm", "punycode", "2.3.1", "e4ce59f9fbac44349abab87279ab658f6b4614916bec5e088ae3be9323e193bb"),
)
URL_PATTERN: Final = Package(
    "npm", "urlpattern-polyfill", "10.1.0", "501dc52bd98e42fe86831a84b805d4555d2f725405a7a27c9d6ef4ebef5b8750"
)
ENCODINGS: Final = Package(
    "npm", "@exodus/bytes", "1.16.0", "bc5282c79f68d01e1516385aee4ffbe6ba955f023e685f3cf2fd3ffcb00c8841"
)
MIME_TYPES: Final = Package(
    "npm", "whatwg-mimetype", "5.0.0", "381cefd6ed7b22bff38372719eb71c037b7554ad798ab71b8fd605763c37aed8"
)
PACKAGES: Final[dict[str, Sequence[Package]]] = {
    "streams": (STREAMS,),
    "url": (URL,),
    "idna": IDNA,
    "urlpattern": (URL_PATTERN,),
    "encodings": (ENCODINGS,),
    "encodings-east": (ENCODINGS,),
    "mime": (MIME_TYPES,),
}
# What a part imports and gets another file for: mostly one of ours, in place of what its packages import.
INSTEAD: Final[dict[str, dict[str, str]]] = {
    "url": {
        "tr46": "instead/tr46.js",
        "@exodus/bytes/encoding.js": "instead/percent-encode.js",
        "@exodus/bytes/whatwg.js": "instead/percent-encode.js",
    },
    "encodings": {"encodings-by-label": "node_modules/@exodus/bytes/fallback/encoding.js"},
}
# Large tables of packages.
TABLES: Final[dict[str, Sequence[str]]] = {
    "tr46": ("lib/mappingTable.json",),
    "@exodus/bytes": ("fallback/multi-byte.encodings.json",),
}
# A part is an expression: what the module exports by default. Names that esbuild puts at its top level stay inside.
BUNDLE: Final = (
    *("--bundle", "--format=cjs", "--platform=neutral", "--main-fields=module,main", "--conditions=worker,import"),
    *(
        "--loader:.json=js",
        "--target=es2023",
        "--minify",
        "--charset=ascii",
        "--legal-comments=none",
        "--log-level=warning",
    ),
    *("--banner:js=((module)=>{", "--footer:js=;return module.exports.default})({exports:{}})"),
)


def bytecode(engine: Path, sources: Sequence[Path], flags: Sequence[str]) -> Path:
    """An assembler file with the preludes and parts, and the tables by which main.c and parts.c find them.

    :param engine: folder of the engine's headers.
    :param sources: the engine's C files.
    :param flags: for the C compiler.
    :raises OperatorError: a package cannot be had.
    :raises PublisherError: esbuild or the engine refuses a file; with its message.
    """
    same = hashlib.sha256(COMPILER.read_bytes() + repr(flags).encode())
    for path in sources:
        same.update(path.read_bytes())
    compiler = _Compiler(same.digest(), engine, sources, flags)
    preludes = [
        (f"prelude/{path.name}", compiler.compiled(f"prelude/{path.name}", path.read_bytes()))
        for path in sorted((HERE / "prelude").glob("*.js"))
    ]
    parts = [(path.stem, compiler.compiled(f"lazy/{path.name}", _bundled(path))) for path in sorted(LAZY.glob("*.js"))]
    lines = [*_table("preludes", preludes), *_table("parts", parts), '.section .note.GNU-stack,"",@progbits']
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


def _bundled(part: Path) -> bytes:
    packages, instead = PACKAGES.get(part.stem, ()), INSTEAD.get(part.stem, {})
    sums = [(each.name, each.sha256) for each in packages]
    about = repr((ESBUILD.sha256, BUNDLE, TABLES, part.stem, sums, sorted(instead.items()))).encode()
    key = about + b"".join(path.name.encode() + b"\0" + path.read_bytes() for path in sorted(LAZY.rglob("*.js")))
    place = _place("bundled.js", key)
    if not place.exists():
        with tempfile.TemporaryDirectory(prefix="nunatak-") as scratch:
            folder, out = Path(scratch) / "lazy", Path(scratch) / "out.js"
            shutil.copytree(LAZY, folder)
            for package in packages:
                shutil.copytree(source_tree(package), folder / "node_modules" / package.name)
                for table in TABLES.get(package.name, ()):
                    _keep_table_as_text(folder / "node_modules" / package.name / table)
            esbuild = source_tree(ESBUILD) / "bin" / "esbuild"
            aliases = [f"--alias:{name}={folder / file}" for name, file in instead.items()]
            run_tool([str(esbuild), str(folder / part.name), *BUNDLE, *aliases, f"--outfile={out}"], "esbuild")
            keep_in_cache(place, out.read_bytes())
    return place.read_bytes()


def _keep_table_as_text(table: Path) -> None:
    """A JSON file becomes a script that parses it: its text takes half of what its bytecode would."""
    text = json.dumps(json.loads(table.read_text()), separators=(",", ":"))  # ASCII, a byte a character
    table.write_text(f"module.exports = JSON.parse({json.dumps(text)});")


def _table(name: str, files: Sequence[tuple[str, Path]]) -> Iterator[str]:
    """`const struct part NAME[]` of host.h: name, bytecode, size; the last one has no name."""
    yield '.section .rodata,"a",@progbits'
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
