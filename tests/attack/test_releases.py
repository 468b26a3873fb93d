"""Can a release in stages be turned against visitors, other tenants, or the operator's holds?"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile

from edge.catalogue.urgent import FedCatalogue
from edge.content.records import record_key
from edge.model.services import Service
from edge.releases.stops import Stop, Stops
from edge.releases.trial import Trial
from origin.registry.names import NameRefused
from tests.attack.repository import Mirror
from tests.attack.tenants import TenantRepository
from tests.support.synthetic import NOW, Keys
from tests.support.tenancy import OPERATOR, Party, State
from vmimage.errors import VerificationError
from vmimage.holds import HOLDS_PATH, Holds, Pin, holds_target
from vmimage.release import BOUNDS, Candidate, candidate_value
from vmimage.tenancy import sign_tenant, tenant_target
from vmimage.tenants import tenant_role
from vmimage.trust import ServiceRecord, service_path

STABLE, NEW, THEIRS = (f"sha256:{digits * 32}" for digits in ("aa", "bb", "cc"))
SINCE = "2026-11-27T01:02:03Z"
CANDIDATE = Candidate(NEW, 1000, None, SINCE, 100)
SHOP = ServiceRecord("acme.shop", (), STABLE, 1000, 1, "acme")
RELEASED = replace(SHOP, version=2, candidate=CANDIDATE)
OWN = ServiceRecord("mallory.own", (), THEIRS, 1000, 1, "mallory")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("releases") / "keys")


@pytest.fixture
def state(keys: Keys, acme: Party, mallory: Party) -> State:
    state = State(keys)
    state.add(acme, mallory)
    state.publish(acme, SHOP)
    state.publish(mallory, OWN)
    return state


@pytest.fixture
def repository(acme: Party) -> TenantRepository:
    """A tenant's service with a candidate."""
    repository = TenantRepository()
    repository.add(acme)
    repository.put(acme, RELEASED)
    repository.finish()
    return repository


@pytest.fixture
def mirror(repository: TenantRepository) -> Iterator[Mirror]:
    with Mirror(repository).running() as running:
        yield running


def _bent(gates: dict[str, int]) -> TargetFile:
    """What no tool signs: an entry whose candidate has other gates."""
    target = tenant_target(RELEASED, (STABLE,))
    value = candidate_value(CANDIDATE)
    return TargetFile(
        target.length, target.hashes, target.path, {"custom": target.custom, "candidate": {**value, "gates": gates}}
    )


GATES = candidate_value(CANDIDATE)["gates"]
NO_GATES = {
    "none": {},
    "one left out": {name: value for name, value in GATES.items() if name != "errors"},
    **{f"{name} without a bound": {**GATES, name: 1 << 40} for name in BOUNDS},
    **{f"{name} at nothing": {**GATES, name: 0} for name in BOUNDS},
}


@pytest.mark.parametrize("gates", NO_GATES.values(), ids=NO_GATES)
def test_a_tenant_who_signs_gates_that_stop_nothing(state: State, acme: Party, gates: dict[str, int]) -> None:
    before, role = state.state, tenant_role("acme")
    signed = sign_tenant("acme", state.state.signed(role), {service_path("acme.shop"): _bent(gates)}, acme.signers, NOW)
    with pytest.raises(VerificationError, match="gate"):
        state.submit({role: signed}, acme.token)
    assert state.state is before


def test_an_origin_that_takes_them_all_the_same_changes_nothing_at_an_edge(
    repository: TenantRepository, mirror: Mirror, acme: Party, tmp_path: Path
) -> None:
    edge, role = mirror.catalogue(tmp_path), tenant_role("acme")
    assert edge.find_service("acme.shop") == RELEASED
    target = _bent({**GATES, "crashes": 1 << 40})
    repository.files[f"2.{role}.json"] = sign_tenant(
        "acme", None, {service_path("acme.shop"): target}, acme.signers, repository.now
    )
    repository.bin_versions[role] = 2
    repository.finish()
    with pytest.raises(VerificationError):
        edge.refresh()
    assert edge.find_service("acme.shop") == RELEASED


