"""Packages of npm that use crypto.subtle, as they are published: jose, aws4fetch, and stripe's check of webhooks."""

import hmac
import json
from base64 import urlsafe_b64decode
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from libos.toolchain.bundle import bundle
from libos.toolchain.packages import Package
from tests.support.guests import Guest
from tests.support.subtle import b64, rsa_jwk, rsa_key
from tests.support.workers import WORKERS, worker_image

PACKAGES = [
    Package("npm", "jose", "6.2.17", "367aaae5b1529eeac73c77999283dd095f7d866afbd492e36634b8c7e93f06fc"),
    Package("npm", "aws4fetch", "1.0.20", "35d828a52d5f1f18fa069632ce6bb47f797aeac22c543a813511d0afc73dadff"),
    Package("npm", "stripe", "23.1.0", "7066de352ba7583d67228a5060b970f25720a9e587a786848d1c5a3b2d5629f1"),
]
OCTETS = {"kty": "oct", "k": b64(7, 32)}


@cache
def bundled(folder: Path) -> Path:
    out = folder / "signing.js"
    bundle(WORKERS / "signing.js", PACKAGES, out)
    return out


@pytest.fixture(scope="module")
def guest(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    return Guest(worker_image(bundled(tmp_path_factory.getbasetemp())), cpu_ms=600_000)


def ask(guest: Guest, task: str, **given: object) -> Any:
    body = json.dumps({"task": task, **given}).encode()
    return json.loads(bytes(guest.get("/", method="POST", body=body).body))


def curve_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.private_numbers()
    x, y = numbers.public_numbers.x, numbers.public_numbers.y
    return {"kty": "EC", "crv": "P-256", "x": b64(x, 32), "y": b64(y, 32), "d": b64(numbers.private_value, 32)}


def opened(jwk: dict[str, str]) -> dict[str, str]:
    """A public key of a private one."""
    return {name: value for name, value in jwk.items() if name in ("kty", "crv", "n", "e", "x", "y")}


def parts_of(token: str) -> tuple[bytes, bytes]:
    """What was signed, and the signature."""
    text, _, proof = token.rpartition(".")
    return text.encode(), urlsafe_b64decode(proof + "==")


def test_tokens_of_jose_are_what_others_verify(guest: Guest) -> None:
    curve, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    okp = {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": b64(int.from_bytes(edwards.public_key().public_bytes_raw(), "big"), 32),
        "d": b64(int.from_bytes(edwards.private_bytes_raw(), "big"), 32),
    }
    found = {
        alg: ask(guest, "signed", alg=alg, secret=jwk, **({} if jwk is OCTETS else {"open": opened(jwk)}))
        for alg, jwk in {
            "HS256": OCTETS,
            "RS256": rsa_jwk(),
            "PS256": rsa_jwk(),
            "ES256": curve_jwk(curve),
            "EdDSA": okp,
        }.items()
    }
    for alg, answer in found.items():
        assert (answer["name"], answer["refused"]) == ("Kari", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"), alg
    signed = {alg: parts_of(answer["token"]) for alg, answer in found.items()}
    open_rsa = rsa_key().public_key()
    assert isinstance(open_rsa, rsa.RSAPublicKey)
    open_rsa.verify(signed["RS256"][1], signed["RS256"][0], padding.PKCS1v15(), hashes.SHA256())
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    open_rsa.verify(signed["PS256"][1], signed["PS256"][0], pss, hashes.SHA256())
    text, proof = signed["ES256"]
    r, s = (int.from_bytes(half, "big") for half in (proof[:32], proof[32:]))
    curve.public_key().verify(encode_dss_signature(r, s), text, ec.ECDSA(hashes.SHA256()))
    edwards.public_key().verify(signed["EdDSA"][1], signed["EdDSA"][0])


def key_for(alg: str) -> dict[str, str]:
    if alg.startswith("ECDH"):
        return curve_jwk(ec.generate_private_key(ec.SECP256R1()))
    return rsa_jwk() if alg.startswith("RSA") else OCTETS


@pytest.mark.parametrize("alg", ["dir", "A256KW", "A256GCMKW", "RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW"])
@pytest.mark.parametrize("enc", ["A256GCM", "A128CBC-HS256"])
def test_what_jose_has_sealed_it_opens(guest: Guest, alg: str, enc: str) -> None:
    key = key_for(alg)
    opening = {} if key is OCTETS else {"open": opened(key)}
    assert ask(guest, "sealed", alg=alg, enc=enc, secret=key, **opening) == "text"


def test_aws4fetch_signs_as_aws_documents_it(guest: Guest) -> None:
    """The signature of AWS's own suite, test `get-vanilla`."""
    signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    assert ask(guest, "aws") == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}"
    )


def test_stripe_takes_its_own_webhooks_only(guest: Guest) -> None:
    payload, secret = json.dumps({"id": "evt_1", "object": "event"}), "whsec_test"
    proof = hmac.digest(secret.encode(), f"1600000000.{payload}".encode(), "sha256").hex()
    answer = ask(guest, "stripe", payload=payload, header=f"t=1600000000,v1={proof}", secret=secret)
    assert answer == ["evt_1", "StripeSignatureVerificationError"]
