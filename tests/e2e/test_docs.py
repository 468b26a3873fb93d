"""Can README.md and docs/tutorial.md be pasted, block by block, and do they print what they say?

All blocks marked `sh` of a page are pasted into one shell, one after the other, in a copy of what a clone has, with an
empty HOME and nothing of this environment but where packages come from. What a page starts in the background it stops
itself. A `text` block behind one is what it prints: each of its lines is part of a line of the output, in this order.
A block that is only to be looked at has a comment `<!-- not run: why -->` in the line before it.

Two things are other than for a reader: .venv is this checkout's, so that `make` finds its work done, and the ports 8700
(origin) and 8080 (edge) are replaced by free ones.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loadtest.site.server import process_tree

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("tutorial*.md")))
PORTS = ("8700", "8080")
PATIENCE_S = 240.0
MARK = "=== block "
BLOCK = re.compile(r"(?P<before>^[^\n]*\n)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
# An interactive shell gives each job a process group of its own; what is left of them when a command fails is ended.
OPENING = "set -euo pipefail\nset -m\ntrap 'jobs -p | xargs -r kill' EXIT\n"
PACKAGE_SOURCES = ("PIP_INDEX_URL", "PIP_CONFIG_FILE", "npm_config_registry", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
CACHES = ("XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")  # of compilers, so that this is cheap


@dataclass
class Block:
    """Commands that are pasted at once, and what the page says of their output."""

    line: int
    commands: str
    printed: list[str] = field(default_factory=list)


def blocks_of(page: str) -> list[Block]:
    """What a reader pastes."""
    found: list[Block] = []
    shows_output = False
    for match in BLOCK.finditer(page):
        if match["kind"] == "text":
            assert shows_output, "output without a command before it"
            found[-1].printed = [line.strip() for line in match["body"].splitlines() if line.strip()]
        shows_output = match["kind"] == "sh" and not (match["before"] or "").startswith("<!-- not run:")
        if shows_output:
            found.append(Block(page.count("\n", 0, match.start("body")), match["body"]))
    return found


def says(output: str, printed: list[str]) -> bool:
    """Whether the lines are parts of the output's, in this order."""
    lines = iter(output.splitlines())
    return all(any(expected in line for line in lines) for expected in printed)


def clone(folder: Path) -> Path:
    """A folder with what a clone has, as old as here, and what `make` adds to it."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def with_free_ports(page: str) -> str:
    """The page for a machine on which its ports may be taken."""
    with contextlib.ExitStack() as stack:
        for port in PORTS:
            free = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            page = page.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
    return page


def paste(blocks: list[Block], folder: Path, home: Path) -> tuple[int, list[str]]:
    """Exit code of a shell that is given all of them, and what each printed."""
    script = OPENING + "".join(f"echo '{MARK}'\n{block.commands}" for block in blocks)
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    environment |= {name: os.environ[name] for name in (*PACKAGE_SOURCES, *CACHES) if name in os.environ}
    environment.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    log = home.with_name("printed")
    with log.open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        tree = []
        try:
            shell.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            tree = process_tree(shell.pid)
        finally:
            for pid in tree:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            shell.wait()
    return shell.returncode, log.read_text(errors="replace").split(MARK)[1:]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_pasted_and_prints_what_it_says(name: str, tmp_path: Path) -> None:
    if subprocess.run(["make", "-q", ".venv/.installed"], cwd=ROOT, check=False).returncode:
        pytest.skip("PAGES ARE NOT TESTED HERE: an environment that `make` takes for finished expected")
    (tmp_path / "home").mkdir()
    blocks = blocks_of(with_free_ports((ROOT / name).read_text("utf-8")))
    code, printed = paste(blocks, clone(tmp_path / "clone"), tmp_path / "home")
    for block, output in zip(blocks, printed, strict=False):
        assert says(output, block.printed), f"{name}:{block.line}: {block.printed} expected, got\n{output}"
    assert (code, len(printed)) == (0, len(blocks)), printed[-1]
    made = {path.name for path in (tmp_path / "clone").iterdir()} - {path.name for path in ROOT.iterdir()}
    for folder in made:  # nobody commits keys by accident
        ignored = subprocess.run(["git", "check-ignore", "-q", f"{folder}/"], cwd=ROOT, check=False)
        assert ignored.returncode == 0, f"{folder}, which {name} makes, in .gitignore expected"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_commands_that_are_not_pasted(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert {match["kind"] for match in BLOCK.finditer(text)} <= {"sh", "text", "mermaid"}
    assert not re.findall(r"^    (?:make|nunatak|curl) .*$", BLOCK.sub("", text), re.MULTILINE)
    assert any("curl" in block.commands and block.printed for block in blocks_of(text))
