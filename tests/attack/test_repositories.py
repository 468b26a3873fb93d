"""What a tenant tries with repositories that are not its own."""

import json
from collections.abc import Iterator

import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.site import Site
from tests.support.packing import EMPTY, artifact
from vmimage.manifest import MANIFEST_TYPE, digest_of

DATA = artifact("application/vnd.example", note="alice's")
DIGEST = digest_of(DATA)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("repositories"), edges=0) as site:
        yield site


@pytest.fixture(scope="module")
def tokens(site: Site) -> dict[str, str]:
    made = {
        name: site.run("token", "add", "--tenant", name, "--keys", str(site.keys)).strip()
        for name in ("alice", "mallory")
    }
    return made | {"operator": (site.keys / "token").read_text().strip()}


@pytest.fixture
def client(site: Site, tokens: dict[str, str]) -> Iterator[Client]:
    with Client(site.origin.url) as client:
        at = f"/v2/alice/shop/blobs/uploads/?digest={digest_of(EMPTY)}"
        assert ask(client, tokens["alice"], "POST", at, EMPTY).status == 201
        assert ask(client, tokens["alice"], "PUT", "/v2/alice/shop/manifests/latest", DATA).status == 201
        yield client


def ask(client: Client, token: str, method: str, path: str, body: bytes = b"") -> Answer:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": MANIFEST_TYPE}
    return client.request(method, path, body=body, headers=headers)


@pytest.mark.parametrize("name", ["alice/shop", "alice", "alicex", "mallory2/x", "library/any"])
def test_a_tenant_pushes_and_deletes_below_its_own_name_alone(
    client: Client, tokens: dict[str, str], name: str
) -> None:
    for method, rest in (
        ("POST", "blobs/uploads/"),
        ("POST", f"blobs/uploads/?mount={digest_of(EMPTY)}&from=alice/shop"),
        ("PUT", "manifests/latest"),
        ("PUT", f"manifests/{DIGEST}"),
        ("DELETE", "manifests/latest"),
        ("DELETE", f"manifests/{DIGEST}"),
    ):
        refused = ask(client, tokens["mallory"], method, f"/v2/{name}/{rest}", DATA if method == "PUT" else b"")
        [error] = json.loads(refused.body)["errors"]
        assert (refused.status, error["code"]) == (403, "DENIED"), (method, rest)
    assert client.get("/v2/alice/shop/manifests/latest").body == DATA
    assert client.get(f"/v2/{name}/tags/list").status == (200 if name == "alice/shop" else 404), "none was made"


def test_a_session_of_another_is_not_continued(client: Client, tokens: dict[str, str]) -> None:
    begun = ask(client, tokens["alice"], "POST", "/v2/alice/shop/blobs/uploads/").headers["location"]
    moved = begun.replace("/alice/shop/", "/mallory/shop/")
    assert ask(client, tokens["mallory"], "PATCH", moved, b"x").status == 404
    assert ask(client, tokens["mallory"], "PATCH", begun, b"x").status == 403
    assert ask(client, tokens["alice"], "PATCH", begun, b"x").status == 202


def test_what_refers_to_a_manifest_is_listed_where_it_was_pushed_alone(client: Client, tokens: dict[str, str]) -> None:
    """So nobody attaches a bill of materials to another's image, or fills its list."""
    false = artifact("application/vnd.cyclonedx+json", subject=DATA, note="a false bill")
    at = f"/v2/mallory/shop/blobs/uploads/?digest={digest_of(EMPTY)}"
    assert ask(client, tokens["mallory"], "POST", at, EMPTY).status == 201
    assert ask(client, tokens["mallory"], "PUT", f"/v2/mallory/shop/manifests/{digest_of(false)}", false).status == 201
    for name, count in (("alice/shop", 0), ("images", 0), ("mallory/shop", 1)):
        listed = json.loads(client.get(f"/v2/{name}/referrers/{DIGEST}").body)["manifests"]
        assert len(listed) == count, name


def test_a_deletion_takes_nothing_from_who_has_the_same(client: Client, tokens: dict[str, str]) -> None:
    at = f"/v2/mallory/same/blobs/uploads/?digest={digest_of(EMPTY)}"
    assert ask(client, tokens["mallory"], "POST", at, EMPTY).status == 201
    assert ask(client, tokens["mallory"], "PUT", "/v2/mallory/same/manifests/latest", DATA).status == 201
    assert ask(client, tokens["mallory"], "DELETE", f"/v2/mallory/same/manifests/{DIGEST}").status == 202
    assert client.get(f"/v2/mallory/same/manifests/{DIGEST}").status == 404
    assert client.get("/v2/alice/shop/manifests/latest").body == DATA


def test_names_are_listed_in_pages(client: Client, tokens: dict[str, str]) -> None:
    every = json.loads(client.get("/v2/_catalog").body)["repositories"]
    assert every == sorted(every)
    assert {"images", "alice/shop"} <= set(every)
    first = client.get("/v2/_catalog?n=1")
    assert json.loads(first.body)["repositories"] == every[:1]
    assert 'rel="next"' in first.headers["link"]
