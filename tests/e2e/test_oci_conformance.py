"""The conformance list of the OCI distribution specification 1.1, in its four parts, against an origin.

Each test is called as the specification's own program calls its check (its README: pull, push, content discovery,
content management); docs/reference/oci.md has what is not supported. The requests know nothing of us, and go to a
repository of a tenant's, with the tenant's token: what the operator may is more.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.site import Site
from tests.support.packing import artifact, descriptor
from vmimage.manifest import MANIFEST_TYPE, digest_of
from vmimage.oci import INDEX_TYPE

NAME, MOUNTED = "acme/conformance", "acme/mounted/deeply"
CONFIG = b'{"architecture": "amd64", "os": "linux"}'
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
LAYER = bytes(range(256)) * 8
MANIFEST = artifact(CONFIG_TYPE, config=descriptor(CONFIG, CONFIG_TYPE), layers=(LAYER,))
NOWHERE = digest_of(b"nowhere")
TAGS = ("test0", "test1", "test2", "test3")
SBOM, SIGNATURE = "application/vnd.example.sbom", "application/vnd.example.signature"


class Repository:
    """What a client does with one repository."""

    def __init__(self, client: Client, token: str, name: str) -> None:
        self._client, self._token = client, {"Authorization": f"Bearer {token}"}
        self.at = f"/v2/{name}"

    def ask(self, method: str, rest: str, body: bytes = b"", **fields: str) -> Answer:
        headers = {name.replace("_", "-"): value for name, value in fields.items()} | self._token
        return self._client.request(method, f"{self.at}/{rest}", body=body, headers=headers)

    def session(self, path: str, method: str, body: bytes = b"", **fields: str) -> Answer:
        return self.ask(method, path.removeprefix(f"{self.at}/"), body, **fields)

    def push(self, data: bytes) -> str:
        begun = self.ask("POST", "blobs/uploads/")
        done = self.session(f"{begun.headers['location']}?digest={digest_of(data)}", "PUT", data)
        assert done.status == 201
        return digest_of(data)

    def put(self, data: bytes, reference: str = "", type_: str = MANIFEST_TYPE) -> Answer:
        return self.ask("PUT", f"manifests/{reference or digest_of(data)}", data, Content_Type=type_)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("conformance"), edges=0) as site:
        yield site


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    return site.run("token", "add", "--tenant", "acme", "--keys", str(site.keys)).strip()


@pytest.fixture
def repository(site: Site, token: str) -> Iterator[Repository]:
    with Client(site.origin.url) as client:
        yield Repository(client, token, NAME)


@pytest.fixture
def filled(repository: Repository) -> Repository:
    """With a manifest and four tags."""
    for data in (CONFIG, LAYER):
        repository.push(data)
    for tag in TAGS:
        assert repository.put(MANIFEST, tag).status == 201
    return repository


def errors(answer: Answer) -> list[str]:
    return [str(error["code"]) for error in json.loads(answer.body)["errors"]]


# Pull.


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_pull_request_to_nonexistent_blob_should_result_in_404_response(filled: Repository, method: str) -> None:
    assert filled.ask(method, f"blobs/{NOWHERE}").status == 404


def test_pull_head_request_to_existing_blob_should_yield_200(filled: Repository) -> None:
    head = filled.ask("HEAD", f"blobs/{digest_of(LAYER)}")
    assert (head.status, head.headers["content-length"]) == (200, str(len(LAYER)))
    assert head.headers["docker-content-digest"] == digest_of(LAYER)


def test_pull_get_request_to_existing_blob_url_should_yield_200(filled: Repository) -> None:
    got = filled.ask("GET", f"blobs/{digest_of(LAYER)}")
    assert (got.status, got.body) == (200, LAYER)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("reference", [NOWHERE, "no-such-tag"])
def test_pull_request_to_nonexistent_manifest_should_return_404(
    filled: Repository, method: str, reference: str
) -> None:
    assert filled.ask(method, f"manifests/{reference}").status == 404


@pytest.mark.parametrize("reference", [digest_of(MANIFEST), TAGS[0]], ids=["digest", "tag"])
def test_pull_head_request_to_manifest_path_should_yield_200_response(filled: Repository, reference: str) -> None:
    head = filled.ask("HEAD", f"manifests/{reference}", Accept=MANIFEST_TYPE)
    assert (head.status, head.headers["docker-content-digest"]) == (200, digest_of(MANIFEST))


@pytest.mark.parametrize("reference", [digest_of(MANIFEST), TAGS[0]], ids=["digest", "tag"])
def test_pull_get_request_to_manifest_path_should_yield_200_response(filled: Repository, reference: str) -> None:
    got = filled.ask("GET", f"manifests/{reference}", Accept=MANIFEST_TYPE)
    assert (got.status, got.body, got.headers["content-type"]) == (200, MANIFEST, MANIFEST_TYPE)


def test_pull_400_response_body_should_contain_oci_conforming_json_message(filled: Repository) -> None:
    refused = filled.put(b"blablabla", "sha256:totallywrong")
    assert refused.status == 400
    assert errors(refused)[0] in ("MANIFEST_INVALID", "DIGEST_INVALID")


# Push.


def test_push_blob_upload_streamed(repository: Repository) -> None:
    """PATCH with the blob in its body yields 202, PUT to the session's URL with the digest 201."""
    data = b"streamed"
    begun = repository.ask("POST", "blobs/uploads/")
    patched = repository.session(begun.headers["location"], "PATCH", data, Content_Type="application/octet-stream")
    assert patched.status == 202
    done = repository.session(f"{patched.headers['location']}?digest={digest_of(data)}", "PUT")
    assert (done.status, done.headers["location"]) == (201, f"{repository.at}/blobs/{digest_of(data)}")


