"""Content in a bucket: what one origin is about to name, another does not remove, whichever of both writes first."""

import itertools
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

import pytest

from origin.registry.names import Submitter
from origin.registry.prune import DAY_S, HOUR_S, Pruning, Rules, named
from origin.registry.refusal import OciError
from origin.registry.server import Origin
from origin.registry.store import BlobMissing, Store
from origin.registry.use import (
    DOOMED_S,
    FRESH_S,
    MARGIN_S,
    NOTE,
    BucketUse,
    Note,
    PruneUnderWay,
    encode_note,
)
from origin.storage.memory import Memory
from origin.storage.place import Place
from tests.support.synthetic import BASE, NOW, TOKEN, Keys, publication
from tests.support.turns import Taking, Turns
from vmimage.archive import ImageBundle
from vmimage.manifest import digest_of

OPERATOR = Submitter(operator=True)
DIGEST = digest_of(b"x")
OLD, NEW = (publication("shop", content=content) for content in (b"1", b"2"))


class Time:
    """A clock that stands still, for the bucket and all who use it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = NOW.timestamp()
        monkeypatch.setattr("origin.registry.use.time", self)

    def time(self) -> float:
        return self.now_s

    monotonic = time

    def sleep(self, seconds: float) -> None:
        """Time passes by being waited for."""
        self.now_s += seconds
        self.slept()

    slept: Callable[[], None] = staticmethod(lambda: None)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


@pytest.fixture
def bucket(time: Time) -> Memory:
    return Memory(time.time)


@pytest.fixture
def place(bucket: Memory) -> Place:
    bucket.put("blobs/sha256/aa/x", b"x")
    return Place(bucket, "blobs/sha256/aa/x")


def test_use_is_noted_in_a_mark_only_where_content_is_old(bucket: Memory, place: Place, time: Time) -> None:
    use = BucketUse(bucket)
    assert use.use(place) == 1
    assert list(bucket.list("used")) == []
    time.now_s += 2 * DAY_S
    assert BucketUse(bucket).use(place) == 1
    [mark] = bucket.list("used")
    assert (mark.key, mark.changed_s) == ("used/blobs/x", time.now_s)
    time.now_s += FRESH_S / 2
    assert BucketUse(bucket).use(place) == 1
    assert [mark] == list(bucket.list("used")), "by another origin too: it is fresh enough"
    assert BucketUse(bucket).use(Place(bucket, "blobs/sha256/aa/y")) is None


def test_what_is_fresh_is_known_without_a_request(bucket: Memory, place: Place, time: Time) -> None:
    use = BucketUse(bucket)
    assert use.use(place) == 1
    bucket.delete(place.key)
    assert use.use(place) == 1
    time.now_s += FRESH_S
    assert use.use(place) is None


def test_who_uses_content_before_it_is_removed_keeps_it(bucket: Memory, place: Place, time: Time) -> None:
    time.now_s += 2 * DAY_S
    pruning, user = BucketUse(bucket), BucketUse(bucket)
    assert user.use(place) == 1
    with pruning.dooming([place]):
        assert not pruning.remove_unused(place, time.now_s - HOUR_S)
    assert bucket.head(place.key) is not None


def test_who_uses_content_while_it_is_removed_waits_and_is_told_that_it_is_gone(
    bucket: Memory, place: Place, time: Time
) -> None:
    """The look for a mark came before the mark: only the note stands between both."""
    time.now_s += 2 * DAY_S
    pruning, user = BucketUse(bucket), BucketUse(bucket)
    with ExitStack() as removing:
        removing.enter_context(pruning.dooming([place]))

        def removed() -> None:
            bucket.delete(place.key)
            removing.close()

        time.slept = removed
        assert user.use(place) is None
    assert bucket.head("used/blobs/x") is not None, "it had said so before it waited"


def test_content_that_comes_while_it_is_removed_is_there_afterwards(bucket: Memory, place: Place, time: Time) -> None:
    pruning, user = BucketUse(bucket), BucketUse(bucket)
    with pruning.dooming([place]):

        def removed() -> None:
            bucket.delete(place.key)  # the look came before the new bytes
            bucket.put(NOTE, encode_note(Note(0.0, time.now_s, frozenset())))

        time.slept = removed
        user.put(place, b"x")
    assert bucket.get(place.key) == b"x"


def test_nothing_is_removed_when_the_note_is_about_to_end(bucket: Memory, place: Place, time: Time) -> None:
    time.now_s += 2 * DAY_S
    pruning = BucketUse(bucket)
    with pruning.dooming([place]):
        time.now_s += DOOMED_S - MARGIN_S
        assert not pruning.remove_unused(place, time.now_s - HOUR_S)
    assert not pruning.remove_unused(place, time.now_s - HOUR_S), "nor without one"


def test_the_note_of_an_origin_that_died_ends(bucket: Memory, place: Place, time: Time) -> None:
    time.now_s += 2 * DAY_S
    dead, other = BucketUse(bucket), BucketUse(bucket)
    begun = time.now_s
    dying = dead.dooming([place])
    with ExitStack() as stack:
        stack.enter_context(dying)
        note = bucket.get(NOTE)
        with pytest.raises(PruneUnderWay), other.dooming([]):
            pytest.fail("two at once")
    bucket.put(NOTE, note)  # as if it had not got as far as its end
    assert other.use(place) == 1
    assert DOOMED_S - 1 < time.now_s - begun < DOOMED_S + 1
    with other.dooming([place]):
        assert not other.remove_unused(place, time.now_s - HOUR_S)


@pytest.mark.parametrize("planted", [b"", b"{}", b"[]", b'{"until_s": 1e300, "ended_s": 0, "keys": []}', b"[" * 10_000])
def test_a_note_that_no_origin_wrote_hinders_nobody_for_long_and_removes_nothing(
    bucket: Memory, place: Place, time: Time, planted: bytes
) -> None:
    time.now_s += 2 * DAY_S
    begun = time.now_s
    bucket.put(NOTE, planted)
    use = BucketUse(bucket)
    with pytest.raises(OSError, match="as an origin writes it expected"):
        use.use(place)
    with pytest.raises(OSError, match="remove it"), use.dooming([place]):
        pytest.fail("a prune")
    assert (bucket.get(place.key), time.now_s) == (b"x", begun)


@pytest.mark.parametrize("act", ["use", "put"])
def test_in_whatever_order_both_take_their_turns_what_is_there_for_its_user_stays(
    bucket: Memory, place: Place, time: Time, act: str
) -> None:
    """Every order of the first nine calls of both: removed and told so, or used and there."""
    time.now_s += 2 * DAY_S
    seen = set()
    for order in itertools.product((0, 1), repeat=9):
        turns, copied = Turns(order), bucket.copied()
        for_pruning, for_user = (Taking(copied, turns, actor) for actor in (0, 1))
        pruning, user = BucketUse(for_pruning), BucketUse(for_user)
        doomed, used = Place(for_pruning, place.key), Place(for_user, place.key)

        def prune(pruning: BucketUse = pruning, doomed: Place = doomed) -> bool:
            with pruning.dooming([doomed]):
                return pruning.remove_unused(doomed, time.now_s - HOUR_S)

        def name(user: BucketUse = user, used: Place = used) -> int | None:
            if act == "use":
                return user.use(used)
            user.put(used, b"x")
            return 1

        removed, size = turns.run((prune, name))
        there = copied.head(place.key) is not None
        assert there == (size is not None), order
        seen.add((removed, there))
    # A put comes before, after, or a second time when what it wrote was removed.
    assert seen == {(True, act == "put"), (False, True)}


# A whole prune.


def put(store: Store, *images: ImageBundle) -> None:
    for each in images:
        for digest, data in each.blobs.items():
            store.put_blob(digest, data)
        store.put_manifest(each.manifest.to_bytes())


def here(store: Store, kind: str = "manifests") -> set[str]:
    return {content.digest for content in store.contents(kind)}  # type: ignore[arg-type]


def test_a_prune_beside_an_origin_that_names_old_content(bucket: Memory, time: Time) -> None:
    """Between any two of its steps: what the other was told is there stays, with all that it names."""
    first, second = Store(bucket), Store(bucket)
    put(first, *OLD.images, *NEW.images)
    time.now_s += 2 * DAY_S
    pruning = Pruning(first, Rules(), time.now_s)
    pruning.look()
    assert second.use(second.manifest_path(OLD.image)) is not None
    gone = [digest for some in iter(lambda: pruning.remove(1), []) for digest in some]
    pruning.blobs()
    assert gone == [NEW.image]
    assert here(second) == {OLD.image, BASE.manifest.digest}
    left = here(second, "blobs")
    for each in OLD.images:
        assert {digest for digest in named(each.manifest.to_bytes()) if digest in each.blobs} <= left
    assert NEW.images[1].manifest.snapshot.digest not in left
    assert not [each.key for each in bucket.list("used") if "manifests" not in each.key], "marks go with content"


def test_an_image_whose_base_goes_meanwhile_is_refused(bucket: Memory, time: Time) -> None:
    store, other = Store(bucket), Store(bucket)
    put(store, *OLD.images)
    time.now_s += 2 * DAY_S
    pruning = Pruning(store, Rules(), time.now_s)
    pruning.look()
    while pruning.remove(10):
        pass
    for digest, data in NEW.images[1].blobs.items():
        other.put_blob(digest, data)
    with pytest.raises(BlobMissing, match="base sha256:"):
        other.put_manifest(NEW.images[1].manifest.to_bytes())


def test_one_origin_prunes_at_a_time(bucket: Memory, time: Time, tmp_path_factory: pytest.TempPathFactory) -> None:
    keys = Keys(tmp_path_factory.mktemp("prune") / "keys")
    later = NOW + timedelta(days=2)
    first, second = (
        Origin(Store(bucket), keys.metadata, keys.online, token=TOKEN, clock=lambda: later) for _ in range(2)
    )
    put(Store(bucket), *OLD.images)
    time.now_s += 2 * DAY_S
    with BucketUse(bucket).dooming([]), pytest.raises(OciError, match="another origin is at it"):
        second.prune(Rules(), OPERATOR)
    pruned, _ = first.prune(Rules(), OPERATOR)
    assert pruned.manifests == 2
    assert here(Store(bucket)) == set()
    assert threading.active_count() < 50
