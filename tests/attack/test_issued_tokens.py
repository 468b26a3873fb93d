"""Tokens of an issuer that are not what they say, or not for this: none opens uploads, none costs much."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from loadtest.site.fetch import Client
from origin.registry.issuer_keys import ASKED_EVERY_S, KEPT_S, KEPT_WITHOUT_ISSUER_S, IssuerKeys, parse_keys
from origin.registry.issuers import Issuer, Row
from origin.registry.oidc import SKEW_S, TOKEN_MAX, TokenRefused, Verifier
from origin.registry.store import Store
from tests.support.issuer import AUDIENCE, RSA, SUBJECT, Ci, forged, public_keys, running_issuer
from tests.support.synthetic import Keys, running_origin
from vmimage.errors import OperatorError
from vmimage.manifest import digest_of


@pytest.fixture(scope="module")
def ci() -> Iterator[Ci]:
    with running_issuer() as ci:
        yield ci


@pytest.fixture
def verifier(ci: Ci) -> Verifier:
    return Verifier([ci.issuer])


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_one_that_counts(ci: Ci, verifier: Verifier, algorithm: str) -> None:
    issued = verifier.verify(ci.token(algorithm))
    assert (issued.tenant, issued.issuer, issued.subject) == ("acme", ci.url, SUBJECT)
    assert issued.ends_s > time.time()
    assert (
        verifier.verify(ci.token(algorithm, sub="repo:other/x", aud=["https://elsewhere", AUDIENCE])).tenant == "other"
    )


PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
FOREIGN: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
CLAIMS: dict[str, Callable[[int], dict[str, Any]]] = {  # by the time of the test
    "another audience": lambda _: {"aud": "https://other.example"},
    "an audience that begins as ours": lambda _: {"aud": f"{AUDIENCE}.evil"},
    "no audience": lambda _: {"aud": None},
    "another issuer": lambda _: {"iss": "https://evil.example"},
    "no issuer": lambda _: {"iss": None},
    "expired": lambda now: {"exp": now - SKEW_S - 1},
    "no end": lambda _: {"exp": None},
    "an end too far": lambda now: {"exp": now + 3601 + 60},
    "endless": lambda _: {"exp": float("inf")},
    "an end that is no number": lambda _: {"exp": float("nan")},
    "an end as large as can be": lambda _: {"exp": 10**4000},
    "an end as text": lambda now: {"exp": str(now + 300)},
    "not begun": lambda now: {"iat": now + 600, "nbf": now + 600, "exp": now + 900},
    "not before later": lambda now: {"nbf": now + 600},
    "no beginning": lambda _: {"iat": None},
    "a beginning that is true": lambda _: {"iat": True},
    "another tenant's subject": lambda _: {"sub": "repo:bank/shop:ref:refs/heads/main"},
    "a branch of the same": lambda _: {"sub": "repo:acme/shop:ref:refs/heads/main2"},
    "a subject that begins as ours": lambda _: {"sub": SUBJECT + "/x"},
    "a subject that is a list": lambda _: {"sub": [SUBJECT]},
    "no subject": lambda _: {"sub": None},
}


@pytest.mark.parametrize("what", CLAIMS)
def test_claims_that_do_not_count(ci: Ci, verifier: Verifier, what: str) -> None:
    now = int(time.time())
    said = CLAIMS[what](now)
    try:
        token = ci.token(**said)
    except TypeError:  # PyJWT makes none like that
        claims = {"iss": ci.url, "aud": AUDIENCE, "sub": SUBJECT, "iat": now, "exp": now + 300} | said
        head = {"alg": "RS256", "kid": "RS256", "typ": "JWT"}
        unsigned = forged(head, claims).rpartition(".")[0]
        signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(unsigned.encode(), RSA)
        token = f"{unsigned}.{jwt.utils.base64url_encode(signature).decode()}"
    with pytest.raises(TokenRefused):
        verifier.verify(token)


def _hmac(secret: bytes, claims: dict[str, Any]) -> str:
    unsigned = forged({"alg": "HS256", "kid": "RS256"}, claims).rpartition(".")[0]
    made = hmac.new(secret, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{jwt.utils.base64url_encode(made).decode()}"


def test_signatures_that_do_not_count(ci: Ci, verifier: Verifier) -> None:
    """No algorithm, a public key as a secret, a key of somebody else, one under another's name, a changed body."""
    claims = {"iss": ci.url, "aud": AUDIENCE, "sub": SUBJECT, "iat": int(time.time()), "exp": int(time.time()) + 300}
    head, _, signature = ci.token().split(".")
    changed = jwt.utils.base64url_encode(json.dumps(claims | {"sub": "repo:other/x"}).encode()).decode()
    tokens = [
        *(forged({"alg": name, "kid": "RS256"}, claims) for name in ("none", "None", "NONE", "", "HS256", "RS512")),
        forged({"kid": "RS256"}, claims),
        _hmac(PEM, claims),
        _hmac(b"", claims),
        _hmac(json.dumps(public_keys()[0]).encode(), claims),
        ci.token("RS256", key=FOREIGN["RS256"]),
        ci.token("EdDSA", key=FOREIGN["EdDSA"]),
        ci.token("EdDSA", kid="RS256"),
        ci.token("RS256", kid="ES256"),
        f"{head}.{changed}.{signature}",
        forged({"alg": "RS256", "kid": ["RS256"]}, claims),
        forged({"alg": ["RS256"], "kid": "RS256"}, claims),
    ]
    for token in tokens:
        with pytest.raises(TokenRefused):
            verifier.verify(token)
    own = {"jwk": public_keys()[0], "jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/"}
    with pytest.raises(TokenRefused):
        verifier.verify(jwt.encode(claims, FOREIGN["RS256"], "RS256", {"kid": "RS256", **own}))


