"""Do tenants publish with keys of their own, and do look-ups stay cheap however many there are?"""

import errno
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations
from typer.testing import CliRunner

from edge.catalogue.catalogue import Catalogue
from origin.commands.proving import find
from origin.keys import replace_private
from origin.model import tenant_keys
from origin.model.tenant_keys import CARD_FILE, Card, generate, load_card, load_signers, parse_card
from origin.model.tokens import TOKENS_FILE, Tokens
from origin.publish.proof import HTTP_PATH, proof, proves
from origin.registry.names import NameRefused
from origin.registry.prune import Rules, kept_images
from origin.registry.store import Store
from tests.attack.repository import Mirror
from tests.attack.tenants import TenantRepository
from tests.support.command_line import APP, Desk
from tests.support.synthetic import BASE, NOW, TOKEN, Keys, image, running_origin
from tests.support.tenancy import Party, State
from vmimage.archive import pack_archive
from vmimage.errors import NunatakError, OperatorError, PublisherError, VerificationError
from vmimage.renewal import WARN_BEFORE
from vmimage.tenants import PATHS, check_delegations, grant_target, holder, is_tenant_name, tenant_of, tenant_role
from vmimage.trust import ServiceRecord, host_path, make_targets, parse_entry, service_path

A, B = (f"sha256:{digits * 32}" for digits in ("aa", "bb"))
SHOP = ServiceRecord("acme.shop", ("shop.example",), A, 1000, 1, "acme")
BANK = ServiceRecord("bank", ("bank.example", "www.bank.example"), A, 1000, 1, "acme")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("tenants") / "keys")


# Names.


@pytest.mark.parametrize("name", ["", "a.b", "A", "-a", "a-", "a/b", "../x", "a" * 64, "a\n"])
def test_names_that_no_tenant_with_keys_has(name: str) -> None:
    assert not is_tenant_name(name)
    assert tenant_of(tenant_role(name)) is None


@pytest.mark.parametrize("role", ["root", "targets", "bin-00", "tenant", "tenant-", "tenant-a.b", "Tenant-a"])
def test_roles_that_are_no_tenants(role: str) -> None:
    assert tenant_of(role) is None


def test_whose_a_name_is() -> None:
    grant = parse_entry("services/shop", grant_target("services/shop", "acme"))
    assert holder("services/shop", grant) == "acme"
    assert holder("services/shop", None) is None
    assert holder("services/acme.shop", None) == "acme"
    assert holder("services/acme.shop", SHOP) is None, "the operator's own of that name stays"
    assert holder("hosts/acme.shop", None) is None, "a host is nobody's by its name"


@pytest.mark.parametrize("path", ["services/A", "services/", "hosts/a..b", "tenants/acme", "other"])
def test_grants_of_what_is_no_name(path: str) -> None:
    with pytest.raises(VerificationError):
        parse_entry(path, grant_target(path, "acme"))


@pytest.mark.parametrize("tenant", ["", "a.b", 5, None, ["acme"]])
def test_grants_to_what_is_no_tenant(tenant: object) -> None:
    target = grant_target("services/a", "acme")
    target.unrecognized_fields["custom"] = {"tenant": tenant}
    with pytest.raises(VerificationError):
        parse_entry("services/a", target)


def _delegations(party: Party, **role: object) -> Delegations:
    fields = {"name": "tenant-acme", "keyids": [k.keyid for k in party.card.keys], "threshold": 1, "terminating": True}
    made = DelegatedRole(**{**fields, "paths": list(PATHS), **role})  # type: ignore[arg-type]
    return Delegations({key.keyid: key for key in party.card.keys}, {made.name: made})


@pytest.mark.parametrize(
    "role",
    [
        {"name": "bin-00"},
        {"name": "tenant-a.b"},
        {"name": "tenant-other"},
        {"paths": ["*"]},
        {"paths": None, "path_hash_prefixes": ["00"]},
        {"terminating": False},
        {"threshold": 2},
        {"keyids": ["00"]},
    ],
    ids=str,
)
def test_delegations_that_a_bin_may_not_have(role: dict[str, object]) -> None:
    acme = Party("acme")
    check_delegations(_delegations(acme), lambda path: path == "tenants/acme")
    with pytest.raises(VerificationError):
        check_delegations(_delegations(acme, **role), lambda path: path == "tenants/acme")