def test_a_release_of_another_tenants_service(state: State, mallory: Party) -> None:
    before, role = state.state, tenant_role("mallory")
    for submitter in (mallory.token, OPERATOR):
        with pytest.raises(NameRefused):
            state.submit({role: mallory.file(state.state.signed(role), RELEASED)}, submitter)
    assert state.state is before


def test_a_candidate_with_another_tenants_image_finds_nothing_of_that_tenant() -> None:
    """Images are public by their digests: whoever names one runs it as himself."""
    thief, owner = Service(replace(SHOP, candidate=replace(CANDIDATE, digest=THEIRS))), Service(OWN)
    assert thief.release.candidate is not None
    twin = Trial(thief, thief.release.candidate, 0.0).twin
    assert (twin.tenant, twin.name) == ("acme", "acme.shop")
    assert twin.key == record_key("acme.shop", THEIRS, "acme") != owner.key
    assert twin.slot not in (thief.slot, owner.slot)


def test_a_candidate_that_the_operator_holds_is_not_there_and_the_stable_version_is(
    repository: TenantRepository, mirror: Mirror, tmp_path: Path
) -> None:
    edge = mirror.catalogue(tmp_path)
    assert edge.find_service("acme.shop") == RELEASED
    repository.hold(f"image {NEW}")
    repository.finish()
    assert edge.refresh()
    assert edge.find_service("acme.shop") == replace(RELEASED, candidate=None)
    assert not edge.is_held("service", "acme.shop")


def test_a_candidate_that_the_feed_says_is_held_is_not_there_either(mirror: Mirror, tmp_path: Path) -> None:
    edge = FedCatalogue(tmp_path, mirror.url, mirror.repository.root)
    assert edge.find_service("acme.shop") == RELEASED
    edge.hold_now([f"image {NEW}"], 1)
    assert edge.find_service("acme.shop") == replace(RELEASED, candidate=None)
    edge.hold_now([f"image {STABLE}"], 2)
    assert edge.find_service("acme.shop") is None


def test_a_service_that_is_pinned_runs_that_version_and_no_candidate_whatever_its_tenant_signs(
    repository: TenantRepository, mirror: Mirror, acme: Party, tmp_path: Path
) -> None:
    edge, pin = mirror.catalogue(tmp_path), Pin(THEIRS, 900, 1, SINCE)
    target = holds_target(Holds(pins={"acme.shop": pin}))
    repository.sign_bin(repository.trust.bin_of(HOLDS_PATH), {HOLDS_PATH: target})
    repository.put(acme, replace(RELEASED, version=3, manifest_digest=NEW, candidate=replace(CANDIDATE, digest=STABLE)))
    repository.finish()
    edge.refresh()
    found = edge.find_service("acme.shop")
    assert found is not None
    assert (found.manifest_digest, found.manifest_size, found.candidate) == (THEIRS, 900, None)


def test_a_tenants_file_pins_nothing(state: State, mallory: Party) -> None:
    before, role = state.state, tenant_role("mallory")
    target = holds_target(Holds(pins={"acme.shop": Pin(THEIRS, 900, 1, SINCE)}))
    forged = sign_tenant("mallory", state.state.signed(role), {HOLDS_PATH: target}, mallory.signers, NOW)
    with pytest.raises(VerificationError):
        state.submit({role: forged}, mallory.token)
    assert state.state is before


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"stopped": 7}',
        b'{"stopped": {"No!": {}}}',
        b'{"stopped": {"a": {"release": 1}}}',
        b"[" * 99,
    ],
)
def test_a_damaged_list_of_stops_ends_no_edge(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "releases.json"
    path.write_bytes(data)
    stops = Stops(path)
    assert stops.all() == {}
    stops.add("acme.shop", Stop(CANDIDATE.release, "crashes", 1.5, "edge"))
    assert Stops(path).of("acme.shop", CANDIDATE.release) == stops.of("acme.shop", CANDIDATE.release) is not None
    assert Stops(path).of("acme.shop", replace(CANDIDATE, since="2026-11-28T00:00:00Z").release) is None
