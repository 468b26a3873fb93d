"""ID tokens of issuers that an operator trusts, shown in place of a token of nunatak's: whose they are.

A token is taken when one of the issuer's keys has signed it by the algorithm that this key is for, when it is meant for
this origin (`aud`), of now (`exp`, `iat`, `nbf`, with a minute for clocks that differ), lives no longer than the
operator allows, and the operator's table says one tenant for its claims. It opens uploads, as a tenant's token does; it
signs nothing. What this needs is the extra `nunatak[oidc]`; nothing of it is imported without the option `--issuers`.
Blocks.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from origin.registry.issuer_keys import Fetch, IssuerKeys, fetching
from origin.registry.issuers import Issuer
from vmimage.errors import OperatorError

TOKEN_MAX: Final = 6144  # characters; as the password of Basic it is a third longer, and a field has 8 KiB at most
SKEW_S: Final = 60
TIME_MAX_S: Final = 1 << 40  # some 35,000 years
_NEEDED: Final = ("iss", "sub", "aud", "iat", "exp")


class TokenRefused(Exception):
    """It is no token that counts here; the message says why to who showed it."""


@dataclass(frozen=True, slots=True)
class Issued:
    """Whose a token is."""

    tenant: str
    issuer: str  # its URL
    subject: str
    ends_s: int  # seconds since 1970


def looks_issued(text: str) -> bool:
    """Whether a text has the form of a token of an issuer: three words of a JSON Web Signature (RFC 7515)."""
    return text.startswith("eyJ") and text.count(".") == 2


class Verifier:
    """Looks at tokens of these issuers."""

    def __init__(
        self,
        issuers: Iterable[Issuer],
        clock: Callable[[], float] = time.time,
        fetch: Callable[[Issuer], Fetch] = fetching,
    ) -> None:
        """:param clock: seconds since 1970. :param fetch: how the keys of an issuer are had.

        :raises OperatorError: the extra is missing.
        """
        try:
            import jwt
        except ImportError as error:
            raise OperatorError(
                f"--issuers: the packages of the extra nunatak[oidc] expected: {error}: install them, or leave the "
                "option out"
            ) from None
        self._jwt, self._clock = jwt, clock
        self._issuers = {issuer.url: (issuer, IssuerKeys(fetch(issuer))) for issuer in issuers}

    def verify(self, text: str) -> Issued:
        """Whose a token is.

        :raises TokenRefused: nobody's here.
        """
        if len(text) > TOKEN_MAX:
            raise TokenRefused(f"a token of at most {TOKEN_MAX} characters expected, got {len(text)}")
        header, unverified = self._unverified(text)
        issuer, keys = self._issuers.get(str(unverified.get("iss")), (None, None))
        if issuer is None or keys is None:
            raise TokenRefused(f"a token of an issuer that this origin trusts expected, got {_said(unverified, 'iss')}")
        algorithm, keyid = header.get("alg"), header.get("kid")
        if algorithm not in issuer.algorithms or not isinstance(keyid, str):
            allowed = ", ".join(issuer.algorithms)
            raise TokenRefused(f"a token signed by {allowed} with a key that it names expected, got {algorithm!r:.40}")
        try:
            found = keys.find(keyid)
        except OperatorError as error:
            raise TokenRefused(str(error)) from None
        if found is None or found[0] != algorithm:
            raise TokenRefused(f"a key of {issuer.url} for {algorithm} expected, got {keyid!r:.80}")
        claims = self._verified(text, found, issuer)
        tenants = issuer.tenants_of(claims)
        if len(tenants) != 1:
            whose = "no tenant" if not tenants else "several tenants"
            raise TokenRefused(
                f"a token that the operator's table gives to one tenant expected, {_said(claims, 'sub')} is {whose}'s"
            )
        return Issued(tenants.pop(), issuer.url, str(claims["sub"]), int(claims["exp"]))

    def _unverified(self, text: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        try:
            whole = self._jwt.decode_complete(text, options={"verify_signature": False})
        except (self._jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise TokenRefused("a JSON Web Token expected, got something else") from None
        return whole["header"], whole["payload"]

    def _verified(self, text: str, key: tuple[str, Any], issuer: Issuer) -> Mapping[str, Any]:
        """:raises TokenRefused: signature, audience or times are wrong."""
        try:
            claims: Mapping[str, Any] = self._jwt.decode(
                text,
                key[1],
                algorithms=[key[0]],
                audience=issuer.audience,
                issuer=issuer.url,
                options={"require": list(_NEEDED), "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except (self._jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise TokenRefused(
                f"a token that {issuer.url} has signed for {issuer.audience} expected: {error}"
            ) from None
        _check_times(claims, self._clock(), issuer.lifetime_s)
        return claims


def _check_times(claims: Mapping[str, Any], now: float, lifetime_s: int) -> None:
    begun, ends, not_before = claims["iat"], claims["exp"], claims.get("nbf", claims["iat"])
    for at in (begun, ends, not_before):
        if not isinstance(at, int | float) or isinstance(at, bool) or not 0 <= at <= TIME_MAX_S:
            raise TokenRefused("iat, exp and nbf as seconds since 1970 expected")
    if not now - SKEW_S < ends:
        raise TokenRefused(f"a token that has not ended expected, it did {now - ends:.0f} s ago: ask for a new one")
    if not max(begun, not_before) <= now + SKEW_S:
        raise TokenRefused("a token that has begun expected: compare the clocks of issuer and origin")
    if not ends - begun <= lifetime_s:
        raise TokenRefused(f"a token for at most {lifetime_s} s expected, got one for {ends - begun:.0f} s")


def _said(claims: Mapping[str, Any], name: str) -> str:
    return repr(str(claims.get(name))[:200])
