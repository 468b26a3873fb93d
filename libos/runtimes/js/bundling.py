"""One module of a program in several, of TypeScript or JSX, and of the packages that it imports: by esbuild.

esbuild is npm's package, pinned by version and hash and fetched when it is first needed, or one that the publisher
names. It finds packages as wrangler has it do it: `exports` with the conditions of workers, `browser`, `module` and
`main` of each package.json, in the node_modules of the project. Node's own modules stay imports.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from libos.runtimes.js.project import CONDITIONS, NAME, NODE, imported, needs_bundling, root_of
from libos.runtimes.js.source_map import own_map, relative_names
from libos.runtimes.program_text import ProgramText
from libos.toolchain.bundle import ESBUILD
from libos.toolchain.packages import source_tree
from vmimage.errors import OperatorError, PublisherError
from vmimage.sources import SourceMap

TIMEOUT_S: Final = 120
SAID_MAX: Final = 8000  # characters of what esbuild says
OPTIONS: Final = (
    *("--bundle", "--format=esm", "--platform=neutral", "--target=es2024", "--charset=ascii", "--color=false"),
    *(f"--conditions={','.join(CONDITIONS)}", "--main-fields=browser,module,main"),
    *('--define:process.env.NODE_ENV="production"', "--loader:.js=jsx", "--loader:.mjs=jsx"),
    *("--loader:.txt=text", "--loader:.html=text", "--loader:.sql=text", "--loader:.bin=binary"),
    *("--sourcemap=external", "--sources-content=false", "--log-level=warning", "--log-limit=20"),
)


def program_text(entry: Path, esbuild: Path | None = None) -> ProgramText:
    """The program that begins with a file, as one module.

    :param esbuild: a program to use in place of the pinned one.
    :raises OperatorError: it is to be bundled, and there is no esbuild.
    :raises PublisherError: esbuild refuses; with its message, which has file, line and excerpt.
    """
    text, root = entry.read_bytes(), root_of(entry)
    if needs_bundling(entry, text):
        return _bundled(entry.resolve(), root, _esbuild(entry, text, esbuild))
    text, sources, warning = own_map(entry.resolve(), text, NAME, root)
    if sources is None:
        sources, root = SourceMap(NAME, (entry.name,)), entry.parent
    return ProgramText(text, sources, root, warnings=(warning,) if warning else ())


def _esbuild(entry: Path, text: bytes, given: Path | None) -> Path:
    if given is not None:
        return given
    try:
        return source_tree(ESBUILD) / "bin" / "esbuild"
    except OperatorError as error:
        found = imported(text)
        why = f"it imports {found!r}" if found is not None else f"it is {entry.suffix.removeprefix('.')}"
        raise OperatorError(
            f"{entry.name}: {why}, so esbuild has to make one module of it, and there is none ({error}). Install npm, "
            "which fetches it; or name one with --esbuild; or bundle the program yourself to one .js file"
        ) from None


def _bundled(entry: Path, root: Path, esbuild: Path) -> ProgramText:
    with tempfile.TemporaryDirectory(prefix="nunatak-") as scratch:
        out, about = Path(scratch) / NAME, Path(scratch) / "about.json"
        files = (f"--outfile={out}", f"--metafile={about}")
        said = _run([str(esbuild), str(entry), *OPTIONS, *_outside(root), *files], root)
        found = json.loads(out.with_name(f"{NAME}.map").read_bytes())
        sources = SourceMap(NAME, relative_names(found["sources"], Path(scratch), root), found["mappings"])
        inputs = [root / name for name in json.loads(about.read_bytes())["inputs"]]
        settings = [root / name for name in ("package.json", "tsconfig.json")]
        watched = tuple(sorted(path for path in (*inputs, *settings) if path.is_file()))
        return ProgramText(out.read_bytes(), sources, root, watched, (said,) if said else ())


def _outside(root: Path) -> list[str]:
    """What stays an import: Node's modules, but for those of which the project has a package of that name."""
    names = [name for name in NODE if not (root / "node_modules" / name).is_dir()]
    return ["--external:node:*", "--external:cloudflare:*", *(f"--external:{name}" for name in names)]


def _run(command: list[str], root: Path) -> str:
    """Run esbuild; its warnings.

    :raises PublisherError: it refuses. :raises OperatorError: it cannot be run.
    """
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False
        )
    except OSError as error:
        wanted = "--esbuild: a program that can be run expected"
        raise OperatorError(f"{wanted}, got {command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise PublisherError(f"esbuild: not done after {TIMEOUT_S} s") from None
    said = done.stderr.decode(errors="replace").strip()[:SAID_MAX]
    if done.returncode:
        raise PublisherError(f"esbuild:\n{said}" if said else f"esbuild: exit code {done.returncode}")
    return said
