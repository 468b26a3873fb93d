"""The public keys of an issuer (RFC 7517): asked for, kept for an hour, and asked for again when a token names another.

However many tokens name keys that there are not, the issuer is asked once a minute at most; while it cannot be reached,
the keys of before count for a day. Blocks; one thread at a time asks.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import urllib3

from origin.registry.issuers import Issuer
from vmimage.errors import OperatorError
from vmimage.urls import is_guarded

KEPT_S: Final = 3600.0
KEPT_WITHOUT_ISSUER_S: Final = 86_400.0
ASKED_EVERY_S: Final = 60.0
KEYS_MAX: Final = 100
ANSWER_MAX: Final = 256 << 10  # bytes
TIMEOUT_S: Final = 5.0  # to connect, and between two reads
RSA_BITS_MIN: Final = 2048
DISCOVERY: Final = "/.well-known/openid-configuration"
_LOG: Final = logging.getLogger(__name__)

Fetch = Callable[[], bytes]
# The one algorithm that a key is for, by type and curve: RSA with SHA-256, P-256, Ed25519.
_FOR: Final = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}


class IssuerKeys:
    """The keys of one issuer, by identifier, each with the algorithm that it is for."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        """:param fetch: the key set as the issuer has it now; raises OperatorError."""
        self._fetch, self._clock = fetch, clock
        self._asking = threading.Lock()
        self._keys: dict[str, tuple[str, Any]] = {}
        self._got_s: float | None = None
        self._asked_s: float | None = None

    def find(self, keyid: str) -> tuple[str, Any] | None:
        """Algorithm and key; None where the issuer has no such key.

        :raises OperatorError: the issuer's keys are not known.
        """
        with self._asking:
            now = self._clock()
            due = self._asked_s is None or now - self._asked_s >= ASKED_EVERY_S
            if due and (keyid not in self._keys or self._got_s is None or now - self._got_s >= KEPT_S):
                self._ask(now)
            if self._got_s is None or now - self._got_s >= KEPT_WITHOUT_ISSUER_S:
                raise OperatorError("the keys of the issuer cannot be had at this moment: try again in a minute")
            return self._keys.get(keyid)

    def _ask(self, now: float) -> None:
        self._asked_s = now
        try:
            self._keys = parse_keys(self._fetch())
            self._got_s = now
        except OperatorError as error:
            _LOG.error("keys of an issuer: %s", error)


def parse_keys(data: bytes) -> dict[str, tuple[str, Any]]:
    """The keys of a key set that may sign tokens here, by identifier; others are left out.

    :raises OperatorError: it is none.
    """
    try:
        listed = json.loads(data)["keys"]
        if not isinstance(listed, list) or len(listed) > KEYS_MAX or not all(isinstance(key, dict) for key in listed):
            raise ValueError
    except (ValueError, LookupError, TypeError, RecursionError):
        raise OperatorError(
            f"a JSON Web Key Set of at most {KEYS_MAX} keys expected, got {data[:80]!r}: fetch it from the issuer anew"
        ) from None
    return dict(_usable(listed))


def _usable(listed: Iterable[dict[str, Any]]) -> Iterable[tuple[str, tuple[str, Any]]]:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from jwt import PyJWK, PyJWTError

    for described in listed:
        kind = str(described.get("kty")), described.get("crv")
        algorithm, keyid = _FOR.get(kind if isinstance(kind[1], str | None) else ("", None)), described.get("kid")
        if algorithm is None or not isinstance(keyid, str) or described.get("use", "sig") != "sig":
            continue
        if described.get("alg", algorithm) != algorithm or "d" in described:
            continue
        try:
            key = PyJWK(described, algorithm=algorithm).key
        except (PyJWTError, ValueError, TypeError):
            continue
        if not isinstance(key, RSAPublicKey) or key.key_size >= RSA_BITS_MIN:
            yield keyid, (algorithm, key)


def fetching(issuer: Issuer) -> Fetch:
    """How the keys of an issuer are had: from its file, or by OpenID Connect Discovery 1.0."""
    if issuer.jwks is not None:
        path = issuer.jwks
        return lambda: _of_file(path)
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(TIMEOUT_S), retries=False, maxsize=1)
    return lambda: _discovered(pool, issuer.url)


def _of_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(ANSWER_MAX)
    except OSError as error:
        raise OperatorError(f"jwks: a file expected at {path}: {error.strerror}: name one that is there") from None


def _discovered(pool: urllib3.PoolManager, url: str) -> bytes:
    data = _get(pool, url.rstrip("/") + DISCOVERY)
    try:
        said = json.loads(data)
        issuer, place = said["issuer"], said["jwks_uri"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise OperatorError(
            f"{url}: an OpenID configuration expected, got {data[:80]!r}: is that the issuer's URL?"
        ) from None
    if issuer != url:
        raise OperatorError(f"{url}: its own configuration expected, got that of {str(issuer)[:200]!r}")
    if not isinstance(place, str) or not place.startswith(("https://", "http://")) or not is_guarded(place):
        raise OperatorError(f"{url}: jwks_uri by https expected, got {str(place)[:200]!r}: name a file as jwks")
    if url.startswith("https://") and not place.startswith("https://"):
        raise OperatorError(f"{url}: jwks_uri by https expected, got {place[:200]!r}: name a file as jwks")
    return _get(pool, place)


def _get(pool: urllib3.PoolManager, url: str) -> bytes:
    try:
        answer = pool.request("GET", url, redirect=False, preload_content=False, headers={"Accept": "application/json"})
        try:
            data = answer.read(ANSWER_MAX + 1) if answer.status == 200 else b""
        finally:
            answer.release_conn() if answer.status == 200 and len(data) <= ANSWER_MAX else answer.close()
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise OperatorError(f"{url[:200]}: {error}") from None
    if answer.status != 200 or len(data) > ANSWER_MAX:
        raise OperatorError(
            f"{url[:200]}: status 200 with {ANSWER_MAX} bytes at most expected, got {answer.status}: "
            "is that the issuer's URL?"
        )
    return data
