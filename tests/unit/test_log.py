"""The edge's log in a file: rotated either way, and never an obstacle."""

import io
import logging
from pathlib import Path

import pytest

from edge.common.log import LogFile, announce


@pytest.fixture
def logger() -> logging.Logger:
    logger = logging.Logger("of this test")
    logger.propagate = False
    return logger


def test_a_renamed_file_is_begun_anew_and_a_cut_one_goes_on(logger: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "edge.log"
    logger.addHandler(LogFile(path))
    logger.warning("one")
    path.rename(tmp_path / "edge.log.1")
    logger.warning("two")
    assert ((tmp_path / "edge.log.1").read_text(), path.read_text()) == ("one\n", "two\n")
    path.write_bytes(b"")  # as copytruncate leaves it
    logger.warning("three")
    assert path.read_bytes() == b"three\n", "and no hole before it"
    path.unlink()
    logger.warning("four")
    assert path.read_text() == "four\n"


def test_what_the_disk_does_not_take_is_lost(
    logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("A FULL DISK IS NOT TESTED HERE: no /dev/full")
    logger.addHandler(LogFile(full))
    logger.warning("lost")
    folder = tmp_path / "logs"
    folder.mkdir()
    logger.addHandler(LogFile(folder / "edge.log"))
    (folder / "edge.log").unlink()
    folder.rmdir()
    logger.warning("lost too")
    assert capsys.readouterr().err == ""


class Gone(io.StringIO):
    """A pipe whose reader has left."""

    def write(self, text: str, /) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_nobody_reads_what_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Gone())
    with pytest.raises(BrokenPipeError):
        print("ready")
    announce("ready")
