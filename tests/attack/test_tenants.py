"""Can a tenant, a thief of one of its secrets, or a mirror publish what another tenant alone may?"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, TargetFile, Targets

from edge.catalogue.catalogue import Catalogue
from origin.registry.names import NameRefused, Submitter
from tests.attack.repository import Mirror
from tests.attack.tenants import TenantRepository
from tests.support.synthetic import NOW, Keys
from tests.support.tenancy import OPERATOR, Party, State
from vmimage.errors import VerificationError
from vmimage.tenancy import sign_tenant
from vmimage.tenants import grant_target, tenant_role
from vmimage.trust import ServiceRecord, host_path, make_targets, service_path

GOOD, EVIL, NEWER = (f"sha256:{digits * 32}" for digits in ("aa", "ee", "bb"))
SHOP = ServiceRecord("acme.shop", ("shop.example",), GOOD, 1000, 1, "acme")
NEXT = replace(SHOP, version=2, manifest_digest=NEWER)
OWN = ServiceRecord("mallory.own", (), EVIL, 1000, 1, "mallory")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("tenants") / "keys")


@pytest.fixture
def state(keys: Keys, acme: Party, mallory: Party) -> State:
    """acme has a service and a host of its own, mallory a service."""
    state = State(keys)
    state.add(acme, mallory)
    state.grant(acme, host_path("shop.example"))
    state.publish(acme, SHOP)
    state.publish(mallory, OWN)
    return state


# At the origin.

STOLEN: dict[str, ServiceRecord] = {
    "its service": replace(OWN, service="acme.shop", version=2),
    "a name that it would have": replace(OWN, service="acme.new"),
    "its host": replace(OWN, service="mallory.new", hosts=("shop.example",)),
    "a host that nobody has": replace(OWN, service="mallory.new", hosts=("free.example",)),
    "a name of the operator's": replace(OWN, service="front"),
}


@pytest.mark.parametrize("record", STOLEN.values(), ids=STOLEN)
def test_a_tenant_publishes_what_is_another_tenants(state: State, mallory: Party, record: ServiceRecord) -> None:
    before, role = state.state, tenant_role("mallory")
    for submitter in (mallory.token, OPERATOR):
        with pytest.raises(NameRefused):
            state.submit({role: mallory.file(state.state.signed(role), record)}, submitter)
    assert state.state is before
    assert state.record("services/acme.shop") == state.record("hosts/shop.example") == SHOP


def test_a_tenant_says_that_it_is_another(state: State, mallory: Party) -> None:
    before, role = state.state, tenant_role("mallory")
    path = service_path("mallory.new")
    claim = make_targets(replace(OWN, service="mallory.new", owner="acme"), ())[path]
    forged = sign_tenant("mallory", state.state.signed(role), {path: claim}, mallory.signers, NOW)
    with pytest.raises(VerificationError, match="no field that says whose it is"):
        state.submit({role: forged}, mallory.token)
    assert state.state is before


def test_a_tenant_signs_the_file_of_another(state: State, mallory: Party) -> None:
    before, role = state.state, tenant_role("acme")
    forged = mallory.file(state.state.signed(role), NEXT, history={"acme.shop": [GOOD]})
    for submitter in (mallory.token, Submitter("acme"), OPERATOR):  # with its own token, a stolen one, the operator's
        with pytest.raises(VerificationError):
            state.submit({role: forged}, submitter)
    assert state.state is before


def test_a_key_without_a_token_of_the_tenant(state: State, acme: Party, mallory: Party) -> None:
    """What was signed by a stolen key needs a token that may bring it."""
    before, role = state.state, tenant_role("acme")
    forged = acme.file(state.state.signed(role), NEXT, history={"acme.shop": [GOOD]})
    for submitter in (mallory.token, Submitter()):
        with pytest.raises(NameRefused, match="a token of tenant acme"):
            state.submit({role: forged}, submitter)
    assert state.state is before
    state.submit({role: forged}, acme.token)


VERSIONS = {
    "stays": replace(NEXT, version=1),
    "leaps": replace(NEXT, version=3),
}


@pytest.mark.parametrize("record", VERSIONS.values(), ids=VERSIONS)
def test_a_version_of_its_own_that_does_not_go_up_by_one(state: State, acme: Party, record: ServiceRecord) -> None:
    before, role = state.state, tenant_role("acme")
    changed = acme.file(before.signed(role), record, history={"acme.shop": [GOOD]})
    gone = sign_tenant("acme", before.signed(role), {"services/acme.shop": None}, acme.signers, NOW)
    for file, expected in ((changed, "version 2 expected"), (gone, "an entry that stays")):
        with pytest.raises(NameRefused, match=expected):
            state.submit({role: file}, acme.token)
    assert state.state is before


def test_who_has_the_publisher_key_but_no_operators_token(state: State, mallory: Party) -> None:
    """The key signs bins; a grant, a tenant's keys and a tenant's names in a bin need more."""
    before = state.state
    thief = Party("acme")
    grants: dict[str, TargetFile | None] = {
        path: grant_target(path, "mallory")
        for path in ("hosts/shop.example", "services/acme.shop", "hosts/new.example")
    }
    attempts = [
        *(state.bins({path: target}) for path, target in grants.items()),
        state.bins({"hosts/shop.example": None}),
        state.with_keys(thief),
        state.bins(make_targets(replace(SHOP, version=2), (GOOD,))),
        state.bins(make_targets(replace(OWN, service="acme.new"), ())),
        state.bins(make_targets(replace(OWN, service="front", owner="acme"), ())),
        state.bins(make_targets(replace(OWN, service="acme", owner=""), ())),
    ]
    for attempt in attempts:
        for submitter in (mallory.token, Submitter()):
            with pytest.raises(NameRefused):
                state.submit(attempt, submitter)
    assert state.state is before
    for attempt in attempts[-3:]:  # not even the operator puts into a bin what a tenant signs
        with pytest.raises(NameRefused):
            state.submit(attempt)


def test_a_threshold_that_is_not_met(state: State) -> None:
    bank = Party("bank", keys=3, threshold=2)
    state.add(bank)
    before, role = state.state, tenant_role("bank")
    record = ServiceRecord("bank.web", (), GOOD, 1000, 1, "bank")
    for signers in ([], bank.signers[:1], [bank.signers[0]] * 2, [bank.signers[0], CryptoSigner.generate_ed25519()]):
        with pytest.raises(VerificationError):
            state.submit({role: bank.file(None, record, signers=signers)}, bank.token)
    assert state.state is before
    state.submit({role: bank.file(None, record, signers=bank.signers[1:])}, bank.token)
    assert state.record("services/bank.web") == record


def test_a_stolen_key_after_it_was_replaced(state: State, acme: Party) -> None:
    """It signs until it is removed, and nothing from then on; no step leaves the tenant unreadable."""
    role, old = tenant_role("acme"), list(acme.signers)
    new = Party("acme")
    with pytest.raises(NameRefused, match="signed by the keys that it shall have"):
        state.submit(state.with_keys(new))
    new.signers = [*new.signers, *old]
    state.add(new)
    new.signers = new.signers[:1]
    state.submit({role: new.file(state.state.signed(role))}, new.token)
    state.add(new)
    assert state.record("hosts/shop.example") == SHOP
    acme.signers = old
    with pytest.raises(VerificationError):
        state.submit({role: acme.file(state.state.signed(role), NEXT, history={"acme.shop": [GOOD]})}, acme.token)
    state.publish(new, NEXT, history={"acme.shop": [GOOD]})


def test_a_tenant_with_services_is_not_removed(state: State, acme: Party) -> None:
    nobody = Party("acme", keys=0, threshold=0)
    with pytest.raises(NameRefused, match="withdraw it"):
        state.submit(state.with_keys(nobody))
    left = replace(SHOP, version=2, hosts=(), withdrawn="2026-01-31T10:00:00Z")
    state.publish(acme, left, history={"acme.shop": [GOOD]})
    state.submit(state.with_keys(nobody))
    assert state.record("services/acme.shop") is None


# At an edge, whatever the origin or a mirror says.


@pytest.fixture
def repository(acme: Party, mallory: Party) -> TenantRepository:
    repository = TenantRepository()
    repository.add(acme)
    repository.add(mallory)
    repository.grant(acme, "hosts/shop.example")
    repository.put(acme, SHOP)
    repository.put(mallory, OWN)
    repository.finish()
    return repository


@pytest.fixture
def mirror(repository: TenantRepository) -> Iterator[Mirror]:
    with Mirror(repository).running() as running:
        yield running


@pytest.fixture
def victim(mirror: Mirror, tmp_path: Path) -> Catalogue:
    """An edge that knows acme's service."""
    catalogue = mirror.catalogue(tmp_path)
    assert catalogue.find_host("shop.example") == SHOP
    assert catalogue.find_service("mallory.own") == OWN
    return catalogue


