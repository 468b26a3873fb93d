"""Which store an option names: a folder, or a bucket."""

import re
from pathlib import Path
from typing import Final

from origin.storage.blobs import BlobStore, checked
from origin.storage.files import Files
from origin.storage.probe import require_comparing
from vmimage.errors import OperatorError

_BUCKET: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*?))?/?", re.ASCII)


def open_store(text: str) -> BlobStore:
    """`FOLDER` or `s3://BUCKET/PREFIX`; a bucket is asked first whether it compares.

    :raises OperatorError: it cannot be used.
    """
    if "://" not in text:
        return Files(Path(text))
    match = _BUCKET.fullmatch(text)
    try:
        prefix = checked(match[2]) if match is not None and match[2] else ""
    except ValueError:
        match = None
    if match is None:
        raise OperatorError(f"--store: a folder or s3://BUCKET/PREFIX expected, got {text!r}")
    try:
        from origin.storage.s3 import S3
    except ImportError as error:
        raise OperatorError(f"--store {text}: {error.name} is missing: pip install 'nunatak[s3]'") from None
    store = S3(match[1], prefix)
    require_comparing(store, text)
    return store