def test_push_blob_upload_monolithic(repository: Repository) -> None:
    """In one POST (201, or 202 and a session), and by POST and PUT; then GET yields 200."""
    data, other = b"in one request", b"in two requests"
    assert repository.ask("GET", f"blobs/{digest_of(data)}").status == 404
    posted = repository.ask("POST", f"blobs/uploads/?digest={digest_of(data)}", data)
    assert posted.status == 201
    assert repository.ask("GET", f"blobs/{digest_of(data)}").body == data
    repository.push(other)
    assert repository.ask("GET", f"blobs/{digest_of(other)}").body == other


def test_push_blob_upload_chunked(repository: Repository) -> None:
    """Chunks in order are taken; one out of order, and one again, yields 416; GET says how far it got."""
    data = b"first chunk, second chunk"
    at = repository.ask("POST", "blobs/uploads/", Content_Length="0").headers["location"]
    assert repository.session(at, "PATCH", data[12:], Content_Range=f"12-{len(data) - 1}").status == 416
    first = repository.session(at, "PATCH", data[:12], Content_Range="0-11")
    assert (first.status, first.headers["range"]) == (202, "0-11")
    assert repository.session(at, "PATCH", data[:12], Content_Range="0-11").status == 416
    stale = repository.session(at, "GET")
    assert (stale.status, stale.headers["range"]) == (204, "0-11")
    assert stale.headers["location"]
    second = repository.session(at, "PATCH", data[12:], Content_Range=f"12-{len(data) - 1}")
    assert second.status == 202
    assert repository.session(f"{at}?digest={digest_of(data)}", "PUT").status == 201
    assert repository.ask("GET", f"blobs/{digest_of(data)}").body == data


def test_push_cross_repository_blob_mount(site: Site, token: str, filled: Repository) -> None:
    """201 where the blob is there, and then GET there yields 200; a session for one that is nowhere."""
    with Client(site.origin.url) as client:
        other = Repository(client, token, MOUNTED)
        mounted = other.ask("POST", f"blobs/uploads/?mount={digest_of(LAYER)}&from={NAME}")
        assert (mounted.status, mounted.headers["location"]) == (201, f"/v2/{MOUNTED}/blobs/{digest_of(LAYER)}")
        assert other.ask("GET", f"blobs/{digest_of(LAYER)}").body == LAYER
        missing = other.ask("POST", f"blobs/uploads/?mount={NOWHERE}&from={NAME}")
        assert (missing.status, missing.headers["location"].startswith(f"/v2/{MOUNTED}/blobs/uploads/")) == (202, True)
        discovered = other.ask("POST", f"blobs/uploads/?mount={digest_of(CONFIG)}")
        assert discovered.status == 201, "without `from`: automatic content discovery"


def test_push_manifest_upload(filled: Repository) -> None:
    """PUT by tag and by digest, also of one without layers; then GET by digest yields 200."""
    empty = artifact(CONFIG_TYPE, config=descriptor(CONFIG, CONFIG_TYPE))
    assert filled.ask("GET", f"manifests/{digest_of(empty)}").status == 404
    for reference in ("emptylayer", digest_of(empty)):
        done = filled.put(empty, reference)
        assert (done.status, done.headers["location"]) == (201, f"{filled.at}/manifests/{digest_of(empty)}")
    assert filled.ask("GET", f"manifests/{digest_of(empty)}").body == empty


