"""Can one publisher take another's host, service, version or tenant, with the key and a token that all of them have?"""

import json
import os
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError

import pytest
from tuf.api.metadata import TargetFile, Targets

from origin.model import tokens as token_file
from origin.model.exchange import TIMESTAMP_FILE, refuse_plain_http
from origin.model.tokens import TOKENS_FILE, Tokens
from origin.publish import names as service_names
from origin.publish.client import carry_out
from origin.publish.publish import publish
from origin.registry.logs import Logs
from origin.registry.names import NameRefused, Submitter
from origin.registry.roles import Published, accept, first_roles
from origin.registry.store import Store
from tests.support.synthetic import NOW, TOKEN, Keys, publication, running_origin
from vmimage.errors import OperatorError, PublisherError
from vmimage.trust import ServiceRecord, host_path, make_targets, service_path, sign_bin

Changes = Mapping[str, TargetFile | None]
OURS, THEIRS, NEWER = (f"sha256:{digits * 32}" for digits in ("aa", "ee", "bb"))
BANK = ServiceRecord("bank", ("bank.example", "www.bank.example"), OURS, 1000, 1, "bank-ltd")
SHOP = ServiceRecord("shop", ("shop.example",), OURS, 1000, 1)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("names") / "keys")


class Site:
    """An origin's state, and what signs bins for it."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.state: Published = first_roles(keys.trust, keys.metadata["1.targets.json"], keys.online, NOW)[1]

    def submit(self, *changes: Changes, submitter: Submitter = Submitter()) -> None:  # noqa: B008  # a value
        roles: dict[str, dict[str, TargetFile | None]] = {}
        for path, target in (item for change in changes for item in change.items()):
            roles.setdefault(self.keys.trust.bin_of(path), {})[path] = target
        signed = {role: sign_bin(self._bin(role), change, self.keys.publisher, NOW) for role, change in roles.items()}
        _, self.state = accept(self.state, signed, lambda _: 1000, self.keys.online, NOW, submitter)

    def _bin(self, role: str) -> Targets | None:
        return self.state.signed(role)


@pytest.fixture
def site(keys: Keys) -> Site:
    """Two publishers' services."""
    site = Site(keys)
    site.submit(whole(BANK), whole(SHOP))
    return site


def whole(record: ServiceRecord, *history: str) -> dict[str, TargetFile | None]:
    return {**make_targets(record, history)}


def part(record: ServiceRecord, path: str, *history: str) -> dict[str, TargetFile | None]:
    return {path: whole(record, *history)[path]}


SINCE = "2026-01-31T10:00:00Z"


def gone(record: ServiceRecord, *history: str) -> dict[str, TargetFile | None]:
    """Its withdrawal: `history` is that of the record."""
    left = replace(record, version=record.version + 1, hosts=(), withdrawn=SINCE)
    return {**dict.fromkeys(map(host_path, record.hosts)), **whole(left, *history, record.manifest_digest)}


EVIL = ServiceRecord("evil", ("bank.example",), THEIRS, 1000, 1)
NEXT = replace(BANK, manifest_digest=NEWER, version=2)
LESS = replace(BANK, hosts=("bank.example",), version=2)

