"""crypto.subtle of JavaScript workers, judged by the RFCs' vectors and by the package `cryptography`, both ways."""

import hmac
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.subtle import Subtle, of

SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HASHES = {"SHA-1": hashes.SHA1(), "SHA-256": hashes.SHA256(), "SHA-384": hashes.SHA384(), "SHA-512": hashes.SHA512()}


@pytest.fixture(scope="module")
def subtle(engine: str) -> Subtle:
    return Subtle()


def hmac_key(key: bytes, name: str = "SHA-256", **more: object) -> list[Any]:
    return ["importKey", "raw", key, {"name": "HMAC", "hash": name, **more}, True, ["sign", "verify"]]


def aes_key(mode: str, key: bytes) -> list[Any]:
    return ["importKey", "raw", key, mode, True, ["encrypt", "decrypt"]]


def test_hmac_of_rfc_4231(subtle: Subtle) -> None:
    """Test case 2 of section 4.3, with each SHA-2 that subtle has."""
    key, text = b"Jefe", b"what do ya want for nothing?"
    wanted = {
        "SHA-256": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        "SHA-384": "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        "SHA-512": "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
    }
    for name, digest in wanted.items():
        assert subtle(hmac_key(key, name), ["sign", "HMAC", of(0), text])[1].hex() == digest


@SETTINGS
@given(name=st.sampled_from(sorted(HASHES)), key=st.binary(min_size=1, max_size=200), text=st.binary(max_size=400))
def test_hmac_and_digests(subtle: Subtle, name: str, key: bytes, text: bytes) -> None:
    digest = hmac.digest(key, text, name.replace("-", ""))
    wrong = bytes([digest[0] ^ 1]) + digest[1:]
    _, signed, good, bad, short, plain = subtle(
        hmac_key(key, name),
        ["sign", "HMAC", of(0), text],
        ["verify", "hmac", of(0), digest, text],
        ["verify", "HMAC", of(0), wrong, text],
        ["verify", "HMAC", of(0), digest[:-1], text],
        ["digest", name, text],
    )
    assert (signed, good, bad, short) == (digest, True, False, False)
    reference = hashes.Hash(HASHES[name])
    reference.update(text)
    assert plain == reference.finalize()


def test_what_a_worker_does_to_what_it_sees_of_a_key_does_not_change_the_key(subtle: Subtle) -> None:
    _, _, signed, refused = subtle(
        ["importKey", "raw", b"k", {"name": "HMAC", "hash": "SHA-256"}, True, ["sign"]],
        ["change", of(0)],
        ["sign", "HMAC", of(0), b"text"],
        ["verify", "HMAC", of(0), b"", b"text"],
    )
    assert signed == hmac.digest(b"k", b"text", "sha256")
    assert refused.startswith("InvalidAccessError")


def test_a_key_says_what_it_is_and_keeps_to_it(subtle: Subtle) -> None:
    made, jwk, again, raw, refused, secret, kept = subtle(
        ["generateKey", {"name": "hmac", "hash": {"name": "sha-256"}}, True, ["verify", "sign"]],
        ["exportKey", "jwk", of(0)],
        ["importKey", "jwk", of(1), {"name": "HMAC", "hash": "SHA-256"}, True, ["verify"]],
        ["exportKey", "raw", of(2)],
        ["sign", "HMAC", of(2), b""],
        ["importKey", "raw", b"k", {"name": "HMAC", "hash": "SHA-1"}, False, ["sign"]],
        ["exportKey", "raw", of(5)],
    )
    algorithm = {"name": "HMAC", "length": 512, "hash": {"name": "SHA-256"}}
    assert made == {"type": "secret", "extractable": True, "algorithm": algorithm, "usages": ["sign", "verify"]}
    assert (jwk["kty"], jwk["alg"], jwk["key_ops"], jwk["ext"]) == ("oct", "HS256", ["sign", "verify"], True)
    assert (len(raw), again["usages"]) == (64, ["verify"])
    assert refused.startswith("InvalidAccessError")
    assert secret["extractable"] is False
    assert kept.startswith("InvalidAccessError")


