"""Do the commands in README.md and docs/tutorial.md run as they stand, and print what the text says they print?

A block marked `sh` is run, in a folder that looks like a clone of the repository and with an empty HOME. The blocks of
a file share a folder and an environment, as one terminal would. A `text` block behind it is what it prints: each of its
lines is part of a line of the output, in this order. A block that is only to be looked at is marked `console`, or has a
comment `<!-- not run: why -->` in the line before it.

`nunatak origin` and `nunatak edge` stay in the foreground; a block that begins with one is started, waited for until it
has printed the lines of its `text` block, or that it is ready, and ended with SIGTERM when the file is through.

The text says ports 8700 (origin) and 8080 (edge). Free ones take their places, in commands and in what they print.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = ("README.md", "docs/tutorial.md")
PORTS = ("8700", "8080")
SERVERS = ("nunatak origin ", "nunatak edge ")
READY = " ready on http"
WAIT_S = 60
BLOCK = re.compile(r"(?P<before>^[^\n]*\n)?^```(?P<kind>sh|text)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Step:
    """One block of commands and what the text says of its output."""

    line: int
    commands: str
    printed: list[str]


def steps(text: str) -> list[Step]:
    """The blocks of a file that are run."""
    found: list[Step] = []
    open_for_output = False
    for match in BLOCK.finditer(text):
        if match["kind"] == "text":
            assert open_for_output, "output without a command before it"
            found[-1].printed = [line.strip() for line in match["body"].splitlines() if line.strip()]
            open_for_output = False
        elif not (match["before"] or "").startswith("<!-- not run:"):
            found.append(Step(text.count("\n", 0, match.start("body")), match["body"], []))
            open_for_output = True
        else:
            open_for_output = False
    return found


def joined(commands: str) -> str:
    """A command on one line, without the comment behind it."""
    return re.sub(r"\s+#[^'\"]*$", "", commands.replace("\\\n", " "), flags=re.MULTILINE)


@dataclass
class Terminal:
    """A shell whose folder and environment go from one block to the next."""

    folder: Path
    environment: dict[str, str]
    state: Path

    def run(self, commands: str) -> str:
        """What it prints on both outputs."""
        script = f"set -euo pipefail\n{commands}\n{{ pwd; env -0; }} > {self.state}\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        place, _, variables = self.state.read_text().partition("\n")
        self.folder = Path(place)
        pairs = [entry.partition("=") for entry in variables.split("\0") if entry]
        self.environment = {name: value for name, _, value in pairs}
        return done.stdout

    @contextlib.contextmanager
    def serve(self, command: str, printed: list[str]) -> Iterator[None]:
        """A server for as long as the block lasts."""
        log = self.state.with_name(f"server-{time.monotonic_ns()}")
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {command.strip()}"],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            end = time.monotonic() + WAIT_S
            while not says(log.read_text(), printed or [READY]):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < end, f"{printed} expected\n{log.read_text()}"
                time.sleep(0.05)
            yield
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(WAIT_S)
        assert server.returncode == 0, log.read_text()


def says(output: str, printed: list[str]) -> bool:
    """Whether the lines are parts of the output's, in this order."""
    lines = iter(output.splitlines())
    return all(any(expected in line for line in lines) for expected in printed)


def clone(folder: Path) -> Path:
    """A folder with everything that a clone has, and what `make` adds to it."""
    folder.mkdir()
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in {Path(line).parts[0] for line in tracked.splitlines()} | {".venv"}:
        (folder / name).symlink_to(ROOT / name)
    return folder


def free_ports() -> dict[str, str]:
    """A free port for each of the text's."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
        return {port: str(one.getsockname()[1]) for port, one in zip(PORTS, sockets, strict=True)}


@pytest.mark.parametrize("name", FILES)
def test_the_commands_run_and_print_what_the_text_says(name: str, tmp_path: Path) -> None:
    if not (ROOT / ".venv" / ".installed").exists():
        pytest.skip("no environment of `make` here")
    home = tmp_path / "home"
    home.mkdir()
    path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    terminal = Terminal(clone(tmp_path / "clone"), {"HOME": str(home), "PATH": path}, tmp_path / "state")
    for variable in os.environ.keys() & {"PIP_INDEX_URL", "PIP_CONFIG_FILE", "npm_config_registry"}:
        terminal.environment[variable] = os.environ[variable]  # where packages come from is the machine's business
    ports = free_ports()
    with contextlib.ExitStack() as servers:
        for step in steps((ROOT / name).read_text("utf-8")):
            commands, printed = step.commands, step.printed
            for port, free in ports.items():
                commands = commands.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
                printed = [line.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}") for line in printed]
            if commands.startswith(SERVERS):
                servers.enter_context(terminal.serve(joined(commands), printed))
            else:
                output = terminal.run(commands)
                assert says(output, printed), f"{name}:{step.line}: {printed} expected, got\n{output}"


@pytest.mark.parametrize("name", FILES)
def test_there_is_something_to_run(name: str) -> None:
    found = steps((ROOT / name).read_text("utf-8"))
    assert [step for step in found if step.commands.startswith(SERVERS)]
    assert any("curl" in step.commands and step.printed for step in found)
