"""Does the command leave with one line and exit code 2 for what the user can repair?"""

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ("keygen", "build", "inspect", "publish", "rollback", "origin", "edge", "demo", "bench")


def _nunatak(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge.main", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_every_program_brings_its_commands() -> None:
    done = _nunatak("--help")
    assert done.returncode == 0
    assert [name for name in COMMANDS if f" {name} " not in done.stdout] == []


def test_help_waits_for_no_library_that_only_a_command_needs() -> None:
    heavy = ("aiohttp", "numpy", "unicorn", "tuf", "uvloop", "cryptography", "zstandard")
    code = f"import edge.main, sys; edge.main.build_app(); print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_version_is_told() -> None:
    assert _nunatak("--version").stdout.startswith("nunatak 0.")


@pytest.mark.parametrize("arguments", [("no-such-command",), ("inspect", "--no-such-option"), ()])
def test_wrong_usage_leaves_with_2(arguments: tuple[str, ...]) -> None:
    assert _nunatak(*arguments).returncode == 2


def test_refusal_is_one_line_with_expected_and_got(tmp_path: Path) -> None:
    image = tmp_path / "image.oci.tar"
    image.write_bytes(b"not a tar")
    done = _nunatak("inspect", str(image))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("nunatak: ")
    assert done.stderr.count("\n") == 1