REFUSED: dict[str, list[Changes]] = {
    "a host of another service": [whole(EVIL)],
    "its host's entry alone": [part(EVIL, "hosts/bank.example")],
    "its host, with its service's entry as it was": [whole(EVIL), part(BANK, "services/bank")],
    "its host removed": [{host_path("bank.example"): None}],
    "its service removed, its hosts left": [{service_path("bank"): None}],
    "its service removed, with all its hosts": [dict.fromkeys((service_path("bank"), *map(host_path, BANK.hosts)))],
    "its service withdrawn, its hosts left": [part(replace(LESS, hosts=(), withdrawn=SINCE), "services/bank", OURS)],
    "a withdrawal over another image": [
        {**gone(BANK), **whole(replace(NEXT, hosts=(), withdrawn=SINCE), OURS)},
    ],
    "a withdrawal of what never was": [whole(replace(EVIL, hosts=(), withdrawn=SINCE))],
    "its service without a host that stays": [whole(LESS, OURS)],
    "its service's entry alone, with another image": [part(NEXT, "services/bank", OURS)],
    "its host's entry with another image": [part(NEXT, "hosts/bank.example")],
    "a version that stays": [whole(replace(NEXT, version=1), OURS)],
    "a version that leaps": [whole(replace(NEXT, version=9), OURS)],
    "a tenant that changes": [whole(replace(NEXT, owner="evil-ltd"), OURS)],
    "a tenant that is given up": [whole(replace(NEXT, owner=""), OURS)],
    "a history that is forged": [whole(NEXT, THEIRS)],
    "a history that is forgotten": [whole(NEXT)],
    "a new service that is not version 1": [whole(replace(EVIL, hosts=(), version=7))],
    "a new service with a history": [whole(replace(EVIL, hosts=()), OURS)],
    "a host that its service does not list": [
        whole(replace(EVIL, hosts=())),
        part(replace(EVIL, hosts=("evil.example",)), "hosts/evil.example"),
    ],
    "a listed host without an entry": [part(replace(EVIL, hosts=("e.test",)), "services/evil")],
}


@pytest.mark.parametrize("submission", REFUSED.values(), ids=REFUSED)
def test_a_submission_that_is_refused_whole(site: Site, submission: list[Changes]) -> None:
    before = site.state
    with pytest.raises(NameRefused):
        site.submit(*submission)
    with pytest.raises(NameRefused):
        site.submit({**whole(replace(SHOP, version=2, manifest_digest=NEWER), OURS)}, *submission)
    assert site.state is before
    assert record_of(site, "services/bank") == record_of(site, "hosts/bank.example") == BANK


def record_of(site: Site, path: str) -> ServiceRecord | None:
    return site.state.book().record(path)


def test_what_its_owner_may_do(site: Site) -> None:
    site.submit(whole(NEXT, OURS))
    back = replace(BANK, version=3)
    site.submit(whole(back, OURS, NEWER))  # a rollback: an old image as a new version
    assert record_of(site, "hosts/bank.example") == back
    less = replace(back, version=4, hosts=("bank.example",))
    site.submit({**whole(less, OURS, NEWER, OURS), host_path("www.bank.example"): None})
    taken = ServiceRecord("shop", ("shop.example", "www.bank.example"), OURS, 1000, 2)
    site.submit(whole(taken, OURS))  # given up in an earlier submission
    assert record_of(site, "hosts/www.bank.example") == taken
    site.submit(gone(less, OURS, NEWER, OURS))
    left = record_of(site, "services/bank")
    assert left is not None
    assert (left.version, left.withdrawn, left.hosts) == (5, SINCE, ())
    assert record_of(site, "hosts/bank.example") is None
    site.submit(whole(replace(EVIL, hosts=("bank.example",))))
    assert record_of(site, "hosts/bank.example") == EVIL


def test_a_name_that_is_withdrawn_stays_its_tenants_and_its_versions_go_on(site: Site) -> None:
    site.submit(gone(BANK))
    before = site.state
    again = replace(BANK, version=3)
    for submission, why in (
        (whole(replace(again, version=1), OURS, OURS), "version 3 expected, got 1"),
        (whole(replace(again, version=2), OURS, OURS), "version 3 expected, got 2"),
        (whole(replace(again, owner="evil-ltd"), OURS, OURS), "tenant bank-ltd, whose the service is"),
        (whole(again), "the history of what was published"),
        (dict.fromkeys([service_path("bank")]), "an entry that stays"),
    ):
        with pytest.raises(NameRefused, match=why):
            site.submit(submission)
    with pytest.raises(NameRefused, match="an entry of tenant mallory"):
        site.submit(whole(replace(again, owner="mallory"), OURS, OURS), submitter=Submitter("mallory"))
    assert site.state is before
    site.submit(whole(again, OURS, OURS))
    assert record_of(site, "services/bank") == record_of(site, "hosts/bank.example") == again


