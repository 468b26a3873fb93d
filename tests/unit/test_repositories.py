"""Repositories of an origin: who owns which, and what stays when a manifest is taken out of one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from origin.registry import repositories
from origin.registry.artifacts import Artifact, parse_artifact
from origin.registry.names import Submitter
from origin.registry.prune import DAY_S, Pruning, Rules
from origin.registry.refusal import OciError
from origin.registry.repositories import Repositories, is_repository, owns
from origin.registry.store import Store
from origin.storage.memory import Memory
from tests.support.packing import EMPTY, artifact
from tests.support.synthetic import NOW
from vmimage.manifest import REPOSITORY, digest_of

SUBJECT = digest_of(b"a subject")


@pytest.fixture(params=["files", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A folder, and a store that others may write to as well."""
    opened = Store(tmp_path / "store" if request.param == "files" else Memory())
    opened.put_blob(digest_of(EMPTY), EMPTY)
    yield opened
    opened.close()


@pytest.fixture
def kept(store: Store) -> Repositories:
    return Repositories(store)


def put(store: Store, kept: Repositories, name: str, data: bytes) -> Artifact:
    parsed = parse_artifact(data, digest_of(data))
    store.put_artifact(data, parsed)
    kept.found(name)
    kept.enter(name, digest_of(data), parsed)
    return parsed


@pytest.mark.parametrize(
    ("name", "good"),
    [("images", True), ("acme/shop", True), ("a--b/c__d.e", True), ("a" * 255, True), ("a" * 256, False)]
    + [(bad, False) for bad in ("", "A", "a/", "/a", "a//b", "a/../b", "-a", "a!b", "a b", "a\n", "ä")],
)
def test_names(name: str, good: bool) -> None:
    assert is_repository(name) is good


@pytest.mark.parametrize(
    ("submitter", "name", "theirs"),
    [
        (Submitter(operator=True), "images", True),
        (Submitter(operator=True), "acme/shop", True),
        (Submitter("acme"), "acme", True),
        (Submitter("acme"), "acme/shop/deeply", True),
        (Submitter("acme"), "acme2/shop", False),
        (Submitter("acme"), "other/acme", False),
        (Submitter("acme"), "images", False),
        (Submitter("images"), "images", False),
        (Submitter("images"), "images/x", True),
        (Submitter(), "acme", False),
    ],
)
def test_whose_a_repository_is(submitter: Submitter, name: str, theirs: bool) -> None:
    assert owns(submitter, name) is theirs


def test_repositories_share_bytes_and_nothing_else(store: Store, kept: Repositories) -> None:
    data = artifact("application/x", subject=b"a subject")
    digest = digest_of(data)
    for name in ("acme/a", "acme/b"):
        parsed = put(store, kept, name, data)
        kept.put_tag(name, "v1", digest)
    assert kept.names() == ["acme/a", "acme/b", REPOSITORY]
    kept.leave("acme/a", digest, parsed)
    assert (kept.has("acme/a", digest), kept.has("acme/b", digest)) == (False, True)
    assert (kept.tags("acme/a"), kept.tags("acme/b")) == ([], ["v1"])
    assert (kept.referrers("acme/a", SUBJECT), len(kept.referrers("acme/b", SUBJECT))) == ([], 1)
    assert kept.exists("acme/a")
    kept.enter("acme/a", digest, parsed)
    assert kept.has("acme/a", digest)


def test_prune_keeps_what_is_in_a_repository_and_removes_what_was_deleted(store: Store, kept: Repositories) -> None:
    first, second = artifact("application/x", note="first"), artifact("application/x", note="second")
    for data in (first, second):
        put(store, kept, "acme/a", data)
    kept.leave("acme/a", digest_of(second), parse_artifact(second, digest_of(second)))
    pruning = Pruning(store, Rules(), NOW.timestamp() + 9_999 * DAY_S, kept)
    pruning.look()
    assert pruning.remove(100) == [digest_of(second)]
    pruning.blobs()
    assert store.read_artifact(digest_of(first)) is not None
    assert store.blob_size(digest_of(EMPTY)) == len(EMPTY)


def test_what_was_deleted_from_images_is_kept_by_no_subject(store: Store, kept: Repositories) -> None:
    """A referrer stays as long as its subject, unless somebody has taken it out."""
    subject = artifact("application/x", note="subject")
    data = artifact("application/x", subject=subject)
    put(store, kept, REPOSITORY, subject)
    parsed = put(store, kept, REPOSITORY, data)
    store.put_tag("stable", digest_of(subject))

    def gone() -> list[str]:
        pruning = Pruning(store, Rules(), NOW.timestamp() + 9_999 * DAY_S, kept)
        pruning.look()
        return pruning.remove(100)

    assert gone() == []
    kept.leave(REPOSITORY, digest_of(data), parsed)
    assert not kept.has(REPOSITORY, digest_of(data))
    kept.tidy()
    assert not kept.has(REPOSITORY, digest_of(data)), "its bytes are still here"
    assert gone() == [digest_of(data)]
    kept.tidy()
    assert kept.has(REPOSITORY, digest_of(data)), "nothing is remembered of what is gone"


def test_numbers_are_bounded(store: Store, kept: Repositories, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("REPOSITORIES_MAX", 2), ("MANIFESTS_MAX", 2), ("REFERRERS_MAX", 1)):
        monkeypatch.setattr(repositories, name, most)
    for name in ("acme/a", "acme/b", "other"):
        kept.found(name)
    with pytest.raises(OciError, match="at most 2 repositories below acme"):
        kept.found("acme/c")
    kept.found("acme/a")
    put(store, kept, "acme/a", artifact("application/x", subject=b"a subject"))
    with pytest.raises(OciError, match="at most 1 that refer"):
        kept.require_room("acme/a", SUBJECT)
    put(store, kept, "acme/a", artifact("application/x", note="two"))
    with pytest.raises(OciError, match="at most 2 manifests"):
        kept.require_room("acme/a", None)
    for tag in ("one", "two", "one"):
        kept.put_tag("acme/a", tag, SUBJECT)
    with pytest.raises(OciError, match="at most 2 tags"):
        kept.put_tag("acme/a", "three", SUBJECT)
