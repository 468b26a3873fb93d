"""Whether a store really compares: some take conditional writes and heed no condition, and lose what others write."""

import secrets

from origin.storage.blobs import BlobStore, Changed, NoAnswer
from vmimage.errors import OperatorError


def require_comparing(store: BlobStore, name: str) -> None:
    """Create an object twice, and swap it by a tag that it no longer has. Nothing is left behind.

    :param name: of the store, for people.
    :raises OperatorError: the second time was taken, the first was not, or the store cannot be used at all.
    """
    key = f"probe/{secrets.token_hex(8)}"
    try:
        is_new = store.put_if_absent(key, b"1")  # where this fails there is nothing to delete
        try:
            if not is_new:
                raise _blind(name, "a new object was refused")
            _compare(store, key, name)
        finally:
            store.delete(key)
    except NoAnswer as error:
        raise OperatorError(error.detail) from None


def _compare(store: BlobStore, key: str, name: str) -> None:
    if store.put_if_absent(key, b"2"):
        raise _blind(name, "an object was created a second time (If-None-Match)")
    found = store.read(key)
    if found is None or found[0] != b"1":
        raise _blind(name, "an object was not there as it was written")
    if not _swaps(store, key, found[1], b"3"):
        raise _blind(name, "an object was not replaced by the tag that it had (If-Match)")
    if _swaps(store, key, found[1], b"4"):
        raise _blind(name, "an object was replaced by a tag that it no longer had (If-Match)")


def _swaps(store: BlobStore, key: str, tag: str, data: bytes) -> bool:
    try:
        store.swap(key, tag, data)
    except Changed:
        return False
    return True


def _blind(name: str, why: str) -> OperatorError:
    return OperatorError(
        f"{name}: a store that compares before it writes expected, and {why}: with it origins would lose what "
        "others publish; take S3, or a version of the store that heeds If-None-Match and If-Match"
    )
