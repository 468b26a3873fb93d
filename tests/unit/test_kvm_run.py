"""`make test-kvm` where it cannot run: it says so aloud, and is no failure."""

from pathlib import Path

import pytest

from tests.kvm import run


def test_without_qemu_it_is_skipped_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "BUILD", tmp_path / "build")
    monkeypatch.setenv("PATH", str(tmp_path))  # neither QEMU nor apt
    assert run.main(["tests/unit/test_abi.py"]) == 0
    assert "SKIPPED, NOTHING WAS TESTED: apt-get" in capsys.readouterr().out


def test_the_tests_that_it_names_are_there() -> None:
    assert [name for name in run.TESTS if not (run.ROOT / name).exists()] == []


def test_the_archive_is_one_that_a_kernel_unpacks(tmp_path: Path) -> None:
    """Folders come before what is in them, links keep their targets, and each name and content is padded to four."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "alias").symlink_to("folder/file")
    out = tmp_path / "archive"
    with open(out, "wb") as file:
        archive = run.Archive(file)
        archive.add(tmp_path / "link" / "file")
        archive.add(tmp_path / "alias")
        archive.end()
    found: dict[str, bytes] = {}
    data, at = out.read_bytes(), 0
    while at < len(data):
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = data[at + 110 : at + 109 + fields[11]].decode()
        at += 110 + fields[11] + (-(110 + fields[11]) % 4)
        assert str(Path("/", name).parent)[1:] in {"", *found} or name == "TRAILER!!!"
        found[name] = data[at : at + fields[6]]
        at += fields[6] + (-fields[6] % 4)
    top = str(tmp_path)[1:]
    assert found[f"{top}/folder/file"] == b"12345"
    assert found[f"{top}/link"] == b"folder"
    assert found[f"{top}/alias"] == b"folder/file"
    assert list(found)[-1] == "TRAILER!!!"