# Cards, and proofs.


def test_a_folder_and_its_card(tmp_path: Path, keys: Keys) -> None:
    made = generate(tmp_path / "acme", "acme", 3, 2, keys.folder)
    assert (
        load_card(tmp_path / "acme") == load_card(tmp_path / "acme" / CARD_FILE) == parse_card(made.to_bytes()) == made
    )
    name, signers = load_signers(tmp_path / "acme")
    assert (name, {s.public_key.keyid for s in signers}) == ("acme", {key.keyid for key in made.keys})
    assert (tmp_path / "acme" / "tenant.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(OperatorError, match="which has some"):
        generate(tmp_path / "acme", "acme", 1, 1, None)


def test_a_folder_without_what_the_operator_hands_out_makes_no_keys(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"--trust: a file of the origin's operator expected at .*root\.json"):
        generate(tmp_path / "acme", "acme", 1, 1, tmp_path)
    assert not (tmp_path / "acme").exists()


def test_a_folder_is_made_whole_or_not_at_all(tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is interrupted runs it again: without a card the keys would be in its way, and are nobody's."""

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(tenant_keys, "replace_file", full)
        with pytest.raises(OperatorError, match="cannot be written"):
            generate(tmp_path / "all" / "acme", "acme", 2, 1, keys.folder)
    assert list((tmp_path / "all").iterdir()) == []
    made = generate(tmp_path / "all" / "acme", "acme", 2, 1, keys.folder)
    assert load_card(tmp_path / "all" / "acme") == made
    assert (tmp_path / "all" / "acme").stat().st_mode & 0o777 == 0o700


def test_a_card_cannot_name_another_key_as_its_own() -> None:
    """Identifiers follow from the keys: the delegations of a bin share one table of them."""
    victim, thief = Party("victim"), Party("thief")
    said = json.loads(thief.card.to_bytes())
    assert "keyid" not in json.dumps(said)
    assert {key.keyid for key in parse_card(json.dumps(said).encode()).keys}.isdisjoint(
        k.keyid for k in victim.card.keys
    )


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "a.b"},
        {"tenant": 5},
        {"threshold": 0},
        {"threshold": 2},
        {"threshold": True},
        {"keys": []},
        {"keys": ["x"]},
        {"keys": 5},
        {"more": 1},
    ],
    ids=str,
)
def test_cards_that_are_refused(change: dict[str, object]) -> None:
    said = {**json.loads(Party("acme").card.to_bytes()), **change}
    with pytest.raises(OperatorError, match="the card of a tenant"):
        parse_card(json.dumps(said).encode())


def test_a_proof_is_good_for_one_tenant_one_key_and_one_host() -> None:
    word = proof("acme", "key", "shop.example")
    assert proves(["other", f" {word} "], "acme", ["old", "key"], "shop.example")
    for tenant, keyids, host in (
        ("mallory", ["key"], "shop.example"),
        ("acme", ["other"], "shop.example"),
        ("acme", ["key"], "www.shop.example"),
    ):
        assert not proves([word], tenant, keyids, host)
    assert not proves([], "acme", ["key"], "shop.example")


# What an origin's state says.


def test_a_service_that_changes_hands(keys: Keys) -> None:
    """The operator's become a tenant's by one submission that both have signed, as their next version."""
    state, acme = State(keys), Party("acme")
    state.submit(state.bins(make_targets(BANK, ())))
    state.add(acme)
    moved = replace(BANK, version=2)
    names = [service_path("bank"), *map(host_path, BANK.hosts)]
    bins = state.bins({path: grant_target(path, "acme") for path in names})
    file = {tenant_role("acme"): acme.file(None, moved, history={"bank": [A]})}
    for part in (bins, {**bins, **{role: acme.file(None, BANK) for role in file}}, file):
        with pytest.raises(NameRefused):
            state.submit(part)
    with pytest.raises(NameRefused):
        state.submit({**bins, **file}, acme.token)
    state.submit({**bins, **file})
    assert [state.record(path) for path in names] == [moved] * 3
    assert state.state.book().history("bank") == (A,)
    with pytest.raises(NameRefused):
        state.submit(state.bins(make_targets(replace(BANK, version=3), (A, A))))
    state.publish(acme, replace(moved, version=3, manifest_digest=B), history={"bank": [A, A]})
    assert state.record("hosts/bank.example") == replace(moved, version=3, manifest_digest=B)


