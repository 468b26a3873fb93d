"""Does vmimage/FORMAT.md say enough to write what the parsers take? Bytes are made from its tables alone."""

import base64
import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from vmimage.canonical import canonical_json, digest_of
from vmimage.errors import FormatError
from vmimage.manifest import parse_manifest
from vmimage.parked import ParkedRecord, is_sealed, parse_parked

DOCUMENT = (Path(__file__).parents[2] / "vmimage" / "FORMAT.md").read_text("utf-8")
TYPES = {"u16": "<H", "u32": "<I", "u64": "<Q"}


def table(header: str) -> list[list[str]]:
    """The rows under the one table with this header, their cells without quotes."""
    (_, _, rest) = DOCUMENT.partition(header + "\n")
    lines = rest.split("\n\n")[0].splitlines()[1:]
    assert lines, header
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


# The manifest


def config_of(rows: list[list[str]]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for field, _, example, _ in rows:
        *outer, name = field.split(".")
        place = config
        for key in outer:
            place = place.setdefault(key, {})
        place[name] = json.loads(example)
    return config


def manifest_of(config: dict[str, Any]) -> bytes:
    """As "Manifest" says: the media types are those of its text."""
    (artifact,) = set(re.findall(r"`artifactType` `([^`]+image[^`]+)`", DOCUMENT))
    (config_type,) = set(re.findall(r"the config blob \(`([^`]+)`\)", DOCUMENT))
    (snapshot_type,) = set(re.findall(r"the snapshot \(`([^`]+)`\)", DOCUMENT))
    data = canonical_json(config)
    inline = {"data": base64.b64encode(data).decode(), "digest": digest_of(data), "mediaType": config_type}
    layer = {"digest": "sha256:" + "2" * 64, "mediaType": snapshot_type, "size": 1234}
    return canonical_json(
        {
            "artifactType": artifact,
            "config": {**inline, "size": len(data)},
            "layers": [layer],
            "mediaType": "application/vnd.oci.image.manifest.v1+json",  # OCI's own
            "schemaVersion": 2,
        }
    )


CONFIG = table("| field | range | example | what |")


def test_a_manifest_that_is_written_from_the_table_is_taken() -> None:
    data = manifest_of(config_of(CONFIG))
    manifest = parse_manifest(data)
    assert manifest.to_bytes() == data
    assert (manifest.name, manifest.limits.log_bytes, manifest.rejuvenate.seconds) == ("shop", 65536, 3600)


@pytest.mark.parametrize("row", CONFIG, ids=[row[0] for row in CONFIG])
def test_no_row_of_the_table_may_be_missing_but_two(row: list[str]) -> None:
    data = manifest_of(config_of([other for other in CONFIG if other is not row]))
    if row[0] in ("baked_entropy", "base_snapshot"):
        assert not getattr(parse_manifest(data), row[0])
        return
    with pytest.raises(FormatError, match="expected"):
        parse_manifest(data)


# The parked record

KEY = bytes(range(32))
VALUES: dict[str, Any] = {
    "image": bytes(range(100, 132)),
    "began_us": 1_700_000_000_000_000,
    "served": 42,
    "disk_versions": (7, 2**64 - 1),
    "service": "shöp",
    "tenant": "acme",
    "state": b"what it was",
    "scratch": b"what its disks held",
}


def record_of(rows: list[list[str]]) -> bytes:
    """Field after field, each at the offset that its row names, with the type and size that it says."""
    texts = {name: value.encode() if isinstance(value, str) else value for name, value in VALUES.items()}
    sizes = {f"{name}_bytes": len(texts[name]) for name in ("state", "scratch", "service", "tenant")}
    values: dict[str, Any] = {**texts, **sizes, "disks": len(VALUES["disk_versions"]), "zero": 0, "check": bytes(32)}
    out = b""
    for offset, size, kind, name, what in rows:
        if name in ("magic", "version"):  # the row itself says them
            (said,) = re.findall(r"^`?([0-9a-f]+)`?[,;]", what)
            values[name] = bytes.fromhex(said) if name == "magic" else int(said)
        if offset:
            assert len(out) == int(offset), name
        if name == "disk_versions":
            out += b"".join(struct.pack(TYPES[kind], value) for value in values[name])
        elif kind in TYPES:
            out += struct.pack(TYPES[kind], values[name])
            assert struct.calcsize(TYPES[kind]) == int(size)
        else:
            out += values[name]
            assert len(values[name]) == (int(size) if size.isdigit() else values[size])
    check = hashlib.blake2b(out[:8] + out[40:], digest_size=32, key=KEY, person=b"parked record 2").digest()
    return out[:8] + check + out[40:]


PARKED = table("| offset | bytes | type | field | what |")


def test_a_record_that_is_written_from_the_table_is_taken() -> None:
    data = record_of(PARKED)
    record = parse_parked(data)
    assert record == ParkedRecord(
        service="shöp",
        tenant="acme",
        image="sha256:" + VALUES["image"].hex(),
        began_us=VALUES["began_us"],
        served=42,
        disk_versions=(7, 2**64 - 1),
        state=VALUES["state"],
        scratch=VALUES["scratch"],
    )
    assert is_sealed(data, KEY)
    assert record.to_bytes(KEY) == data