SIGN: list[Any] = ["sign"]
REFUSED: list[tuple[str, list[Any]]] = [
    ("NotSupportedError", ["digest", "MD5", b""]),
    ("TypeError", ["digest", "SHA-256", "text"]),
    ("NotSupportedError", ["importKey", "raw", b"k", "ROT13", True, SIGN]),
    ("NotSupportedError", ["importKey", "spki", b"k", {"name": "HMAC", "hash": "SHA-1"}, True, SIGN]),
    ("SyntaxError", ["importKey", "raw", b"k", {"name": "HMAC", "hash": "SHA-1"}, True, ["encrypt"]]),
    ("SyntaxError", ["importKey", "raw", b"k", {"name": "HMAC", "hash": "SHA-1"}, True, []]),
    ("TypeError", ["importKey", "raw", b"k", {"name": "HMAC", "hash": "SHA-1"}, True, ["dance"]]),
    ("DataError", ["importKey", "raw", b"", {"name": "HMAC", "hash": "SHA-1"}, True, SIGN]),
    ("DataError", ["importKey", "jwk", {"kty": "RSA"}, {"name": "HMAC", "hash": "SHA-1"}, True, SIGN]),
    ("DataError", ["importKey", "jwk", {"kty": "oct", "k": "+/"}, {"name": "HMAC", "hash": "SHA-1"}, True, SIGN]),
    ("DataError", ["importKey", "raw", b"k" * 15, "AES-GCM", True, ["encrypt"]]),
    ("OperationError", ["generateKey", {"name": "AES-GCM", "length": 100}, True, ["encrypt"]]),
    ("SyntaxError", ["importKey", "raw", b"k", "PBKDF2", True, ["deriveBits"]]),
    ("TypeError", ["sign", "HMAC", {}, b""]),
]


@pytest.mark.parametrize(("name", "step"), REFUSED)
def test_what_is_refused_and_by_which_name(subtle: Subtle, name: str, step: list[Any]) -> None:
    (answer,) = subtle(step)
    assert answer.split(":")[0] == name


def test_timing_safe_equal(subtle: Subtle) -> None:
    same, other, sizes = subtle(
        *(["timingSafeEqual", b"abc", given_] for given_ in (b"abc", b"abd", b"ab")),
    )
    assert (same, other, sizes.split(":")[0]) == (True, False, "TypeError")


KEYS = st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
BLOCK = st.binary(min_size=16, max_size=16)
TEXT = st.binary(max_size=300)


@SETTINGS
@given(key=KEYS, iv=st.binary(min_size=1, max_size=40), more=st.binary(max_size=50), text=TEXT, at=st.integers(0))
def test_aes_gcm(subtle: Subtle, key: bytes, iv: bytes, more: bytes, text: bytes, at: int) -> None:
    encryptor = Cipher(algorithms.AES(key), modes.GCM(iv, min_tag_length=4) if len(iv) >= 8 else modes.GCM(iv.ljust(8)))
    iv = iv if len(iv) >= 8 else iv.ljust(8)
    sealing = encryptor.encryptor()
    sealing.authenticate_additional_data(more)
    sealed = sealing.update(text) + sealing.finalize() + sealing.tag
    place = at % len(sealed)
    altered = sealed[:place] + bytes([sealed[place] ^ 0x10]) + sealed[place + 1 :]
    how = {"name": "AES-GCM", "iv": iv, "additionalData": more}
    _, ours, opened, wrong, short, other = subtle(
        aes_key("AES-GCM", key),
        ["encrypt", how, of(0), text],
        ["decrypt", how, of(0), sealed],
        ["decrypt", how, of(0), altered],
        ["decrypt", how, of(0), sealed[:-1]],
        ["decrypt", {**how, "additionalData": more + b"x"}, of(0), sealed],
    )
    assert (ours, opened) == (sealed, text)
    assert {answer.split(":")[0] for answer in (wrong, short, other)} == {"OperationError"}


def test_aes_gcm_with_a_short_tag(subtle: Subtle) -> None:
    key, iv = bytes(range(16)), bytes(12)
    whole = AESGCM(key).encrypt(iv, b"text", None)
    with pytest.raises(InvalidTag):
        AESGCM(key).decrypt(iv, whole[:-1], None)
    how = {"name": "AES-GCM", "iv": iv, "tagLength": 96}
    _, ours, opened = subtle(aes_key("AES-GCM", key), ["encrypt", how, of(0), b"text"], ["decrypt", how, of(0), of(1)])
    assert (ours, opened) == (whole[:-4], b"text")


