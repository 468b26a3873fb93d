"""Uploads to an origin and the life of what is published: can one tenant end another's?"""

from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Targets

from origin.registry.names import Submitter
from origin.registry.roles import Published, accept, first_roles
from origin.registry.store import Store
from origin.registry.uploads import UPLOADS_MAX, Uploads
from tests.support.synthetic import NOW, Keys
from vmimage.errors import VerificationError
from vmimage.trust import OFFLINE_LIFETIME, ServiceRecord, make_targets, sign_bin

ALICE, MALLORY, OPERATOR = Submitter("alice"), Submitter("mallory"), Submitter(operator=True)
HERS = ServiceRecord("hers", (), "sha256:" + "a" * 64, 1000, 1, "alice")


def test_who_begins_many_ends_own_uploads_and_nobody_elses(tmp_path: Path) -> None:
    store, uploads = Store(tmp_path / "store"), Uploads()
    hers = [uploads.begin(ALICE, store.begin_upload()) for _ in range(3)]
    operators = uploads.begin(OPERATOR, store.begin_upload())
    theirs = [uploads.begin(MALLORY, store.begin_upload()) for _ in range(2 * UPLOADS_MAX)]
    assert len(list(uploads)) == UPLOADS_MAX
    assert all(uploads.find(ALICE, name) for name in hers)
    assert uploads.find(OPERATOR, operators)
    kept = [name for name in theirs if uploads.find(MALLORY, name)]
    assert kept == theirs[-(UPLOADS_MAX - 4) :]
    assert len(list((tmp_path / "store" / "uploads").iterdir())) == UPLOADS_MAX, "what has ended is gone"
    late = uploads.begin(ALICE, store.begin_upload())
    assert uploads.find(ALICE, late)
    for upload in uploads:
        upload.abandon()
    store.close()


def test_an_upload_is_nobody_elses_to_go_on_with(tmp_path: Path) -> None:
    store, uploads = Store(tmp_path / "store"), Uploads()
    name = uploads.begin(ALICE, store.begin_upload())
    assert uploads.find(MALLORY, name) is None
    assert uploads.find(OPERATOR, name) is None
    assert uploads.find(MALLORY, "unknown") is None
    uploads.take(name).abandon()
    assert uploads.find(ALICE, name) is None
    store.close()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("lives") / "keys")


def submit(state: Published, keys: Keys, life: timedelta, later: timedelta = timedelta(0)) -> Published:
    """The bin that holds `hers` once more, as it is, but good for so long."""
    role = keys.trust.bin_of("services/hers")
    changes = {**make_targets(HERS, ())} if state.signed(role) is None else {}
    made = Metadata[Targets].from_bytes(sign_bin(state.signed(role), changes, keys.publisher, NOW + later))
    made.signed.expires = NOW + later + life
    made.sign(keys.publisher)
    submitter = ALICE if changes else MALLORY
    return accept(state, {role: made.to_bytes()}, lambda _: 1000, keys.online, NOW + later, submitter)[1]


@pytest.mark.parametrize("life", [timedelta(seconds=30), timedelta(days=30), OFFLINE_LIFETIME / 2 - timedelta(1)])
def test_a_bin_that_others_are_in_is_not_made_to_end_early(keys: Keys, life: timedelta) -> None:
    state = first_roles(keys.trust, keys.metadata["1.targets.json"], keys.online, NOW)[1]
    with pytest.raises(VerificationError, match="good until"):
        submit(state, keys, life)
    state = submit(state, keys, OFFLINE_LIFETIME)
    with pytest.raises(VerificationError, match="good until"):
        submit(state, keys, life)
    state = submit(state, keys, OFFLINE_LIFETIME - timedelta(hours=3))  # clocks differ
    submit(state, keys, OFFLINE_LIFETIME)


def test_one_that_is_about_to_end_need_not_live_longer_than_it_would(keys: Keys) -> None:
    state = first_roles(keys.trust, keys.metadata["1.targets.json"], keys.online, NOW)[1]
    state = submit(state, keys, OFFLINE_LIFETIME)
    left = timedelta(days=20)
    with pytest.raises(VerificationError, match="good until"):
        submit(state, keys, left - timedelta(days=1), OFFLINE_LIFETIME - left)
    submit(state, keys, left, OFFLINE_LIFETIME - left)
