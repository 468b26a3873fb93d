"""Whose service is held by its name does not go on under another one."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.main import build_app
from origin.model import tokens as token_file
from origin.model.tokens import TOKENS_FILE, Tokens
from origin.publish import holds, names
from origin.publish.client import Exchange, carry_out
from origin.publish.publish import publish
from origin.publish.tenants import Operator
from origin.registry.store import Store
from tests.support.synthetic import NOW, TOKEN, Keys, publication, running_origin
from vmimage.errors import OriginError, PublisherError

ALICES = replace(publication("shop", "shop.example", "more.example"), tenant="alice")


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys")


@pytest.fixture
def url(tmp_path: Path, keys: Keys) -> Iterator[str]:
    store = Store(tmp_path / "store")
    try:
        with running_origin(store, keys, tokens=Tokens(keys.folder / TOKENS_FILE)) as url:
            yield url
    finally:
        store.close()


@pytest.fixture
def alice(url: str, keys: Keys) -> Callable[[Exchange[object]], object]:
    """Who has a service with two hosts, which the operator holds; what carries her changes out."""
    _, token = token_file.add(keys.folder / TOKENS_FILE, "tenant", "alice", datetime.now(UTC))
    carry_out(publish([ALICES], keys.trust, keys.publisher, NOW), url=url, token=token)
    carry_out(holds.hold(Operator(keys.trust, keys.publisher, NOW), ["service shop"]), url=url, token=TOKEN)
    return lambda exchange: carry_out(exchange, url=url, token=token)


def test_a_tenant_does_not_carry_it_under_another_name(
    url: str, keys: Keys, alice: Callable[[Exchange[object]], object]
) -> None:
    signed = keys.trust, keys.publisher, NOW
    for escape in (
        names.rename("shop", "store", *signed),
        names.withdraw("shop", *signed),
        names.remove_hosts("shop", ["more.example"], *signed),
        publish([replace(ALICES, hosts=("other.example",))], *signed),
    ):
        with pytest.raises((OriginError, PublisherError), match="while the operator holds it"):
            alice(escape)
    alice(publish([replace(publication("shop", content=b"new"), tenant="alice")], *signed))
    alice(names.add_hosts("shop", ["third.example"], *signed))
    carry_out(holds.release(Operator(keys.trust, keys.publisher, NOW), ["service shop"]), url=url, token=TOKEN)
    alice(names.rename("shop", "store", *signed))


def test_where_the_operator_renames_it_the_hold_goes_along(
    url: str, keys: Keys, alice: Callable[[Exchange[object]], object]
) -> None:
    (keys.folder / "token").write_text(f"{TOKEN}\n")
    words = ["rename", "shop", "store", "--origin", url, "--keys", str(keys.folder)]
    result = CliRunner().invoke(build_app(), words)
    assert result.exit_code == 0, result.output
    assert set(carry_out(holds.all_holds(keys.trust), url=url).since) == {"service shop", "service store"}
