"""Is the origin a registry as the OCI distribution specification 1.1 has it, for clients that know nothing of us?"""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.site import CommandFailed, Site
from origin.registry.artifacts import ARTIFACT_MAX
from tests.support.packing import EMPTY, artifact, descriptor
from tests.support.synthetic import BASE, image
from vmimage.archive import pack_archive
from vmimage.manifest import MANIFEST_TYPE, digest_of
from vmimage.oci import DOCKER_INDEX_TYPE, DOCKER_MANIFEST_TYPE, DOCKER_TYPES, INDEX_TYPE

UPLOADS = "/v2/images/blobs/uploads/"
MANIFESTS = "/v2/images/manifests/"
SBOM = "application/vnd.cyclonedx+json"
PROVENANCE = "application/vnd.in-toto+json"
NOWHERE = digest_of(b"nowhere")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("registry"), edges=0) as site:
        path = site.folder / "one.oci.tar"
        path.write_bytes(pack_archive([BASE, image("one", base=BASE.manifest)]))
        site.publish(path, "one")
        yield site


@pytest.fixture
def token(origin: Site) -> dict[str, str]:
    return {"Authorization": f"Bearer {(origin.keys / 'token').read_text().strip()}"}


@pytest.fixture
def client(origin: Site) -> Iterator[Client]:
    with Client(origin.origin.url) as client:
        yield client


def code(answer: Answer) -> str:
    [error] = json.loads(answer.body)["errors"]
    assert error["message"]
    assert "\n" not in error["message"]
    return str(error["code"])


def push(client: Client, token: dict[str, str], data: bytes) -> Answer:
    return client.request("POST", f"{UPLOADS}?digest={digest_of(data)}", body=data, headers=token)


def put(client: Client, token: dict[str, str], data: bytes, at: str = "", type_: str = MANIFEST_TYPE) -> Answer:
    headers = token | ({"Content-Type": type_} if type_ else {})
    return client.request("PUT", MANIFESTS + (at or digest_of(data)), body=data, headers=headers)


# Blobs.


