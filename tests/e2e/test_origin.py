"""Does the origin keep its word over HTTP: to registries' clients, to publishers, to edges, and when it is killed?"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge.catalogue.catalogue import Catalogue
from loadtest.site.fetch import Answer, Client
from loadtest.site.site import NUNATAK, CommandFailed, Publication, Site
from origin.registry.artifacts import ARTIFACT_MAX
from tests.support.synthetic import BASE, image
from vmimage.archive import pack_archive
from vmimage.manifest import BLOB_MAX, digest_of

BLOB = bytes(range(256)) * 1000
DIGEST = digest_of(BLOB)
UPLOADS = "/v2/images/blobs/uploads/"


@pytest.fixture
def own_origin(tmp_path: Path) -> Iterator[Site]:
    """An origin for one test, to be killed as it likes."""
    with Site(tmp_path, edges=0) as site:
        yield site


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("origin"), edges=0) as site:
        yield site


@pytest.fixture
def client(origin: Site) -> Iterator[Client]:
    with Client(origin.origin.url) as client:
        yield client


@pytest.fixture
def token(origin: Site) -> dict[str, str]:
    return {"Authorization": f"Bearer {(origin.keys / 'token').read_text().strip()}"}


def _image(site: Site, name: str, content: bytes = b"") -> Path:
    path = site.folder / f"{name}.oci.tar"
    derived = image(name, base=BASE.manifest, content=name.encode() + b" " + content)
    path.write_bytes(pack_archive([BASE, derived]))
    return path


def _catalogue(site: Site, folder: str) -> Catalogue:
    catalogue = Catalogue(site.folder / folder, f"{site.origin.url}/tuf/", (site.keys / "root.json").read_bytes())
    catalogue.refresh()
    return catalogue


def _code(answer: Answer) -> str:
    [error] = json.loads(answer.body)["errors"]
    assert error["message"]
    return str(error["code"])


# As a registry.


def test_a_blob_goes_in_whole_and_comes_out_in_parts(client: Client, token: dict[str, str]) -> None:
    put = client.request("POST", f"{UPLOADS}?digest={DIGEST}", body=BLOB, headers=token)
    assert (put.status, put.headers["docker-content-digest"]) == (201, DIGEST)
    path = put.headers["location"]
    head = client.request("HEAD", path)
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(BLOB)), b"")
    got = client.get(path)
    assert (got.body == BLOB, got.headers["docker-content-digest"]) == (True, DIGEST)
    part = client.request("GET", path, headers={"Range": "bytes=1000-1999"})
    assert (part.status, part.body) == (206, BLOB[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(BLOB)}"
    assert client.request("GET", path, headers={"Range": f"bytes={len(BLOB)}-"}).status == 416
    assert client.request("GET", path, headers={"If-None-Match": got.headers["etag"]}).status == 304


def test_a_blob_in_chunks(client: Client, token: dict[str, str]) -> None:
    begun = client.request("POST", UPLOADS, headers=token)
    path = begun.headers["location"]
    assert begun.status == 202
    first = client.request("PATCH", path, body=BLOB[:100], headers=token | {"Content-Range": "0-99"})
    assert (first.status, first.headers["range"]) == (202, "0-99")
    assert client.request("PATCH", path, body=b"x", headers=token | {"Content-Range": "5-5"}).status == 416
    asked = client.request("GET", path, headers=token)
    assert (asked.status, asked.headers["range"]) == (204, "0-99")
    assert client.request("PATCH", path, body=BLOB[100:5000], headers=token).status == 202
    done = client.request("PUT", f"{path}?digest={DIGEST}", body=BLOB[5000:], headers=token)
    assert done.status == 201
    assert client.get(done.headers["location"]).body == BLOB
    assert _code(client.request("GET", path, headers=token)) == "BLOB_UPLOAD_UNKNOWN"


def test_an_upload_that_is_given_up(client: Client, token: dict[str, str]) -> None:
    path = client.request("POST", UPLOADS, headers=token).headers["location"]
    assert client.request("DELETE", path, headers=token).status == 204
    assert client.request("PATCH", path, body=b"x", headers=token).status == 404


def test_a_blob_that_is_not_what_it_is_named(client: Client, token: dict[str, str]) -> None:
    wrong = digest_of(b"other")
    refused = client.request("POST", f"{UPLOADS}?digest={wrong}", body=BLOB, headers=token)
    assert (refused.status, _code(refused)) == (400, "DIGEST_INVALID")
    assert client.get(f"/v2/images/blobs/{wrong}").status == 404


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}])
def test_changes_need_the_token(client: Client, method: str, header: dict[str, str]) -> None:
    paths = {"POST": [UPLOADS, "/tuf/roles"], "PUT": ["/v2/images/manifests/v1", UPLOADS + "x"]}
    for path in paths.get(method, [UPLOADS + "x"]):
        refused = client.request(method, path, headers=header)
        assert (refused.status, _code(refused)) == (401, "UNAUTHORIZED")
        assert refused.headers["www-authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/images/blobs/" + digest_of(b"nowhere"), 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/images/blobs/sha256:00", 400, "DIGEST_INVALID"),
        ("GET", "/v2/images/manifests/" + digest_of(b"nowhere"), 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/images/manifests/no-such-tag", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/other/blobs/" + DIGEST, 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/other/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", "/tuf/..%2f..%2flock", 404, "NAME_UNKNOWN"),
        ("GET", "/tuf/9.root.json", 404, "NAME_UNKNOWN"),
        ("GET", "/nowhere", 404, "NAME_UNKNOWN"),
        ("DELETE", "/v2/images/blobs/" + DIGEST, 405, "UNSUPPORTED"),
    ],
)
def test_errors_are_oci_errors(client: Client, method: str, path: str, status: int, code: str) -> None:
    answer = client.request(method, path)
    assert (answer.status, _code(answer)) == (status, code)


def test_what_is_too_large_is_refused_before_it_comes(client: Client, token: dict[str, str]) -> None:
    for method, path, size in (
        ("POST", f"{UPLOADS}?digest={DIGEST}", BLOB_MAX + 1),
        ("PUT", "/v2/images/manifests/v1", ARTIFACT_MAX + 1),
    ):
        # The length alone is enough: not a byte of body is sent.
        refused = client.request(method, path, headers=token | {"Content-Length": str(size), "Connection": "close"})
        assert (refused.status, _code(refused)) == (413, "SIZE_INVALID")
        client.close()


def test_manifests_by_digest_and_tag(client: Client, token: dict[str, str]) -> None:
    encoded = BASE.manifest.to_bytes()
    by_digest = f"/v2/images/manifests/{BASE.manifest.digest}"
    stranger = image("stranger").manifest.to_bytes()
    refused = client.request("PUT", "/v2/images/manifests/x", body=stranger, headers=token)
    assert (refused.status, _code(refused)) == (400, "MANIFEST_BLOB_UNKNOWN")
    for digest, data in BASE.blobs.items():
        client.request("POST", f"{UPLOADS}?digest={digest}", body=data, headers=token)
    wrong = client.request("PUT", f"/v2/images/manifests/{DIGEST}", body=encoded, headers=token)
    assert (wrong.status, _code(wrong)) == (400, "DIGEST_INVALID")
    assert client.request("PUT", by_digest, body=encoded, headers=token).status == 201
    assert client.request("PUT", "/v2/images/manifests/v1", body=encoded, headers=token).status == 201
    for path in (by_digest, "/v2/images/manifests/v1"):
        got = client.get(path)
        assert (got.status, got.body) == (200, encoded)
        assert got.headers["content-type"] == "application/vnd.oci.image.manifest.v1+json"
    assert json.loads(client.get("/v2/images/tags/list").body) == {"name": "images", "tags": ["v1"]}
    assert client.get(f"/v2/images/blobs/{BASE.manifest.config_blob.digest}").body == BASE.manifest.config


def test_the_timestamp_is_revalidated_and_the_rest_is_for_ever(client: Client) -> None:
    first = client.get("/tuf/timestamp.json")
    assert (first.status, first.headers["cache-control"]) == (200, "no-cache")
    again = client.request("GET", "/tuf/timestamp.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert "immutable" in client.get("/tuf/1.root.json").headers["cache-control"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"bin-00": 1}', b'{"bin-00": "x"}', b"{}", b"[" * 100_000])
def test_roles_that_are_none(client: Client, token: dict[str, str], body: bytes) -> None:
    refused = client.request("POST", "/tuf/roles", body=body, headers=token)
    assert (refused.status, _code(refused)) == (400, "MANIFEST_INVALID")


# For publishers.


def test_publish_and_rollback(origin: Site) -> None:
    origin.publish(_image(origin, "one"), "hello", "hello.example", "WWW.hello.example")
    first = _catalogue(origin, "edge").find_host("www.hello.example")
    assert first is not None
    assert (first.service, first.version) == ("hello", 1)
    origin.publish(_image(origin, "two"), "hello", "hello.example")
    origin.rollback("hello")
    back = _catalogue(origin, "edge").find_service("hello")
    assert back is not None
    assert (back.version, back.manifest_digest) == (3, first.manifest_digest)
    origin.rollback("hello", "--to", "2")
    with Client(origin.origin.url) as client:
        assert client.get(f"/v2/images/manifests/{back.manifest_digest}").status == 200
    with pytest.raises(CommandFailed, match="a version of hello to go back to expected") as refused:
        origin.rollback("hello", "--to", "9")
    assert refused.value.exit_code == 2


def test_a_batch_of_a_hundred_services_is_in_the_catalogue(origin: Site) -> None:
    path = _image(origin, "shared")
    origin.publish_batch(Publication(path, f"batch{i}", (f"batch{i}.example",)) for i in range(100))
    catalogue = _catalogue(origin, "batch-edge")
    assert {catalogue.find_host(f"batch{i}.example") is not None for i in range(100)} == {True}


def test_a_batch_may_name_a_tenant_for_each(origin: Site) -> None:
    path, batch = str(_image(origin, "shared")), origin.folder / "tenants.jsonl"
    lines = ({"image": path, "service": f"of{n}", "hosts": []} for n in range(3))
    told: tuple[dict[str, str], ...] = ({}, {"tenant": "crowd"}, {"tenant": ""})
    batch.write_text("\n".join(json.dumps(line | tenant) for line, tenant in zip(lines, told, strict=True)))
    origin.run("publish", "--batch", str(batch), "--origin", origin.origin.url, "--keys", str(origin.keys))
    found = [_catalogue(origin, "tenant-edge").find_service(f"of{n}") for n in range(3)]
    assert [record.tenant for record in found if record is not None] == ["of0", "crowd", "of2"]


@pytest.mark.parametrize(
    "line",
    [
        *("", "no json", "[]", '{"image": "x"}', '{"image": "shared.oci.tar", "service": 1, "hosts": []}'),
        '{"image": "shared.oci.tar", "service": "good", "hosts": [], "tenant": "No Name"}',
        '{"image": "shared.oci.tar", "service": "good", "hosts": [], "tenant": ["x"]}',
    ],
)
def test_a_batch_with_a_bad_line_publishes_nothing(origin: Site, line: str) -> None:
    good = json.dumps({"image": str(_image(origin, "good")), "service": "good", "hosts": []})
    batch = origin.folder / "bad.jsonl"
    batch.write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(CommandFailed, match="line 2") as refused:
        origin.run("publish", "--batch", str(batch), "--origin", origin.origin.url, "--keys", str(origin.keys))
    assert refused.value.exit_code == 2
    assert _catalogue(origin, "edge").find_service("good") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "{folder}/missing"), "No such file"),
        (("inspect", "{folder}"), "Is a directory"),
        (("inspect", "{keys}/root.json"), "image file"),
        (("inspect", "{folder}/half.oci.tar"), "expected"),
        (("keygen", "{keys}"), "empty folder"),
        (("publish", "{folder}/missing", "--service", "x"), "No such file"),
        (("publish", "--service", "x"), "expected"),
        (("publish", "{folder}/good.oci.tar", "--service", "NOT OK"), "cannot be published"),
        (("publish", "{folder}/good.oci.tar", "--service", "x", "--host", "a/b"), "cannot be published"),
        (("publish", "{folder}/good.oci.tar", "--service", "x", "--keys", "{folder}"), "key folder file"),
        (
            ("publish", "{folder}/good.oci.tar", "--service", "x", "--origin", "http://127.0.0.1:1"),
            "an origin expected",
        ),
        (("rollback", "--service", "nobody"), "a published service expected"),
        (("origin", "--store", "{folder}/new", "--keys", "{folder}"), "key folder file"),
        (("origin", "--store", "{folder}/new", "--keys", "{keys}", "--listen", "nowhere"), "ADDR:PORT"),
        (("origin", "--store", "{store}", "--keys", "{keys}"), "another origin serves it"),
        (("build", "{folder}/missing.c", "-o", "{folder}/x"), "no such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(origin: Site, arguments: tuple[str, ...], message: str) -> None:
    good = _image(origin, "good")
    (origin.folder / "half.oci.tar").write_bytes(good.read_bytes()[:3000])
    places = {"folder": origin.folder, "keys": origin.keys, "store": origin.store}
    given = [argument.format(**places) for argument in arguments]
    if given[0] in ("publish", "rollback"):
        given += [] if "--origin" in given else ["--origin", origin.origin.url]
        given += [] if "--keys" in given else ["--keys", str(origin.keys)]
    done = subprocess.run([*NUNATAK, *given], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nunatak: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_key_that_others_may_read_is_refused(own_origin: Site) -> None:
    (own_origin.keys / "publisher.key").chmod(0o644)
    with pytest.raises(CommandFailed, match="mode 0600 expected"):
        own_origin.publish(_image(own_origin, "one"), "hello")


# Killed.


def test_killed_while_a_batch_comes_in(own_origin: Site) -> None:
    """Whenever the origin goes, what it served before is what it serves after; then the batch goes through."""
    site = own_origin
    site.publish(_image(site, "old"), "s0")
    old = _catalogue(site, "edge").find_service("s0")
    batch = site.folder / "batch.jsonl"
    entries = [{"image": str(_image(site, f"s{i}", b"new")), "service": f"s{i}", "hosts": []} for i in range(40)]
    batch.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    command = [*NUNATAK, "publish", "--batch", str(batch), "--origin", site.origin.url, "--keys", str(site.keys)]
    manifests = site.store / "manifests" / "sha256"
    before = len(list(manifests.glob("*/*")))
    for wanted in (1, 20):
        publisher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while publisher.poll() is None and len(list(manifests.glob("*/*"))) < before + wanted:
            with suppress(subprocess.TimeoutExpired):
                publisher.wait(0.005)
        site.origin.kill()
        _, said = publisher.communicate(timeout=60)
        if publisher.returncode == 0:  # it was quicker than we
            break
        assert (publisher.returncode, said.count("\n")) == (2, 1)
        site.restart(site.origin)
        assert _catalogue(site, f"edge{wanted}").find_service("s0") == old
        assert not list((site.store / "uploads").iterdir())
    if not site.origin.running:
        site.restart(site.origin)
    site.run(*command[len(NUNATAK) :])
    new = _catalogue(site, "edge").find_service("s0")
    assert old is not None
    assert new is not None
    assert (new.version, new.manifest_digest == old.manifest_digest) == (2, False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with Site(tmp_path, edges=0) as site:
        os.kill(site.origin.pid, number)
        assert site.origin.wait() == 0
        site.restart(site.origin)
        site.publish(_image(site, "one"), "hello")


def test_tokens_of_tenants_by_command(origin: Site) -> None:
    keys = ("--keys", str(origin.keys))
    token_file = origin.folder / "alice.token"
    token_file.touch(0o600)
    token_file.write_text(origin.run("token", "add", "--tenant", "alice", *keys))
    (listed,) = origin.run("token", "list", *keys).splitlines()
    id_, use, name, _ = listed.split()
    assert (use, name) == ("tenant", "alice")
    where = ("--origin", origin.origin.url, *keys, "--token-file", str(token_file))

    def publish(service: str, *options: str) -> str:
        return origin.run("publish", str(_image(origin, "hers")), "--service", service, *where, *options)

    assert publish("hers", "--tenant", "alice", "--host", "hers.test").startswith("hers version 1: ")
    for options in ((), ("--tenant", "bob")):
        with pytest.raises(CommandFailed, match="an entry of tenant alice, whose token was shown, expected"):
            publish("other", *options)
    assert _catalogue(origin, "token-edge").find_service("other") is None
    assert "no longer taken" in origin.run("token", "remove", id_, *keys)
    with pytest.raises(CommandFailed, match="token expected"):
        publish("hers", "--tenant", "alice", "--host", "new.test")
    for words in (("add",), ("add", "--tenant", "a", "--edge", "b"), ("add", "--tenant", "No Name"), ("remove", id_)):
        with pytest.raises(CommandFailed, match="expected"):
            origin.run("token", *words, *keys)


def test_renewal_by_command(own_origin: Site) -> None:
    site = own_origin
    first = (site.keys / "root.json").read_bytes()
    site.publish(_image(site, "one"), "hello")
    where = ("--origin", site.origin.url, "--keys", str(site.keys))
    said = site.run("renew", *where)
    assert [line.split(" good until ")[0] for line in said.splitlines()] == [
        "root version 2 is",
        "targets version 2 is",
        "2 bins are",
    ]
    site.run("renew", "--replace", "timestamp", "--replace", "root", "--replace", "publisher", *where)
    site.publish(_image(site, "two"), "hello")
    site.origin.stop()
    site.restart(site.origin)
    site.publish(_image(site, "three"), "hello")
    (site.folder / "first.json").write_bytes(first)
    catalogue = Catalogue(site.folder / "old-edge", f"{site.origin.url}/tuf/", first)
    catalogue.refresh()
    found = catalogue.find_service("hello")
    assert found is not None
    assert found.version == 3
    assert "trust: root" in site.run("doctor", "--trust", str(site.keys / "root.json"))
    for words, why in (
        (("timestamp",), "the origin renews the others itself"),
        (("--replace", "bins"), "--replace: one of root, targets, publisher, snapshot, timestamp expected"),
        (("--with-key", str(site.keys / "root.json")), "mode 0600 expected"),
    ):
        with pytest.raises(CommandFailed, match=why):
            site.run("renew", *words, *where)
    (site.keys / "root.key").rename(site.keys / "elsewhere")
    with pytest.raises(CommandFailed, match=r"root\.key expected"):
        site.run("renew", "root", *where)


def test_a_token_is_not_sent_in_the_clear_by_any_command(origin: Site) -> None:
    where = ("--origin", "http://origin.example", "--keys", str(origin.keys))
    image_ = str(_image(origin, "hers"))
    for words in (("publish", image_, "--service", "a"), ("rollback", "--service", "a"), ("logs", "a")):
        with pytest.raises(CommandFailed, match="all the same with --plain-http"):
            origin.run(*words, *where)
