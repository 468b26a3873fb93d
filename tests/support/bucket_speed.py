"""How long a blob of 5 MB takes from an origin over a bucket, against one over a folder: `python -m
tests.support.bucket_speed`. Both in turn, in one run, over SeaweedFS on the same machine; medians."""

import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from loadtest.site.fetch import Client
from origin.keys import load_token
from tests.support.buckets import seaweed, served
from tests.support.racing import origin_process
from tests.support.synthetic import Keys
from vmimage.manifest import digest_of

SIZE: Final = 5_000_000
BLOBS: Final = 12
ROUNDS: Final = 4  # in the first of which nothing is in the memory of an origin


def main() -> None:
    """Measure, and print two lines."""
    blobs = {digest_of(blob): blob for blob in (os.urandom(SIZE) for _ in range(BLOBS))}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        keys = Keys(folder / "keys")
        variables = stack.enter_context(served(folder, seaweed))
        clients = {}
        for kind, store in (("folder", str(folder / "store")), ("bucket", "s3://tests/speed")):
            url, _ = stack.enter_context(origin_process(keys.folder, store, variables, folder / f"{kind}.log"))
            client = clients[kind] = stack.enter_context(Client(url))
            token = {"Authorization": f"Bearer {load_token(keys.folder / 'token')}"}
            for digest, blob in blobs.items():
                put = client.request("POST", f"/v2/images/blobs/uploads/?digest={digest}", body=blob, headers=token)
                assert put.status == 201, put
        took: dict[tuple[str, bool], list[float]] = {}
        for turn in range(ROUNDS):
            for digest, blob in blobs.items():
                for kind, client in clients.items():
                    begun = time.perf_counter()
                    assert client.get(f"/v2/images/blobs/{digest}").body == blob
                    took.setdefault((kind, turn > 0), []).append(time.perf_counter() - begun)
    for again in (False, True):
        folder_ms, bucket_ms = (statistics.median(took[kind, again]) * 1e3 for kind in ("folder", "bucket"))
        said = "again" if again else "for the first time"
        print(f"{SIZE} bytes {said}: folder {folder_ms:.1f} ms, bucket {bucket_ms:.1f} ms, {bucket_ms / folder_ms:.2f}")


if __name__ == "__main__":
    main()