def test_post_then_put(client: Client, token: dict[str, str]) -> None:
    data = b"whole in the second request"
    begun = client.request("POST", UPLOADS, headers=token)
    assert (begun.status, begun.headers["range"]) == (202, "0-0")
    done = client.request("PUT", f"{begun.headers['location']}?digest={digest_of(data)}", body=data, headers=token)
    assert (done.status, done.headers["location"]) == (201, f"/v2/images/blobs/{digest_of(data)}")
    assert client.get(done.headers["location"]).body == data


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        ("5-9", 416, "BLOB_UPLOAD_INVALID"),
        ("0-", 416, "BLOB_UPLOAD_INVALID"),
        ("bytes 0-9/10", 416, "BLOB_UPLOAD_INVALID"),
        ("9-0", 416, "BLOB_UPLOAD_INVALID"),
        ("0-8", 400, "SIZE_INVALID"),
        ("0-99", 400, "SIZE_INVALID"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_chunks_that_are_not_the_next(
    client: Client, token: dict[str, str], method: str, said: str, status: int, why: str
) -> None:
    data = b"0123456789"
    path = client.request("POST", UPLOADS, headers=token).headers["location"]
    at = f"{path}?digest={digest_of(data)}" if method == "PUT" else path
    refused = client.request(method, at, body=data, headers=token | {"Content-Range": said})
    assert (refused.status, code(refused)) == (status, why)
    again = client.request(method, at, body=data, headers=token | {"Content-Range": "0-9"})
    assert again.status == (201 if method == "PUT" else 202), "nothing of it was taken"


def test_a_digest_that_is_none_spoils_no_upload(client: Client, token: dict[str, str]) -> None:
    path = client.request("POST", UPLOADS, headers=token).headers["location"]
    client.request("PATCH", path, body=b"abc", headers=token)
    for bad in ("", "?digest=", "?digest=sha256:00", "?digest=md5:900150983cd24fb0d6963f7d28e17f72"):
        refused = client.request("PUT", path + bad, headers=token)
        assert (refused.status, code(refused)) == (400, "DIGEST_INVALID")
    assert client.request("PUT", f"{path}?digest={digest_of(b'abc')}", headers=token).status == 201


@pytest.mark.parametrize(
    ("query", "status"),
    [("&from=images", 201), ("", 201), ("&from=library/nowhere", 202), ("&from=..", 202)],
)
def test_mounts(client: Client, token: dict[str, str], query: str, status: int) -> None:
    data = b"to be mounted"
    push(client, token, data)
    mounted = client.request("POST", f"{UPLOADS}?mount={digest_of(data)}{query}", headers=token)
    assert mounted.status == status
    assert ("/blobs/sha256:" in mounted.headers["location"]) == (status == 201)
    missing = client.request("POST", f"{UPLOADS}?mount={NOWHERE}{query}", headers=token)
    assert (missing.status, "/uploads/" in missing.headers["location"]) == (202, True)


# Names, tags, digests.


@pytest.mark.parametrize("rest", ["blobs/uploads/", f"manifests/{NOWHERE}", "tags/list", f"referrers/{NOWHERE}"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_names_of_repositories_that_are_none(client: Client, rest: str, method: str) -> None:
    for name in ("Upper", "a//b", "-a", "a" * 256, "a/..", "%2e%2e/images", "a%00b", "a!b"):
        refused = client.request(method, f"/v2/{name}/{rest}")
        assert (refused.status, code(refused)) == (400, "NAME_INVALID"), name


@pytest.mark.parametrize("name", ["other", "library/a__b/c-d.e"])
def test_repositories_that_are_not_here(client: Client, token: dict[str, str], name: str) -> None:
    for rest in (f"manifests/{NOWHERE}", "manifests/latest", "tags/list"):
        refused = client.get(f"/v2/{name}/{rest}")
        assert (refused.status, code(refused)) == (404, "NAME_UNKNOWN")
    here = BASE.manifest.snapshot.digest
    assert code(client.get(f"/v2/{name}/blobs/{here}")) == "BLOB_UNKNOWN", "also of what another repository has"
    gone = client.request("DELETE", f"/v2/{name}/manifests/latest", headers=token)
    assert (gone.status, code(gone)) == (404, "NAME_UNKNOWN")
    listed = client.get(f"/v2/{name}/referrers/{NOWHERE}")
    assert (listed.status, json.loads(listed.body)["manifests"]) == (200, [])


@pytest.mark.parametrize("tag", ["-x", ".x", "a" * 129, "a%20b", "a:b"])
def test_tags_that_are_none(client: Client, token: dict[str, str], tag: str) -> None:
    refused = put(client, token, BASE.manifest.to_bytes(), tag)
    assert (refused.status, code(refused)) == (400, "MANIFEST_INVALID")
    assert client.get(MANIFESTS + tag).status in (400, 404)


def test_tags_in_pages(client: Client, token: dict[str, str]) -> None:
    before = json.loads(client.get("/v2/images/tags/list").body)["tags"]
    for n in range(5):
        put(client, token, BASE.manifest.to_bytes(), f"page-{n}")
    names = sorted([*before, *(f"page-{n}" for n in range(5))])
    path, seen, turns = "/v2/images/tags/list?n=2", list[str](), 0
    while path:
        answer = client.get(path)
        assert answer.status == 200
        page = json.loads(answer.body)["tags"]
        assert len(page) <= 2
        seen, turns = seen + page, turns + 1
        link = answer.headers.get("link", "")
        assert not link or link.endswith('>; rel="next"')
        path = link.partition(">")[0].removeprefix("<")
    assert (seen, turns) == (names, (len(names) + 1) // 2)
    after = json.loads(client.get("/v2/images/tags/list?last=page-2x").body)["tags"]
    assert after == [name for name in names if name > "page-2x"], "a name that is not there will do"
    none = client.get("/v2/images/tags/list?n=0")
    assert (json.loads(none.body)["tags"], "link" in none.headers) == ([], False)
    for bad in ("-1", "x", "1.5", "9" * 20, "%20"):
        refused = client.get(f"/v2/images/tags/list?n={bad}")
        assert (refused.status, code(refused)) == (400, "PAGINATION_NUMBER_INVALID")


def test_tags_go_and_content_stays(client: Client, token: dict[str, str]) -> None:
    put(client, token, BASE.manifest.to_bytes(), "passing")
    assert code(client.request("DELETE", MANIFESTS + "passing")) == "UNAUTHORIZED"
    assert client.request("DELETE", MANIFESTS + "passing", headers=token).status == 202
    assert client.get(MANIFESTS + "passing").status == 404
    gone = client.request("DELETE", MANIFESTS + "passing", headers=token)
    assert (gone.status, code(gone)) == (404, "MANIFEST_UNKNOWN")
    for path in (MANIFESTS + BASE.manifest.digest, f"/v2/images/blobs/{BASE.manifest.snapshot.digest}"):
        kept = client.request("DELETE", path, headers=token)
        assert (kept.status, code(kept)) == (405, "UNSUPPORTED")
        assert "DELETE" not in kept.headers["allow"]
        assert client.request("HEAD", path).status == 200


# Manifests of others, and what refers to what.


def test_artifacts_are_kept_as_they_are_and_listed(client: Client, token: dict[str, str]) -> None:
    subject = BASE.manifest.to_bytes()
    path = f"/v2/images/referrers/{digest_of(subject)}"
    assert json.loads(client.get(path).body)["manifests"] == []
    layer = b'{"bomFormat": "CycloneDX"}'
    for data in (EMPTY, layer):
        push(client, token, data)
    sbom = artifact(SBOM, subject=subject, layers=(layer,), annotations={"org.example": "1"})
    slsa = artifact(PROVENANCE, subject=subject)
    for data in (sbom, slsa, sbom):
        done = put(client, token, data)
        assert (done.status, done.headers["oci-subject"]) == (201, digest_of(subject))
        got = client.get(MANIFESTS + digest_of(data))
        assert (got.body, got.headers["content-type"]) == (data, MANIFEST_TYPE)
        assert got.headers["docker-content-digest"] == digest_of(data)
    listed = client.get(path)
    assert listed.headers["content-type"].partition(";")[0] == INDEX_TYPE
    assert "oci-filters-applied" not in listed.headers
    index = json.loads(listed.body)
    assert (index["schemaVersion"], index["mediaType"], len(index["manifests"])) == (2, INDEX_TYPE, 2)
    filtered = client.get(f"{path}?artifactType={SBOM.replace('+', '%2B')}")
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    [one] = json.loads(filtered.body)["manifests"]
    assert one == descriptor(sbom, MANIFEST_TYPE) | {"artifactType": SBOM, "annotations": {"org.example": "1"}}
    assert json.loads(client.get(f"{path}?artifactType=application/x").body)["manifests"] == []


def test_a_subject_that_is_not_here_and_one_that_is_no_digest(client: Client, token: dict[str, str]) -> None:
    push(client, token, EMPTY)
    early = artifact(PROVENANCE, subject=b"comes later")
    assert put(client, token, early).headers["oci-subject"] == digest_of(b"comes later")
    [one] = json.loads(client.get(f"/v2/images/referrers/{digest_of(b'comes later')}").body)["manifests"]
    assert one["digest"] == digest_of(early)
    assert json.loads(client.get(f"/v2/images/referrers/{NOWHERE}").body)["manifests"] == []
    refused = client.get("/v2/images/referrers/latest")
    assert (refused.status, code(refused)) == (400, "DIGEST_INVALID")


def test_an_index_of_images(client: Client, token: dict[str, str]) -> None:
    entry = descriptor(BASE.manifest.to_bytes(), MANIFEST_TYPE)
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}).encode()
    assert put(client, token, index, "both", INDEX_TYPE).status == 201
    got = client.get(MANIFESTS + "both")
    assert (got.body, got.headers["content-type"]) == (index, INDEX_TYPE)
    stray = json.dumps({"schemaVersion": 2, "manifests": [entry | {"digest": NOWHERE}]}).encode()
    refused = put(client, token, stray, "stray", INDEX_TYPE)
    assert (refused.status, code(refused)) == (400, "MANIFEST_BLOB_UNKNOWN")


@pytest.mark.parametrize(
    ("data", "type_", "why"),
    [
        (b"", "", "MANIFEST_INVALID"),
        (b"[]", "", "MANIFEST_INVALID"),
        (b"[" * 100_000, "", "MANIFEST_INVALID"),
        (b'{"schemaVersion": 1}', "", "MANIFEST_INVALID"),
        (b'{"schemaVersion": true}', "", "MANIFEST_INVALID"),
        (artifact(SBOM, config=None), "", "MANIFEST_INVALID"),
        (artifact(SBOM, layers=(b"not here",)), "", "MANIFEST_BLOB_UNKNOWN"),
        (artifact(SBOM), INDEX_TYPE, "MANIFEST_INVALID"),
        (artifact("no type"), "", "MANIFEST_INVALID"),
        (artifact(SBOM, subject=b"x", mediaType=7), "", "MANIFEST_INVALID"),
        *((artifact(SBOM, mediaType=old), old, "MANIFEST_INVALID") for old in sorted(DOCKER_TYPES) if "v1" in old),
        (json.dumps(json.loads(artifact(SBOM)) | {"mediaType": None}).encode(), DOCKER_INDEX_TYPE, "MANIFEST_INVALID"),
        (artifact(SBOM), "application/vnd.docker.distribution.manifest.v2+json", "MANIFEST_INVALID"),
    ],
)
def test_manifests_that_are_not_taken(client: Client, token: dict[str, str], data: bytes, type_: str, why: str) -> None:
    push(client, token, EMPTY)
    refused = put(client, token, data, "never", type_)
    assert (refused.status, code(refused)) == (400, why)
    assert client.get(MANIFESTS + "never").status == 404


def test_manifests_of_docker_keep_their_type(client: Client, token: dict[str, str]) -> None:
    push(client, token, EMPTY)
    image_ = artifact(SBOM, mediaType=DOCKER_MANIFEST_TYPE)
    listing = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_INDEX_TYPE,
            "manifests": [descriptor(image_, DOCKER_MANIFEST_TYPE)],
        }
    ).encode()
    for data, type_ in ((image_, DOCKER_MANIFEST_TYPE), (listing, DOCKER_INDEX_TYPE)):
        assert put(client, token, data, "docker", type_).status == 201
        got = client.get(MANIFESTS + "docker")
        assert (got.body, got.headers["content-type"]) == (data, type_)
    assert client.request("DELETE", MANIFESTS + "docker", headers=token).status == 202


