"""Publishing to a registry of others: how it is asked for credentials, and what it may not do with them."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from origin.model.elsewhere import PASSWORD, PREFIX, USER, Elsewhere, credentials_for, parse_registry
from origin.model.exchange import Request, upload_request
from origin.registry.elsewhere import ASKED_MAX, Registries
from origin.registry.store import Store
from origin.storage.memory import Memory
from tests.support.synthetic import BASE, image
from vmimage.errors import OperatorError, OriginError, OriginUnreachable, VerificationError
from vmimage.manifest import digest_of

IMAGE = image("one", base=BASE.manifest)
SECRET = "Basic " + base64.b64encode(b"ci:secret").decode()


class Behaviour:
    """What a registry does, and what it has seen."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []  # method, path, Authorization
        self.tokens = 0
        self.kept: dict[str, bytes] = {}  # by path
        self.realm = ""  # "" for its own
        self.location = "/v2/acme/x/blobs/uploads/1?state=2"
        self.status: int | None = None

    def asked(self, method: str) -> int:
        return sum(1 for seen, _, _ in self.seen if seen == method)


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: bytes = b"", **fields: str) -> None:
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts, shown = urlsplit(self.path), self.headers.get("Authorization", "")
            behaviour.seen.append((self.command, self.path, shown))
            if parts.path == "/token":
                assert shown == SECRET
                behaviour.tokens += 1
                return self.answer(
                    200, json.dumps({"token": parse_qs(parts.query)["scope"][0].replace(",", ".")}).encode()
                )
            scope = "pull" if self.command in ("GET", "HEAD") else "pull,push"
            if behaviour.status is not None:
                return self.answer(behaviour.status, Location="http://127.0.0.1:9/elsewhere")
            if shown not in (f"Bearer {scope.replace(',', '.')}", "Bearer pull.push"):
                realm = behaviour.realm or f"http://{self.headers['Host']}/token"
                said = f'Bearer realm="{realm}",service="r",scope="{scope}"'
                return self.answer(401, WWW_Authenticate=said)
            if self.command == "POST":
                return self.answer(202, Location=behaviour.location)
            if self.command == "PUT":
                behaviour.kept[parts.path if "digest" not in parts.query else parse_qs(parts.query)["digest"][0]] = body
                return self.answer(201)
            found = behaviour.kept.get(parts.path)
            return self.answer(404 if found is None else 200, found or b"")

        do_GET = do_HEAD = do_POST = do_PUT = handle_any

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour()


@pytest.fixture
def registry(behaviour: Behaviour) -> Iterator[Elsewhere]:
    with serving(behaviour) as url:
        yield Elsewhere(parse_registry(f"oci+{url}/acme/x"), lambda host: SECRET if host in url else "", silence_s=5)


def put(registry: Elsewhere) -> int:
    data = IMAGE.manifest.to_bytes()
    return registry.send(Request("PUT", f"{PREFIX}manifests/{IMAGE.manifest.digest}", data, "x/y")).status


def test_tokens_are_asked_for_by_scope_and_used_again(registry: Elsewhere, behaviour: Behaviour) -> None:
    for _ in range(3):
        assert registry.send(Request("HEAD", f"{PREFIX}blobs/{digest_of(b'x')}")).status == 404
    assert behaviour.tokens == 1
    assert registry.send(upload_request(digest_of(b"x"), b"x")).status == 201
    assert put(registry) == 201
    assert behaviour.tokens == 2
    config = IMAGE.manifest.config
    assert behaviour.kept == {
        digest_of(b"x"): b"x",
        digest_of(config): config,
        f"/v2/acme/x/manifests/{IMAGE.manifest.digest}": IMAGE.manifest.to_bytes(),
    }
    assert any(path.startswith("/v2/acme/x/blobs/uploads/1?state=2&digest=") for _, path, _ in behaviour.seen)


@pytest.mark.parametrize("location", ["http://127.0.0.1:9/x", "//evil.example/x", "https://127.0.0.1/x"])
def test_an_upload_is_not_sent_to_another_host(registry: Elsewhere, behaviour: Behaviour, location: str) -> None:
    behaviour.location = location
    with pytest.raises(OriginError, match="an upload at the same host expected"):
        registry.send(upload_request(digest_of(b"x"), b"x"))
    assert behaviour.asked("PUT") == 0


def test_a_password_is_shown_to_no_server_of_tokens_that_it_is_not_for(
    registry: Elsewhere, behaviour: Behaviour
) -> None:
    other = Behaviour()
    with serving(other) as url:
        behaviour.realm = url.replace("127.0.0.1", "localhost") + "/v2/x"
        with pytest.raises(OriginError, match="status 200 expected for a token, got 401: there are no credentials for"):
            registry.send(Request("HEAD", f"{PREFIX}blobs/{digest_of(b'x')}"))
        assert [shown for _, _, shown in other.seen] == [""]


