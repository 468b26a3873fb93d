"""What is signed by hand, signed anew: by which keys, for whom it counts, and who warns before it ends."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, Root

from edge.catalogue.catalogue import Catalogue
from edge.doctor import about_trust
from origin.keys import folder_signers, generate, load_signer, load_top, load_trust, new_signer, settle
from origin.model.exchange import Request, expect
from origin.publish.client import carry_out
from origin.publish.publish import publish
from origin.publish.renew import ROLES, Plan, Renewed, needed, renew
from origin.registry.names import Submitter
from origin.registry.roles import Online
from origin.registry.server import Origin
from origin.registry.store import Store
from tests.support.synthetic import TOKEN, Keys, publication, running_origin
from vmimage.errors import OperatorError, OriginError, PublisherError, VerificationError
from vmimage.renewal import ended, ending, next_root, next_targets
from vmimage.trust import OFFLINE_LIFETIME, Trust, follow, sign_bin

NOW = datetime.now(UTC).replace(microsecond=0)
OPERATOR = Submitter(operator=True)
LATER = NOW + timedelta(days=100)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def online_of(keys: Keys) -> Any:
    """As `nunatak origin` finds them."""

    def find(root: Root) -> Online:
        snapshot, timestamp = (
            load_signer(keys.folder, role, root.roles[role].keyids) for role in ("snapshot", "timestamp")
        )
        return Online(snapshot, timestamp)

    return find


def renewed(url: str, keys: Keys, *roles: str, replace: Sequence[str] = (), now: datetime = NOW) -> Renewed:
    """As `nunatak renew` does it."""
    wanted = frozenset(roles) | needed(replace)
    signers: dict[str, Sequence[Signer]] = {
        role: [load_signer(keys.folder, role)] for role in ("root", "targets") if role in wanted
    }
    new = {role: new_signer(keys.folder, role) for role in replace}
    plan = Plan.of(wanted, signers, load_signer(keys.folder, "publisher"), new)
    root, targets = load_top(keys.folder)
    done = carry_out(renew(plan, root, targets, now), url=url, token=TOKEN)
    settle(keys.folder, [root, *done.roots], done.targets, replace)
    return done


def published(url: str, keys: Keys, service: str, said: list[str] | None = None, now: datetime = NOW) -> None:
    exchange = publish(
        [publication(service)],
        load_trust(keys.folder),
        load_signer(keys.folder, "publisher"),
        now,
        warn=(said if said is not None else []).append,
    )
    carry_out(exchange, url=url, token=TOKEN)


def follow_through(store: Store, keys: Keys, tmp_path: Path, *changes: Any) -> None:
    """An edge that was there before, one that begins with the first root, and one with the newest, all follow."""
    first = keys.root
    with running_origin(store, keys, online=online_of(keys)) as url:
        published(url, keys, "before")
        running = Catalogue(tmp_path / "running", f"{url}/tuf/", first)
        running.refresh()
        assert running.find_service("before") is not None
        for number, change in enumerate(changes):
            change(url)
            published(url, keys, f"after{number}")
            running.refresh()
            assert running.find_service(f"after{number}") is not None
        for name, root in (("restarted", first), ("new", (keys.folder / "root.json").read_bytes())):
            folder = tmp_path / ("running" if name == "restarted" else name)
            edge = Catalogue(folder, f"{url}/tuf/", root)
            edge.refresh()
            assert all(edge.find_service(f"after{number}") for number in range(len(changes))), name
            assert edge.find_service("before") is not None


def version(keys: Keys) -> int:
    return load_trust(keys.folder).root.version


@pytest.mark.parametrize(
    ("roles", "replace"),
    [
        (ROLES, ()),
        (("root",), ()),
        (("targets",), ()),
        (("bins",), ()),
        ((), ("root",)),
        ((), ("targets",)),
        ((), ("timestamp",)),
        ((), ("snapshot",)),
        ((), ("publisher",)),
        ((), ("root", "targets", "snapshot", "timestamp", "publisher")),
    ],
)
def test_edges_and_publishers_follow(
    store: Store, keys: Keys, tmp_path: Path, roles: Sequence[str], replace: Sequence[str]
) -> None:
    follow_through(store, keys, tmp_path, lambda url: renewed(url, keys, *roles, replace=replace))


def test_several_versions_one_after_the_other(store: Store, keys: Keys, tmp_path: Path) -> None:
    def change(*replace: str) -> Any:
        return lambda url: renewed(url, keys, "root", replace=replace)

    follow_through(store, keys, tmp_path, change(), change("root"), change("timestamp", "root"), change())
    assert version(keys) == 5
    assert sorted(path.name for path in keys.folder.glob("*.root.json")) == [f"{n}.root.json" for n in range(1, 6)]


def test_the_origin_goes_on_with_new_keys_after_a_restart(store: Store, keys: Keys, tmp_path: Path) -> None:
    with running_origin(store, keys, online=online_of(keys)) as url:
        published(url, keys, "before")
        renewed(url, keys, replace=("snapshot", "timestamp"))
    again = Keys.of(keys.folder)
    with running_origin(store, again, online=online_of(keys)) as url:
        edge = Catalogue(tmp_path / "edge", f"{url}/tuf/", keys.root)
        edge.refresh()
        assert edge.find_service("before") is not None
    for role in ("snapshot", "timestamp"):
        (keys.folder / f"{role}.key").write_bytes((keys.folder / f"{role}.key.old").read_bytes())
    with pytest.raises(OperatorError, match="that the newest root trusts for snapshot expected"):
        Origin(store, again.metadata, online_of(keys), token=None)


def test_a_root_that_was_laid_into_the_store_is_followed(store: Store, keys: Keys, tmp_path: Path) -> None:
    root, _ = load_top(keys.folder)
    with running_origin(store, keys, online=online_of(keys)) as url:
        store.write_metadata("2.root.json", next_root(root, {}, [load_signer(keys.folder, "root")], NOW))
        published(url, keys, "after")
        renewed(url, keys, "root")
        edge = Catalogue(tmp_path / "edge", f"{url}/tuf/", root)
        edge.refresh()
        assert edge.find_service("after") is not None
    assert version(keys) == 3
    with running_origin(store, keys, online=online_of(keys)):
        pass  # with the folder's first root alone, as on another machine


def test_renewal_makes_what_is_signed_last_longer(store: Store, keys: Keys, tmp_path: Path) -> None:
    with running_origin(store, keys) as url:
        published(url, keys, "hello")
        done = renewed(url, keys, *ROLES, now=LATER)
        edge = Catalogue(tmp_path / "edge", f"{url}/tuf/", keys.root)
        edge.refresh()
        edge.find_service("hello")
        assert set(edge.expiries().values()) == {LATER + OFFLINE_LIFETIME}
        assert done.lines == tuple(
            f"{what} good until {LATER + OFFLINE_LIFETIME:%Y-%m-%d}"
            for what in ("root version 2 is", "targets version 2 is", "1 bins are")
        )


# Refusals.


@pytest.fixture
def origin(store: Store, keys: Keys) -> Origin:
    return Origin(store, keys.metadata, keys.online, token=TOKEN)


def root_of(keys: Keys, **changes: Any) -> bytes:
    metadata = Metadata[Root].from_bytes(keys.root)
    for name, value in {"version": 2, **changes}.items():
        setattr(metadata.signed, name, value)
    metadata.sign(load_signer(keys.folder, "root"))
    return metadata.to_bytes()


@pytest.mark.parametrize(
    ("changes", "submitter", "why"),
    [
        ({}, Submitter(), "the operator's token expected"),
        ({}, Submitter("alice"), "the operator's token expected"),
        ({"version": 1}, OPERATOR, "version 2 expected, got 1"),
        ({"version": 3}, OPERATOR, "version 2 expected, got 3"),
        ({"expires": NOW - timedelta(days=1)}, OPERATOR, "that has not expired expected"),
    ],
)
def test_roots_that_are_not_taken(
    origin: Origin, store: Store, keys: Keys, changes: dict[str, Any], submitter: Submitter, why: str
) -> None:
    with pytest.raises(VerificationError, match=why):
        origin.publish_roles({"root": root_of(keys, **changes)}, submitter)
    assert store.read_metadata("2.root.json") is None


def test_a_root_by_another_key_is_not_taken(origin: Origin, keys: Keys, tmp_path: Path) -> None:
    metadata = Metadata[Root].from_bytes(root_of(keys))
    metadata.sign(CryptoSigner.generate_ed25519())
    with pytest.raises(VerificationError, match="signed by 0/1 keys"):
        origin.publish_roles({"root": metadata.to_bytes()}, OPERATOR)


def test_new_online_keys_that_the_origin_does_not_have(store: Store, keys: Keys) -> None:
    origin = Origin(store, keys.metadata, online_of(keys), token=TOKEN)
    elsewhere = CryptoSigner.generate_ed25519().public_key
    root = next_root(keys.root, {"timestamp": elsewhere}, [load_signer(keys.folder, "root")], NOW)
    with pytest.raises(OperatorError, match="copy it from the key folder"):
        origin.publish_roles({"root": root}, OPERATOR)
    assert store.read_metadata("2.root.json") is None
    origin.renew()


def test_a_new_publisher_key_signs_every_bin(store: Store, keys: Keys) -> None:
    _, targets = load_top(keys.folder)
    with running_origin(store, keys) as url:
        published(url, keys, "hello")
        new = CryptoSigner.generate_ed25519().public_key
        body = next_targets(targets, keys.trust.root, new, [load_signer(keys.folder, "targets")], NOW)

        def submit() -> Any:
            [response] = yield [Request("POST", "/tuf/roles", json.dumps({"targets": body.decode()}).encode())]
            expect(response, 201, "targets")

        with pytest.raises(PublisherError, match="all bins signed by the new publisher key expected"):
            carry_out(submit(), url=url, token=TOKEN)


def test_more_than_one_key(keys: Keys) -> None:
    """A threshold of two: one alone is refused before anything is sent, both together are followed."""
    first, second, third = (CryptoSigner.generate_ed25519() for _ in range(3))
    metadata = Metadata[Root].from_bytes(keys.root)
    for signer in (first, second):
        metadata.signed.add_key(signer.public_key, "root")
    metadata.signed.roles["root"].threshold = 2
    mine = load_signer(keys.folder, "root")
    metadata.sign(mine)
    metadata.sign(first, append=True)
    one = metadata.to_bytes()
    with pytest.raises(
        PublisherError, match=r"2 signatures by root keys of root version 1 expected, got 1.*--with-key"
    ):
        next_root(one, {}, [mine, third], NOW)
    two = next_root(one, {}, [third, mine, second], NOW)
    assert follow([one, two]).version == 2
    assert len(Metadata[Root].from_bytes(two).signatures) == 2, "a key that is none of root's signs nothing"
    three = next_root(two, {"root": third.public_key}, [third, first, second], NOW, {"root": mine.public_key.keyid})
    assert follow([one, two, three]).version == 3
    with pytest.raises(PublisherError, match="2 signatures by root keys of root version 3 expected, got 1"):
        next_root(three, {"root": mine.public_key}, [third], NOW, {"root": second.public_key.keyid})


def test_a_gap_in_the_key_folder_is_said(store: Store, keys: Keys) -> None:
    roots = [keys.root]
    for _ in range(3):
        roots.append(next_root(roots[-1], {}, [load_signer(keys.folder, "root")], NOW))
    Origin(store, keys.metadata, keys.online, token=None)
    with pytest.raises(OperatorError, match=r"3\.root\.json expected in the key folder"):
        Origin(store, {"4.root.json": roots[3], "1.targets.json": load_top(keys.folder)[1]}, keys.online, token=None)


# Warnings, and publications that no edge could use.


@pytest.mark.parametrize(
    ("days", "soon", "over"),
    [(61, 0, 0), (60, 0, 0), (59.9, 1, 0), (0.1, 1, 0), (0, 0, 1), (-3, 0, 1)],
)
def test_sixty_days_before(days: float, soon: int, over: int) -> None:
    known = {"root": NOW + timedelta(days=days)}
    lines = list(ending(known, NOW)), list(ended(known, NOW))
    assert tuple(map(len, lines)) == (soon, over)
    assert all("nunatak renew root" in line for found in lines for line in found)


def test_publishing_warns_before_and_fails_after(store: Store, keys: Keys) -> None:
    said: list[str] = []
    late = NOW + OFFLINE_LIFETIME - timedelta(days=30)
    with running_origin(store, keys) as url:
        published(url, keys, "early", said)
        assert said == []
    with running_origin(store, keys, now=late) as url:
        published(url, keys, "late", said, late)
        assert [line.partition(" ")[0] for line in said] == ["root", "targets"]
        with pytest.raises(PublisherError, match=r"root has expired on .* run `nunatak renew root`"):
            published(url, keys, "never", now=NOW + OFFLINE_LIFETIME + timedelta(days=1))


def test_publishing_to_an_origin_that_does_not_renew(store: Store, keys: Keys) -> None:
    with (
        running_origin(store, keys) as url,
        pytest.raises(OriginError, match="timestamp of the origin: one that is good"),
    ):
        published(url, keys, "never", now=NOW + timedelta(days=3))


def test_publishing_with_a_key_that_edges_do_not_trust(store: Store, keys: Keys, tmp_path: Path) -> None:
    other = Keys(tmp_path / "other")
    with running_origin(store, keys) as url:
        exchange = publish([publication("hello")], keys.trust, other.publisher, NOW)
        with pytest.raises(PublisherError, match=r"publisher\.key: a key that targets version 1 trusts expected"):
            carry_out(exchange, url=url, token=TOKEN)
    assert not [path for path in (tmp_path / "store" / "blobs").rglob("*") if path.is_file()], "nothing was sent"


def test_an_origin_whose_chain_has_ended_takes_nothing(store: Store, keys: Keys) -> None:
    late = NOW + OFFLINE_LIFETIME + timedelta(days=1)
    origin = Origin(store, keys.metadata, keys.online, token=TOKEN, clock=lambda: late)
    with pytest.raises(VerificationError, match="root has expired"):
        origin.publish_roles({"bin-00": sign_bin(None, {}, keys.publisher, late)}, OPERATOR)


@pytest.mark.parametrize("order", [(ROLES,), (("targets",), ("root",)), (("root",), ("targets",))])
def test_what_has_ended_can_still_be_renewed(
    store: Store, keys: Keys, tmp_path: Path, order: Sequence[Sequence[str]]
) -> None:
    """In any order: an edge that was given a root which has expired since follows all the same."""
    late = NOW + OFFLINE_LIFETIME + timedelta(days=5)
    with running_origin(store, keys) as url:
        published(url, keys, "before")
    with running_origin(store, keys, now=late) as url:
        with pytest.raises(PublisherError, match="has expired"):
            published(url, keys, "after", now=late)
        for roles in order:
            renewed(url, keys, *roles, now=late)
        renewed(url, keys, "bins", now=late)
        published(url, keys, "after", now=late)
        edge = Catalogue(tmp_path / "edge", f"{url}/tuf/", keys.root, clock=late.timestamp)
        edge.refresh()
        assert edge.find_service("after") is not None
        assert edge.find_service("before") is not None


@pytest.mark.parametrize(("days", "state"), [(0, "ok"), (320, "warn"), (366, "fail")])
def test_the_doctor_says_when_trust_ends(keys: Keys, days: int, state: str) -> None:
    found = list(about_trust(keys.folder / "root.json", keys.folder, NOW + timedelta(days=days)))
    assert [(each.name, each.state) for each in found] == [("trust: root", state), ("trust: targets", state)]
    assert all(("nunatak renew" in each.fix) == (state != "ok") for each in found)


def test_the_doctor_reads_what_an_edge_has(store: Store, keys: Keys, tmp_path: Path) -> None:
    with running_origin(store, keys) as url:
        renewed(url, keys, "root", now=LATER)
        edge = Catalogue(tmp_path / "tuf", f"{url}/tuf/", keys.root)
        edge.refresh()
    first = tmp_path / "root.json"
    first.write_bytes(keys.root)
    root, targets = about_trust(first, tmp_path / "tuf", NOW + OFFLINE_LIFETIME - timedelta(days=10))
    assert (root.state, targets.state) == ("ok", "warn")
    first.write_bytes(b"{}")
    [bad] = about_trust(first, tmp_path / "tuf", NOW)
    assert bad.state == "fail"


def test_trust_is_of_one_chain(keys: Keys, tmp_path: Path) -> None:
    other = Keys(tmp_path / "other")
    with pytest.raises(VerificationError):
        Trust([keys.root, root_of(other)], load_top(keys.folder)[1])


@pytest.mark.parametrize("role", ["root", "targets"])
def test_a_key_that_is_replaced_leaves_the_others_and_how_many_sign(tmp_path: Path, role: str) -> None:
    """Two of three: after `renew --replace` two of three, and the key that was replaced counts no more."""
    folder = tmp_path / "keys"
    generate(folder, NOW, signers=3, threshold=2)
    root, _ = load_top(folder)
    signers, old = folder_signers(folder, "root"), load_signer(folder, role).public_key.keyid
    new = new_signer(folder, role)
    made = next_root(root, {role: new.public_key}, [*signers, new], NOW, {role: old})
    before, after = (Metadata[Root].from_bytes(data).signed.roles[role] for data in (root, made))
    assert after.threshold == before.threshold == 2
    assert set(after.keyids) == (set(before.keyids) - {old}) | {new.public_key.keyid}
    assert follow([root, made]).version == 2
    with pytest.raises(PublisherError, match="keys rotate"):
        next_root(root, {role: new.public_key}, [*signers, new], NOW, {role: new.public_key.keyid})
    if role == "root":
        with pytest.raises(PublisherError, match="2 signatures"):
            next_root(root, {role: new.public_key}, [signers[0], new], NOW, {role: old})
