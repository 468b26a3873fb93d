"""Steps of crypto.subtle in a machine, and an RSA key to take them with."""

import json
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.guests import Guest
from tests.support.workers import WORKERS, worker_image


class Subtle:
    """Steps of crypto.subtle in a machine: each a method and its arguments, bytes as they are."""

    def __init__(self) -> None:
        self.guest = Guest(worker_image(WORKERS / "subtle.js"), cpu_ms=600_000)

    def __call__(self, *steps: list[Any]) -> list[Any]:
        body = json.dumps(_out(list(steps))).encode()
        answer = self.guest.get("/", method="POST", body=body, CONTENT_TYPE="application/json")
        found = _in(json.loads(bytes(answer.body)))
        assert isinstance(found, list)
        return found


def _out(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [_out(item) for item in value]
    return {name: _out(item) for name, item in value.items()} if isinstance(value, dict) else value


def _in(value: Any) -> Any:
    if isinstance(value, list):
        return [_in(item) for item in value]
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"]) if set(value) == {"hex"} else {name: _in(v) for name, v in value.items()}
    return value


def of(step: int, part: str | None = None) -> dict[str, object]:
    """What an earlier step made, from 0: a result, or a key of a pair."""
    return {"of": step, **({"part": part} if part else {})}


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """One for the whole test process."""
    return rsa.generate_private_key(65537, 2048)


def b64(number: int, size: int | None = None) -> str:
    """As a JSON Web Key has it: big-endian, in as few bytes as it has or in `size`."""
    data = number.to_bytes(size or (number.bit_length() + 7) // 8, "big")
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def rsa_jwk() -> dict[str, str]:
    """That key, RFC 7518 section 6.3."""
    numbers = rsa_key().private_numbers()
    parts = {
        "n": numbers.public_numbers.n,
        "e": 65537,
        "d": numbers.d,
        "p": numbers.p,
        "q": numbers.q,
        "dp": numbers.dmp1,
        "dq": numbers.dmq1,
        "qi": numbers.iqmp,
    }
    return {"kty": "RSA", **{name: b64(number) for name, number in parts.items()}}
