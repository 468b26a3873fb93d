"""What was changed at an origin has a line that says by whom and when, before it counts; without a line it does not."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from origin.keys import load_signer, load_top, new_signer
from origin.model import tokens as token_file
from origin.model.exchange import TIMESTAMP_FILE
from origin.model.tokens import TOKENS_FILE, Tokens
from origin.publish import fleet_settings, names
from origin.publish.audit import read_audit
from origin.publish.client import carry_out
from origin.publish.publish import publish, rollback
from origin.publish.renew import Plan, needed, renew
from origin.publish.tenants import Operator
from origin.registry.audit import ANSWER_BYTES, FileAudit
from origin.registry.names import Submitter
from origin.registry.store import Store
from tests.support.failing import Failing
from tests.support.synthetic import NOW, TOKEN, Keys, publication, running_origin
from vmimage.errors import OriginError, PublisherError
from vmimage.release import ALL

ONE, TWO = publication("shop", "shop.example"), publication("shop", "shop.example", content=b"new")
OPERATOR = Submitter(operator=True)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def lines(store: Store, *what: str) -> list[dict[str, Any]]:
    """Those of these kinds."""
    found = [json.loads(line) for line in store.audit_path.read_text().splitlines()]
    return [line for line in found if line["what"] in what]


CHANGES = ("publish", "rollback", "hosts", "withdraw", "tenant")


def test_every_change_of_a_service_has_a_line(store: Store, keys: Keys) -> None:
    tokens = Tokens(keys.folder / TOKENS_FILE)
    with running_origin(store, keys, tokens=tokens) as url:
        made, alice = token_file.add(keys.folder / TOKENS_FILE, "tenant", "alice", datetime.now(UTC))
        with_keys = keys.trust, keys.publisher, NOW
        mine = replace(publication("hers", "hers.example"), tenant="alice")
        carry_out(publish([mine], *with_keys), url=url, token=alice)
        for exchange in (
            publish([ONE], *with_keys),
            publish([TWO], *with_keys),
            rollback("shop", None, *with_keys),
            names.add_hosts("shop", ["more.example"], *with_keys),
            names.withdraw("shop", *with_keys),
            publish([replace(ONE, tenant="acme")], *with_keys),
            publish([replace(ONE, tenant="other")], *with_keys),
        ):
            carry_out(exchange, url=url, token=TOKEN)
        with pytest.raises(PublisherError):
            carry_out(publish([replace(mine, tenant="bob")], *with_keys), url=url, token=alice)
        hers = carry_out(read_audit("hers"), url=url, token=alice)
        with pytest.raises(PublisherError, match="a service of tenant alice"):
            carry_out(read_audit("shop"), url=url, token=alice)
    first, *shop = lines(store, *CHANGES)
    assert json.loads(hers) == first
    assert first["who"] == {"tenant": "alice", "token": made.id}
    assert first["key"] == [keys.publisher.public_key.keyid]
    assert (first["service"], first["old"], first["new"]["version"]) == ("hers", None, 1)
    said = ["publish", "publish", "rollback", "hosts", "withdraw", "publish", "tenant"]
    assert [line["what"] for line in shop] == said
    assert [line["new"]["version"] for line in shop] == [1, 2, 3, 4, 5, 6, 7]
    assert [line["old"] for line in shop[1:]] == [line["new"] for line in shop[:-1]]
    assert {json.dumps(line["who"]) for line in shop} == {'{"operator": true}'}
    assert shop[3]["new"]["hosts"] == ["shop.example", "more.example"]
    assert shop[4]["new"]["withdrawn"]
    assert [datetime.fromisoformat(line["at"]) for line in shop] == sorted(
        datetime.fromisoformat(line["at"]) for line in shop
    )
    assert store.audit_path.stat().st_mode & 0o777 == 0o600


def test_keys_manifests_and_tags_have_lines_too(store: Store, keys: Keys) -> None:
    with running_origin(store, keys) as url:
        carry_out(publish([ONE], keys.trust, keys.publisher, NOW), url=url, token=TOKEN)
        pushed = {line["manifest"] for line in lines(store, "push")}
        assert pushed == {bundle.manifest.digest for bundle in ONE.images}
        new = {"publisher": new_signer(keys.folder, "publisher")}
        plan = Plan.of(
            needed(new), {"targets": [load_signer(keys.folder, "targets")]}, load_signer(keys.folder, "publisher"), new
        )
        carry_out(renew(plan, *load_top(keys.folder), NOW), url=url, token=TOKEN)
    assert [(line["role"], line["old"], line["new"]) for line in lines(store, "renew")] == [
        ("targets", {"version": 1}, {"version": 2})
    ]
    assert [line["bins"] for line in lines(store, "sign")] == [2]
    assert len(lines(store, *CHANGES)) == 1


SETTINGS = {"max_body": "1MiB"}


def test_every_step_of_fleet_settings_has_a_line(store: Store, keys: Keys) -> None:
    by = Operator(keys.trust, keys.publisher, NOW)
    steps = (
        fleet_settings.start(by, SETTINGS, fleet_settings.Plan(500, ("ams", "fra"))),
        fleet_settings.widen(by, ALL, ()),
        fleet_settings.finish(by),
        fleet_settings.start(by, {"max_queue": "5"}, fleet_settings.Plan(100)),
        fleet_settings.back(by),
        fleet_settings.back(by),  # changes nothing
    )
    tokens = Tokens(keys.folder / TOKENS_FILE)
    with running_origin(store, keys, tokens=tokens) as url:
        made, own = token_file.add(keys.folder / TOKENS_FILE, "operator", "alice", datetime.now(UTC))
        for number, step in enumerate(steps):
            carry_out(step, url=url, token=own if number == 0 else TOKEN)
    first, *others = lines(store, "holds")
    assert first["who"] == {"operator": True, "token": made.id}
    assert {json.dumps(line["who"]) for line in others} == {'{"operator": true}'}
    assert {tuple(line["key"]) for line in (first, *others)} == {(keys.publisher.public_key.keyid,)}
    stable = [f"settings 1: {json.dumps(SETTINGS)}"]
    assert [first["old"], *(line["new"] for line in (first, *others))] == [
        [],
        [f"candidate settings 1 for 5 % in ams fra: {json.dumps(SETTINGS)}"],
        [f"candidate settings 1 for 100 % in all POPs: {json.dumps(SETTINGS)}"],
        stable,
        [*stable, 'candidate settings 2 for 1 % in all POPs: {"max_queue": "5"}'],
        stable,
    ]
    assert [line["old"] for line in others] == [line["new"] for line in (first, *others)][:-1]


def test_without_a_line_fleet_settings_stay(store: Store, keys: Keys) -> None:
    by = Operator(keys.trust, keys.publisher, NOW)
    with running_origin(store, keys) as url:
        carry_out(fleet_settings.start(by, SETTINGS, fleet_settings.Plan(ALL)), url=url, token=TOKEN)
        before = store.read_metadata(TIMESTAMP_FILE)
        store.audit_path.unlink()
        store.audit_path.mkdir()  # as little to be written to as a full disk
        with pytest.raises(OriginError, match="store: "):
            carry_out(fleet_settings.finish(by), url=url, token=TOKEN)
        assert store.read_metadata(TIMESTAMP_FILE) == before
        said = carry_out(fleet_settings.present(keys.trust), url=url, token=TOKEN)
        assert said.candidate is not None


def test_without_a_line_nothing_is_changed(store: Store, keys: Keys) -> None:
    with running_origin(store, keys) as url:
        carry_out(publish([ONE], keys.trust, keys.publisher, NOW), url=url, token=TOKEN)
        before = store.read_metadata(TIMESTAMP_FILE)
        written = store.audit_path.read_bytes()
        store.audit_path.unlink()
        store.audit_path.mkdir()  # as little to be written to as a full disk
        with pytest.raises(OriginError, match="store: "):
            carry_out(names.withdraw("shop", keys.trust, keys.publisher, NOW), url=url, token=TOKEN)
        assert store.read_metadata(TIMESTAMP_FILE) == before
        store.audit_path.rmdir()
        store.audit_path.write_bytes(written)
        carry_out(names.withdraw("shop", keys.trust, keys.publisher, NOW), url=url, token=TOKEN)
    assert [line["what"] for line in lines(store, *CHANGES)] == ["publish", "withdraw"]


def test_a_change_that_fails_after_its_line_has_another(store: Store, keys: Keys) -> None:
    with running_origin(store, keys) as url:
        carry_out(publish([ONE], keys.trust, keys.publisher, NOW), url=url, token=TOKEN)
        whole = store.blobs
        store.blobs = Failing(whole, 3, OSError(28, "No space left on device"))
        with pytest.raises(OriginError, match="507"):
            carry_out(names.withdraw("shop", keys.trust, keys.publisher, NOW), url=url, token=TOKEN)
        store.blobs = whole
    first, second = lines(store, "withdraw")
    assert "failed" not in first
    assert "No space left" in second["failed"]


def test_lines_are_appended_all_or_none_and_one_may_move_the_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = FileAudit(path)
    audit.write(OPERATOR, [])
    assert not path.exists()
    assert audit.of_service("a") == b""
    audit.write(OPERATOR, [{"what": "publish", "service": name, "note": "\u001b\n"} for name in ("a", "ab", "a")])
    assert [json.loads(line)["service"] for line in path.read_bytes().splitlines()] == ["a", "ab", "a"]
    path.rename(tmp_path / "audit.1.jsonl")
    audit.write(OPERATOR, [{"what": "publish", "service": "a", "more": {"service": "ab"}}])
    assert len(path.read_bytes().splitlines()) == 1
    assert audit.of_service("ab") == b"", "another's line, which has that name in it"
    assert len(audit.of_service("a").splitlines()) == 1


def test_what_is_read_is_bounded(tmp_path: Path) -> None:
    audit = FileAudit(tmp_path / "audit.jsonl")
    audit.write(OPERATOR, [{"service": "a", "number": number, "pad": "x" * 10_000} for number in range(300)])
    found = [json.loads(line)["number"] for line in audit.of_service("a").splitlines()]
    assert found == list(range(found[0], 300))
    assert 90 < len(found) < ANSWER_BYTES / 10_000
