"""An issuer of ID tokens on loopback: its keys, its discovery document, and tokens as it would make them, or not."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from origin.registry.issuers import Issuer, Row
from vmimage.manifest import canonical_json

AUDIENCE: Final = "https://origin.example"
SUBJECT: Final = "repo:acme/shop:ref:refs/heads/main"
RSA: Final = rsa.generate_private_key(65537, 2048)
EC: Final = ec.generate_private_key(ec.SECP256R1())
ED: Final = ed25519.Ed25519PrivateKey.generate()
SIGNERS: Final[dict[str, Any]] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}


def public_keys() -> list[dict[str, Any]]:
    """The issuer's key set: a key of each kind, called as its algorithm is."""
    described = {
        "RS256": RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True),
        "ES256": ECAlgorithm.to_jwk(EC.public_key(), as_dict=True),
        "EdDSA": OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True),
    }
    return [{**key, "kid": name, "use": "sig"} for name, key in described.items()]


class Ci:
    """A running issuer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = 0  # for its keys
        self.keys = public_keys()
        self.up = True

    @property
    def issuer(self) -> Issuer:
        """As the operator's table has it."""
        return Issuer(self.url, AUDIENCE, (Row("acme", {"sub": SUBJECT}), Row("other", {"sub": "repo:other/*"})))

    def token(self, algorithm: str = "RS256", *, key: Any = None, kid: str | None = None, **claims: Any) -> str:
        """A token that counts, but for what is said otherwise; a claim that is None is left out."""
        now = int(time.time())
        said = {"iss": self.url, "aud": AUDIENCE, "sub": SUBJECT, "iat": now, "nbf": now, "exp": now + 300} | claims
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, key or SIGNERS[algorithm], algorithm, {"kid": kid if kid is not None else algorithm})


@contextmanager
def running_issuer() -> Iterator[Ci]:
    """One on loopback, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document: dict[str, Any] = {"issuer": ci.url, "jwks_uri": f"{ci.url}/keys"}
            if self.path == "/keys":
                ci.asked += 1
                document = {"keys": ci.keys}
            body = canonical_json(document)
            self.send_response(200 if ci.up else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ci = Ci(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield ci
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """Three words, whatever they say."""
    words = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(jwt.utils.base64url_encode(word).decode() for word in words)
