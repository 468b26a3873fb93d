"""Key pairs of crypto.subtle, judged by the RFCs' vectors and by the package `cryptography`, both ways."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.subtle import Subtle, b64, of, rsa_jwk, rsa_key

SETTINGS = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HASHES = {"SHA-1": hashes.SHA1(), "SHA-256": hashes.SHA256(), "SHA-384": hashes.SHA384(), "SHA-512": hashes.SHA512()}
CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
HASH = st.sampled_from(sorted(HASHES))
CURVE = st.sampled_from(sorted(CURVES))
TEXT = st.binary(max_size=200)
PKCS8 = (Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def subtle(engine: str) -> Subtle:
    return Subtle()


def private(key: Any, algorithm: object, *usages: str) -> list[Any]:
    return ["importKey", "pkcs8", key.private_bytes(*PKCS8), algorithm, True, list(usages)]


def public(key: Any, algorithm: object, *usages: str) -> list[Any]:
    return ["importKey", "spki", key.public_key().public_bytes(*SPKI), algorithm, True, list(usages)]


def altered(data: bytes, at: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@SETTINGS
@given(name=HASH, text=TEXT, salt=st.integers(0, 64), at=st.integers(0))
def test_rsa_signatures(subtle: Subtle, name: str, text: bytes, salt: int, at: int) -> None:
    key, hash_ = rsa_key(), HASHES[name]
    pss = padding.PSS(padding.MGF1(hash_), salt)
    for algorithm, how in (
        ("RSASSA-PKCS1-v1_5", padding.PKCS1v15()),
        ("RSA-PSS", pss),
    ):
        about = {"name": algorithm, "hash": name}
        use = {"name": algorithm, "saltLength": salt}
        theirs = key.sign(text, how, hash_)
        _, _, ours, good, other, broken, short = subtle(
            private(key, about, "sign"),
            public(key, about, "verify"),
            ["sign", use, of(0), text],
            ["verify", use, of(1), theirs, text],
            ["verify", use, of(1), theirs, text + b"x"],
            ["verify", use, of(1), altered(theirs, at), text],
            ["verify", use, of(1), theirs[:-1], text],
        )
        key.public_key().verify(ours, text, how, hash_)
        assert (good, other, broken, short) == (True, False, False, False)


@SETTINGS
@given(name=HASH, text=st.binary(max_size=62), label=st.binary(max_size=20), at=st.integers(0))
def test_rsa_oaep(subtle: Subtle, name: str, text: bytes, label: bytes, at: int) -> None:
    key, hash_ = rsa_key(), HASHES[name]
    how = padding.OAEP(padding.MGF1(hash_), hash_, label)
    about, use = {"name": "RSA-OAEP", "hash": name}, {"name": "RSA-OAEP", "label": label}
    theirs = key.public_key().encrypt(text, how)
    _, _, ours, opened, other, broken, long = subtle(
        private(key, about, "decrypt"),
        public(key, about, "encrypt"),
        ["encrypt", use, of(1), text],
        ["decrypt", use, of(0), theirs],
        ["decrypt", {**use, "label": label + b"x"}, of(0), theirs],
        ["decrypt", use, of(0), altered(theirs, at)],
        ["encrypt", use, of(1), bytes(256 - 2 * hash_.digest_size - 1)],
    )
    assert key.decrypt(ours, how) == opened == text
    assert {answer.split(":")[0] for answer in (other, broken, long)} == {"OperationError"}


def test_an_rsa_key_in_each_format(subtle: Subtle) -> None:
    key, about = rsa_key(), {"name": "RSA-PSS", "hash": "SHA-256"}
    jwk = rsa_jwk()
    made, pkcs8, shown, again, _, spki, wrong = subtle(
        ["importKey", "jwk", {**jwk, "alg": "PS256"}, about, True, ["sign"]],
        ["exportKey", "pkcs8", of(0)],
        ["exportKey", "jwk", of(0)],
        ["importKey", "pkcs8", of(1), about, False, ["sign"]],
        ["importKey", "jwk", {"kty": "RSA", "n": jwk["n"], "e": jwk["e"]}, about, True, ["verify"]],
        ["exportKey", "spki", of(4)],
        ["importKey", "jwk", {**jwk, "d": b64(key.private_numbers().d ^ 2)}, about, True, ["sign"]],
    )
    assert made["algorithm"] == {
        "name": "RSA-PSS",
        "modulusLength": 2048,
        "publicExponent": b"\1\0\1",
        "hash": {"name": "SHA-256"},
    }
    assert pkcs8 == key.private_bytes(*PKCS8)
    assert shown == {**jwk, "alg": "PS256", "key_ops": ["sign"], "ext": True}
    assert (again["type"], again["extractable"]) == ("private", False)
    assert spki == key.public_key().public_bytes(*SPKI)
    assert wrong.startswith("DataError")


def test_an_rsa_pair_is_made(subtle: Subtle) -> None:
    about = {"name": "RSASSA-PKCS1-v1_5", "modulusLength": 1024, "publicExponent": b"\1\0\1", "hash": "SHA-256"}
    pair, signed, spki = subtle(
        ["generateKey", about, False, ["sign", "verify"]],
        ["sign", about["name"], of(0, "privateKey"), b"text"],
        ["exportKey", "spki", of(0, "publicKey")],
    )
    assert (pair["privateKey"]["usages"], pair["privateKey"]["extractable"]) == (["sign"], False)
    assert (pair["publicKey"]["usages"], pair["publicKey"]["extractable"]) == (["verify"], True)
    key = load_der_public_key(spki)
    assert isinstance(key, rsa.RSAPublicKey)
    assert (key.key_size, key.public_numbers().e) == (1024, 65537)
    key.verify(signed, b"text", padding.PKCS1v15(), hashes.SHA256())


@SETTINGS
@given(curve=CURVE, name=HASH, text=TEXT, at=st.integers(0))
def test_ecdsa(subtle: Subtle, curve: str, name: str, text: bytes, at: int) -> None:
    key, hash_ = ec.generate_private_key(CURVES[curve]), ec.ECDSA(HASHES[name])
    size = (key.key_size + 7) // 8
    theirs = b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(key.sign(text, hash_)))
    about, use = {"name": "ECDSA", "namedCurve": curve}, {"name": "ECDSA", "hash": name}
    _, _, ours, twice, good, other, broken, short = subtle(
        private(key, about, "sign"),
        public(key, about, "verify"),
        ["sign", use, of(0), text],
        ["sign", use, of(0), text],
        ["verify", use, of(1), theirs, text],
        ["verify", use, of(1), theirs, text + b"x"],
        ["verify", use, of(1), altered(theirs, at), text],
        ["verify", use, of(1), theirs[:-1], text],
    )
    halves = [int.from_bytes(ours[n : n + size], "big") for n in (0, size)]
    assert len(ours) == 2 * size
    key.public_key().verify(encode_dss_signature(*halves), text, hash_)
    assert ours != twice
    assert (good, other, broken, short) == (True, False, False, False)


@SETTINGS
@given(curve=CURVE, bits=st.integers(0, 256))
def test_ecdh(subtle: Subtle, curve: str, bits: int) -> None:
    about = {"name": "ECDH", "namedCurve": curve}
    theirs = ec.generate_private_key(CURVES[curve])
    made, raw, _, secret, some, long, derived, _ = subtle(
        ["generateKey", about, True, ["deriveBits", "deriveKey"]],
        ["exportKey", "raw", of(0, "publicKey")],
        public(theirs, about),
        ["deriveBits", {"name": "ECDH", "public": of(2)}, of(0, "privateKey"), None],
        ["deriveBits", {"name": "ECDH", "public": of(2)}, of(0, "privateKey"), bits],
        ["deriveBits", {"name": "ECDH", "public": of(2)}, of(0, "privateKey"), 536],
        [
            "deriveKey",
            {"name": "ECDH", "public": of(2)},
            of(0, "privateKey"),
            {"name": "AES-GCM", "length": 256},
            True,
            ["encrypt"],
        ],
        ["exportKey", "raw", of(6)],
    )
    whole = theirs.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve], raw))
    assert made["publicKey"]["usages"] == []
    assert secret == whole
    cut = bytearray(whole[: (bits + 7) // 8])
    if bits % 8:
        cut[-1] &= 0xFF << (8 - bits % 8) & 0xFF
    assert some == bytes(cut)
    assert long.startswith("OperationError")
    assert derived["algorithm"] == {"name": "AES-GCM", "length": 256}


@pytest.mark.parametrize("curve", sorted(CURVES))
def test_a_key_on_a_curve_in_each_format(subtle: Subtle, curve: str) -> None:
    key = ec.generate_private_key(CURVES[curve])
    size, numbers = (key.key_size + 7) // 8, key.private_numbers()
    x, y = numbers.public_numbers.x, numbers.public_numbers.y
    jwk = {"kty": "EC", "crv": curve, "x": b64(x, size), "y": b64(y, size), "d": b64(numbers.private_value, size)}
    about = {"name": "ECDSA", "namedCurve": curve}
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    small = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    _, pkcs8, shown, _, spki, raw, _, again = subtle(
        ["importKey", "jwk", jwk, about, True, ["sign"]],
        ["exportKey", "pkcs8", of(0)],
        ["exportKey", "jwk", of(0)],
        ["importKey", "raw", point, about, True, ["verify"]],
        ["exportKey", "spki", of(3)],
        ["exportKey", "raw", of(3)],
        ["importKey", "raw", small, about, True, ["verify"]],
        ["exportKey", "raw", of(6)],
    )
    found = load_der_private_key(pkcs8, None)
    assert isinstance(found, ec.EllipticCurvePrivateKey)
    assert found.private_numbers() == numbers
    assert shown == {**jwk, "key_ops": ["sign"], "ext": True}
    assert spki == key.public_key().public_bytes(*SPKI)
    assert raw == again == point


@SETTINGS
@given(seed=st.binary(min_size=32, max_size=32), text=TEXT, at=st.integers(0))
def test_ed25519(subtle: Subtle, seed: bytes, text: bytes, at: int) -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    signed, raw = key.sign(text), key.public_key().public_bytes_raw()
    _, _, ours, good, other, broken, pkcs8, jwk, spki = subtle(
        private(key, "Ed25519", "sign"),
        ["importKey", "raw", raw, {"name": "Ed25519"}, True, ["verify"]],
        ["sign", "Ed25519", of(0), text],
        ["verify", "Ed25519", of(1), signed, text],
        ["verify", "Ed25519", of(1), signed, text + b"x"],
        ["verify", "Ed25519", of(1), altered(signed, at), text],
        ["exportKey", "pkcs8", of(0)],
        ["exportKey", "jwk", of(0)],
        ["exportKey", "spki", of(1)],
    )
    assert (ours, good, other, broken) == (signed, True, False, False)
    assert (pkcs8, spki) == (key.private_bytes(*PKCS8), key.public_key().public_bytes(*SPKI))
    x, d = (urlsafe_b64encode(part).rstrip(b"=").decode() for part in (raw, seed))
    assert jwk == {"kty": "OKP", "crv": "Ed25519", "x": x, "d": d, "alg": "Ed25519", "key_ops": ["sign"], "ext": True}


def test_ed25519_of_rfc_8032(subtle: Subtle) -> None:
    """Test 2 of section 7.1; and a signature by a key of small order, which fits every message of some."""
    public_key = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    proof = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    neutral = b"\1" + bytes(31)
    raised = ed25519.Ed25519PublicKey.from_public_bytes(neutral)
    raised.verify(neutral + bytes(32), b"anything")  # OpenSSL takes it
    _, good, _, anything = subtle(
        ["importKey", "raw", public_key, "Ed25519", True, ["verify"]],
        ["verify", "Ed25519", of(0), proof, b"\x72"],
        ["importKey", "raw", neutral, "Ed25519", True, ["verify"]],
        ["verify", "Ed25519", of(2), neutral + bytes(32), b"anything"],
    )
    assert (good, anything) == (True, False)


@SETTINGS
@given(seed=st.binary(min_size=32, max_size=32))
def test_x25519(subtle: Subtle, seed: bytes) -> None:
    ours, theirs = x25519.X25519PrivateKey.from_private_bytes(seed), x25519.X25519PrivateKey.generate()
    _, _, secret, pkcs8 = subtle(
        private(ours, "X25519", "deriveBits"),
        ["importKey", "raw", theirs.public_key().public_bytes_raw(), "X25519", True, []],
        ["deriveBits", {"name": "X25519", "public": of(1)}, of(0), 256],
        ["exportKey", "pkcs8", of(0)],
    )
    assert secret == ours.exchange(theirs.public_key())
    assert pkcs8 == ours.private_bytes(*PKCS8)


def test_a_shared_secret_with_a_point_of_small_order_is_refused(subtle: Subtle) -> None:
    """RFC 7748, section 6.1: such points give zero with every key."""
    key = x25519.X25519PrivateKey.generate()
    order_8 = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
    for point in (bytes(32), b"\1" + bytes(31), order_8):
        answers = subtle(
            private(key, "X25519", "deriveBits"),
            ["importKey", "raw", point, "X25519", True, []],
            ["deriveBits", {"name": "X25519", "public": of(1)}, of(0), 256],
        )
        assert answers[2].startswith("OperationError")


@SETTINGS
@given(
    key=st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    secret=st.integers(2, 10).flatmap(lambda words: st.binary(min_size=8 * words, max_size=8 * words)),
    at=st.integers(0),
)
def test_aes_kw(subtle: Subtle, key: bytes, secret: bytes, at: int) -> None:
    wrapped = aes_key_wrap(key, secret)
    hmac = {"name": "HMAC", "hash": "SHA-256"}
    _, _, ours, _, opened, broken, _, short = subtle(
        ["importKey", "raw", key, "AES-KW", True, ["wrapKey", "unwrapKey"]],
        ["importKey", "raw", secret, hmac, True, ["sign"]],
        ["wrapKey", "raw", of(1), of(0), "AES-KW"],
        ["unwrapKey", "raw", wrapped, of(0), "AES-KW", hmac, True, ["sign"]],
        ["exportKey", "raw", of(3)],
        ["unwrapKey", "raw", altered(wrapped, at), of(0), "AES-KW", hmac, True, ["sign"]],
        ["importKey", "raw", secret + b"x", hmac, True, ["sign"]],
        ["wrapKey", "raw", of(6), of(0), "AES-KW"],
    )
    assert (ours, opened) == (wrapped, secret)
    assert broken.startswith("OperationError")
    assert short.startswith("OperationError")


def test_a_pair_is_wrapped_as_jwk_and_pkcs8(subtle: Subtle) -> None:
    about, iv = {"name": "ECDSA", "namedCurve": "P-256"}, {"name": "AES-GCM", "iv": bytes(12)}
    oaep = {"name": "RSA-OAEP", "hash": "SHA-256"}
    answers = subtle(
        ["generateKey", about, True, ["sign", "verify"]],
        ["generateKey", {"name": "AES-GCM", "length": 128}, True, ["wrapKey", "unwrapKey"]],
        ["wrapKey", "jwk", of(0, "privateKey"), of(1), iv],
        ["unwrapKey", "jwk", of(2), of(1), iv, about, True, ["sign"]],
        ["wrapKey", "pkcs8", of(3), of(1), iv],
        ["unwrapKey", "pkcs8", of(4), of(1), iv, about, True, ["sign"]],
        ["exportKey", "pkcs8", of(5)],
        ["exportKey", "pkcs8", of(0, "privateKey")],
        public(rsa_key(), oaep, "wrapKey"),
        private(rsa_key(), oaep, "unwrapKey"),
        ["wrapKey", "raw", of(1), of(8), "RSA-OAEP"],
        ["unwrapKey", "raw", of(10), of(9), "RSA-OAEP", "AES-GCM", True, ["encrypt"]],
        ["exportKey", "raw", of(11)],
        ["exportKey", "raw", of(1)],
    )
    assert answers[6] == answers[7]
    assert answers[12] == answers[13]


def _refused() -> list[tuple[str, list[Any]]]:
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    p256, p384 = ({"name": "ECDSA", "namedCurve": curve} for curve in ("P-256", "P-384"))
    jwk = {"kty": "EC", "crv": "P-256", "x": b64(numbers.x, 32), "y": b64(numbers.y, 32)}
    other = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    pss = {"name": "RSA-PSS", "hash": "SHA-256"}
    new_rsa = {**pss, "modulusLength": 2048, "publicExponent": b"\1\0\1"}
    okp = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    ed_der = ed25519.Ed25519PrivateKey.generate().private_bytes(*PKCS8)
    verify, sign = ["verify"], ["sign"]
    return [
        ("TypeError", ["importKey", "der", point, p256, True, verify]),
        ("TypeError", ["importKey", "raw", point, {"name": "ECDSA"}, True, verify]),
        ("SyntaxError", ["importKey", "raw", point, p256, True, sign]),
        ("DataError", ["importKey", "raw", point, p384, True, verify]),
        ("DataError", ["importKey", "raw", altered(point, 64), p256, True, verify]),
        ("DataError", ["importKey", "raw", b"\0", p256, True, verify]),
        ("DataError", ["importKey", "spki", key.public_key().public_bytes(*SPKI), p384, True, verify]),
        ("DataError", ["importKey", "spki", key.public_key().public_bytes(*SPKI) + b"\0", p256, True, verify]),
        ("DataError", ["importKey", "spki", key.public_key().public_bytes(*SPKI), pss, True, verify]),
        ("DataError", ["importKey", "jwk", {**jwk, "alg": "ES384"}, p256, True, verify]),
        ("DataError", ["importKey", "jwk", {**jwk, "use": "enc"}, p256, True, verify]),
        ("DataError", ["importKey", "jwk", {**jwk, "key_ops": ["sign"]}, p256, True, verify]),
        ("DataError", ["importKey", "jwk", {**jwk, "ext": False}, p256, True, verify]),
        ("DataError", ["importKey", "jwk", {**jwk, "x": b64(1)}, p256, True, verify]),
        ("DataError", ["importKey", "jwk", {**jwk, "d": b64(other, 32)}, p256, True, sign]),
        ("DataError", ["importKey", "jwk", {**jwk, "kty": "RSA"}, p256, True, verify]),
        ("NotSupportedError", ["generateKey", {"name": "ECDSA", "namedCurve": "P-224"}, True, sign]),
        ("SyntaxError", ["generateKey", p256, True, verify]),
        ("SyntaxError", ["generateKey", {"name": "ECDH", "namedCurve": "P-256"}, True, sign]),
        ("TypeError", ["generateKey", {**pss, "modulusLength": 2048}, True, sign]),
        ("OperationError", ["generateKey", {**new_rsa, "publicExponent": b"\1"}, True, sign]),
        ("OperationError", ["generateKey", {**new_rsa, "modulusLength": 1000}, True, sign]),
        ("SyntaxError", ["generateKey", new_rsa, True, verify]),
        ("NotSupportedError", ["importKey", "raw", point, pss, True, verify]),
        ("DataError", ["importKey", "jwk", {**okp, "alg": "ES256"}, "Ed25519", True, verify]),
        ("DataError", ["importKey", "jwk", {**okp, "d": okp["x"]}, "Ed25519", True, sign]),
        ("DataError", ["importKey", "jwk", okp, "X25519", True, []]),
        ("DataError", ["importKey", "raw", bytes(31), "Ed25519", True, verify]),
        ("DataError", ["importKey", "pkcs8", ed_der[:-1], "Ed25519", True, sign]),
        ("DataError", ["importKey", "pkcs8", ed_der, "X25519", True, ["deriveBits"]]),
        ("SyntaxError", ["importKey", "pkcs8", ed_der, "Ed25519", True, []]),
        ("TypeError", ["deriveBits", {"name": "X25519"}, {}, 256]),
    ]


@pytest.mark.parametrize(("name", "step"), _refused())
def test_what_is_refused_and_by_which_name(subtle: Subtle, name: str, step: list[Any]) -> None:
    (answer,) = subtle(step)
    assert answer.split(":")[0] == name, answer


def test_what_a_key_is_not_for(subtle: Subtle) -> None:
    """The key's own checks: name, usage, kind, curve, whether it may leave."""
    ecdh = {"name": "ECDH", "namedCurve": "P-256"}
    answers = subtle(
        ["generateKey", {"name": "ECDSA", "namedCurve": "P-256"}, False, ["sign", "verify"]],
        ["generateKey", ecdh, False, ["deriveBits"]],
        ["generateKey", {"name": "ECDH", "namedCurve": "P-384"}, False, ["deriveBits"]],
        ["sign", {"name": "ECDSA", "hash": "SHA-256"}, of(0, "publicKey"), b""],
        ["sign", "Ed25519", of(0, "privateKey"), b""],
        ["exportKey", "pkcs8", of(0, "privateKey")],
        ["exportKey", "pkcs8", of(0, "publicKey")],
        ["deriveBits", {"name": "ECDH", "public": of(2, "publicKey")}, of(1, "privateKey"), 8],
        ["deriveBits", {"name": "ECDH", "public": of(1, "privateKey")}, of(1, "privateKey"), 8],
        ["deriveBits", {"name": "ECDH", "public": of(0, "publicKey")}, of(1, "privateKey"), 8],
        ["sign", "ECDSA", of(1, "privateKey"), b""],
    )
    assert [answer.split(":")[0] for answer in answers[3:]] == ["InvalidAccessError"] * 7 + ["TypeError"]


def test_clones_of_a_machine_do_not_sign_with_the_same_nonce(subtle: Subtle) -> None:
    """Two machines of one image, which is all they have in common."""
    key = ec.generate_private_key(ec.SECP256R1())
    steps = [
        private(key, {"name": "ECDSA", "namedCurve": "P-256"}, "sign"),
        ["sign", {"name": "ECDSA", "hash": "SHA-256"}, of(0), b""],
    ]
    halves = {Subtle()(*steps)[1][:32] for _ in range(2)}
    assert len(halves) == 2


def test_a_jwt_of_rfc_7515(subtle: Subtle) -> None:
    """Appendix A.3: ES256."""
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }
    text = (
        b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        b"cnVlfQ"
    )
    proof = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q=="
    _, good = subtle(
        ["importKey", "jwk", jwk, {"name": "ECDSA", "namedCurve": "P-256"}, True, ["verify"]],
        ["verify", {"name": "ECDSA", "hash": "SHA-256"}, of(0), urlsafe_b64decode(proof), text],
    )
    assert good is True
