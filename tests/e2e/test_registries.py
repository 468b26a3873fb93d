"""Registries of others: docker-registry as a mirror before an origin, and in its place for what is large."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import CommandFailed, Site, example
from origin.publish.image_files import read_image
from tests.support.packing import EMPTY, artifact
from tests.support.registries import PASSWORD, USER, running_registry
from tests.support.synthetic import BASE, image
from vmimage.archive import pack_archive
from vmimage.manifest import MANIFEST_TYPE, digest_of


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("registries"), edges=0) as site:
        yield site


@pytest.fixture(scope="module")
def registry(site: Site) -> Iterator[str]:
    """One with a password, that the origin allows; its URL."""
    with running_registry(site.folder / "docker", password=True) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUNATAK_REGISTRY_USER", USER)
        patch.setenv("NUNATAK_REGISTRY_PASSWORD", PASSWORD)
        site.origin.stop()
        site.origin.command += ["--registry", place(url)]
        site.restart(site.origin)
        yield url


def place(url: str, name: str = "acme/machines") -> str:
    return f"oci+{url}/{name}"


def test_docker_registry_mirrors_an_origin(site: Site) -> None:
    """Manifests by tag and digest and blobs come through it, the second time without the origin."""
    token = {"Authorization": f"Bearer {(site.keys / 'token').read_text().strip()}", "Content-Type": MANIFEST_TYPE}
    data = artifact("application/vnd.example", layers=(b"a layer",))
    with Client(site.origin.url) as client:
        for blob in (EMPTY, b"a layer"):
            at = f"/v2/acme/tools/blobs/uploads/?digest={digest_of(blob)}"
            assert client.request("POST", at, body=blob, headers=token).status == 201
        for reference in ("v1", digest_of(data)):
            at = f"/v2/acme/tools/manifests/{reference}"
            assert client.request("PUT", at, body=data, headers=token).status == 201
    accept = {"Accept": MANIFEST_TYPE}
    with running_registry(site.folder / "mirror", mirror_of=site.origin.url) as url, Client(url) as mirror:
        for reference in ("v1", digest_of(data)):
            got = mirror.request("GET", f"/v2/acme/tools/manifests/{reference}", headers=accept)
            assert (got.status, got.body, got.headers["content-type"]) == (200, data, MANIFEST_TYPE)
        assert mirror.get(f"/v2/acme/tools/blobs/{digest_of(b'a layer')}").body == b"a layer"
        assert mirror.get("/v2/acme/nothing/manifests/v1").status == 404
        skopeo = shutil.which("skopeo")
        if skopeo is not None:
            words = ["inspect", "--raw", "--tls-verify=false", f"docker://{url.removeprefix('http://')}/acme/tools:v1"]
            done = subprocess.run([skopeo, *words], capture_output=True, check=False, timeout=60)
            assert done.stdout == data, done.stderr.decode()


def test_a_service_from_a_registry(site: Site, registry: str) -> None:
    """Its image goes there, only what is signed to the origin; an edge that fetches from there serves it."""
    built = site.build(example("hello"))
    site.publish(built, "hello", options=("--registry", place(registry)))
    here = {f"sha256:{path.name}" for path in site.store.rglob("sha256/*/*")}
    sent = {digest for each in read_image(built) for digest in (each.manifest.digest, *each.blobs)}
    assert not here & sent, "nothing of them came to the origin"
    assert len(list((site.store / "elsewhere").iterdir())) == 1
    auth = site.folder / "auth.json"
    field = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    auth.write_text(json.dumps({"auths": {registry.removeprefix("http://"): {"auth": field}}}))
    auth.chmod(0o600)
    edge = site.add_edge(config={"source": place(registry), "registry_auth": str(auth)})
    with Client(edge.url) as client:
        answer = client.request("GET", "/", headers={"Host": "hello.test"})
        assert answer.status == 200, answer.body
    site.publish(
        site.build(example("hello"), "--cpu-ms", "77", name="slower"), "hello", options=("--registry", place(registry))
    )
    site.rollback("hello", "--registry", place(registry))
    assert site.run("services", "list", *where(site)).split()[:2] == ["hello", "3"]
    assert not [path for path in (site.store / "manifests").rglob("*") if path.is_file()]


def where(site: Site) -> tuple[str, ...]:
    return ("--origin", site.origin.url, "--keys", str(site.keys))


def test_what_no_registry_has_is_refused(site: Site, registry: str, tmp_path: Path) -> None:
    """Also what one has that the operator does not allow, and what was sent without a password."""
    path = tmp_path / "two.oci.tar"
    path.write_bytes(pack_archive([BASE, image("two", base=BASE.manifest)]))
    words = ("publish", str(path), "--service", "two", *where(site))
    other = place(registry, "mallory/machines")
    with pytest.raises(CommandFailed, match=r"manifest sha256:.* of \d+ bytes expected at the origin, got None"):
        site.run(*words, "--registry", other)
    tried = site.run(*words, "--registry", other.replace("mallory", "acme"), "--dry-run")
    assert tried == site.run(*words, "--registry", place(registry))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUNATAK_REGISTRY_PASSWORD", "wrong")
        path.write_bytes(pack_archive([BASE, image("three", base=BASE.manifest)]))
        with pytest.raises(CommandFailed, match="got 401"):
            site.run(*words, "--registry", place(registry))
    with pytest.raises(CommandFailed, match=r"oci\+https://HOST/REPOSITORY, or http on this machine"):
        site.run(*words, "--registry", "oci+http://registry.example/x")
