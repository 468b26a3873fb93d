"""Does an origin that ends while it takes new keys go on, with the state before or the one after?"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile

from edge.catalogue.catalogue import Catalogue
from origin.keys import load_signer, load_top
from origin.registry.names import Submitter
from origin.registry.server import Origin
from origin.registry.store import Store
from tests.support.failing import Failing, Killed
from tests.support.synthetic import NOW, TOKEN, Keys, running_origin
from vmimage.renewal import next_root, next_targets
from vmimage.trust import ServiceRecord, follow, make_targets, sign_bin

RECORD = ServiceRecord("before", ("before.example",), "sha256:" + "aa" * 32, 1000, 1)
OPERATOR = Submitter(operator=True)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys")


def _dies(store: Store, origin: Origin, submitted: Mapping[str, bytes], written: int, end: BaseException) -> bool:
    whole = store.blobs
    store.blobs = Failing(whole, written, end)
    try:
        origin.publish_roles(dict(submitted), OPERATOR)
    except type(end):
        return True
    finally:
        store.blobs = whole
    return False


def _founded(folder: Path, keys: Keys) -> None:
    """A store with a service."""
    store = Store(folder)
    origin = Origin(store, keys.metadata, keys.online, token=TOKEN)
    store.manifest_size = lambda digest: RECORD.manifest_size  # type: ignore[method-assign]
    changes: dict[str, dict[str, TargetFile | None]] = {}
    for path, target in make_targets(RECORD, ()).items():
        changes.setdefault(keys.trust.bin_of(path), {})[path] = target
    origin.publish_roles({r: sign_bin(None, c, keys.publisher, NOW) for r, c in changes.items()}, OPERATOR)
    store.close()


def _new_targets_key(keys: Keys) -> dict[str, bytes]:
    root, targets = load_top(keys.folder)
    key = CryptoSigner.generate_ed25519()
    new_root = next_root(root, {"targets": key.public_key}, [load_signer(keys.folder, "root")], NOW)
    return {"root": new_root, "targets": next_targets(targets, follow([root, new_root]), None, [key], NOW)}


def _followed(url: str, keys: Keys, folder: Path) -> int:
    """The version of the root at which an edge of before arrives, which knows the service."""
    edge = Catalogue(folder, f"{url}/tuf/", keys.root)
    edge.refresh()
    assert edge.find_service("before") == RECORD
    assert edge.expiries()
    return len(list((folder / "tuf" / "root_history").iterdir()))


@pytest.mark.parametrize("end", [Killed(), OSError(28, "No space left on device")], ids=["killed", "full"])
def test_an_origin_that_ends_between_any_two_files_of_new_keys(keys: Keys, tmp_path: Path, end: BaseException) -> None:
    _founded(tmp_path / "store", keys)
    submitted = _new_targets_key(keys)
    for written in range(10):
        folder = tmp_path / f"store{written}"
        shutil.copytree(tmp_path / "store", folder)
        store = Store(folder)
        died = _dies(store, Origin(store, keys.metadata, keys.online, token=TOKEN), submitted, written, end)
        with running_origin(store, keys) as url:
            after = _followed(url, keys, tmp_path / f"edge{written}")
        store.close()
        # The change is taken back while edges cannot have seen the root; it stays where nobody was left to do so.
        first = 4 if isinstance(end, OSError) else 1
        assert after == (1 if died and written < first else 2)
        if not died:
            # The change, targets, snapshot, root, timestamp; nobody minds if the change cannot be removed.
            assert written == (5 if isinstance(end, OSError) else 6)
            return
    pytest.fail("never got through")