def test_a_host_that_the_operator_takes_away(keys: Keys) -> None:
    state, acme, other = State(keys), Party("acme"), Party("other")
    state.add(acme, other)
    state.grant(acme, host_path("shop.example"))
    state.publish(acme, SHOP)
    state.grant(other, host_path("shop.example"))
    assert state.record("hosts/shop.example") is None
    assert state.record("services/acme.shop") == SHOP
    with pytest.raises(NameRefused, match="which lists the host"):
        state.publish(acme, replace(SHOP, version=2), history={"acme.shop": [A]})
    state.publish(acme, replace(SHOP, version=2, hosts=()), history={"acme.shop": [A]})
    theirs = ServiceRecord("other.web", ("shop.example",), B, 1000, 1, "other")
    state.publish(other, theirs)
    assert state.record("hosts/shop.example") == theirs


@pytest.mark.parametrize("next_owner", ["a tenant with keys", "the operator"])
def test_a_tenant_goes_on_after_its_host_is_anothers(keys: Keys, next_owner: str) -> None:
    """Whoever has it by now: the tenant strikes it out of its file by its own token, and takes nothing with that."""
    state, acme, other = State(keys), Party("acme"), Party("other")
    state.add(acme, other)
    state.grant(acme, host_path("shop.example"))
    state.publish(acme, SHOP)
    theirs = ServiceRecord("front", ("shop.example",), B, 1000, 1)
    if next_owner == "the operator":
        state.submit(state.bins({host_path("shop.example"): None}))
        state.submit(state.bins(make_targets(theirs, ())))
    else:
        theirs = replace(theirs, service="other.web", owner="other")
        state.grant(other, host_path("shop.example"))
        state.publish(other, theirs)
    with pytest.raises(NameRefused, match="which lists the host"):
        state.publish(acme, replace(SHOP, version=2), history={"acme.shop": [A]})
    state.publish(acme, replace(SHOP, version=2, hosts=()), history={"acme.shop": [A]})
    assert state.record("hosts/shop.example") == theirs
    with pytest.raises(NameRefused, match="which lists the host"):
        state.publish(acme, replace(SHOP, version=3), history={"acme.shop": [A, A]})


def test_images_of_tenants_stay_at_the_origin(keys: Keys) -> None:
    state, acme = State(keys), Party("acme")
    state.add(acme)
    state.grant(acme, host_path("shop.example"))
    state.publish(acme, SHOP)
    state.publish(acme, replace(SHOP, version=2, manifest_digest=B), history={"acme.shop": [A]})
    assert kept_images(state.state.all_signed(), Rules(), NOW) == {A, B}


# What a look-up costs an edge.


@pytest.fixture
def repository() -> TenantRepository:
    return TenantRepository()


@pytest.fixture
def mirror(repository: TenantRepository) -> Iterator[Mirror]:
    with Mirror(repository).running() as running:
        yield running


def test_a_look_up_reads_three_files_however_many_tenants_there_are(
    repository: TenantRepository, mirror: Mirror, tmp_path: Path
) -> None:
    parties = [Party(f"t{number}") for number in range(20)]
    for party in parties:
        repository.add(party)
        repository.grant(party, f"hosts/{party.name}.example")
        repository.put(party, ServiceRecord(f"{party.name}.a", (f"{party.name}.example",), A, 1000, 1, party.name))
    repository.finish()
    edge = mirror.catalogue(tmp_path)
    edge.refresh()
    mirror.asked()
    assert edge.find_host("t7.example") is not None
    bins = {repository.trust.bin_of(path) for path in ("hosts/t7.example", "tenants/t7")}
    assert {name.partition(".")[2] for name in mirror.asked()} == {f"{role}.json" for role in (*bins, "tenant-t7")}
    assert edge.find_service("t7.a") == edge.find_host("t7.example")
    assert edge.find_service("t7.b") is None
    assert len(mirror.asked()) <= 1, "the bin of the name, in which the operator may have it"
    edge.refresh()
    assert mirror.requests == [("timestamp.json", True, 304)]
    mirror.asked()
    restarted = mirror.catalogue(tmp_path)
    assert restarted.find_host("t7.example") is not None
    assert mirror.asked() == []


