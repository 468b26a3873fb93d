"""Is every store the same store: a folder, memory, and buckets of two servers, with races of many writers?"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from threading import Barrier

import pytest

from origin.storage.blobs import BlobStore, Changed, TooLarge, size_max
from origin.storage.caching import PART_BYTES, Cached
from origin.storage.files import Files
from origin.storage.memory import Memory
from origin.storage.opening import open_store
from origin.storage.probe import require_comparing
from tests.support.buckets import moto, seaweed, served
from vmimage.errors import OperatorError

RACERS = 8
ROUNDS = 3
_PREFIXES = count()


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], BlobStore]]:
    """A new store of a kind; servers are started once."""
    with ExitStack() as stack:
        started: dict[str, dict[str, str]] = {}

        def opened(kind: str) -> BlobStore:
            if kind == "memory":
                return Memory()
            if kind == "cached":
                return Cached(Memory())
            if kind == "files":
                return Files(tmp_path_factory.mktemp("files"))
            if kind not in started:
                command = {"moto": moto, "seaweed": seaweed}[kind]
                started[kind] = stack.enter_context(served(tmp_path_factory.mktemp(kind), command))
            with pytest.MonkeyPatch.context() as patch:
                for name, value in started[kind].items():
                    patch.setenv(name, value)
                return open_store(f"s3://tests/run-{next(_PREFIXES)}")

        yield opened


@pytest.fixture(params=["files", "memory", "cached", "moto", "seaweed"])
def store(buckets: Callable[[str], BlobStore], request: pytest.FixtureRequest) -> Iterator[BlobStore]:
    opened = buckets(request.param)
    yield opened
    opened.close()


def test_what_is_written_comes_back_whole_and_in_parts(store: BlobStore) -> None:
    data = bytes(range(256)) * 40
    store.put("blobs/a", data)
    assert store.get("blobs/a") == data
    assert store.get("blobs/a", 100, 199) == data[100:200]
    assert store.get("blobs/a", 10_000) == data[10_000:]
    assert store.get("blobs/a", 10_000, 99_999) == data[10_000:], "what is there of a range"
    assert store.get("blobs/a", len(data), len(data) + 5) == b""
    found = store.read("blobs/a")
    head = store.head("blobs/a")
    assert found is not None
    assert head is not None
    assert (found[0], found[1], head.size) == (data, head.tag, len(data))
    assert abs(head.changed_s - store.now_s()) < 60


def test_what_is_not_there(store: BlobStore) -> None:
    assert (store.head("a/b"), store.read("a/b")) == (None, None)
    for first, last in ((0, None), (5, 9)):
        with pytest.raises(FileNotFoundError):
            store.get("a/b", first, last)
    store.delete("a/b")
    with pytest.raises(Changed):
        store.swap("a/b", "some-tag", b"x")
    assert store.head("a/b") is None
    store.put("a/b", b"")
    assert (store.get("a/b"), next(iter(store.list("a")))[:2]) == (b"", ("a/b", 0))
    store.delete("a/b")
    assert list(store.list("a")) == []


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/..", "a b", "a\n", "ä", "a" * 513])
def test_names_that_are_no_keys(store: BlobStore, key: str) -> None:
    for act in (store.get, store.head, store.read, store.delete, lambda key: store.put(key, b"")):
        with pytest.raises(ValueError, match="expected"):
            act(key)


def test_an_object_is_created_once_and_swapped_by_its_present_tag(store: BlobStore) -> None:
    assert store.put_if_absent("tuf/1.root.json", b"first")
    assert not store.put_if_absent("tuf/1.root.json", b"second")
    with pytest.raises(Changed):
        store.swap("tuf/1.root.json", None, b"third")
    found = store.read("tuf/1.root.json")
    assert found is not None
    assert found[0] == b"first"
    new = store.swap("tuf/1.root.json", found[1], b"fourth")
    with pytest.raises(Changed):
        store.swap("tuf/1.root.json", found[1], b"fifth")
    assert store.read("tuf/1.root.json") == (b"fourth", new)
    assert store.swap("tuf/new.json", None, b"x")
    store.delete("tuf/new.json")
    assert store.put_if_absent("tuf/new.json", b"y")


def test_what_is_larger_than_its_key_allows_is_not_read_whole_and_can_be_replaced(store: BlobStore) -> None:
    most = size_max("feed/1.json")
    store.put("feed/1.json", bytes(most))
    assert store.get("feed/1.json") == bytes(most)
    store.put("feed/1.json", bytes(most + 1))
    with pytest.raises(TooLarge, match=rf"at most {most} bytes"):
        store.get("feed/1.json")
    assert store.get("feed/1.json", 1) == bytes(most), "what is left behind its first byte is not too much"
    assert store.get("feed/1.json", 0, 9) == bytes(10)
    with pytest.raises(TooLarge) as refused:
        store.read("feed/1.json")
    assert store.swap("feed/1.json", refused.value.tag, b"x")
    assert store.read("feed/1.json") is not None


def race(act: Callable[[int], bool]) -> list[int]:
    """Who of many at once won."""
    together = Barrier(RACERS)

    def run(number: int) -> bool:
        together.wait()
        return act(number)

    with ThreadPoolExecutor(RACERS) as pool:
        return [number for number, won in enumerate(pool.map(run, range(RACERS))) if won]


def test_of_many_who_create_one_object_one_does(store: BlobStore) -> None:
    for turn in range(ROUNDS):
        key = f"feed/{turn}.json"
        [winner] = race(lambda number, key=key: store.put_if_absent(key, b"%d" % number))  # type: ignore[misc]
        assert store.get(key) == b"%d" % winner


def test_of_many_who_swap_one_object_one_does(store: BlobStore) -> None:
    tag = store.swap("tuf/timestamp.json", None, b"-")

    def swap(turn: int, number: int, tag: str) -> bool:
        try:
            store.swap("tuf/timestamp.json", tag, b"%d %d" % (turn, number))  # bytes that were never there: see `tag`
        except Changed:
            return False
        return True

    for turn in range(ROUNDS):
        [winner] = race(lambda number, turn=turn, tag=tag: swap(turn, number, tag))  # type: ignore[misc]
        found = store.read("tuf/timestamp.json")
        assert found is not None
        assert found[0] == b"%d %d" % (turn, winner)
        tag = found[1]


def test_a_large_file_goes_in_and_comes_out_in_parts(store: BlobStore) -> None:
    part = hashlib.sha512(b"part").digest() * (1 << 14)
    source = store.scratch / "large"
    with source.open("wb") as file:
        for _ in range(20):
            file.write(part)
    store.put("blobs/large", source)
    head = store.head("blobs/large")
    assert head is not None
    assert head.size == 20 << 20
    for number in (0, 7, 19):
        assert store.get("blobs/large", number << 20, ((number + 1) << 20) - 1) == part
    source.unlink(missing_ok=True)


def test_a_list_is_of_whole_segments_and_of_all_pages(store: BlobStore, request: pytest.FixtureRequest) -> None:
    several = 20 if "[moto]" in request.node.name else 1100  # pages of 1,000; moto takes 5 ms for each object
    wanted = {f"tags/t{number}" for number in range(several)}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), [*wanted, "tagsx", "tag", "other/tags/t"]))
    assert {each.key for each in store.list("tags")} == {each.key for each in store.list("tags/")} == wanted
    assert len({each.key for each in store.list("")}) == several + 3


# What is kept of a bucket in memory.


class Counting(Memory):
    """A bucket that counts what is read of it, and is slow enough for many to meet."""

    def __init__(self) -> None:
        super().__init__()
        self.gets = 0

    def get(self, key: str, first: int = 0, last: int | None = None) -> bytes:
        self.gets += 1
        return super().get(key, first, last)


def test_what_never_changes_is_fetched_once_however_many_ask() -> None:
    bucket = Counting()
    store = Cached(bucket)
    store.put("blobs/a", b"x" * (2 * PART_BYTES))
    assert len(race(lambda _: store.get("blobs/a", 0, PART_BYTES - 1) == b"x" * PART_BYTES)) == RACERS
    assert bucket.gets == 1
    for part in ((0, PART_BYTES), (1, 5), (0, None)):  # too long, or not from the beginning of a part
        for _ in range(2):
            store.get("blobs/a", *part)
    assert bucket.gets == 7
    store.put("tuf/timestamp.json", b"1")
    for _ in range(3):
        assert store.get("tuf/timestamp.json") == b"1"
    assert bucket.gets == 10


def test_what_is_kept_in_memory_is_bounded_and_the_last_used_stay() -> None:
    bucket = Counting()
    store = Cached(bucket, limit_bytes=1000)
    for number in range(12):
        store.put(f"blobs/{number}", b"x" * 100)
        store.get(f"blobs/{number}")
        store.get("blobs/0")
    before = bucket.gets
    for number in (0, *range(3, 12)):
        store.get(f"blobs/{number}")
    assert bucket.gets == before
    store.get("blobs/1")
    assert bucket.gets == before + 1
    with pytest.raises(FileNotFoundError):
        store.get("blobs/none")
    store.put("blobs/none", b"y")
    assert store.get("blobs/none") == b"y"
    store.delete("blobs/none")
    with pytest.raises(FileNotFoundError):
        store.get("blobs/none")


# Whether a store compares.


def test_a_probe_leaves_nothing_behind(store: BlobStore) -> None:
    require_comparing(store, "this")
    assert list(store.list("")) == []


class Blind(Memory):
    """A store that heeds no condition of one kind."""

    def __init__(self, lacks: str) -> None:
        super().__init__()
        self._lacks = lacks

    def put_if_absent(self, key: str, data: bytes | Path, content_type: str = "") -> bool:
        if self._lacks == "create":
            self.put(key, data)
            return True
        return super().put_if_absent(key, data)

    def swap(self, key: str, old: str | None, data: bytes) -> str:
        found = self.read(key)
        if self._lacks == "always":
            raise Changed
        return super().swap(key, found[1] if found is not None else None, data)


@pytest.mark.parametrize(
    ("lacks", "said"), [("create", "If-None-Match"), ("swap", "If-Match"), ("always", "not replaced by the tag")]
)
def test_a_store_that_does_not_compare_is_refused(lacks: str, said: str) -> None:
    store = Blind(lacks)
    with pytest.raises(OperatorError, match=said):
        require_comparing(store, "s3://blind")
    assert list(store.list("")) == []


def test_options_that_name_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("s3://", "s3://a", "s3://bucket/../x", "http://bucket", "s3://Bucket"):
        with pytest.raises(OperatorError, match="a folder or s3://BUCKET/PREFIX expected"):
            open_store(text)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://192.0.2.1:9")
    with pytest.raises(OperatorError, match="https expected"):
        open_store("s3://bucket")


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "origin.storage.s3", raising=False)
    with pytest.raises(OperatorError, match=r"pip install 'nunatak\[s3\]'"):
        open_store("s3://bucket")


def test_a_bucket_that_does_not_answer_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """To its operator; whoever asks an origin is not told where its bucket is."""
    monkeypatch.setattr("origin.storage.s3.RETRIES", 0)
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(OperatorError, match=r"^s3://bucket at http://127\.0\.0\.1:9: probe/\w+: no connection: check"):
        open_store("s3://bucket")
    caplog.clear()
    with pytest.raises(OSError, match="the log of the origin says which") as raised:
        open_store("s3://bucket", reading=True).get("blobs/a")
    assert "127.0.0.1" not in str(raised.value)
    assert "127.0.0.1:9" in caplog.text
