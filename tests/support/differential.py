"""The same static binary on this host's Linux and in a machine: what each case prints, and where that may differ.

`python -m tests.support.differential` runs both and prints the page docs/linux.md.
"""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libos.toolchain.compile_linux import compile_linux
from origin.bake.elf import parse_program
from tests.support.linux import run

FOLDER: Final = Path(__file__).resolve().parents[1] / "guest" / "differential"
NATIVE_TIMEOUT_S: Final = 120

# The lines of a case that may differ from Linux, and why. A line that does not differ has no place here.
PERMITTED: Final[dict[str, dict[str, str]]] = {
    "executable_memory": {"mmap(NULL, 4096, PROT_READ | PROT_EXEC": "EPERM: the image has all the code there is"},
    "files_larger_than_memory": {
        "ftruncate(": "EFBIG: a file is bytes in the machine's memory in one piece, holes too, and cannot be larger"
    },
    "interfaces_without_which_libcs_do": {
        "syscall(SYS_rseq": "ENOSYS: C libraries ask and do without it; nobody is preempted here",
        "syscall(SYS_clone3": "ENOSYS: C libraries go on with clone()",
        "syscall(SYS_openat2": "ENOSYS: programs go on with openat()",
    },
    "named_pipes": {"mkfifo(": "EPERM: a named pipe is for another process, and there is none"},
    "processes": {"fork:": "ENOSYS: a machine is one process"},
    "sockets": {"socket(": "ENOSYS: requests come as input, and others are made with nunatak.h; there is no network"},
}


@dataclass(frozen=True)
class Difference:
    """One line of a case on which the two do not agree."""

    case: str
    native: str
    guest: str


def binary() -> bytes:
    """All cases in one static program."""
    return compile_linux(sorted(FOLDER.glob("*.c")), include=(FOLDER,))


def on_linux(program: bytes) -> dict[str, list[str]]:
    """What each case prints on this host, in a folder that is memory where there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as scratch:
        path = Path(scratch) / "cases"
        path.write_bytes(program)
        path.chmod(0o755)
        command = [str(path), f"{scratch}/work"]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=NATIVE_TIMEOUT_S,
            check=True,
            start_new_session=True,  # the tests may be led from outside of their container
        )
    return by_case(done.stdout.decode())


def in_a_machine(program: bytes) -> dict[str, list[str]]:
    """What each case prints as a guest."""
    result, output, _ = run(parse_program(program), "/tmp/work")
    assert result.code == 0
    return by_case(output)


def by_case(output: str) -> dict[str, list[str]]:
    """The lines after each `== NAME`."""
    cases: dict[str, list[str]] = {}
    name = ""
    for line in output.splitlines():
        if line.startswith("== "):
            name = line[3:]
            cases[name] = []
        else:
            cases[name].append(line)
    return cases


def differences(native: dict[str, list[str]], guest: dict[str, list[str]]) -> list[Difference]:
    """Every line on which they do not agree, whether it is permitted or not."""
    found = []
    for case, lines in native.items():
        other = guest.get(case, [])
        for number in range(max(len(lines), len(other))):
            pair = [side[number] if number < len(side) else "(nothing)" for side in (lines, other)]
            if pair[0] != pair[1]:
                found.append(Difference(case, *pair))
    return found


def permitted(difference: Difference) -> str | None:
    """Why the line may differ; `None`: it may not."""
    reasons = PERMITTED.get(difference.case, {})
    return next((why for line, why in reasons.items() if difference.native.startswith(line)), None)


def page(native: dict[str, list[str]]) -> str:
    """docs/linux.md, as the sources and `PERMITTED` have it."""
    rows = []
    for path in sorted(FOLDER.glob("*.c")):
        names = [line.split("(")[1].split(")")[0] for line in path.read_text().splitlines() if line.startswith("CASE(")]
        if names:
            about = path.read_text().split("/* ", 1)[1].split(" */", 1)[0].rstrip(".")
            lines = sum(len(native[name]) for name in names)
            rows.append((path.name, about, len(names), lines, sum(len(PERMITTED.get(name, {})) for name in names)))
    total = [sum(row[2] for row in rows), sum(row[3] for row in rows), sum(row[4] for row in rows)]
    table = "".join(
        f"| {name} | {about} | {cases} | {lines} | {differ} |\n" for name, about, cases, lines, differ in rows
    )
    reasons = "".join(
        f"| {case} | `{line.replace('|', ',')}` | {why} |\n"
        for case, lines in sorted(PERMITTED.items())
        for line, why in lines.items()
    )
    return f"""# Linux programs: what is compared with Linux

The same static binary (musl) runs on the host's Linux and as a guest, and every line that it prints is compared
(`tests/guest/test_differential.py`). A program here is a case of some lines about one sentence of a manual page;
`TRY(call)` prints what the call returned, or its error. Written by `python -m tests.support.differential`.

| file | about | programs | lines compared | lines that differ |
|---|---|---:|---:|---:|
{table}| all | | {total[0]} | {total[1]} | {total[2]} |

## What differs, and why

| program | on Linux | why it is another line here |
|---|---|---|
{reasons}"""


if __name__ == "__main__":
    print(page(on_linux(binary())), end="")