def test_a_file_is_fetched_again_only_where_it_changed(
    repository: TenantRepository, mirror: Mirror, tmp_path: Path
) -> None:
    acme, other = Party("acme"), Party("other")
    for party in (acme, other):
        repository.add(party)
        repository.put(party, ServiceRecord(f"{party.name}.a", (), A, 1000, 1, party.name))
    repository.finish()
    edge = mirror.catalogue(tmp_path)
    for name in ("acme.a", "other.a"):
        edge.find_service(name)
    mirror.asked()
    changed = ServiceRecord("acme.a", (), B, 1000, 2, "acme")
    repository.put(acme, changed)
    repository.finish()
    assert edge.refresh()
    assert [
        name for name in mirror.asked() if name.partition(".")[2] not in ("snapshot.json", "root.json", "json")
    ] == ["2.tenant-acme.json"]
    assert edge.find_service("acme.a") == changed


def test_a_tenants_file_that_ends_is_told_of(repository: TenantRepository, mirror: Mirror, tmp_path: Path) -> None:
    acme = Party("acme")
    repository.add(acme)
    repository.now -= timedelta(days=365) - WARN_BEFORE / 2
    repository.put(acme, ServiceRecord("acme.a", (), A, 1000, 1, "acme"))
    repository.now = NOW
    repository.finish()
    edge: Catalogue = mirror.catalogue(tmp_path)
    edge.find_service("acme.a")
    known = edge.expiries()
    assert known["tenants"] < min(known["bins"], known["targets"])
    repository.now -= timedelta(days=366)
    repository.put(acme, ServiceRecord("acme.a", (), B, 1000, 2, "acme"))
    repository.now = NOW
    front = replace(BANK, owner="")
    repository.publish(front)
    assert edge.refresh(), "what has ended of one tenant holds up nobody else"
    assert edge.find_service("bank") == front
    assert edge.find_service("acme.a") == ServiceRecord("acme.a", (), A, 1000, 1, "acme")
    with pytest.raises(VerificationError, match="has not expired"):
        mirror.catalogue(tmp_path / "new").find_service("acme.a")
    repository.put(acme, ServiceRecord("acme.a", (), B, 1000, 3, "acme"))
    repository.finish()
    assert edge.refresh()
    assert edge.find_service("acme.a") == ServiceRecord("acme.a", (), B, 1000, 3, "acme")


def test_a_tenants_file_that_has_ended_when_its_key_is_taken_away(
    repository: TenantRepository, mirror: Mirror, tmp_path: Path
) -> None:
    """What the old key has signed is not kept in its place, also where the file ended before it was known."""
    old, acme = Party("acme"), Party("acme")
    records = [ServiceRecord("acme.a", (), digest, 1000, version, "acme") for digest, version in ((A, 1), (B, 2))]
    repository.add(old)
    repository.put(old, records[0])
    repository.finish()
    edge: Catalogue = mirror.catalogue(tmp_path)
    assert edge.find_service("acme.a") == records[0]
    repository.now -= timedelta(days=366)
    repository.put(old, records[1])
    repository.now = NOW
    repository.finish()
    assert edge.refresh()
    assert edge.find_service("acme.a") == records[0]
    repository.now -= timedelta(days=366)
    repository.put(acme, records[1])
    repository.now = NOW
    repository.add(acme)
    repository.finish()
    assert edge.refresh()
    with pytest.raises(VerificationError, match="has not expired"):
        edge.find_service("acme.a")


# The commands, against an origin.


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    keys = Keys(tmp_path / "keys")
    replace_private(keys.folder / "token", TOKEN.encode())
    store = Store(tmp_path / "store")
    with running_origin(store, keys, tokens=Tokens(keys.folder / TOKENS_FILE)) as url:
        yield Desk(url, keys, tmp_path)
    store.close()