def test_a_manifest_without_end_is_cut(client: Client, token: dict[str, str]) -> None:
    large = artifact(SBOM, annotations={"x": "y" * (ARTIFACT_MAX - 500)})
    push(client, token, EMPTY)
    assert put(client, token, large).status == 201, "4 MiB are taken"
    refused = put(client, token, large + b" " * 600)
    assert (refused.status, code(refused)) == (413, "SIZE_INVALID")


def test_a_tenant_adds_nothing_to_others(origin: Site, client: Client, token: dict[str, str]) -> None:
    tenants = {
        "Authorization": f"Bearer {origin.run('token', 'add', '--tenant', 'alice', '--keys', str(origin.keys)).strip()}"
    }
    push(client, token, EMPTY)
    refused = put(client, tenants, artifact(SBOM, subject=BASE.manifest.to_bytes(), note="hers"))
    assert (refused.status, code(refused)) == (403, "DENIED")
    assert client.request("DELETE", MANIFESTS + "any", headers=tenants).status == 403


def test_no_service_can_be_an_artifact(origin: Site, client: Client, token: dict[str, str]) -> None:
    """What is kept as it is, is no image: the catalogue cannot name it."""
    push(client, token, EMPTY)
    data = artifact(SBOM, note="service")
    assert put(client, token, data).status == 201
    assert not (origin.store / "manifests" / "sha256" / digest_of(data)[7:9] / digest_of(data)[7:]).exists()