def test_an_operator_may_allow_fewer_algorithms(ci: Ci) -> None:
    verifier = Verifier([Issuer(ci.url, AUDIENCE, ci.issuer.rows, ("ES256",))])
    assert verifier.verify(ci.token("ES256")).tenant == "acme"
    with pytest.raises(TokenRefused, match="ES256"):
        verifier.verify(ci.token("RS256"))


def test_a_token_of_two_tenants_is_nobodys(ci: Ci) -> None:
    rows = (*ci.issuer.rows, Row("else", {"sub": "repo:acme/*"}))
    with pytest.raises(TokenRefused, match="several tenants"):
        Verifier([Issuer(ci.url, AUDIENCE, rows)]).verify(ci.token())


@pytest.mark.parametrize(
    "text", ["eyJ..", "eyJ.a.b", "e" * (TOKEN_MAX + 1), "eyJ" + "[" * 5000 + "..", "eyJ\udc80.x.y"]
)
def test_texts_that_are_no_tokens(verifier: Verifier, text: str) -> None:
    with pytest.raises(TokenRefused):
        verifier.verify(text)
    deep = jwt.utils.base64url_encode(b"[" * 4000).decode()
    with pytest.raises(TokenRefused):
        verifier.verify(f"{jwt.utils.base64url_encode(b'{}').decode()}.{deep}.x")


def test_keys_that_do_not_count() -> None:
    small = rsa.generate_private_key(65537, 1024).public_key()
    weak = jwt.algorithms.RSAAlgorithm.to_jwk(small, as_dict=True) | {"kid": "weak"}
    good = public_keys()
    odd = [
        weak,
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        good[0] | {"kid": "for-encryption", "use": "enc"},
        good[0] | {"kid": "for-another", "alg": "RS512"},
        good[0] | {"kid": 7},
        good[0] | {"kid": "cut", "n": "AQ"},
        {"kty": ["RSA"], "crv": {}, "kid": "x"},
        {"kid": "empty"},
    ]
    assert sorted(parse_keys(json.dumps({"keys": [*good, *odd]}).encode())) == ["ES256", "EdDSA", "RS256"]
    for data in (b"", b"[]", b'{"keys": 7}', b'{"keys": [7]}', json.dumps({"keys": [{}] * 101}).encode(), b"[" * 9000):
        with pytest.raises(OperatorError):
            parse_keys(data)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_flood_of_unknown_keys_asks_the_issuer_once_a_minute() -> None:
    clock, asked = Clock(), list[float]()
    answer = json.dumps({"keys": public_keys()}).encode()

    def fetch() -> bytes:
        asked.append(clock.now)
        return answer

    keys = IssuerKeys(fetch, clock)
    for number in range(1000):
        assert keys.find(f"unknown-{number}") is None
    assert asked == [0.0]
    clock.now = ASKED_EVERY_S - 1
    assert keys.find("RS256") is not None
    assert keys.find("unknown") is None
    assert asked == [0.0]
    clock.now = ASKED_EVERY_S
    assert keys.find("RS256") is not None, "one that is known needs no asking"
    assert len(asked) == 1
    assert keys.find("unknown") is None
    assert len(asked) == 2
    clock.now += KEPT_S
    assert keys.find("RS256") is not None
    assert len(asked) == 3, "they are asked for anew in time"