def test_a_tenant_from_card_to_service(desk: Desk) -> None:
    acme, mallory = desk.tenant("acme"), desk.tenant("mallory")
    with pytest.raises(PublisherError, match="ask its operator to add it"):
        desk.publish(acme, "acme.shop")
    for folder in (acme, mallory):
        desk.run("tenant", "add", str(folder / CARD_FILE))
    with pytest.raises(PublisherError, match="which the operator has not given to it"):
        desk.publish(acme, "acme.shop", "shop.example")
    desk.run("tenant", "grant", "acme", "--host", "shop.example", "--service", "shop", "--proof", "none")
    assert "acme.shop version 1" in desk.publish(acme, "acme.shop", "shop.example")
    desk.publish(acme, "shop")
    for service, hosts in (("shop", ()), ("acme.shop", ()), ("mallory.a", ("shop.example",)), ("front", ())):
        with pytest.raises(PublisherError):
            desk.publish(mallory, service, *hosts)
    with pytest.raises(PublisherError, match="publishes with keys of its own"):
        desk.publish(desk.keys.folder, "acme.shop")
    desk.publish(desk.keys.folder, "front", "front.example")
    desk.run("hosts", "remove", "acme.shop", "shop.example", keys=acme)
    desk.run("hosts", "add", "acme.shop", "shop.example", keys=acme)
    desk.run("rename", "shop", "acme.store", keys=acme)
    desk.publish(acme, "acme.shop", content=b"2")
    desk.run("rollback", "--service", "acme.shop", keys=acme)
    desk.run("withdraw", "acme.store", keys=acme)
    assert desk.known() == {"acme.shop": ("acme", 5, "shop.example"), "front": ("front", 1, "front.example")}
    with pytest.raises(PublisherError, match=r"^host shop\.example: a free name expected"):
        desk.run("tenant", "grant", "mallory", "--host", "shop.example", "--proof", "none")
    said = desk.run("tenant", "list")
    assert said.index("acme: 1 of 1 keys") < said.index("  host shop.example") < said.index("mallory: 1 of 1 keys")
    desk.run("tenant", "revoke", "--host", "shop.example")
    for option, name in (("--host", "shop.example"), ("--service", "nobody")):
        with pytest.raises(PublisherError, match=f"^{option[2:]} {name}: a name that a tenant was given expected"):
            desk.run("tenant", "revoke", option, name)
    desk.run("tenant", "remove", "mallory")
    assert "mallory" not in desk.run("tenant", "list")


def test_who_is_called_as_a_tenant_was_has_nothing_of_it(desk: Desk) -> None:
    acme = desk.tenant("acme")
    desk.run("tenant", "add", str(acme / CARD_FILE))
    desk.run("tenant", "grant", "acme", "--host", "shop.example", "--service", "shop", "--proof", "none")
    desk.run("tenant", "remove", "acme")
    acme.rename(desk.folder / "before")
    later = desk.tenant("acme")
    desk.run("tenant", "add", str(later / CARD_FILE))
    assert "shop" not in desk.run("tenant", "list")
    with pytest.raises(PublisherError, match="which the operator has not given to it"):
        desk.publish(later, "acme.shop", "shop.example")
    desk.publish(desk.keys.folder, "shop", "shop.example")


def test_what_a_removed_tenant_has_published_under_stays(desk: Desk) -> None:
    acme = desk.tenant("acme")
    desk.run("tenant", "add", str(acme / CARD_FILE))
    desk.run("tenant", "grant", "acme", "--host", "shop.example", "--service", "shop", "--proof", "none")
    desk.publish(acme, "shop", "shop.example")
    with pytest.raises(PublisherError, match="not withdrawn"):
        desk.run("tenant", "remove", "acme")
    desk.run("withdraw", "shop", keys=acme)
    desk.run("tenant", "remove", "acme")
    with pytest.raises(PublisherError, match="a name of the operator's own expected"):
        desk.publish(desk.keys.folder, "shop")
    desk.publish(desk.keys.folder, "front", "shop.example")


@pytest.mark.parametrize("host", ["", ".", "b\u00fccher.example", "shop.example:80", "*.shop.example", "a/../b", "a@b"])
def test_a_host_that_no_catalogue_holds_is_refused_before_it_is_asked(desk: Desk, host: str) -> None:
    for words in (("grant", "acme", "--host"), ("revoke", "--host")):
        with pytest.raises(PublisherError, match="with xn--"):
            desk.run("tenant", *words, host)


