"""Does what the operator holds stay away from edges, whoever wants it back?"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile

from origin.registry.names import NameRefused, Submitter
from tests.attack.repository import Mirror, record
from tests.attack.tenants import TenantRepository
from tests.support.synthetic import Keys
from tests.support.tenancy import Party, State
from vmimage.errors import OriginError, VerificationError
from vmimage.holds import HOLDS_PATH, Holds, holds_target, parse_holds
from vmimage.trust import ServiceRecord

ACME = Party("acme")
HELLO, OTHER = record("hello"), record("other")
SHOP = ServiceRecord("acme.shop", (), HELLO.manifest_digest, 1000, 1, "acme")
SINCE = "2026-01-31T10:00:00Z"


@pytest.fixture
def repository() -> TenantRepository:
    """Two services of the operator's, and one of a tenant with the image of the first."""
    repository = TenantRepository()
    repository.add(ACME)
    repository.put(ACME, SHOP)
    repository.publish(HELLO, OTHER)
    return repository


@pytest.fixture
def mirror(repository: TenantRepository) -> Iterator[Mirror]:
    with Mirror(repository).running() as running:
        yield running


HELD: dict[str, set[str]] = {
    "service hello": {"hello"},
    "tenant hello": {"hello"},
    "tenant acme": {"acme.shop"},
    "service acme.shop": {"acme.shop"},
    f"image {HELLO.manifest_digest}": {"hello", "acme.shop"},
    "service nobody": set(),
}


@pytest.mark.parametrize(("what", "gone"), HELD.items(), ids=["by " + what.split(":")[0] for what in HELD])
def test_what_is_held_is_not_there(
    repository: TenantRepository, mirror: Mirror, tmp_path: Path, what: str, gone: set[str]
) -> None:
    records = {each.service: each for each in (HELLO, OTHER, SHOP)}
    before = mirror.catalogue(tmp_path / "before")
    assert all(before.find_service(name) for name in records)
    repository.hold(what)
    repository.finish()
    assert before.refresh()
    for edge in (before, mirror.catalogue(tmp_path / "before"), mirror.catalogue(tmp_path / "new")):
        for name, each in records.items():
            assert edge.find_service(name) == (None if name in gone else each), name
        assert edge.find_host("hello.example") == (None if "hello" in gone else HELLO)
        assert edge.find_withdrawn("hello") is None
    repository.hold()
    repository.finish()
    assert before.refresh()
    assert all(before.find_service(name) == each for name, each in records.items())


def test_a_mirror_replays_what_was_before_a_hold(repository: TenantRepository, mirror: Mirror, tmp_path: Path) -> None:
    edge = mirror.catalogue(tmp_path)
    edge.refresh()
    earlier = dict(repository.files)
    repository.hold("service hello")
    repository.finish()
    assert edge.refresh()
    repository.files = earlier
    for each in (edge, mirror.catalogue(tmp_path)):
        with pytest.raises(VerificationError):
            each.refresh()
        assert each.find_service("hello") is None


def test_a_list_that_an_edge_has_lost(repository: TenantRepository, mirror: Mirror, tmp_path: Path) -> None:
    """By a damaged disk, for example: nothing is answered without it, also where the origin is away."""
    repository.hold("service hello")
    repository.finish()
    before = mirror.catalogue(tmp_path)
    assert before.find_service("hello") is None
    assert before.find_service("other") == OTHER
    role = repository.trust.bin_of(HOLDS_PATH)
    name = f"{repository.bin_versions[role]}.{role}.json"
    assert role not in {repository.trust.bin_of(f"services/{each.service}") for each in (HELLO, OTHER)}
    (tmp_path / "bins" / name).write_bytes(b"damaged")
    kept_back = repository.files.pop(name)
    edge = mirror.catalogue(tmp_path)
    for service in ("hello", "other"):
        with pytest.raises(OriginError, match=role):
            edge.find_service(service)
    repository.files[name] = kept_back
    assert edge.find_service("hello") is None
    assert edge.find_service("other") == OTHER