def _keeps(victim: Catalogue, mirror: Mirror, tmp_path: Path) -> None:
    """It refuses what the mirror has, and goes on with what it had, also after a restart."""
    with pytest.raises(VerificationError):
        victim.refresh()
    for edge in (victim, mirror.catalogue(tmp_path)):
        assert edge.find_service("acme.shop") == edge.find_host("shop.example") == SHOP


def _forged(repository: TenantRepository, acme: Party, mallory: Party) -> None:
    """With all online keys: acme's file, signed by mallory."""
    repository.put(acme, NEXT, signers=mallory.signers)


def _unsigned(repository: TenantRepository, acme: Party, mallory: Party) -> None:
    repository.put(acme, NEXT, signers=())


def _service_back(repository: TenantRepository, acme: Party, mallory: Party) -> None:
    """With acme's key too: a later file in which the service has an earlier image under the same version."""
    repository.put(acme, replace(SHOP, manifest_digest=EVIL))


def _vanished(repository: TenantRepository, acme: Party, mallory: Party) -> None:
    """The snapshot knows no file of acme's any more."""
    repository.bin_versions[tenant_role("acme")] = 0


def _mixed(repository: TenantRepository, acme: Party, mallory: Party) -> None:
    """mallory's file in the place of acme's."""
    repository.files[f"2.{tenant_role('acme')}.json"] = repository.files[f"1.{tenant_role('mallory')}.json"]
    repository.bin_versions[tenant_role("acme")] = 2