def test_keys_count_for_a_day_without_their_issuer_and_no_longer() -> None:
    clock, answers = Clock(), [json.dumps({"keys": public_keys()}).encode()]

    def fetch() -> bytes:
        if not answers:
            raise OperatorError("down")
        return answers.pop()

    keys = IssuerKeys(fetch, clock)
    assert keys.find("RS256") is not None
    clock.now = KEPT_WITHOUT_ISSUER_S - 1
    assert keys.find("RS256") is not None
    clock.now = KEPT_WITHOUT_ISSUER_S
    with pytest.raises(OperatorError, match="cannot be had"):
        keys.find("RS256")


def test_a_key_that_the_issuer_took_away_counts_no_more(ci: Ci) -> None:
    clock = Clock()
    sets = [[], public_keys()]
    keys = IssuerKeys(lambda: json.dumps({"keys": sets.pop()}).encode(), clock)
    assert keys.find("RS256") is not None
    clock.now = KEPT_S
    assert keys.find("RS256") is None


def test_an_issuer_that_answers_for_another(ci: Ci) -> None:
    """Whose configuration says another name, and one that sends to keys elsewhere without TLS."""
    alias = ci.url.replace("127.0.0.1", "localhost")
    with pytest.raises(TokenRefused, match="cannot be had"):
        Verifier([Issuer(alias, AUDIENCE, ci.issuer.rows)]).verify(ci.token(iss=alias))


# Over HTTP.


@pytest.fixture
def client(ci: Ci, tmp_path: Path) -> Iterator[Client]:
    store = Store(tmp_path / "store")
    try:
        with (
            running_origin(store, Keys(tmp_path / "keys"), verifier=Verifier([ci.issuer])) as url,
            Client(url) as client,
        ):
            yield client
    finally:
        store.close()


def test_a_token_opens_uploads_of_its_tenant_and_no_more(ci: Ci, client: Client) -> None:
    held, data = {"Authorization": f"Bearer {ci.token()}"}, b"{}"
    at = f"blobs/uploads/?digest={digest_of(data)}"
    assert client.request("POST", f"/v2/acme/shop/{at}", body=data, headers=held).status == 201
    assert client.request("POST", f"/v2/other/shop/{at}", body=data, headers=held).status == 403
    for method, path in (("POST", "/prune"), ("DELETE", "/v2/images/manifests/latest")):
        assert client.request(method, path, headers=held).status == 403
    refused = client.request(
        "POST",
        f"/v2/acme/shop/{at}",
        body=data,
        headers={"Authorization": f"Bearer {ci.token(exp=int(time.time()) - 99)}"},
    )
    [error] = json.loads(refused.body)["errors"]
    assert (refused.status, error["code"]) == (401, "UNAUTHORIZED")
    assert "has not ended expected" in error["message"]
    assert client.get("/v2/").status == 401
    assert client.request("GET", f"/v2/acme/shop/blobs/{digest_of(data)}").status == 200


def test_a_huge_token_is_refused_and_the_next_is_served(ci: Ci, client: Client) -> None:
    for size in (7000, 9000, 70_000):
        huge = {"Authorization": f"Bearer eyJ{'a' * size}.b.c"}
        assert client.request("GET", "/v2/", headers=huge).status in (400, 401)
    assert client.request("GET", "/v2/", headers={"Authorization": f"Bearer {ci.token()}"}).status == 200