def test_push_of_a_manifest_whose_blob_is_unknown(repository: Repository) -> None:
    refused = repository.put(artifact(CONFIG_TYPE, layers=(b"never pushed",), config=descriptor(b"none", CONFIG_TYPE)))
    assert (refused.status, errors(refused)) == (400, ["MANIFEST_BLOB_UNKNOWN"])


# Content discovery.


def test_discovery_list_tags_should_yield_200_and_be_in_sorted_order(filled: Repository) -> None:
    listed = filled.ask("GET", "tags/list")
    content: dict[str, Any] = json.loads(listed.body)
    assert (listed.status, content["name"], set(TAGS) <= set(content["tags"])) == (200, NAME, True)
    assert content["tags"] == sorted(content["tags"])


def test_discovery_number_of_tags_should_be_limitable_by_n(filled: Repository) -> None:
    listed = filled.ask("GET", "tags/list?n=2")
    assert len(json.loads(listed.body)["tags"]) == 2
    assert f"<{filled.at}/tags/list?n=2&last=" in listed.headers["link"]


def test_discovery_start_of_tag_is_set_by_last(filled: Repository) -> None:
    every = json.loads(filled.ask("GET", "tags/list").body)["tags"]
    after = json.loads(filled.ask("GET", f"tags/list?n=3&last={every[1]}").body)["tags"]
    assert after == every[2:5]


def test_discovery_referrers(filled: Repository) -> None:
    """An empty index for what is unknown, all of one subject, those of one type, also where the subject is missing."""
    unknown = filled.ask("GET", f"referrers/{NOWHERE}")
    assert (unknown.status, json.loads(unknown.body)["manifests"]) == (200, [])
    missing = b"a manifest that is not here"
    for subject in (MANIFEST, missing):
        made = [
            artifact(kind, subject=subject, config=descriptor(CONFIG, CONFIG_TYPE), layers=(LAYER,))
            for kind in (SBOM, SIGNATURE)
        ]
        for data in made:
            done = filled.put(data)
            assert (done.status, done.headers["oci-subject"]) == (201, digest_of(subject))
        listed = filled.ask("GET", f"referrers/{digest_of(subject)}")
        assert (listed.status, listed.headers["content-type"].partition(";")[0]) == (200, INDEX_TYPE)
        assert {each["digest"] for each in json.loads(listed.body)["manifests"]} == set(map(digest_of, made))
        filtered = filled.ask("GET", f"referrers/{digest_of(subject)}?artifactType={SBOM}")
        assert [each["digest"] for each in json.loads(filtered.body)["manifests"]] == [digest_of(made[0])]
        assert filtered.headers["oci-filters-applied"] == "artifactType"


# Content management.


def test_management_delete_request_to_manifest_tag_should_return_202(filled: Repository) -> None:
    assert filled.put(MANIFEST, "passing").status == 201
    assert filled.ask("DELETE", "manifests/passing").status == 202
    assert filled.ask("GET", "manifests/passing").status == 404
    assert filled.ask("GET", f"manifests/{digest_of(MANIFEST)}").status == 200, "the manifest stays"
    assert filled.ask("DELETE", "manifests/passing").status == 404


def test_management_delete_request_to_manifest_digest_should_yield_202(filled: Repository) -> None:
    """Then GET yields 404, its tags are gone from the list, and it is nobody's referrer any more."""
    data = artifact(SBOM, subject=MANIFEST, config=descriptor(CONFIG, CONFIG_TYPE), note="to go")
    for reference in ("going", "gone", digest_of(data)):
        assert filled.put(data, reference).status == 201
    assert filled.ask("DELETE", f"manifests/{digest_of(data)}").status == 202
    for reference in (digest_of(data), "going", "gone"):
        assert filled.ask("GET", f"manifests/{reference}").status == 404
    assert not {"going", "gone"} & set(json.loads(filled.ask("GET", "tags/list").body)["tags"])
    listed = json.loads(filled.ask("GET", f"referrers/{digest_of(MANIFEST)}").body)["manifests"]
    assert digest_of(data) not in {each["digest"] for each in listed}
    assert filled.ask("DELETE", f"manifests/{digest_of(data)}").status == 404
    assert filled.put(data).status == 201, "it may come again"
    assert filled.ask("GET", f"manifests/{digest_of(data)}").status == 200


def test_management_delete_request_to_blob_url_is_answered_with_405(filled: Repository) -> None:
    """The specification's list takes 405 where deletion of blobs is not supported."""
    refused = filled.ask("DELETE", f"blobs/{digest_of(LAYER)}")
    assert (refused.status, errors(refused)) == (405, ["UNSUPPORTED"])
    assert filled.ask("GET", f"blobs/{digest_of(LAYER)}").status == 200