def test_a_host_changes_hands_in_one_submission_of_both(site: Site) -> None:
    bank = replace(BANK, version=2, hosts=("shop.example",))
    shop = replace(SHOP, version=2, hosts=BANK.hosts)
    site.submit(whole(bank, OURS), whole(shop, OURS))
    assert [record_of(site, path) for path in ("hosts/shop.example", "hosts/bank.example")] == [bank, shop]


def test_history_stays_within_its_length(site: Site) -> None:
    history: list[str] = []
    record = SHOP
    for number in range(12):
        history.append(record.manifest_digest)
        record = replace(record, version=record.version + 1, manifest_digest=f"sha256:{number:064x}")
        site.submit(whole(record, *history[-10:]))
    assert record_of(site, "services/shop") == record


def test_the_operator_alone_moves_a_service_to_another_tenant(site: Site) -> None:
    moved = replace(NEXT, owner="holding")
    with pytest.raises(NameRefused, match="tenant bank-ltd"):
        site.submit(whole(moved, OURS))
    site.submit(whole(moved, OURS), submitter=Submitter(operator=True))
    assert record_of(site, "services/bank") == moved


@pytest.mark.parametrize(
    "submission",
    [
        whole(NEXT, OURS),  # sound, but another's
        gone(BANK),
        whole(replace(EVIL, hosts=())),  # of a tenant of its own name
        whole(replace(EVIL, hosts=(), owner="bank-ltd")),  # joins the bank in its worker
        {**whole(replace(LESS, hosts=("bank.example",)), OURS), host_path("www.bank.example"): None},
    ],
)
def test_a_tenants_token_touches_nothing_of_another(site: Site, submission: Changes) -> None:
    before = site.state
    with pytest.raises(NameRefused, match="an entry of tenant mallory"):
        site.submit(submission, submitter=Submitter("mallory"))
    own = replace(EVIL, service="own", hosts=("own.example",), owner="mallory")
    with pytest.raises(NameRefused, match="an entry of tenant mallory"):
        site.submit(whole(own), submission, submitter=Submitter("mallory"))
    assert site.state is before
    site.submit(whole(own), submitter=Submitter("mallory"))
    assert record_of(site, "hosts/own.example") == own


# The same over HTTP, by the token that is shown.


