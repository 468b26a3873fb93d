"""Third-party sources: what was not pinned never gets as far as the cache."""

import hashlib
import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest

from libos.toolchain import packages
from libos.toolchain.packages import Package, source_tree
from vmimage.errors import OperatorError


def archive(folder: Path, name: str, text: bytes) -> Path:
    place = folder / "package.tgz"
    with tarfile.open(place, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return place


class Index:
    """An index that has one archive, whatever the name."""

    def __init__(self, folder: Path) -> None:
        self.archive = archive(folder, "package/a.c", b"int a;")
        self.asked: list[Package] = []

    def fetch(self, package: Package, folder: Path) -> Path:
        self.asked.append(package)
        return self.archive


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Index:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Index(tmp_path)


def test_other_bytes_are_refused_and_not_kept(index: Index, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="SHA-256 0000"):
        source_tree(Package("npm", "a", "1", "0" * 64), fetch=index.fetch)
    assert list((tmp_path / "nunatak" / "packages").iterdir()) == []


def test_pinned_bytes_are_unpacked_once(index: Index) -> None:
    digest = hashlib.sha256(index.archive.read_bytes()).hexdigest()
    package = Package("npm", "a", "1", digest)
    for _ in range(2):
        assert (source_tree(package, fetch=index.fetch) / "a.c").read_bytes() == b"int a;"
    assert index.asked == [package]


def test_a_source_distribution_is_fetched_where_there_is_no_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """pip runs its build script for the metadata, which may ask what the C++ compiler can do."""
    script = (
        b"import os, setuptools, subprocess\n"
        b"subprocess.run([os.environ['CXX']])\n"
        b"setuptools.setup(name='asks', version='1')\n"
    )
    with tarfile.open(tmp_path / "asks-1.tar.gz", "w:gz") as tar:
        for name, text in (("setup.py", script), ("PKG-INFO", b"Metadata-Version: 2.1\nName: asks\nVersion: 1\n")):
            member = tarfile.TarInfo(f"asks-1/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    digest = hashlib.sha256((tmp_path / "asks-1.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert (source_tree(Package("pypi", "asks", "1", digest)) / "setup.py").read_bytes() == script


# Where it is all kept.


@pytest.fixture
def unknown_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user whom the system does not know, without a home; the place for temporary files."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path / f"nunatak-{os.geteuid()}"


def test_a_user_without_a_home_gets_a_private_folder(unknown_user: Path) -> None:
    assert packages.cache_folder() == unknown_user
    assert unknown_user.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("trap", ["open", "link", "file", "others"])
def test_a_folder_that_another_user_may_have_made_is_not_used(
    unknown_user: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trap: str
) -> None:
    """What lies in it is linked into images: it must be the user's alone."""
    if trap == "open":
        unknown_user.mkdir(mode=0o755)
        unknown_user.chmod(0o755)
    elif trap == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        unknown_user.symlink_to(tmp_path / "elsewhere")
    elif trap == "file":
        unknown_user.write_text("")
    else:
        unknown_user.mkdir(mode=0o700)
        number = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: number + 1)
        unknown_user.rename(tmp_path / f"nunatak-{number + 1}")
    with pytest.raises(OperatorError, match="set XDG_CACHE_HOME to one"):
        packages.cache_folder()


def test_a_folder_that_was_named_is_used_or_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    assert packages.cache_folder() == tmp_path / "new" / "nunatak"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OperatorError, match="a writable folder"):
        packages.cache_folder()


def test_a_full_disk_is_one_line_for_the_operator() -> None:
    with pytest.raises(OperatorError, match="room and rights to write"), packages.writing_cache():
        raise OSError(28, "No space left on device")
