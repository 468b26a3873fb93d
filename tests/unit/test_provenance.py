"""Where an image comes from: what a statement says, who has signed it, and what differs when it is built again."""

import json
from dataclasses import replace

import pytest
from securesystemslib.signer import CryptoSigner

from tests.support.synthetic import BASE, image
from vmimage.archive import pack_archive, read_archive, read_attached
from vmimage.attached import (
    ATTACHED_MAX,
    CYCLONEDX_TYPE,
    IN_TOTO_TYPE,
    KINDS,
    SERVICE_NOTE,
    attach,
    parse_attached,
)
from vmimage.canonical import canonical_json
from vmimage.errors import FormatError, VerificationError
from vmimage.provenance import Provenance, differences, parse_provenance, seal, unseal

ONE, TWO, OTHER = (CryptoSigner.generate_ed25519() for _ in range(3))
KEYS = [ONE.public_key, TWO.public_key]
SAID = Provenance(
    "sha256:" + "ab" * 32,
    "shop",
    {"cpu_ms": 200},
    {"source:main.c": "01" * 32},
    {"ziglang": "1"},
    "sha256:" + "cd" * 32,
)


def test_a_statement_is_in_totos_and_slsas() -> None:
    fields = json.loads(SAID.to_bytes())
    assert fields["_type"] == "https://in-toto.io/Statement/v1"
    assert fields["predicateType"] == "https://slsa.dev/provenance/v1"
    assert fields["subject"] == [{"name": "shop", "digest": {"sha256": "ab" * 32}}]
    definition, details = fields["predicate"]["buildDefinition"], fields["predicate"]["runDetails"]
    assert definition["externalParameters"] == {"cpu_ms": 200}
    assert definition["resolvedDependencies"] == [{"name": "source:main.c", "digest": {"sha256": "01" * 32}}]
    assert details["builder"]["version"] == {"ziglang": "1"}
    assert details["byproducts"][0]["digest"] == {"sha256": "cd" * 32}
    assert parse_provenance(SAID.to_bytes()) == SAID


@pytest.mark.parametrize("bend", [{"_type": "x"}, {"predicateType": "x"}, {"subject": []}, {"predicate": 1}])
def test_a_statement_of_something_else_is_refused(bend: dict[str, object]) -> None:
    with pytest.raises(VerificationError):
        parse_provenance(canonical_json(json.loads(SAID.to_bytes()) | bend))


def test_as_many_signatures_count_as_the_role_asks_for() -> None:
    both = seal(SAID.to_bytes(), [ONE, TWO])
    assert unseal(both, KEYS, 2) == SAID.to_bytes()
    one = seal(SAID.to_bytes(), [ONE, OTHER])
    assert unseal(one, KEYS, 1) == SAID.to_bytes()
    with pytest.raises(VerificationError, match="2 of the keys"):
        unseal(one, KEYS, 2)
    with pytest.raises(VerificationError, match="1 of the keys"):
        unseal(one, [TWO.public_key], 1)


def test_what_was_changed_after_it_was_signed_is_refused() -> None:
    fields = json.loads(seal(SAID.to_bytes(), [ONE]))
    other = json.loads(seal(replace(SAID, image="sha256:" + "ef" * 32).to_bytes(), [OTHER]))
    for change in ({"payload": other["payload"]}, {"payloadType": "text/plain"}, {"signatures": 1}, {"payload": 1}):
        bent = {**fields, **change}
        with pytest.raises(VerificationError):
            unseal(canonical_json(bent), KEYS, 1)
    for data in (b"", b"[" * 100_000, b" " * (2 * ATTACHED_MAX + 1)):
        with pytest.raises(VerificationError):
            unseal(data, KEYS, 1)


def test_what_differs_is_named() -> None:
    again = replace(SAID, materials={"source:main.c": "02" * 32, "source:more.c": "03" * 32}, builder={"ziglang": "2"})
    lines = differences(SAID, again)
    assert lines == [
        "ziglang: 1 then, 2 now",
        f"source:main.c: SHA-256 {'01' * 8} then, {'02' * 8} now",
        "source:more.c: not used then",
    ]
    assert differences(SAID, SAID) == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_attached_is_an_oci_artifact(kind: str) -> None:
    attached = attach(kind, (BASE.manifest.digest, 7), b"{}", **{SERVICE_NOTE: "shop"})
    assert parse_attached(attached.to_bytes()) == attached
    fields = json.loads(attached.to_bytes())
    assert (fields["artifactType"], fields["subject"]["digest"]) == (kind, BASE.manifest.digest)


@pytest.mark.parametrize(
    "bend",
    [
        {"artifactType": "application/vnd.example"},
        {"layers": []},
        {"subject": None},
        {"annotations": {"a": 1}},
        {"annotations": {str(number): "" for number in range(40)}},
        {"layers": [{"mediaType": "a/b", "digest": "sha256:" + "ab" * 32, "size": ATTACHED_MAX + 1}]},
    ],
)
def test_anything_else_is_refused(bend: dict[str, object]) -> None:
    attached = attach(IN_TOTO_TYPE, (BASE.manifest.digest, 7), b"{}")
    with pytest.raises(FormatError):
        parse_attached(canonical_json(json.loads(attached.to_bytes()) | bend))


def test_image_files_carry_what_is_attached() -> None:
    guest = image("guest", base=BASE.manifest)
    subject = guest.manifest.digest, len(guest.manifest.to_bytes())
    attached = [(attach(kind, subject, kind.encode()), kind.encode()) for kind in (IN_TOTO_TYPE, CYCLONEDX_TYPE)]
    data = pack_archive([BASE, guest], attached)
    assert read_archive(data) == [BASE, guest]
    assert read_attached(data) == attached
    assert read_attached(pack_archive([BASE, guest])) == []
    with pytest.raises(FormatError):
        read_attached(pack_archive([BASE, guest], [(attached[0][0], b"another")]))
