"""`--env-file`: variables in the form of dotenv, and what is said of those that look like secrets."""

from pathlib import Path

import pytest

from origin.bake.env_file import like_secrets, read_env_files
from vmimage.errors import PublisherError

TEXT = """# a comment
PLAIN=x
export EXPORTED=y # why
 SPACED = z
QUOTED="a \\"b\\" # c"
SINGLE='$HOME stays'
LINES="one
two"
DOLLAR=$HOME
EMPTY=
"""


def test_the_usual_forms_are_taken(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(TEXT)
    assert read_env_files([file]) == {
        "PLAIN": "x",
        "EXPORTED": "y",
        "SPACED": "z",
        "QUOTED": 'a "b" # c',
        "SINGLE": "$HOME stays",
        "LINES": "one\ntwo",
        "DOLLAR": "$HOME",
        "EMPTY": "",
    }


def test_a_later_file_goes_before(tmp_path: Path) -> None:
    for name, text in (("a", "A=1\nB=1\n"), ("b", "B=2\n")):
        (tmp_path / name).write_text(text)
    assert read_env_files([tmp_path / "a", tmp_path / "b"]) == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"A=1\n\nnonsense\n", ":3: NAME=VALUE expected, got 'nonsense'"),
        (b"A=1\n'B C'=2\n", ":2: a name of A-Z a-z 0-9 _ expected, got 'B C'"),
        (b'A="open\nB=1\n', ":1: NAME=VALUE expected"),
        (b"A=\xff\n", ": UTF-8 expected"),
        (b"A=" + b"x" * 70_000, ": at most 65536 bytes expected"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / ".env"
    file.write_bytes(data)
    with pytest.raises(PublisherError) as caught:
        read_env_files([file])
    assert f"{file}{message}" in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PublisherError, match="No such file"):
        read_env_files([tmp_path / "nowhere"])


def test_what_looks_like_a_secret_is_noticed() -> None:
    variables = dict.fromkeys(("API_KEY", "PASSWORD", "github_token", "KEYBOARD", "MONKEY", "COLOUR"), "x")
    assert like_secrets({**variables, "EMPTY_SECRET": ""}) == ["API_KEY", "PASSWORD", "github_token"]
