"""What tenants may attach to images, and whether `nunatak verify` believes what others attached."""

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from origin.keys import load_signer
from origin.model import tokens as token_file
from origin.model.exchange import Request, Response, expect, upload_request
from origin.model.publication import Publication
from origin.model.tokens import TOKENS_FILE, Tokens
from origin.publish.attaching import attach_all, signed_again, verify
from origin.publish.authors import Signing
from origin.publish.client import carry_out
from origin.publish.publish import publish
from origin.publish.releases import Plan, Publisher, start
from origin.publish.tenants import Operator, add
from origin.registry.attachments import ATTACHED_AT_MOST
from origin.registry.store import Store
from tests.support.synthetic import NOW, TOKEN, Keys, publication, running_origin, send
from tests.support.tenancy import Party
from vmimage.attached import CYCLONEDX_TYPE, EMPTY_CONFIG, IN_TOTO_TYPE, SERVICE_NOTE, Attached, attach
from vmimage.canonical import canonical_json, digest_of
from vmimage.errors import PublisherError, VerificationError
from vmimage.manifest import MANIFEST_TYPE, REPOSITORY
from vmimage.provenance import Provenance

BILL = b'{"bomFormat":"CycloneDX"}'


def built(service: str, tenant: str = "", *, image: str = "", bill: bytes = BILL) -> Publication:
    """A publication as an image file gives it.

    :param image: that the statement is of, in the place of the true one.
    """
    wanted = publication(service, f"{service}.example")
    manifest = wanted.images[-1].manifest
    subject = manifest.digest, len(manifest.to_bytes())
    statement = Provenance(image or manifest.digest, service, {}, {}, {}, digest_of(bill)).to_bytes()
    attached = (attach(IN_TOTO_TYPE, subject, statement), statement), (attach(CYCLONEDX_TYPE, subject, BILL), BILL)
    return replace(wanted, tenant=tenant, attached=attached)


class Site:
    """An origin with two tenants that have tokens."""

    def __init__(self, folder: Path, keys: Keys, url: str) -> None:
        self.url, self.keys = url, keys
        tokens = keys.folder / TOKENS_FILE
        self.tokens = {name: token_file.add(tokens, "tenant", name, datetime.now(UTC))[1] for name in ("alice", "bob")}

    def publish(self, wanted: Publication, token: str = TOKEN) -> None:
        carry_out(publish([wanted], self.keys.trust, self.keys.publisher, NOW), url=self.url, token=token)

    def attach(self, wanted: Publication, signing: Signing, token: str) -> None:
        carry_out(attach_all([wanted], signing), url=self.url, token=token)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    keys, store = Keys(tmp_path / "keys"), Store(tmp_path / "store")
    try:
        with running_origin(store, keys, tokens=Tokens(keys.folder / TOKENS_FILE)) as url:
            yield Site(tmp_path, keys, url)
    finally:
        store.close()


def test_what_was_published_is_verified_down_to_the_key(site: Site) -> None:
    site.publish(built("shop", "alice"), site.tokens["alice"])
    found = carry_out(verify("shop", site.keys.trust), url=site.url)
    assert (found.version, found.bill) == (1, BILL)
    assert found.keyids == (site.keys.publisher.public_key.keyid,)
    again = carry_out(verify(found.manifest.digest, site.keys.trust, "shop"), url=site.url)
    assert again == found
    site.publish(built("shop", "alice"), site.tokens["alice"])
    assert carry_out(verify("shop", site.keys.trust), url=site.url) == found, "nothing is attached twice"


def test_a_candidate_is_verified_as_what_was_published_at_once_is(site: Site) -> None:
    site.publish(built("shop", "alice"), site.tokens["alice"])
    plain = publication("shop", content=b"another")
    candidate = plain.images[-1].manifest
    subject = candidate.digest, len(candidate.to_bytes())
    statement = Provenance(candidate.digest, "shop", {}, {}, {}, digest_of(BILL)).to_bytes()
    attached = (attach(IN_TOTO_TYPE, subject, statement), statement), (attach(CYCLONEDX_TYPE, subject, BILL), BILL)
    by = Publisher(site.keys.trust, site.keys.publisher, NOW)
    carry_out(start(by, replace(plain, attached=attached), Plan(100)), url=site.url, token=site.tokens["alice"])
    found = carry_out(verify(candidate.digest, site.keys.trust, "shop"), url=site.url)
    assert (found.manifest.digest, found.version, found.bill) == (candidate.digest, None, BILL)


def test_a_statement_that_another_key_signed_counts_for_nothing(site: Site, tmp_path: Path) -> None:
    """A stolen token is no key."""
    wanted = built("shop", "alice")
    site.publish(replace(wanted, attached=()), site.tokens["alice"])
    with pytest.raises(VerificationError, match="attached to"):
        carry_out(verify("shop", site.keys.trust), url=site.url)
    other = Keys(tmp_path / "other")
    site.attach(wanted, load_signer(other.folder, "publisher"), site.tokens["alice"])
    with pytest.raises(VerificationError, match="keys that sign the service"):
        carry_out(verify("shop", site.keys.trust), url=site.url)
    site.attach(wanted, site.keys.publisher, site.tokens["alice"])
    assert carry_out(verify("shop", site.keys.trust), url=site.url).bill == BILL


