"""The operator's table of issuers: whose ID tokens (OpenID Connect Core 1.0) an origin takes, and for which tenants.

    [[issuers]]
    url = "https://ci.example"                # `iss` of its tokens, and where its keys are found
    audience = "https://origin.example"       # one of `aud`, which the publisher asks the issuer for
    algorithms = ["RS256", "ES256", "EdDSA"]  # these at most
    lifetime_s = 3600                         # of a token, at most
    jwks = "ci-keys.json"                     # its keys in a file beside this one, in place of asking the issuer

    [[issuers.tenants]]
    tenant = "acme"                           # whose a token is with all of these claims
    claims = { sub = "repo:acme/shop:ref:refs/heads/main" }

A claim is what is written, or begins with it where that ends in `*`. Values without I/O but for reading the file.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vmimage.errors import OperatorError
from vmimage.manifest import is_name
from vmimage.toml_file import BYTES_MAX, parse_toml
from vmimage.urls import is_guarded

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")  # by keys of their own alone: none, and no secret that both sides have
LIFETIME_S: Final = 3600
LIFETIME_MAX_S: Final = 86_400
ISSUERS_MAX: Final = 16
ROWS_MAX: Final = 10_000  # tenants of one issuer


@dataclass(frozen=True)
class Row:
    """Whose a token with these claims is."""

    tenant: str
    claims: Mapping[str, str]

    def matches(self, claims: Mapping[str, Any]) -> bool:
        """Whether a token says all of it."""
        return all(_says(claims.get(name), wanted) for name, wanted in self.claims.items())


@dataclass(frozen=True)
class Issuer:
    """Who makes tokens."""

    url: str
    audience: str
    rows: tuple[Row, ...]
    algorithms: tuple[str, ...] = ALGORITHMS
    lifetime_s: int = LIFETIME_S
    jwks: Path | None = field(default=None)  # None: the issuer is asked

    def tenants_of(self, claims: Mapping[str, Any]) -> set[str]:
        """The tenants that a token's claims are; one, where the table is right."""
        return {row.tenant for row in self.rows if row.matches(claims)}


def _says(said: object, wanted: str) -> bool:
    if not isinstance(said, str):
        return False
    return said.startswith(wanted[:-1]) if wanted.endswith("*") else said == wanted


def load_issuers(path: Path) -> tuple[Issuer, ...]:
    """The table of a file.

    :raises OperatorError: it cannot be read, others may write it, or it is none.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise OperatorError(f"--issuers: a file expected at {path}: {error.strerror}: check the path") from None
    if mode & 0o022:
        raise OperatorError(
            f"--issuers: a file that its owner alone may write expected, got {mode:04o}: chmod go-w {path}"
        )
    try:
        return parse_issuers(str(path), data, path.parent)
    except ValueError as error:
        raise OperatorError(f"--issuers: {error}") from None


def parse_issuers(name: str, data: bytes, folder: Path) -> tuple[Issuer, ...]:
    """The table.

    :param name: of the file, for messages. :param folder: in which files of keys are.
    :raises ValueError: it is none; the message says why.
    """
    content = parse_toml(name, data)
    tables = content.get("issuers")
    if content.keys() != {"issuers"} or not isinstance(tables, list) or not 1 <= len(tables) <= ISSUERS_MAX:
        raise ValueError(f"{name}: 1 to {ISSUERS_MAX} tables [[issuers]] expected, and nothing else")
    issuers = tuple(_issuer(f"{name}: issuer {number}", table, folder) for number, table in enumerate(tables, 1))
    if len({issuer.url for issuer in issuers}) != len(issuers):
        raise ValueError(f"{name}: each issuer once expected, got one twice: put its tenants into one table")
    return issuers


def _issuer(place: str, table: Any, folder: Path) -> Issuer:
    known = {"url", "audience", "algorithms", "lifetime_s", "jwks", "tenants"}
    if not isinstance(table, dict) or table.keys() - known:
        raise ValueError(f"{place}: {', '.join(sorted(known))} expected, got {', '.join(sorted(table.keys() - known))}")
    url, audience, jwks = table.get("url"), table.get("audience"), table.get("jwks")
    algorithms, lifetime_s = table.get("algorithms", list(ALGORITHMS)), table.get("lifetime_s", LIFETIME_S)
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or not is_guarded(url):
        raise ValueError(f"{place}: url: https:// or an address of this machine expected, got {url!r}")
    if not isinstance(audience, str) or not audience:
        raise ValueError(
            f"{place}: audience: a text expected, got {audience!r}: so that tokens for others do not count"
        )
    if not isinstance(algorithms, list) or not algorithms or set(algorithms) - set(ALGORITHMS):
        raise ValueError(f"{place}: algorithms: some of {', '.join(ALGORITHMS)} expected, got {algorithms!r}")
    if type(lifetime_s) is not int or not 1 <= lifetime_s <= LIFETIME_MAX_S:
        raise ValueError(f"{place}: lifetime_s: 1 to {LIFETIME_MAX_S} expected, got {lifetime_s!r}")
    if jwks is not None and (not isinstance(jwks, str) or not jwks):
        raise ValueError(f"{place}: jwks: the path of a file expected, got {jwks!r}")
    rows = table.get("tenants")
    if not isinstance(rows, list) or not 1 <= len(rows) <= ROWS_MAX:
        raise ValueError(f"{place}: 1 to {ROWS_MAX} tables [[issuers.tenants]] expected")
    found = tuple(_row(f"{place}, tenant {number}", row) for number, row in enumerate(rows, 1))
    return Issuer(url, audience, found, tuple(algorithms), lifetime_s, folder / jwks if jwks else None)


def _row(place: str, row: Any) -> Row:
    if not isinstance(row, dict) or row.keys() != {"tenant", "claims"} or not is_name(str(row["tenant"])):
        raise ValueError(f"{place}: tenant (1 to 63 of a-z 0-9 . _ -) and claims expected")
    claims = row["claims"]
    if not isinstance(claims, dict) or not claims or not all(isinstance(said, str) for said in claims.values()):
        raise ValueError(
            f"{place}: claims: at least one, each a text, expected: else every token would be this tenant's"
        )
    if any(not said.rstrip("*") for said in claims.values()):
        raise ValueError(f"{place}: claims: a text, or the beginning of one before *, expected, got one that all have")
    return Row(row["tenant"], claims)