# Who may.


def test_clients_log_in_with_a_password(origin: Site, client: Client, token: dict[str, str]) -> None:
    secret = token["Authorization"].removeprefix("Bearer ")

    def basic(text: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    asked = client.get("/v2/")
    assert (asked.status, code(asked)) == (401, "UNAUTHORIZED")
    assert asked.headers["www-authenticate"].startswith("Basic realm=")
    for header in (token, basic(f"anyone:{secret}"), {"Authorization": f"bearer {secret}"}):
        assert client.request("GET", "/v2/", headers=header).status == 200
        assert client.request("POST", UPLOADS, headers=header).status == 202
    for header in (
        basic(secret),
        basic(f"{secret}:"),
        basic("x:y"),
        {"Authorization": "Basic !"},
        {"Authorization": "Basic"},
    ):
        assert client.request("GET", "/v2/", headers=header).status == 401
        refused = client.request("POST", UPLOADS, headers=header)
        assert (refused.status, code(refused)) == (401, "UNAUTHORIZED")
    assert client.get(f"/v2/images/blobs/{BASE.manifest.snapshot.digest}").status == 200, "reading needs none"


def test_publishers_read_reasons_in_one_line(origin: Site) -> None:
    (origin.folder / "wrong-token").touch(0o600)
    (origin.folder / "wrong-token").write_text("x" * 20)
    path = origin.folder / "two.oci.tar"
    path.write_bytes(pack_archive([BASE, image("two", base=BASE.manifest)]))
    where = (
        "--origin",
        origin.origin.url,
        "--keys",
        str(origin.keys),
        "--token-file",
        str(origin.folder / "wrong-token"),
    )
    with pytest.raises(CommandFailed, match="got 401: UNAUTHORIZED: the origin's upload token expected") as refused:
        origin.run("publish", str(path), "--service", "two", *where)
    assert str(refused.value).strip().count("\n") <= 1


def test_skopeo(origin: Site, token: dict[str, str], tmp_path: Path) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("REAL CLIENTS OF REGISTRIES ARE NOT TESTED HERE: skopeo is not installed")
    at = f"docker://{origin.origin.url.removeprefix('http://')}/images"

    def run(*words: str) -> str:
        done = subprocess.run(
            [skopeo, "--insecure-policy", *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    secret = token["Authorization"].removeprefix("Bearer ")
    digest = f"{at}@{BASE.manifest.digest}"
    run("copy", "--src-tls-verify=false", digest, f"oci:{tmp_path}/layout:base")
    pushed = ("--dest-tls-verify=false", "--dest-creds", f"any:{secret}", "--preserve-digests")
    run("copy", *pushed, f"oci:{tmp_path}/layout:base", f"{at}:by-skopeo")
    tags = json.loads(run("list-tags", "--tls-verify=false", at))["Tags"]
    assert "by-skopeo" in tags
    raw = run("inspect", "--raw", "--tls-verify=false", f"{at}:by-skopeo")
    assert digest_of(raw.encode()) == BASE.manifest.digest