@SETTINGS
@given(key=KEYS, iv=BLOCK, text=TEXT)
def test_aes_cbc(subtle: Subtle, key: bytes, iv: bytes, text: bytes) -> None:
    padder, cipher = padding.PKCS7(128).padder(), Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    sealed = cipher.update(padder.update(text) + padder.finalize()) + cipher.finalize()
    bad_end = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor().update(text.ljust(320, b"x") + bytes(16))
    how = {"name": "AES-CBC", "iv": iv}
    _, ours, opened, wrong, short = subtle(
        aes_key("AES-CBC", key),
        ["encrypt", how, of(0), text],
        ["decrypt", how, of(0), sealed],
        ["decrypt", how, of(0), bad_end],
        ["decrypt", how, of(0), sealed[:-1]],
    )
    assert (ours, opened) == (sealed, text)
    assert {answer.split(":")[0] for answer in (wrong, short)} == {"OperationError"}


@SETTINGS
@given(key=KEYS, counter=st.one_of(BLOCK, st.just(b"\xff" * 16)), text=TEXT)
def test_aes_ctr(subtle: Subtle, key: bytes, counter: bytes, text: bytes) -> None:
    how = {"name": "AES-CTR", "counter": counter, "length": 128}
    sealed = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor().update(text)
    assert subtle(aes_key("AES-CTR", key), ["encrypt", how, of(0), text], ["decrypt", how, of(0), sealed])[1:] == [
        sealed,
        text,
    ]


def test_a_counter_of_few_bits_wraps_within_them_and_is_not_used_twice(subtle: Subtle) -> None:
    key, counter = bytes(16), bytes([7] * 15 + [0xFF])
    first, second = (
        Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(counter[:15] + last) for last in (b"\xff", b"\xfe")
    )
    how = {"name": "AES-CTR", "counter": counter, "length": 1}
    _, ours, more = subtle(
        aes_key("AES-CTR", key), ["encrypt", how, of(0), bytes(32)], ["encrypt", how, of(0), bytes(33)]
    )
    assert ours == first + second
    assert more.startswith("OperationError")


@SETTINGS
@given(
    name=st.sampled_from(sorted(HASHES)),
    secret=st.binary(min_size=1, max_size=150),
    salt=st.binary(max_size=40),
    info=st.binary(max_size=40),
    size=st.integers(1, 150),
    iterations=st.integers(1, 20),
)
def test_keys_from_passwords_and_secrets(
    subtle: Subtle, name: str, secret: bytes, salt: bytes, info: bytes, size: int, iterations: int
) -> None:
    by_password = PBKDF2HMAC(HASHES[name], size, salt, iterations).derive(secret)
    by_secret = HKDF(HASHES[name], size, salt, info).derive(secret)
    password = {"name": "PBKDF2", "hash": name, "salt": salt, "iterations": iterations}
    hkdf = {"name": "HKDF", "hash": name, "salt": salt, "info": info}
    answers = subtle(
        ["importKey", "raw", secret, "PBKDF2", False, ["deriveBits"]],
        ["deriveBits", password, of(0), size * 8],
        ["importKey", "raw", secret, "HKDF", False, ["deriveBits"]],
        ["deriveBits", hkdf, of(2), size * 8],
    )
    assert answers[1::2] == [by_password, by_secret]


def test_a_derived_key_and_a_wrapped_one(subtle: Subtle) -> None:
    password = {"name": "PBKDF2", "hash": "SHA-256", "salt": b"salt", "iterations": 1000}
    usages = ["wrapKey", "unwrapKey"]
    iv = {"name": "AES-GCM", "iv": bytes(12)}
    answers = subtle(
        ["importKey", "raw", b"secret", "PBKDF2", False, ["deriveKey"]],
        ["deriveKey", password, of(0), {"name": "AES-GCM", "length": 256}, True, usages],
        ["exportKey", "raw", of(1)],
        hmac_key(b"hidden"),
        ["wrapKey", "jwk", of(3), of(1), iv],
        ["unwrapKey", "jwk", of(4), of(1), iv, {"name": "HMAC", "hash": "SHA-256"}, True, ["sign"]],
        ["exportKey", "raw", of(5)],
        ["deriveBits", password, of(0), 8],
    )
    assert answers[2] == PBKDF2HMAC(hashes.SHA256(), 32, b"salt", 1000).derive(b"secret")
    assert answers[6] == b"hidden"
    assert answers[7].startswith("InvalidAccessError"), "deriveKey is not deriveBits"
