"""The operator's table of issuers: what it says, and what is refused before an origin starts."""

from pathlib import Path

import pytest

from origin.registry.issuers import Row, load_issuers, parse_issuers
from vmimage.errors import OperatorError

TABLE = """
[[issuers]]
url = "https://ci.example"
audience = "https://origin.example"
algorithms = ["ES256"]
lifetime_s = 600
jwks = "ci.json"
[[issuers.tenants]]
tenant = "acme"
claims = { sub = "repo:acme/shop:*", ref_protected = "true" }
[[issuers.tenants]]
tenant = "other"
claims = { sub = "repo:other/x" }
"""


def test_a_table(tmp_path: Path) -> None:
    path = tmp_path / "issuers.toml"
    path.write_text(TABLE)
    path.chmod(0o644)
    [issuer] = load_issuers(path)
    assert (issuer.url, issuer.audience, issuer.algorithms) == (
        "https://ci.example",
        "https://origin.example",
        ("ES256",),
    )
    assert (issuer.lifetime_s, issuer.jwks) == (600, tmp_path / "ci.json")
    claims = {"sub": "repo:acme/shop:ref:x", "ref_protected": "true"}
    assert issuer.tenants_of(claims) == {"acme"}
    assert issuer.tenants_of(claims | {"ref_protected": True}) == set(), "a text alone is a text"
    assert issuer.tenants_of({"sub": "repo:acme/shop:ref:x"}) == set()
    assert issuer.tenants_of({"sub": "repo:other/x"}) == {"other"}
    path.chmod(0o666)
    with pytest.raises(OperatorError, match="its owner alone may write"):
        load_issuers(path)
    with pytest.raises(OperatorError, match="check the path"):
        load_issuers(tmp_path / "none")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("https://ci.example", "http://ci.example", "https:// or an address of this machine"),
        ("https://ci.example", "ci.example", "https://"),
        ('audience = "https://origin.example"', "", "audience"),
        ('audience = "https://origin.example"', 'audience = ""', "audience"),
        ('["ES256"]', '["HS256"]', "algorithms"),
        ('["ES256"]', '["none"]', "algorithms"),
        ('["ES256"]', "[]", "algorithms"),
        ("600", "0", "lifetime_s"),
        ("600", "86401", "lifetime_s"),
        ("600", "true", "lifetime_s"),
        ('"ci.json"', "7", "jwks"),
        ('"acme"', '"Acme"', "tenant"),
        ("lifetime_s", "lifetime", "got lifetime"),
        ('{ sub = "repo:other/x" }', "{}", "every token would be this tenant's"),
        ('{ sub = "repo:other/x" }', '{ sub = "*" }', "the beginning of one"),
        ('{ sub = "repo:other/x" }', "{ sub = 7 }", "a text"),
        ("[[issuers]]", "[[issuer]]", "tables"),
        ("[[issuers]]", "[[issuers]", "toml:"),
    ],
)
def test_tables_that_are_none(old: str, new: str, why: str) -> None:
    assert old in TABLE
    with pytest.raises(ValueError, match=why.replace("[", r"\[")):
        parse_issuers("issuers.toml", TABLE.replace(old, new, 1).encode(), Path())
    with pytest.raises(ValueError, match="each issuer once"):
        parse_issuers("issuers.toml", (TABLE + TABLE).encode(), Path())


def test_a_claim_is_whole_unless_it_ends_in_a_star() -> None:
    row = Row("acme", {"sub": "repo:acme"})
    assert [row.matches({"sub": sub}) for sub in ("repo:acme", "repo:acme2", None, ["repo:acme"])] == [
        True,
        False,
        False,
        False,
    ]
    assert Row("acme", {"sub": "repo:acme/*"}).matches({"sub": "repo:acme/"})
    assert not Row("acme", {"sub": "repo:acme/*"}).matches({"sub": "repo:acme"})
