"""Does the manifest say what it said, and is everything else refused?"""

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.synthetic import BASE, image
from vmimage import abi
from vmimage.errors import FormatError
from vmimage.manifest import (
    CONFIG_TYPE,
    MANIFEST_MAX,
    SNAPSHOT_TYPE,
    Region,
    canonical_json,
    digest_of,
    is_digest,
    is_name,
    parse_manifest,
)
from vmimage.snapshot import VERSION
from vmimage.terms import LOG_MAX, POOL_MAX

DERIVED = image("guest", base=BASE.manifest).manifest
# If this changes, so does the name of every image that exists: see "Versions" in vmimage/FORMAT.md.
FROZEN_DIGEST = "sha256:915d3783b05643b47aacb77db39e0122576b3533d8af4df7355c7f6a01963268"


def _reencoded(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> bytes:
    """A canonical manifest after `change(manifest, config)`, its config descriptor made to match again."""
    outer = json.loads(DERIVED.to_bytes())
    config = json.loads(DERIVED.config)
    change(outer, config)
    data = canonical_json(config)
    if isinstance(outer.get("config"), dict) and "data" in outer["config"]:
        descriptor = {"data": base64.b64encode(data).decode(), "digest": digest_of(data), "size": len(data)}
        outer["config"] |= descriptor
    return canonical_json(outer)


def test_a_manifest_parses_to_what_was_encoded() -> None:
    for manifest in (BASE.manifest, DERIVED, replace(DERIVED, symbols=None), replace(DERIVED, regions=())):
        assert parse_manifest(manifest.to_bytes()) == manifest


def test_a_derived_image_may_say_what_its_bases_snapshot_is_and_a_base_may_not() -> None:
    told = replace(DERIVED, base_snapshot=BASE.manifest.snapshot)
    assert parse_manifest(told.to_bytes()) == told
    with pytest.raises(FormatError, match="base_snapshot of a base"):
        parse_manifest(replace(BASE.manifest, base_snapshot=BASE.manifest.snapshot).to_bytes())
    wrong = _reencoded(lambda _, config: config.update(base_snapshot={"digest": "sha256:0", "size": 1}))
    with pytest.raises(FormatError, match="base_snapshot"):
        parse_manifest(wrong)


def test_encoding_is_frozen() -> None:
    assert DERIVED.digest == FROZEN_DIGEST


def test_the_snapshots_media_type_says_the_version_of_its_record() -> None:
    assert f".v{VERSION}+" in SNAPSHOT_TYPE


def test_it_is_an_oci_image_manifest_whose_config_travels_inside() -> None:
    outer = json.loads(DERIVED.to_bytes())
    assert (outer["schemaVersion"], outer["mediaType"]) == (2, "application/vnd.oci.image.manifest.v1+json")
    config = base64.b64decode(outer["config"]["data"])
    assert outer["config"]["mediaType"] == CONFIG_TYPE
    assert (outer["config"]["digest"], outer["config"]["size"]) == (digest_of(config), len(config))
    assert [layer["digest"] for layer in outer["layers"]] == [blob.digest for blob in DERIVED.layers]


def _config(**fields: object) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda _, config: config.update(fields)


def _limits(**fields: object) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda _, config: config["limits"].update(fields)


def _outer(**fields: object) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda outer, _: outer.update(fields)


def _layer(**fields: object) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda outer, _: outer["layers"][0].update(fields)


PAGE = abi.PAGE_SIZE
REFUSED = {
    "other artifact": _outer(artifactType="application/vnd.oci.empty.v1+json"),
    "unknown key": _outer(annotations={}),
    "schema as text": _outer(schemaVersion="2"),
    "schema as bool": _outer(schemaVersion=True),
    "no layers": _outer(layers=[]),
    "layers not a list": _outer(layers={}),
    "config not an object": _outer(config="x"),
    "config without data": lambda outer, _: outer["config"].pop("data"),
    "key missing in config": lambda _, config: config.pop("pages_digest"),
    "unknown key in config": _config(extra=1),
    "unknown abi": _config(abi=abi.ABI_VERSION + 1),
    "abi as float": _config(abi=1.0),
    "name with a slash": _config(name="../x"),
    "name too long": _config(name="a" * 64),
    "unknown kind": _config(kind="other"),
    "unknown instance mode": _config(instance="many"),
    "instance mode of another type": _config(instance=["service"]),
    "kind of another type": _config(kind=["base"]),
    "base image with a base": _config(kind="base"),
    "derived image without a base": _config(base=None),
    "short base digest": _config(base="sha256:00"),
    "digest in upper case": _config(pages_digest="sha256:" + "A" * 64),
    "too little memory": _config(memory_bytes=abi.MEMORY_MIN - PAGE),
    "too much memory": _config(memory_bytes=abi.MEMORY_MAX + PAGE),
    "memory not in pages": _config(memory_bytes=abi.MEMORY_MIN + 1),
    "memory as bool": _config(memory_bytes=True),
    "more pages than memory": _config(page_count=abi.MEMORY_DEFAULT // PAGE + 1),
    "record too large for its pages": _config(snapshot_bytes=1 << 30),
    "record too small for its pages": _config(snapshot_bytes=PAGE),
    "writable and executable": _config(regions=[[0x100000, 0x101000, "rwx"]]),
    "region in the null guard": _config(regions=[[0, PAGE, "r"]]),
    "region past memory": _config(regions=[[0x200000, abi.MEMORY_DEFAULT + PAGE, "rw"]]),
    "region not in pages": _config(regions=[[0x200001, 0x201000, "rw"]]),
    "empty region": _config(regions=[[0x200000, 0x200000, "rw"]]),
    "regions overlap": _config(regions=[[0x200000, 0x202000, "rw"], [0x201000, 0x203000, "r"]]),
    "regions out of order": _config(regions=[[0x300000, 0x301000, "rw"], [0x200000, 0x201000, "r"]]),
    "too many regions": _config(regions=[[0x200000 + i * PAGE, 0x201000 + i * PAGE, "rw"] for i in range(257)]),
    "an upstream with a path": _config(upstreams=["https://a.test/b"]),
    "an upstream with the port that is implied": _config(upstreams=["https://a.test:443"]),
    "an upstream in capitals": _config(upstreams=["https://A.test"]),
    "upstreams out of order": _config(upstreams=["https://b.test", "https://a.test"]),
    "an upstream twice": _config(upstreams=["https://a.test", "https://a.test"]),
    "an upstream that is no text": _config(upstreams=[1]),
    "no cpu time": _limits(cpu_ms=0),
    "too many streams": _limits(streams=abi.MAX_STREAMS + 1),
    "more than a processor": _limits(cpu_percent=101),
    "a log without end": _limits(log_bytes=LOG_MAX + 1),
    "unknown limit": _limits(disks=1),
    "a pool of one": _config(instance="pool", pool=1),
    "a pool without the mode": _config(pool=2),
    "a pool too large": _config(instance="pool", pool=POOL_MAX + 1),
    "no fresh machine": _config(instance="request", pool=0),
    "too many fresh machines": _config(instance="request", pool=POOL_MAX + 1),
    "a cause of wear below 0": _config(rejuvenate={"requests": -1, "seconds": 0, "growth_bytes": 0}),
    "unknown cause of wear": _config(rejuvenate={"requests": 1, "seconds": 0, "growth_bytes": 0, "mood": 1}),
    "baked entropy that is none": _config(baked_entropy=False),
    "baked entropy that is no truth value": _config(baked_entropy=1),
    "layer of another type": _layer(mediaType="application/vnd.oci.image.layer.v1.tar"),
    "empty layer": _layer(size=0),
    "huge layer": _layer(size=1 << 40),
    "negative layer": _layer(size=-1),
    "layer digest of another algorithm": _layer(digest="sha512:" + "0" * 128),
    "layer with a URL": _layer(urls=["http://elsewhere"]),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_a_manifest_with_a_wrong_field_is_refused(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    with pytest.raises(FormatError, match="expected"):
        parse_manifest(_reencoded(change))


def test_the_change_that_the_refusals_rest_on_is_otherwise_harmless() -> None:
    assert parse_manifest(_reencoded(lambda outer, config: None)) == DERIVED


@pytest.mark.parametrize("pool", [1, 2, POOL_MAX])
def test_fresh_machines_are_one_or_several_at_once(pool: int) -> None:
    manifest = parse_manifest(_reencoded(_config(instance="request", pool=pool)))
    assert (manifest.instance, manifest.pool) == ("request", pool)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[" * 60_000,
        b"9" * 5_000,
        b" " + DERIVED.to_bytes(),
        DERIVED.to_bytes() + b"\n",
        DERIVED.to_bytes().replace(b'"schemaVersion":2', b'"schemaVersion":2,"schemaVersion":2'),
        json.dumps(json.loads(DERIVED.to_bytes())).encode(),
        b"x" * (MANIFEST_MAX + 1),
        b"\xff\xfe",
    ],
)
def test_another_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_manifest(data)


@given(st.integers(0, len(DERIVED.to_bytes()) - 1), st.integers(1, 255))
def test_a_changed_byte_never_gives_the_same_image(position: int, flip: int) -> None:
    changed = bytearray(DERIVED.to_bytes())
    changed[position] ^= flip
    data = bytes(changed)
    with suppress(FormatError):
        assert parse_manifest(data).digest == digest_of(data) != DERIVED.digest


def test_a_quoted_value_is_short() -> None:
    with pytest.raises(FormatError) as refused:
        parse_manifest(_reencoded(_config(name="x" * 30_000)))
    assert len(str(refused.value)) < 300


def test_layers_and_regions_are_values() -> None:
    assert Region(0x10000, 0x11000, "r") == BASE.manifest.regions[0]


def test_names_and_digests() -> None:
    assert all(map(is_name, ("a", "0", "a.b_c-d", "a" * 63)))
    assert not any(map(is_name, ("", ".", "a.", "-a", "A", "a/b", "a\n", "a" * 64, "é")))
    assert is_digest("sha256:" + "0" * 64)
    assert not is_digest("sha256:" + "0" * 64 + "\n")
