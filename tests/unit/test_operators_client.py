"""Does a command that asks an edge say what is wrong with the place that it was given?"""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.operators.client import Door, ask
from edge.operators.purge_cli import app as purge
from vmimage.errors import OperatorError

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("word\n")
    return file


def test_an_edge_that_is_not_there(tmp_path: Path, token: Path) -> None:
    socket = re.escape(
        f"an edge expected at unix:{tmp_path}/admin.sock: No such file or directory: see whether it runs"
    )
    with pytest.raises(OperatorError, match=socket):
        ask(Door.of(tmp_path, None, "", None), "view")
    with pytest.raises(OperatorError, match=f"^{NOBODY}: an answer expected: Connection refused: see whether"):
        ask(Door.of(None, None, NOBODY, token), "view")


@pytest.mark.parametrize(
    "words", [["--edge", NOBODY], ["--token", "token"], [], ["--edge", "ftp://x", "--token", "token"]]
)
def test_purge_names_its_own_option_for_an_address(
    words: list[str], token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its --url is of answers, so the edge's address is --edge."""
    monkeypatch.chdir(token.parent)
    error = CliRunner().invoke(purge, ["shop", *words]).exception
    assert isinstance(error, OperatorError)
    assert "--edge" in str(error)
    assert "--url" not in str(error)
