"""The audit log: whole lines, whatever is in them, bounded, and not to be driven out."""

import json
import os
import stat
from pathlib import Path

import pytest

from edge.operators.audit import FILE_BYTES, REFUSED_A_MINUTE, TEXT_MAX, Audit
from vmimage.errors import OperatorError

WHO = {"uid": 0, "pid": 1}


class Clock:
    """Says what it is told."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def test_a_line_says_who_did_what_when_and_what_came_of_it(path: Path) -> None:
    Audit(path, Clock()).write({"address": "192.0.2.1"}, "POST", "/-/park", "service=a", 200)
    assert entries(path) == [
        {
            "at": "2023-11-14T22:13:20.000+00:00",
            "who": {"address": "192.0.2.1"},
            "method": "POST",
            "path": "/-/park",
            "query": "service=a",
            "status": 200,
        }
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_lines_of_before_stay_and_no_text_makes_a_second_line_or_an_escape(path: Path) -> None:
    Audit(path).write(WHO, "POST", "/-/drain", "", 202)
    Audit(path).write(WHO, "POST", '/\n{"at": 1}\x1b]0;x\x07\u2028é', "q" * 9999, 404)
    first, second = entries(path)
    assert first["path"] == "/-/drain"
    assert second["path"] == '/\n{"at": 1}\x1b]0;x\x07\u2028é'
    assert second["query"] == "q" * TEXT_MAX
    assert b"\x1b" not in path.read_bytes()


def test_a_full_file_makes_place_once_and_the_newest_stay(path: Path) -> None:
    audit = Audit(path)
    path.write_bytes(b"old\n" * (FILE_BYTES // 4))
    for number in range(3):
        audit.write(WHO, "POST", f"/{number}", "", 200)
    assert [entry["path"] for entry in entries(path)] == ["/0", "/1", "/2"]
    assert path.with_suffix(".1.jsonl").read_bytes().startswith(b"old\n")
    assert len(list(path.parent.iterdir())) == 2


def test_refused_calls_are_noted_and_cannot_drive_the_others_out(path: Path) -> None:
    clock = Clock()
    audit = Audit(path, clock)
    for _ in range(10_000):
        audit.write({"address": "192.0.2.1"}, "POST", "/-/drain", "", 401)
    audit.write(WHO, "POST", "/-/park", "", 200)
    clock.now += 60
    audit.write({"address": "192.0.2.1"}, "POST", "/-/drain", "", 403)
    found = entries(path)
    assert [entry["status"] for entry in found] == [401] * REFUSED_A_MINUTE + [200, 403]
    assert found[-2]["skipped"] == 10_000 - REFUSED_A_MINUTE
    assert "skipped" not in found[-1]


def test_who_renames_the_file_gets_a_new_one_on_demand(path: Path) -> None:
    audit = Audit(path)
    path.rename(path.with_name("moved"))
    audit.write(WHO, "POST", "/a", "", 200)
    audit.reopen()
    audit.write(WHO, "POST", "/b", "", 200)
    assert [entry["path"] for entry in entries(path.with_name("moved"))] == ["/a"]
    assert [entry["path"] for entry in entries(path)] == ["/b"]


def test_what_the_disk_does_not_take_is_in_the_log(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    audit = Audit(path)
    audit.close()
    os.close(os.open(path, os.O_RDONLY))  # the number of the descriptor is nobody's
    audit.write(WHO, "POST", "/-/drain", "", 202)
    (record,) = caplog.records
    assert "audit_not_written" in record.message
    assert "/-/drain" in record.message


def test_a_path_that_leads_elsewhere_is_refused(path: Path) -> None:
    path.symlink_to(path.with_name("target"))
    with pytest.raises(OperatorError, match="audit log"):
        Audit(path)
