"""Which store an option names: a folder, or a bucket."""

import re
from pathlib import Path
from typing import Final

from origin.storage.blobs import BlobStore, checked
from origin.storage.caching import Cached
from origin.storage.files import Files
from origin.storage.probe import require_comparing
from vmimage.errors import OperatorError

_BUCKET: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*?))?/?", re.ASCII)


def open_store(text: str, *, reading: bool = False) -> BlobStore:
    """`FOLDER` or `s3://BUCKET/PREFIX`; a bucket is asked first whether it compares.

    :param reading: to read alone, beside origins that serve it.
    :raises OperatorError: it cannot be used.
    """
    if "://" not in text:
        return Files(Path(text), reading=reading)
    match = _BUCKET.fullmatch(text)
    try:
        prefix = checked(match[2]) if match is not None and match[2] else ""
    except ValueError:
        match = None
    if match is None:
        raise OperatorError(f"a folder or s3://BUCKET/PREFIX expected, got {text!r}: name one as --store")
    try:
        from origin.storage.s3 import S3
    except ImportError as error:
        raise OperatorError(f"{text}: {error.name} is missing: pip install 'nunatak[s3]'") from None
    store = S3(match[1], prefix)
    if reading:
        return store
    require_comparing(store, text)
    return Cached(store)
