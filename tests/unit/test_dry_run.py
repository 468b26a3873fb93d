"""What a dry run finds before anything is sent, and that the origin is left as it was."""

from dataclasses import replace
from pathlib import Path

import pytest

from origin.publish.client import carry_out
from origin.publish.publish import publish
from origin.registry.store import Store
from tests.support.synthetic import BASE, NOW, TOKEN, Keys, publication, running_origin
from vmimage.errors import FormatError, PublisherError


def test_a_base_that_is_nowhere_an_image_that_is_damaged_and_one_that_is_good(tmp_path: Path) -> None:
    keys, store = Keys(tmp_path / "keys"), Store(tmp_path / "store")
    whole = publication("shop", "shop.example")
    own = whole.images[1]
    with running_origin(store, keys) as url:

        def run(*, dry_run: bool, **changes: object) -> list[str]:
            wanted = [replace(whole, **changes)]  # type: ignore[arg-type]
            exchange = publish(wanted, keys.trust, keys.publisher, NOW, dry_run=dry_run)
            return [repr(record) for record in carry_out(exchange, url=url, token=TOKEN)]

        with pytest.raises(PublisherError, match=f"base {BASE.manifest.digest} expected at the origin, not there"):
            run(dry_run=True, images=(own,))
        digest = own.manifest.snapshot.digest
        with pytest.raises(FormatError):
            run(dry_run=True, images=(BASE, replace(own, blobs={**own.blobs, digest: b"damaged"})))
        tried = run(dry_run=True)
        assert not list(store.contents("blobs", "manifests"))
        assert len(list((tmp_path / "store" / "tuf").glob("*.bin-*"))) == 0
        assert not store.audit_path.exists(), "nothing was changed, so there is no line"
        assert run(dry_run=False) == tried
        assert run(dry_run=True, images=(own,)) == tried, "the origin has the base now"
    store.close()