def test_two_of_three_keys_of_a_tenant(desk: Desk) -> None:
    bank = desk.tenant("bank", "--signers", "3", "--threshold", "2")
    desk.run("tenant", "add", str(bank / CARD_FILE))
    for name in ("tenant-2.key", "tenant-3.key"):
        (bank / name).rename(bank / f"away-{name}")
    with pytest.raises(PublisherError, match=r"2 of the keys .* expected, got 1"):
        desk.publish(bank, "bank.web")
    (bank / "away-tenant-3.key").rename(bank / "tenant-3.key")
    desk.publish(bank, "bank.web")
    assert desk.known() == {"bank.web": ("bank", 1, "")}


def test_the_key_of_a_tenant_is_replaced(desk: Desk) -> None:
    acme = desk.tenant("acme")
    desk.run("tenant", "add", str(acme / CARD_FILE))
    desk.publish(acme, "acme.shop")
    new = desk.tenant("acme2").rename(desk.folder / "new")
    card = Card("acme", load_card(new).keys)
    (new / CARD_FILE).write_bytes(card.to_bytes())
    with pytest.raises(PublisherError, match="signed by the keys that it shall have"):
        desk.run("tenant", "rekey", str(new / CARD_FILE), "--only")
    desk.run("tenant", "rekey", str(new / CARD_FILE))
    desk.run("tenant", "renew", "--token-file", str(acme / "token"), keys=new)
    desk.run("tenant", "rekey", str(new / CARD_FILE), "--only")
    with pytest.raises(PublisherError, match="1 of the keys that the operator has noted expected, got 0"):
        desk.publish(acme, "acme.shop", content=b"stolen")


def test_a_store_of_one_publisher_key_is_migrated(desk: Desk) -> None:
    """As it is made without tenants: one key signs all, and whose a service is, its entry claims."""
    desk.publish(desk.keys.folder, "bank", "bank.example", "www.bank.example")
    desk.run("withdraw", "bank")
    desk.publish(desk.keys.folder, "bank", "bank.example")
    desk.publish(desk.keys.folder, "my.shop", "my.example")
    for service in ("web", "api"):
        file = desk.folder / f"{service}.tar"
        derived = image("guest", base=BASE.manifest, content=service.encode())
        file.write_bytes(pack_archive([BASE, derived]))
        desk.run("publish", str(file), "--service", service, "--tenant", "acme")
    desk.run("tenant", "migrate", str(desk.folder / "tenants"))
    after = {"api": ("acme", 2, ""), "bank": ("bank", 4, "bank.example"), "web": ("acme", 2, "")}
    assert desk.known() == {**after, "my.shop": ("my.shop", 1, "my.example")}
    desk.run("tenant", "migrate", str(desk.folder / "tenants"))
    desk.run("tenant", "migrate", str(desk.folder / "tenants"), "--tenant", "acme", "--tenant", "bank")
    with pytest.raises(PublisherError, match="a tenant of services that are published"):
        desk.run("tenant", "migrate", str(desk.folder / "tenants"), "--tenant", "nobody")
    noted = [json.loads(line) for line in (desk.folder / "store" / "audit.jsonl").read_text().splitlines()]
    assert [(each["service"], each["new"]["version"]) for each in noted if each["what"] == "tenant"] == [
        ("api", 2),
        ("web", 2),
        ("bank", 4),
    ]
    granted = [each["name"] for each in noted if each["what"] == "grant"]
    assert sorted(granted) == ["hosts/bank.example", "services/api", "services/bank", "services/web"]
    with pytest.raises(PublisherError, match="keys of its own"):
        desk.publish(desk.keys.folder, "web", content=b"2")
    acme = desk.folder / "tenants" / "acme"
    made = CliRunner().invoke(APP, ["token", "add", "--tenant", "acme", "--keys", str(desk.keys.folder)])
    replace_private(acme / "token", made.stdout.encode())
    desk.publish(acme, "web", content=b"2")
    desk.publish(acme, "acme.new")
    known = desk.known()
    assert [known[name] for name in ("web", "acme.new")] == [("acme", 3, ""), ("acme", 1, "")]


