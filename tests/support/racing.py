"""Publishers who race: each publishes versions of a service of its own, in turn through each of several origins.

`python -m tests.support.racing` runs it in full: 8 publishers, 100 versions each, two origins as processes of their own
over one bucket of SeaweedFS, and says what came of it.
"""

import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from origin.keys import load_token
from origin.publish.client import carry_out
from origin.publish.publish import publish
from origin.registry.roles import Published, resume
from origin.registry.store import Store
from origin.storage.opening import open_store
from tests.support.buckets import BIN, seaweed, served
from tests.support.synthetic import NOW, Keys, publication
from vmimage.errors import NunatakError
from vmimage.trust import ServiceRecord, follow, parse_target

PUBLISHERS: Final = 8
VERSIONS: Final = 100
STARTED_S: Final = 60.0


def race(urls: Sequence[str], keys: Keys, token: str, publishers: int, versions: int) -> Counter[str]:
    """How often what happened: "published" for each version, the text of an error for each that was not."""

    def run(number: int) -> Counter[str]:
        seen: Counter[str] = Counter()
        for version in range(versions):
            url = urls[(number + version) % len(urls)]
            wanted = publication(f"service-{number}", f"s{number}.example", content=b"%d" % version)
            try:
                carry_out(publish([wanted], keys.trust, keys.publisher, NOW), url=url, token=token)
                seen["published"] += 1
            except NunatakError as error:
                seen[str(error)] += 1
        return seen

    with ThreadPoolExecutor(publishers) as pool:
        return sum(pool.map(run, range(publishers)), Counter())


def published(store: Store, keys: Keys) -> Published:
    """What a store's catalogue says to one who starts from the first root."""
    roots = [keys.root]
    while (data := store.read_metadata(f"{len(roots) + 1}.root.json")) is not None:
        roots.append(data)
    state = resume(follow(roots), store.read_metadata)
    assert state is not None
    return state


def services(store: Store, keys: Keys) -> dict[str, ServiceRecord]:
    """What services there are; all that the catalogue names is there, and as it says, or this fails."""
    found: dict[str, ServiceRecord] = {}
    for signed in published(store, keys).all_signed():
        for path, target in signed.targets.items():
            if path.startswith("services/"):
                record = parse_target(path, target)
                assert store.manifest_size(record.manifest_digest) == target.length
                found[record.service] = record
    return found


@contextmanager
def origin_process(
    keys: Path, store: str, variables: dict[str, str], log: Path
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An origin of the command line, killed at the end; its URL and process."""
    words = [str(BIN / "nunatak"), "origin", "--store", store, "--keys", str(keys), "--listen", "127.0.0.1:0"]
    with log.open("wb") as errors:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, env=os.environ | variables)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert "ready on" in line, log.read_text()
        yield line.split()[-1], process
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """The full race, over SeaweedFS."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        keys = Keys(folder / "keys")
        variables = stack.enter_context(served(folder, seaweed))
        os.environ.update(variables)
        urls = [
            stack.enter_context(origin_process(keys.folder, "s3://tests/race", variables, folder / f"{number}.log"))[0]
            for number in range(2)
        ]
        begun = time.monotonic()
        seen = race(urls, keys, load_token(keys.folder / "token"), PUBLISHERS, VERSIONS)
        took_s = time.monotonic() - begun
        store = Store(open_store("s3://tests/race"))
        versions = sorted(record.version for record in services(store, keys).values())
        state = published(store, keys)
        print(f"{PUBLISHERS} publishers, {VERSIONS} versions each, 2 origins, {took_s:.0f} s: {dict(seen)}")
        print(
            f"versions of services: {versions}; snapshot {state.snapshot.version}, timestamp {state.timestamp.version}"
        )


if __name__ == "__main__":
    main()