@pytest.mark.parametrize("status", [301, 307, 401, 500])
def test_nothing_is_redirected_and_nothing_asked_for_ever(
    registry: Elsewhere, behaviour: Behaviour, status: int
) -> None:
    behaviour.status = status
    assert registry.send(Request("GET", f"{PREFIX}manifests/{digest_of(b'x')}")).status == status
    assert len(behaviour.seen) == 1


@pytest.mark.parametrize(
    "text",
    [
        "https://r.example/x",
        "oci+http://r.example/x",
        "oci+https://r.example",
        "oci+https://u:p@r.example/x",
        "oci+https://r.example/X",
    ],
)
def test_places_that_are_none(text: str) -> None:
    with pytest.raises(OperatorError, match="--registry"):
        parse_registry(text)


def test_where_credentials_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (USER, PASSWORD, "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert credentials_for("r.example", None) == ""
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"auths": {"r.example": {"auth": base64.b64encode(b"a:b").decode()}}}))
    file.chmod(0o644)
    with pytest.raises(OperatorError, match="others may read"):
        credentials_for("r.example", None)
    file.chmod(0o600)
    assert credentials_for("r.example", None) == "Basic YTpi"
    assert credentials_for("other.example", None) == ""
    monkeypatch.setenv(USER, "ci")
    monkeypatch.setenv(PASSWORD, "secret")
    assert credentials_for("any.example", None) == SECRET


# What an origin believes of them.


def kept(behaviour: Behaviour, *manifests: bytes) -> None:
    behaviour.kept |= {f"/v2/acme/x/manifests/{digest_of(data)}": data for data in manifests}


def test_an_origin_looks_once_and_remembers_while_it_is_allowed(registry: Elsewhere, behaviour: Behaviour) -> None:
    store, digest = Store(Memory()), IMAGE.manifest.digest
    kept(behaviour, IMAGE.manifest.to_bytes(), BASE.manifest.to_bytes())
    registries = Registries(store, [registry])
    assert registries.known(digest) is None
    assert registries.search()(digest) == len(IMAGE.manifest.to_bytes())
    asked = len(behaviour.seen)
    for again in (registries, Registries(store, [registry])):
        assert again.known(digest) == again.search()(digest) == len(IMAGE.manifest.to_bytes())
    assert len(behaviour.seen) == asked
    assert Registries(store, []).known(digest) is None, "the operator allows it no more"


def test_what_is_not_what_it_is_called_is_not_believed(registry: Elsewhere, behaviour: Behaviour) -> None:
    search = Registries(Store(Memory()), [registry]).search
    assert search()(IMAGE.manifest.digest) is None
    kept(behaviour, IMAGE.manifest.to_bytes())
    with pytest.raises(VerificationError, match=f"{BASE.manifest.digest}, which the image names, expected there"):
        search()(IMAGE.manifest.digest)
    kept(behaviour, b"{}", b"x" * 100_000)
    behaviour.kept[f"/v2/acme/x/manifests/{digest_of(b'lie')}"] = BASE.manifest.to_bytes()
    for data in (b"{}", b"x" * 100_000, b"lie"):
        with pytest.raises(VerificationError):
            search()(digest_of(data))
    behaviour.status = 500
    with pytest.raises(VerificationError, match="got 500"):
        search()(IMAGE.manifest.digest)


def test_an_origin_asks_so_much_for_one_submission(registry: Elsewhere, behaviour: Behaviour) -> None:
    now = [0.0]
    registries = Registries(Store(Memory()), [registry], lambda: now[0])
    find = registries.search()
    behaviour.status = 404
    for number in range(ASKED_MAX):
        assert find(digest_of(b"%d" % number)) is None
    with pytest.raises(VerificationError, match="publish fewer at once"):
        find(digest_of(b"more"))
    assert len(behaviour.seen) == ASKED_MAX
    late: Callable[[str], int | None] = registries.search()
    now[0] = 61.0
    with pytest.raises(VerificationError, match="publish fewer"):
        late(digest_of(b"late"))


def test_a_registry_that_is_down_and_one_that_is_not(registry: Elsewhere, behaviour: Behaviour) -> None:
    kept(behaviour, BASE.manifest.to_bytes())
    down = Elsewhere(parse_registry("oci+http://127.0.0.1:9/acme/x"), lambda _: "", silence_s=1)
    with pytest.raises(OriginUnreachable, match="a registry expected at"):
        down.send(Request("GET", f"{PREFIX}manifests/{BASE.manifest.digest}"))
    search = Registries(Store(Memory()), [down, registry]).search()
    assert search(BASE.manifest.digest) == len(BASE.manifest.to_bytes())
    with pytest.raises(VerificationError, match="a registry that has it expected"):
        search(digest_of(b"nowhere"))