@pytest.fixture
def web_server() -> Iterator[Callable[[bytes], str]]:
    """A web server with one file at the place of proofs; the value sets it, and says the host."""
    content = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == HTTP_PATH else 404)
            self.end_headers()
            self.wfile.write(content[0])

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def put(data: bytes) -> str:
        content[0] = data
        return f"127.0.0.1:{server.server_port}"

    yield put
    server.shutdown()
    server.server_close()


def test_a_proof_is_looked_for_on_the_web_server(web_server: Callable[[bytes], str]) -> None:
    host = web_server(b"nothing")
    keyids: Sequence[str] = ["key"]
    assert find(["http"], "acme", keyids, host, None) == ""
    web_server(f"# ours\n{proof('acme', 'key', host)}\n".encode())
    assert find(["http"], "acme", keyids, host, None) == f"http://{host}{HTTP_PATH}"
    assert find(["http"], "mallory", keyids, host, None) == ""
    web_server(b"x" * 5000 + proof("acme", "key", host).encode())
    assert find(["http"], "acme", keyids, host, None) == "", "no more is read than a proof needs"


@pytest.fixture
def name_server() -> Iterator[tuple[tuple[str, int], dict[str, str]]]:
    """A name server for TXT records; the value is its address and port, and the records by name."""
    records: dict[str, str] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, client = server.recvfrom(4096)
                if not data:
                    return
                asked = dns.message.from_wire(data)
                name = asked.question[0].name
                answer = dns.message.make_response(asked)
                if (text := records.get(str(name).rstrip("."))) is not None:
                    answer.answer.append(dns.rrset.from_text(name, 1, "IN", "TXT", f'"{text}"'))
                else:
                    answer.set_rcode(dns.rcode.NXDOMAIN)
                server.sendto(answer.to_wire(), client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname(), records
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", server.getsockname())
        thread.join()


def test_a_proof_is_looked_for_in_dns(name_server: tuple[tuple[str, int], dict[str, str]], desk: Desk) -> None:
    (address, port), records = name_server
    acme = desk.tenant("acme")
    desk.run("tenant", "add", str(acme / CARD_FILE))
    words = ("tenant", "grant", "acme", "--host", "Shop.Example.", "--proof", "dns", "--resolver", f"{address}:{port}")
    with pytest.raises(PublisherError, match="a proof that tenant acme holds shop"):
        desk.run(*words)
    printed = CliRunner().invoke(APP, ["tenant", "proof", "shop.example", "--keys", str(acme)]).stdout
    name, text = printed.split(". TXT ")
    records[name] = text.strip().strip('"')
    desk.run(*words)
    desk.publish(acme, "acme.shop", "shop.example")


def test_without_a_proof_no_host_is_granted(desk: Desk) -> None:
    acme = desk.tenant("acme")
    desk.run("tenant", "add", str(acme / CARD_FILE))
    with pytest.raises(PublisherError, match=r"a proof that tenant acme holds shop\.invalid expected"):
        desk.run("tenant", "grant", "acme", "--host", "shop.invalid", "--proof", "http")
    assert "shop.invalid" not in desk.run("tenant", "list")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("tenant", "grant", "acme"), "--host or --service expected, got neither"),
        (("tenant", "revoke"), "--host or --service expected, got neither"),
        (("tenant", "grant", "acme", "--host", "*.example"), r"a host name without port, path or wildcard expected"),
        (("tenant", "renew"), r"a token expected in .*/token, there is no such file"),
    ],
)
def test_what_is_wrong_with_the_words_is_told_before_the_origin_is_asked(
    words: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    folder, nobody = tmp_path / "acme", ("--origin", "http://127.0.0.1:1")
    generate(folder, "acme", 1, 1, Keys(tmp_path / "operator").folder)
    error = CliRunner().invoke(APP, [*words, "--keys", str(folder), *nobody]).exception
    assert isinstance(error, NunatakError)
    assert re.search(why, str(error))


def test_a_key_that_is_not_the_tenants_signs_nothing(desk: Desk) -> None:
    acme = desk.tenant("acme")
    desk.run("tenant", "add", str(acme / CARD_FILE))
    (acme / "tenant.key").unlink()
    replace_private(acme / "tenant.key", CryptoSigner.generate_ed25519().private_bytes)
    with pytest.raises(PublisherError, match="got 0"):
        desk.publish(acme, "acme.shop")
