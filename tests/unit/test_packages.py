"""Third-party sources: what was not pinned never gets as far as the cache."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from libos import packages
from libos.packages import Package, source_tree
from vmimage.errors import OperatorError


def archive(folder: Path, name: str, text: bytes) -> Path:
    place = folder / "package.tgz"
    with tarfile.open(place, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return place


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Package]:
    """What was asked of an index that has one archive, whatever its name."""
    asked: list[Package] = []

    def fetch(package: Package, folder: Path) -> Path:
        asked.append(package)
        return archive(folder, "package/a.c", b"int a;")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(packages, "_fetch", fetch)
    return asked


def test_other_bytes_are_refused_and_not_kept(fetched: list[Package], tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="SHA-256 0000"):
        source_tree(Package("npm", "a", "1", "0" * 64))
    assert list((tmp_path / "nunatak" / "packages").iterdir()) == []


def test_pinned_bytes_are_unpacked_once(
    fetched: list[Package], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digest = hashlib.sha256(archive(tmp_path, "package/a.c", b"int a;").read_bytes()).hexdigest()
    monkeypatch.setattr(packages, "_fetch", lambda package, folder: fetched.append(package) or tmp_path / "package.tgz")
    package = Package("npm", "a", "1", digest)
    for _ in range(2):
        assert (source_tree(package) / "a.c").read_bytes() == b"int a;"
    assert fetched == [package]