def test_a_statement_of_another_image_and_another_bill_count_for_nothing(site: Site) -> None:
    site.publish(built("shop", image="sha256:" + "ab" * 32))
    with pytest.raises(VerificationError, match="a statement of"):
        carry_out(verify("shop", site.keys.trust), url=site.url)
    site.publish(built("news", bill=b"another"))
    with pytest.raises(VerificationError, match="bill of materials"):
        carry_out(verify("news", site.keys.trust), url=site.url)


def _put(site: Site, each: Attached, data: bytes, token: str) -> None:
    """Push an artifact as any client of registries does."""
    body = each.to_bytes()
    for blob in (data, EMPTY_CONFIG):
        assert send(site.url, upload_request(digest_of(blob), blob)).status == 201

    _asked(site, Request("PUT", f"/v2/{REPOSITORY}/manifests/{digest_of(body)}", body, MANIFEST_TYPE), token)


def test_nobody_attaches_to_what_is_anothers(site: Site) -> None:
    site.publish(replace(built("shop", "alice"), attached=()), site.tokens["alice"])
    site.publish(replace(built("mine", "bob"), attached=()), site.tokens["bob"])
    shop, mine = (publication(name).images[-1].manifest for name in ("shop", "mine"))
    for image, service in ((shop, "shop"), (shop, "mine"), (mine, "shop"), (mine, ""), (mine, "none"), (mine, "../x")):
        each = attach(IN_TOTO_TYPE, (image.digest, len(image.to_bytes())), b"1", **{SERVICE_NOTE: service})
        with pytest.raises(PublisherError, match="expected"):
            _put(site, each, b"1", site.tokens["bob"])
    own = attach(IN_TOTO_TYPE, (mine.digest, len(mine.to_bytes())), b"1", **{SERVICE_NOTE: "mine"})
    other = json.loads(own.to_bytes()) | {"artifactType": "application/vnd.example"}
    path = f"/v2/{REPOSITORY}/manifests/{digest_of(canonical_json(other))}"
    with pytest.raises(PublisherError, match="operator's token"):
        _asked(site, Request("PUT", path, canonical_json(other), MANIFEST_TYPE), site.tokens["bob"])
    _put(site, own, b"1", site.tokens["bob"])


def test_so_much_is_attached_to_an_image_and_no_more(site: Site) -> None:
    site.publish(replace(built("shop", "alice"), attached=()), site.tokens["alice"])
    image = publication("shop").images[-1].manifest
    subject = image.digest, len(image.to_bytes())
    bodies = [str(number).encode() for number in range(ATTACHED_AT_MOST + 1)]
    each = [(attach(IN_TOTO_TYPE, subject, body, **{SERVICE_NOTE: "shop"}), body) for body in bodies]
    for one, body in (*each[:-1], each[0]):
        _put(site, one, body, site.tokens["alice"])
    with pytest.raises(PublisherError, match="at most"):
        _put(site, *each[-1], site.tokens["alice"])
    _put(site, *each[-1], TOKEN)


def test_what_is_sent_has_the_name_of_its_service(site: Site) -> None:
    [(statement, _), (bill, _)] = signed_again(built("shop"), site.keys.publisher)
    assert statement.notes[SERVICE_NOTE] == bill.notes[SERVICE_NOTE] == "shop"


def _asked(site: Site, request: Request, token: str) -> None:
    def exchange() -> Generator[Sequence[Request], Sequence[Response], None]:
        [response] = yield [request]
        expect(response, 201, "attached")

    carry_out(exchange(), url=site.url, token=token)


def test_a_tenant_with_keys_of_its_own_signs_by_its_threshold(site: Site) -> None:
    """Two keys of its own: neither the operator's key nor one of them alone makes a statement of its services good."""
    acme = Party("acme", keys=2, threshold=2)
    operator = Operator(site.keys.trust, site.keys.publisher, NOW)
    carry_out(add(operator, acme.card), url=site.url, token=TOKEN)
    tokens = site.keys.folder / TOKENS_FILE
    _, token = token_file.add(tokens, "tenant", "acme", datetime.now(UTC))
    wanted = replace(built("acme.shop"), hosts=())
    bare = replace(wanted, attached=())
    carry_out(publish([bare], site.keys.trust, acme.author, NOW), url=site.url, token=token)
    for wrong in (site.keys.publisher, acme.signers[0]):
        site.attach(wanted, wrong, token)
        with pytest.raises(VerificationError, match="2 of the keys"):
            carry_out(verify("acme.shop", site.keys.trust), url=site.url)
    site.attach(wanted, acme.author, token)
    found = carry_out(verify("acme.shop", site.keys.trust), url=site.url)
    assert set(found.keyids) == {signer.public_key.keyid for signer in acme.signers}