def test_what_is_held_is_known_to_be_so(repository: TenantRepository, mirror: Mirror, tmp_path: Path) -> None:
    repository.hold("service hello", "tenant acme")
    repository.finish()
    edge = mirror.catalogue(tmp_path)
    assert edge.is_held("service", "hello")
    assert edge.is_held("service", "acme.shop")
    assert edge.is_held("host", "Hello.Example")
    assert not any(edge.is_held("service", name) for name in ("other", "none", "", "hello.example"))
    assert not any(edge.is_held("host", name) for name in ("other.example", "none", "", "hello"))
    repository.withdraw(HELLO)
    edge.refresh()
    assert not edge.is_held("service", "hello"), "there is none any more, held or not"


def test_nothing_is_told_at_once_while_the_list_is_not_here(
    repository: TenantRepository, mirror: Mirror, tmp_path: Path
) -> None:
    """A disk that lost the list and has the bins would tell of what is held, if nobody asked for it."""
    repository.hold("service hello")
    repository.finish()
    edge = mirror.catalogue(tmp_path)
    assert edge.find_service("other") == OTHER
    assert edge.find_service("hello") is None
    role = repository.trust.bin_of(HOLDS_PATH)
    [lost] = (tmp_path / "bins").glob(f"*.{role}.json")
    lost.unlink()
    again = mirror.catalogue(tmp_path)
    for name in ("hello", "other"):
        assert again.find_service(name, ask=False) is None
    assert again.find_service("hello") is None
    assert again.find_service("other", ask=False) == OTHER


def test_a_mirror_keeps_the_list_back(repository: TenantRepository, mirror: Mirror, tmp_path: Path) -> None:
    """Without it an edge takes nothing new; one that knows nothing yet answers nothing."""
    edge = mirror.catalogue(tmp_path / "edge")
    assert edge.find_service("other") == OTHER
    repository.hold("service hello")
    repository.publish(record("other", 2))
    role = repository.trust.bin_of(HOLDS_PATH)
    kept_back = repository.files.pop(f"{repository.bin_versions[role]}.{role}.json")
    new = mirror.catalogue(tmp_path / "new")
    for each in (edge, new):
        with pytest.raises(OriginError, match=role):
            each.refresh()
    assert edge.find_service("other") == OTHER
    with pytest.raises(OriginError, match=role):
        new.find_service("hello")
    repository.files[f"{repository.bin_versions[role]}.{role}.json"] = kept_back
    for each in (edge, new):
        each.refresh()
        assert each.find_service("hello") is None
        assert each.find_service("other") == record("other", 2)


def test_a_thief_of_the_online_keys_drops_the_list(
    repository: TenantRepository, mirror: Mirror, tmp_path: Path
) -> None:
    repository.hold("service hello")
    repository.finish()
    edge = mirror.catalogue(tmp_path)
    assert edge.find_service("hello") is None
    repository.bin_versions[repository.trust.bin_of(HOLDS_PATH)] = 0
    repository.finish()
    with pytest.raises(VerificationError):
        edge.refresh()
    assert edge.find_service("hello") is None


def test_nobody_but_the_operator_holds_or_releases(tmp_path: Path) -> None:
    state = State(Keys(tmp_path / "keys"))
    held: Mapping[str, TargetFile | None] = {HOLDS_PATH: holds_target(Holds({"service hello": SINCE}))}
    empty: Mapping[str, TargetFile | None] = {HOLDS_PATH: holds_target(Holds())}
    for submitter in (Submitter("acme"), Submitter()):
        with pytest.raises(NameRefused):
            state.submit(state.bins(held), submitter)
    state.submit(state.bins(held))
    before = state.state
    for changes in (empty, {HOLDS_PATH: None}):
        for submitter in (Submitter("acme"), Submitter()):
            with pytest.raises(NameRefused):
                state.submit(state.bins(changes), submitter)
    assert state.state is before
    assert state.state.book().holds().reason("", "hello", "") == "service hello"


@pytest.mark.parametrize(
    "said",
    [5, [], {"service": SINCE}, {"service A": SINCE}, {"image x": SINCE}, {"host a": SINCE}, {"service a": "now"}],
    ids=str,
)
def test_lists_that_are_refused(said: object) -> None:
    target = holds_target(Holds({"service a": SINCE}))
    assert parse_holds(target) == Holds({"service a": SINCE})
    target.unrecognized_fields["custom"] = {"holds": said}
    with pytest.raises(VerificationError):
        parse_holds(target)
