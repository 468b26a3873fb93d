"""The shared tokens of a key folder: whoever only compares them needs no more than their hashes."""

from pathlib import Path

import pytest

from origin.keys import HASHED, LOG_TOKEN_FILE, TOKEN_FILE, generate, load_token, load_token_hash
from origin.registry.bearer import SHARED, bearer
from tests.support.synthetic import NOW
from vmimage.canonical import digest_of
from vmimage.errors import OperatorError


@pytest.mark.parametrize("name", [TOKEN_FILE, LOG_TOKEN_FILE])
def test_a_token_opens_where_only_its_hash_is(tmp_path: Path, name: str) -> None:
    generate(tmp_path / "keys", NOW)
    path = tmp_path / "keys" / name
    token, known = load_token(path), load_token_hash(path)
    path.unlink()
    assert load_token_hash(path) == known == digest_of(token.encode())
    assert bearer(f"Bearer {token}", known, None, "tenant") == SHARED
    for other in (known, f"{token}x", ""):
        assert bearer(f"Bearer {other}", known, None, "tenant") is None


def test_a_token_that_was_changed_counts_before_the_hash_of_the_one_before(tmp_path: Path) -> None:
    generate(tmp_path / "keys", NOW)
    path = tmp_path / "keys" / TOKEN_FILE
    path.write_text("another-token-of-mine\n")
    assert load_token_hash(path) == digest_of(b"another-token-of-mine")


def test_what_is_no_hash_and_what_others_may_read_is_refused(tmp_path: Path) -> None:
    hashed = tmp_path / f"{TOKEN_FILE}{HASHED}"
    assert load_token_hash(tmp_path / TOKEN_FILE) is None
    hashed.touch(mode=0o600)
    hashed.write_text("a-token-by-mistake\n")
    with pytest.raises(OperatorError, match="64 hex digits"):
        load_token_hash(tmp_path / TOKEN_FILE)
    hashed.write_text(f"{digest_of(b'x')}\n")
    hashed.chmod(0o644)
    with pytest.raises(OperatorError, match="0600"):
        load_token_hash(tmp_path / TOKEN_FILE)
