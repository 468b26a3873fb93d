"""Publishing without a shared secret: tokens of an issuer, a key in the environment, dry runs, and who one is."""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import NUNATAK, CommandFailed, Site
from tests.support.issuer import AUDIENCE, SUBJECT, Ci, running_issuer
from tests.support.synthetic import BASE, image
from vmimage.archive import pack_archive
from vmimage.manifest import digest_of


class Shop(Site):
    """An origin that takes tokens of an issuer, with two tenants that have keys of their own."""

    def __init__(self, folder: Path, ci: Ci) -> None:
        super().__init__(folder, edges=0)
        self.ci = ci

    def start(self) -> None:
        super().start()
        self.origin.stop()
        table = self.folder / "issuers.toml"
        table.write_text(
            f'[[issuers]]\nurl = "{self.ci.url}"\naudience = "{AUDIENCE}"\n'
            f'[[issuers.tenants]]\ntenant = "acme"\nclaims = {{ sub = "{SUBJECT}" }}\n'
        )
        table.chmod(0o600)
        command = [*self.origin.command, "--issuers", str(table)]
        self.origin = Server("origin-with-issuers", command, self.folder)
        self.origin.start()
        operator = ("--origin", self.origin.url, "--keys", str(self.keys))
        for name in ("acme", "bank"):
            self.run("tenant", "keygen", str(self.folder / name), "--tenant", name, "--trust", str(self.keys))
            self.run("tenant", "add", str(self.folder / name / "tenant.json"), *operator)
            granted = ("--host", f"{name}.example", "--proof", "none")
            self.run("tenant", "grant", name, *granted, *operator)

    def command(self, tenant: str, *words: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """A command of a machine that has the tenant's public files and its environment, and no more."""
        where = ("--origin", self.origin.url, "--keys", str(self.folder / tenant))
        done = subprocess.run(
            [*NUNATAK, *words, *where], capture_output=True, text=True, check=False, timeout=60, env=env
        )
        return done

    @property
    def published(self) -> int:
        """Version of the catalogue."""
        with Client(self.origin.url) as client:
            return int(json.loads(client.get("/tuf/timestamp.json").body)["signed"]["meta"]["snapshot.json"]["version"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with contextlib.ExitStack() as stack:
        ci = stack.enter_context(running_issuer())
        site = stack.enter_context(Shop(tmp_path_factory.mktemp("ci"), ci))
        path = site.folder / "one.oci.tar"
        path.write_bytes(pack_archive([BASE, image("one", base=BASE.manifest)]))
        for name in ("acme", "bank"):  # the keys go into the secret stores of both
            (site.folder / f"{name}.secret").write_text((site.folder / name / "tenant.key").read_text())
            (site.folder / name / "tenant.key").unlink()
        yield site


@pytest.fixture
def secrets(shop: Shop) -> dict[str, str]:
    """The environment of a job of acme's."""
    return {"NUNATAK_TOKEN": shop.ci.token(), "ACME_KEY": (shop.folder / "acme.secret").read_text(), "PATH": "/usr/bin"}


IMAGE = "one.oci.tar"
KEY = ("--with-key", "env:ACME_KEY")


def test_a_job_publishes_with_a_token_of_its_issuer_and_the_tenants_key(shop: Shop, secrets: dict[str, str]) -> None:
    """And a dry run before says what would come, in the same words, with nothing changed."""
    words = ("publish", str(shop.folder / IMAGE), "--service", "acme.shop", "--host", "acme.example", *KEY)
    before = shop.published
    tried = shop.command("acme", *words, "--dry-run", env=secrets)
    assert tried.returncode == 0, tried.stderr
    assert "nothing was changed" in tried.stderr
    assert shop.published == before
    with Client(shop.origin.url) as client:
        assert client.get(f"/v2/images/manifests/{BASE.manifest.digest}").status == 404, "nothing was sent"
    done = shop.command("acme", *words, env=secrets)
    assert (done.returncode, done.stdout) == (0, tried.stdout), done.stderr
    assert shop.published == before + 1
    again = shop.command("acme", *words, "--dry-run", env=secrets)
    assert (again.returncode, again.stdout) == (0, done.stdout), "what is as it shall be stays"
    lines = (shop.store / "audit.jsonl").read_text().splitlines()
    [line] = [found for found in map(json.loads, lines) if found.get("service") == "acme.shop"]
    assert line["who"] == {"tenant": "acme", "token": f"{shop.ci.url} {SUBJECT}"}


def test_every_step_of_a_service_is_signed_by_the_key_of_the_environment(shop: Shop, secrets: dict[str, str]) -> None:
    """There is no private key in the folder, and none is asked for."""
    two = shop.folder / "two.oci.tar"
    two.write_bytes(pack_archive([BASE, image("two", base=BASE.manifest)]))
    for words in (
        ("publish", str(shop.folder / IMAGE), "--service", "acme.steps"),
        ("release", "start", str(two), "--service", "acme.steps"),
        ("release", "widen", "acme.steps"),
        ("release", "back", "acme.steps"),
        ("publish", str(two), "--service", "acme.steps", "--release", "5"),
        ("release", "finish", "acme.steps"),
        ("rollback", "--service", "acme.steps"),
        ("rename", "acme.steps", "acme.named"),
        ("withdraw", "acme.named"),
        ("tenant", "renew"),
    ):
        without = shop.command("acme", *words, env=secrets)
        assert (without.returncode, "tenant.key" in without.stderr) == (2, True), (words, without.stderr)
        done = shop.command("acme", *words, *KEY, env=secrets)
        assert done.returncode == 0, (words, done.stderr)


def test_operators_keys_may_be_elsewhere_too(shop: Shop, secrets: dict[str, str], tmp_path: Path) -> None:
    secret = shop.keys / "publisher.key"
    away = secret.rename(tmp_path / "publisher.key")
    operator = ("--origin", shop.origin.url, "--keys", str(shop.keys))
    try:
        for words in (
            ("hold", "add", "--tenant", "bank"),
            ("hold", "release", "--tenant", "bank"),
            ("tenant", "revoke", "--host", "bank.example"),
            ("tenant", "grant", "bank", "--host", "bank.example", "--proof", "none"),
        ):
            with pytest.raises(CommandFailed, match=r"publisher\.key"):
                shop.run(*words, *operator)
            shop.run(*words, *operator, "--with-key", str(away))
        with pytest.raises(CommandFailed, match="one publisher key expected, got several"):
            shop.run("hold", "add", "--tenant", "bank", *operator, "--with-key", str(away), "--with-key", str(away))
    finally:
        away.rename(secret)
    refused = shop.command("acme", "hold", "add", "--tenant", "bank", *KEY, env=secrets)
    assert (refused.returncode, "of the origin's operator expected" in refused.stderr) == (2, True)
    missing = shop.command("acme", "tenant", "renew", "--with-key", "nowhere", env=secrets)
    assert (missing.returncode, "the file of a private key expected at nowhere" in missing.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ("--service", "acme.x", "--host", "bank.example"),
            "which the operator has not given to it but to tenant bank: prove",
        ),
        (("--service", "acme.x", "--host", "free.example"), "which the operator has not given to it: prove"),
    ],
)
def test_a_dry_run_is_refused_as_the_real_one_is(
    shop: Shop, secrets: dict[str, str], words: tuple[str, ...], why: str
) -> None:
    before = shop.published
    whole = ("publish", str(shop.folder / IMAGE), *words, *KEY)
    tried, done = (shop.command("acme", *whole, *more, env=secrets) for more in (("--dry-run",), ()))
    assert (tried.returncode, tried.stderr) == (done.returncode, done.stderr)
    assert tried.returncode == 2
    assert why in tried.stderr
    assert shop.published == before


def test_the_origin_looks_in_a_dry_run_too(shop: Shop, secrets: dict[str, str]) -> None:
    """Whose token it is, only the origin knows."""
    other = dict(secrets, NUNATAK_TOKEN=shop.run("token", "add", "--tenant", "bank", "--keys", str(shop.keys)).strip())
    whole = ("publish", str(shop.folder / IMAGE), "--service", "acme.y", *KEY)
    tried, done = (shop.command("acme", *whole, *more, env=other) for more in (("--dry-run",), ()))
    assert (tried.returncode, tried.stderr) == (done.returncode, done.stderr) != (0, "")
    assert "a token of tenant acme expected, got one of bank" in tried.stderr


def test_a_stolen_token_signs_nothing(shop: Shop, secrets: dict[str, str]) -> None:
    """Whoever has the token and no key sends blobs, which nobody names."""
    before = shop.published
    thief = dict(secrets, ACME_KEY=(shop.folder / "bank.secret").read_text())
    whole = ("publish", str(shop.folder / IMAGE), "--service", "acme.stolen", *KEY)
    refused = shop.command("acme", *whole, env=thief)
    assert (refused.returncode, shop.published) == (2, before)
    assert "1 of the keys that the operator has noted expected, got 0" in refused.stderr


def test_a_token_that_has_ended_is_refused_in_words(shop: Shop, secrets: dict[str, str]) -> None:
    late = dict(secrets, NUNATAK_TOKEN=shop.ci.token(iat=1_600_000_000, nbf=1_600_000_000, exp=1_600_000_300))
    refused = shop.command("acme", "publish", str(shop.folder / IMAGE), "--service", "acme.z", *KEY, env=late)
    assert (refused.returncode, "a token that has not ended expected" in refused.stderr) == (2, True)
    assert late["NUNATAK_TOKEN"] not in refused.stderr


def test_who_one_is(shop: Shop, secrets: dict[str, str]) -> None:
    words = ("publish", str(shop.folder / IMAGE), "--service", "acme.shop", *KEY)
    assert shop.command("acme", *words, env=secrets).returncode == 0
    said = shop.command("acme", "whoami", *KEY, "--json", env=secrets)
    about = json.loads(said.stdout)
    assert (about["key"]["tenant"], about["key"]["trusted"]) == ("acme", True)
    assert "acme.shop" in about["services"]
    assert about["hosts"] == ["acme.example"]
    assert about["origin"]["tenant"] == "acme"
    assert about["origin"]["token"]["kind"] == "issued"
    assert about["origin"]["token"]["ends"] is not None
    shown = shop.command("acme", "whoami", *KEY, env=secrets).stdout
    assert "signs for tenant acme" in shown
    assert f"of {shop.ci.url} for {SUBJECT}; ends " in shown
    assert "bank" not in shown, "nothing of others"
    thief = dict(secrets, ACME_KEY=(shop.folder / "bank.secret").read_text())
    assert "NO EDGE TAKES" in shop.command("acme", "whoami", *KEY, env=thief).stdout
    nobody = shop.command("acme", "whoami", env={"PATH": "/usr/bin"})
    assert nobody.returncode == 0
    assert "token     none: a token expected in" in nobody.stdout
    operator = shop.run("whoami", "--origin", shop.origin.url, "--keys", str(shop.keys))
    assert "the operator's, of the key folder" in operator
    assert "services: all" in operator


def test_a_check_of_nonsense(shop: Shop) -> None:
    """The origin's own door for dry runs takes what it must and nothing else."""
    token = {"Authorization": f"Bearer {(shop.keys / 'token').read_text().strip()}"}
    good = digest_of(b"x")
    with Client(shop.origin.url) as client:
        for body in (
            b"",
            b"[]",
            b"{}",
            b'{"roles": 7, "coming": {}}',
            b'{"roles": {}, "coming": {"x": 1}}',
            json.dumps({"roles": {}, "coming": {good: 0}}).encode(),
            json.dumps({"roles": {}, "coming": {good: True}}).encode(),
            json.dumps({"roles": {}, "coming": {good: 1 << 40}}).encode(),
            b"[" * 100_000,
        ):
            assert client.request("POST", "/tuf/check", body=body, headers=token).status == 400, body[:40]
        assert client.request("POST", "/tuf/check", body=b"{}").status == 401
        assert client.request("GET", "/whoami").status == 401


def test_the_variable_is_no_token_of_the_origin(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's machine that has it for publishing does not open its origin with it."""
    monkeypatch.setenv("NUNATAK_TOKEN", "too short")
    with pytest.raises(CommandFailed, match="the variable NUNATAK_TOKEN"):
        shop.run("prune", "--dry-run", "--origin", shop.origin.url, "--keys", str(shop.keys))
