"""Is every file in the store whole or absent, whatever happens while it is written?"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from origin.registry.store import Store
from tests.support.synthetic import BASE, image
from vmimage.archive import ImageBundle
from vmimage.errors import FormatError, OperatorError
from vmimage.manifest import digest_of

DATA = b"a blob"
DIGEST = digest_of(DATA)
DERIVED = image("guest", base=BASE.manifest)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _put(store: Store, bundle: ImageBundle = BASE) -> None:
    for digest, data in bundle.blobs.items():
        store.put_blob(digest, data)
    store.put_manifest(bundle.manifest.to_bytes())


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_blobs_come_back(store: Store) -> None:
    assert store.blob_size(DIGEST) is None
    store.put_blob(DIGEST, DATA)
    assert store.blob_size(DIGEST) == len(DATA)
    assert store.blob_path(DIGEST).read_bytes() == DATA


def test_a_blob_in_pieces(store: Store) -> None:
    upload = store.begin_upload()
    for position in range(len(DATA)):
        upload.write(DATA[position : position + 1])
    upload.finish(DIGEST)
    upload.abandon()
    assert store.blob_path(DIGEST).read_bytes() == DATA


def test_a_blob_under_another_digest_leaves_nothing(store: Store, tmp_path: Path) -> None:
    before = _files(tmp_path)
    with pytest.raises(FormatError, match="expected, got sha256:"):
        store.put_blob(digest_of(b"other"), DATA)
    assert _files(tmp_path) == before


def test_a_blob_that_is_too_large_leaves_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("origin.registry.store.BLOB_MAX", len(DATA) - 1)
    before = _files(tmp_path)
    with pytest.raises(FormatError, match="at most"):
        store.put_blob(DIGEST, DATA)
    assert _files(tmp_path) == before


def test_putting_again_repairs_a_damaged_blob(store: Store) -> None:
    store.put_blob(DIGEST, DATA)
    Path(store.blob_path(DIGEST)).write_bytes(b"damage")
    store.put_blob(DIGEST, DATA)
    assert store.blob_path(DIGEST).read_bytes() == DATA


def test_a_manifest_is_kept_only_when_all_it_names_is_here(store: Store) -> None:
    encoded = DERIVED.manifest.to_bytes()
    with pytest.raises(FormatError, match="blob sha256:"):
        store.put_manifest(encoded)
    for digest, data in DERIVED.blobs.items():
        store.put_blob(digest, data)
    with pytest.raises(FormatError, match="base sha256:"):
        store.put_manifest(encoded)
    assert store.manifest_size(DERIVED.manifest.digest) is None
    _put(store)
    assert store.put_manifest(encoded) == DERIVED.manifest
    assert store.manifest_size(DERIVED.manifest.digest) == len(encoded)


def test_the_config_blob_that_registries_expect_is_here_too(store: Store) -> None:
    _put(store)
    assert store.blob_path(BASE.manifest.config_blob.digest).read_bytes() == BASE.manifest.config


def test_a_tag_names_a_manifest_and_tags_are_listed_in_order(store: Store) -> None:
    assert (store.tagged("v1"), store.tags()) == (None, [])
    store.put_tag("v1", DIGEST)
    store.put_tag("v0", DIGEST)
    assert (store.tagged("v1"), store.tags()) == (DIGEST, ["v0", "v1"])


@pytest.mark.parametrize(
    "name", ["", "../x", "/etc/passwd", "x/y.json", "TIMESTAMP.json", "x.json\n", "01.x.json", "x"]
)
def test_names_that_could_leave_the_folder(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        store.write_metadata(name, b"")
    with pytest.raises(ValueError, match="expected"):
        store.blob_path(name)


def test_one_process_at_a_time(store: Store, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="another origin"):
        Store(tmp_path / "store")
    store.close()
    Store(tmp_path / "store").close()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OperatorError, match="writable folder"):
        Store(tmp_path / "file")


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.put_blob(DIGEST, DATA),
        lambda store: store.write_metadata("timestamp.json", b"new"),
        lambda store: store.put_manifest(BASE.manifest.to_bytes()),
    ],
    ids=["blob", "metadata", "manifest"],
)
def test_killed_at_every_system_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, act: Callable[[Store], None]
) -> None:
    """Each final file is then as it was or as it should be; the next process starts clean and can do it again."""
    for survived in range(20):
        folder = tmp_path / str(survived)
        store = Store(folder)
        for digest, data in BASE.blobs.items():
            store.put_blob(digest, data)
        store.write_metadata("timestamp.json", b"old")
        real, calls = getattr(os, call), iter(range(20))

        def dying(*arguments: object, real: Callable[..., object] = real, calls: object = calls) -> object:
            if next(calls) == survived:  # type: ignore[call-overload]  # noqa: B023
                raise Killed
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, dying)
            try:
                act(store)
                finished = True
            except Killed:
                finished = False
        store.close()
        again = Store(folder)
        assert again.read_metadata("timestamp.json") in (b"old", b"new")
        assert again.blob_size(DIGEST) in (None, len(DATA))
        assert again.manifest_size(BASE.manifest.digest) in (None, len(BASE.manifest.to_bytes()))
        assert not [name for name in _files(folder) if name.startswith("uploads/")]
        act(again)
        again.close()
        if finished:
            assert survived > 0
            return
    pytest.fail("never got through")