@pytest.fixture
def tokens(keys: Keys) -> Iterator[Tokens]:
    path = keys.folder / TOKENS_FILE
    path.unlink(missing_ok=True)
    yield Tokens(path)
    path.unlink(missing_ok=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def _make(keys: Keys, use: token_file.For, name: str) -> tuple[str, str]:
    made, text = token_file.add(keys.folder / TOKENS_FILE, use, name, datetime.now(UTC))
    return made.id, text


def _publish(url: str, keys: Keys, token: str, service: str, tenant: str, content: bytes = b"") -> None:
    wanted = replace(publication(service, f"{service}.example", content=content), tenant=tenant)
    carry_out(publish([wanted], keys.trust, keys.publisher, NOW), url=url, token=token)


def test_tokens_of_tenants(store: Store, keys: Keys, tokens: Tokens) -> None:
    with running_origin(store, keys, tokens=tokens) as url:
        _, alice = _make(keys, "tenant", "alice")  # while it runs
        id_, mallory = _make(keys, "tenant", "mallory")
        _publish(url, keys, alice, "hers", "alice")
        _publish(url, keys, TOKEN, "operators", "house")
        before = store.read_metadata(TIMESTAMP_FILE)
        for service, tenant in (("hers", ""), ("hers", "mallory"), ("operators", ""), ("new", "alice"), ("new", "")):
            with pytest.raises(PublisherError, match="status 201 of the origin expected, got 400"):
                _publish(url, keys, mallory, service, tenant, b"other")
        assert store.read_metadata(TIMESTAMP_FILE) == before
        _publish(url, keys, mallory, "new", "mallory")
        token_file.remove(keys.folder / TOKENS_FILE, id_)
        for token in (mallory, f"{mallory} ", alice[:-1], "", f"nk{id_}"):
            with pytest.raises(PublisherError, match="token expected"):
                _publish(url, keys, token, "new", "mallory", b"third")
        _publish(url, keys, alice, "hers", "alice", b"second")


def test_tokens_of_operators(store: Store, keys: Keys, tokens: Tokens) -> None:
    """Each may what the shared one may, is known by its identifier, and is taken away alone; the shared one may go."""
    with running_origin(store, keys, token=None, tokens=tokens) as url:
        id_, alice = _make(keys, "operator", "alice")
        _, bob = _make(keys, "operator", "bob")
        _, tenant = _make(keys, "tenant", "alice")
        _publish(url, keys, alice, "hers", "her-tenant")
        with pytest.raises(PublisherError, match="token expected"):
            _publish(url, keys, TOKEN, "hers", "her-tenant", b"2")
        status, lines = _ask(f"{url}/audit/hers", bob)
        assert (status, json.loads(lines)["who"]) == (200, {"operator": True, "token": id_})
        assert _ask(f"{url}/prune", tenant, b"{}")[0] == 403, "a tenant's, though it is called so"
        assert _ask(f"{url}/logs", alice, b"")[0] != 204
        token_file.remove(keys.folder / TOKENS_FILE, id_)
        with pytest.raises(PublisherError, match="token expected"):
            _publish(url, keys, alice, "hers", "her-tenant", b"2")
        _publish(url, keys, bob, "hers", "other", b"2")


def test_a_tenant_withdraws_and_renames_its_own_alone(store: Store, keys: Keys, tokens: Tokens) -> None:
    with running_origin(store, keys, tokens=tokens) as url:
        _, alice = _make(keys, "tenant", "alice")
        _, mallory = _make(keys, "tenant", "mallory")
        _publish(url, keys, alice, "hers", "alice")
        before = store.read_metadata(TIMESTAMP_FILE)
        with_keys = keys.trust, keys.publisher, NOW
        for exchange in (
            service_names.withdraw("hers", *with_keys),
            service_names.rename("hers", "mine", *with_keys),
            service_names.add_hosts("hers", ["mallory.example"], *with_keys),
        ):
            with pytest.raises(PublisherError, match="an entry of tenant mallory, whose token was shown, expected"):
                carry_out(exchange, url=url, token=mallory)
        assert store.read_metadata(TIMESTAMP_FILE) == before
        carry_out(service_names.rename("hers", "still-hers", *with_keys), url=url, token=alice)
        carry_out(service_names.withdraw("still-hers", *with_keys), url=url, token=alice)
        with pytest.raises(PublisherError, match="an entry of tenant mallory"):
            _publish(url, keys, mallory, "hers", "mallory")
        for path in ("/prune", "/audit/hers"):
            assert _ask(url + path, mallory, b"{}" if path == "/prune" else None)[0] == 403
        assert _ask(f"{url}/audit/hers", alice)[1].count(b"\n") == 2


def _ask(
    url: str, token: str, data: bytes | None = None, method: str | None = None, **headers: str
) -> tuple[int, bytes]:
    shown = {"Authorization": f"Bearer {token}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, shown, method=method), timeout=20) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def test_logs_by_token(store: Store, keys: Keys, tokens: Tokens, tmp_path: Path) -> None:
    logs = Logs(tmp_path / "logs", "the-log-token-of-all", tokens)
    line = b'{"at":1,"log":"","service":"%s","text":"secret"}\n'
    batch = "0" * 16
    with running_origin(store, keys, tokens=tokens, logs=logs) as url:
        _, alice = _make(keys, "tenant", "alice")
        _, mallory = _make(keys, "tenant", "mallory")
        id_, edge = _make(keys, "edge", "fra-1")
        _, other = _make(keys, "edge", "ams-2")
        _publish(url, keys, alice, "hers", "alice")
        assert _ask(f"{url}/logs", "the-log-token-of-all", line % b"hers", Nunatak_Batch=f"{batch}/1")[0] == 204
        assert _ask(f"{url}/logs", edge, line % b"hers", Nunatak_Batch=f"{batch}/1")[0] == 204
        assert _ask(f"{url}/logs", other, line % b"hers", Nunatak_Batch=f"{batch}/999999999999")[0] == 204
        assert _ask(f"{url}/logs", edge, line % b"hers", Nunatak_Batch=f"{batch}/2")[0] == 204, "its own numbers go on"
        assert _ask(f"{url}/logs/hers", alice)[1].count(b"secret") == 4
        assert _ask(f"{url}/logs/hers", TOKEN)[1].count(b"secret") == 4
        for token in (mallory, edge, "the-log-token-of-all", ""):
            status, body = _ask(f"{url}/logs/hers", token)
            assert status == (403 if token == mallory else 401)
            assert b"secret" not in body
        assert _ask(f"{url}/logs/nobody", mallory)[0] == 403
        for token in (alice, TOKEN):
            assert _ask(f"{url}/logs", token, line % b"hers", Nunatak_Batch=f"{batch}/3")[0] == 401
        for path in ("/v2/images/blobs/uploads/", "/tuf/roles"):
            assert _ask(url + path, edge, b"{}")[0] == 401
        token_file.remove(keys.folder / TOKENS_FILE, id_)
        assert _ask(f"{url}/logs", edge, line % b"hers", Nunatak_Batch=f"{batch}/4")[0] == 401


def test_tags_are_the_operators(store: Store, keys: Keys, tokens: Tokens) -> None:
    with running_origin(store, keys, tokens=tokens) as url:
        _, alice = _make(keys, "tenant", "alice")
        _publish(url, keys, alice, "hers", "alice")
        digest = publication("hers").image
        _, manifest = _ask(f"{url}/v2/images/manifests/{digest}", "")
        for token, status in ((alice, 403), (TOKEN, 201)):
            assert _ask(f"{url}/v2/images/manifests/latest", token, manifest, "PUT")[0] == status
            assert store.tagged("latest") == (digest if status == 201 else None)


# At rest, and on the way.


def test_a_token_is_nowhere_but_in_the_hand_of_its_owner(keys: Keys, tokens: Tokens) -> None:
    _, text = _make(keys, "tenant", "alice")
    path = keys.folder / TOKENS_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_text()
    assert text not in content
    assert text.partition(".")[2] not in content
    found = tokens.find("tenant", text)
    assert found is not None
    assert found.name == "alice"
    assert tokens.find("edge", text) is None
    path.chmod(0o644)
    with pytest.raises(OperatorError, match="others may read"):
        Tokens(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"{"),
        lambda path: path.write_text(json.dumps({"version": 2, "tokens": []})),
        lambda path: path.write_text('{"version": 1, "tokens": [{"id": "x"}]}'),
        lambda path: path.chmod(0o604),
    ],
)
def test_a_file_that_is_damaged_while_an_origin_runs(
    keys: Keys, tokens: Tokens, damage: Callable[[Path], object]
) -> None:
    """What was known before holds; a new start is refused in one line."""
    _, text = _make(keys, "tenant", "alice")
    before = tokens.find("tenant", text)
    assert before is not None
    path = keys.folder / TOKENS_FILE
    damage(path)
    os.utime(path, ns=(1, 1))
    assert tokens.find("tenant", text) == before
    with pytest.raises(OperatorError):
        Tokens(path)


@pytest.mark.parametrize("name", ["", "Alice", "a/b", "../x", "a" * 64, "a\n"])
def test_names_that_cannot_be_a_tenants(keys: Keys, tokens: Tokens, name: str) -> None:
    with pytest.raises(OperatorError, match="1 to 63"):
        _make(keys, "tenant", name)
    assert not (keys.folder / TOKENS_FILE).exists()


PLAIN = ["http://origin.example:8700", "http://192.0.2.7", "http://127.0.0.1.example/", "http://[2001:db8::1]"]
GUARDED = [
    "https://origin.example",
    "http://127.0.0.1:8700",
    "http://localhost",
    "http://[::1]:1",
    "http://a.localhost",
]


@pytest.mark.parametrize("url", PLAIN)
def test_a_token_is_not_sent_in_the_clear(keys: Keys, url: str) -> None:
    with pytest.raises(PublisherError, match="everybody on the way"):
        carry_out(publish([publication("a")], keys.trust, keys.publisher, NOW), url=url, token=TOKEN)
    refuse_plain_http(url, True)


@pytest.mark.parametrize("url", GUARDED)
def test_where_a_token_may_go(url: str) -> None:
    refuse_plain_http(url, False)