Attack = Callable[[TenantRepository, Party, Party], None]


@pytest.mark.parametrize("attack", [_forged, _unsigned, _service_back, _vanished, _mixed])
def test_a_mirror_with_all_online_keys_forges_a_tenants_file(
    victim: Catalogue,
    mirror: Mirror,
    repository: TenantRepository,
    acme: Party,
    mallory: Party,
    tmp_path: Path,
    attack: Attack,
) -> None:
    attack(repository, acme, mallory)
    repository.finish()
    _keeps(victim, mirror, tmp_path)


def test_a_mirror_that_replays_all_that_was(
    victim: Catalogue, mirror: Mirror, repository: TenantRepository, acme: Party, tmp_path: Path
) -> None:
    repository.put(acme, NEXT)
    repository.finish()
    assert victim.refresh()
    assert victim.find_host("shop.example") == NEXT
    repository.files = dict(repository.past[-2])
    for edge in (victim, mirror.catalogue(tmp_path)):
        with pytest.raises(VerificationError):
            edge.refresh()
        assert edge.find_service("acme.shop") == NEXT


def test_a_tenants_file_names_what_is_another_tenants(
    victim: Catalogue, repository: TenantRepository, mallory: Party
) -> None:
    """A lying origin takes what mallory signs: no edge looks for these names in mallory's file."""
    repository.put(mallory, *(record for record in STOLEN.values() if record.service != "acme.shop"))
    repository.put(mallory, STOLEN["its service"])
    repository.finish()
    assert victim.refresh()
    assert victim.find_service("acme.shop") == victim.find_host("shop.example") == SHOP
    assert victim.find_service("acme.new") is None
    assert victim.find_host("free.example") is None
    assert victim.find_service("front") is None


def test_two_services_of_a_tenant_with_one_host(
    victim: Catalogue, mirror: Mirror, repository: TenantRepository, acme: Party, tmp_path: Path
) -> None:
    repository.put(acme, replace(SHOP, service="acme.other"))
    repository.finish()
    _keeps(victim, mirror, tmp_path)


def test_a_threshold_that_is_not_met_at_an_edge(mirror: Mirror, repository: TenantRepository, tmp_path: Path) -> None:
    bank = Party("bank", keys=3, threshold=2)
    record = ServiceRecord("bank.web", (), GOOD, 1000, 1, "bank")
    repository.add(bank)
    edge = mirror.catalogue(tmp_path)
    found: list[ServiceRecord | None] = []
    signing: list[list[Signer]] = [[bank.signers[0]], [bank.signers[0]] * 2, [bank.signers[0], bank.signers[2]]]
    for signers in signing:
        repository.put(bank, record, signers=signers)
        repository.finish()
        edge.refresh()
        try:
            found.append(edge.find_service("bank.web"))
        except VerificationError:
            found.append(None)
    assert found == [None, None, record]


def test_what_a_key_signed_is_forgotten_when_it_is_removed(
    victim: Catalogue, mirror: Mirror, repository: TenantRepository, acme: Party, tmp_path: Path
) -> None:
    """A thief of acme's key and the online keys makes edges believe absurd versions; a new key takes them back."""
    role = tenant_role("acme")
    fast = Metadata[Targets].from_bytes(acme.file(None, replace(SHOP, version=10**9, manifest_digest=EVIL)))
    fast.signed.version = 10**6
    fast.sign(acme.signers[0])
    repository.files[f"{10**6}.{role}.json"] = fast.to_bytes()
    honest = repository.bin_versions[role]
    repository.bin_versions[role] = 10**6
    repository.finish()
    assert victim.refresh()
    found = victim.find_service("acme.shop")
    assert found is not None
    assert found.version == 10**9
    repository.bin_versions[role] = honest
    repository.rotate("snapshot", "timestamp")
    acme.signers = [CryptoSigner.generate_ed25519()]
    repository.add(acme)
    repository.put(acme, NEXT)
    repository.restart_online(repository.snapshot_version, repository.timestamp_version)
    assert victim.refresh()
    assert victim.find_service("acme.shop") == victim.find_host("shop.example") == NEXT
    assert mirror.catalogue(tmp_path).find_service("acme.shop") == NEXT


def test_a_tenant_that_the_operator_removes_is_gone(
    victim: Catalogue, repository: TenantRepository, acme: Party
) -> None:
    repository.add(Party("acme", keys=0, threshold=0))
    repository.finish()
    assert victim.refresh()
    assert victim.find_service("acme.shop") is None
    assert victim.find_host("shop.example") is None
    assert victim.find_service("mallory.own") == OWN
