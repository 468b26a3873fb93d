"""Names for lines: a program's positions become those of its files; blobs that are none are refused."""

import json

import pytest
import zstandard

from tests.support.synthetic import image
from vmimage.errors import FormatError
from vmimage.manifest import SOURCES_TYPE, Blob, ImageManifest, digest_of, parse_manifest
from vmimage.sources import COUNT_MAX, NAME_MAX, SourceMap, SourceTable

# Line 1: columns 0 and 20 come from src/a.ts 5:1 and 6:3; line 2 has nothing; line 3 comes from lib.ts 1:1.
MAP = SourceMap("worker.js", ("src/a.ts", "lib.ts"), "AAIA,oBACE;;ACLF")


def table(source_map: SourceMap = MAP) -> SourceTable:
    return SourceTable.decode(source_map.encode())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("    at f (worker.js:1:1)", "    at f (src/a.ts:5:1)"),
        ("    at f (worker.js:1:20)", "    at f (src/a.ts:5:1)"),
        ("    at f (worker.js:1:21)", "    at f (src/a.ts:6:3)"),
        ("worker.js:3: broken", "lib.ts:1: broken"),
        ("at a (worker.js:1:1) at b (worker.js:3:9)", "at a (src/a.ts:5:1) at b (lib.ts:1:1)"),
        ("    at f (worker.js:2:1)", "    at f (worker.js:2:1)"),
        ("    at f (worker.js:99:1)", "    at f (worker.js:99:1)"),
        ("worker.js:0:0 worker.js: other-worker.js:1:1", "worker.js:0:0 worker.js: other-worker.js:1:1"),
        ("/worker.js:1:1", "/worker.js:1:1"),
        ("nothing of it", "nothing of it"),
    ],
)
def test_positions_are_those_of_the_files(text: str, named: str) -> None:
    assert table().named(text) == named


def test_a_text_under_another_name_has_that_name() -> None:
    other = table(SourceMap("main.lua", ("page.lua",)))
    assert other.named("main.lua:3: attempt to call nil, in main.lua:12:") == (
        "page.lua:3: attempt to call nil, in page.lua:12:"
    )
    assert not SourceMap("main.lua", ("page.lua",)).is_plain
    assert SourceMap("main.lua", ("main.lua",)).is_plain


def test_a_line_full_of_positions_costs_little() -> None:
    said = table().named("worker.js:1:1 " * 1000)
    assert said.count("src/a.ts") == 16


def packed(**changed: object) -> bytes:
    fields: dict[str, object] = {"file": "worker.js", "sources": ["a"], "mappings": "AAAA", "version": 3}
    return zstandard.ZstdCompressor().compress(json.dumps(fields | changed).encode())


@pytest.mark.parametrize(
    "blob",
    [
        b"no zstd",
        packed(version=2),
        packed(version=True),
        packed(more=1),
        packed(file="../worker.js"),
        packed(file=1),
        packed(mappings=1),
        packed(mappings="\u00e9"),
        packed(mappings="AA"),
        packed(mappings="AC"),
        packed(mappings="ACAA"),
        packed(sources=[]),
        packed(sources=[1]),
        packed(sources="a"),
        packed(sources=[""]),
        packed(sources=["a\nb"]),
        packed(sources=["a\x1b]0;"]),
        packed(sources=["a" * (NAME_MAX + 1)]),
        packed(sources=["a"] * (COUNT_MAX + 1)),
        packed(sources=["a", "b"], mappings=""),
        zstandard.ZstdCompressor().compress(b"[" * 100_000),
        zstandard.ZstdCompressor().compress(bytes(5 << 20)),
    ],
    ids=range(22),
)
def test_what_is_no_blob_is_refused(blob: bytes) -> None:
    with pytest.raises(FormatError):
        SourceTable.decode(blob)


def with_sources(symbols: bool = True) -> ImageManifest:
    manifest, blob = image("app").manifest, MAP.encode()
    fields = {name: getattr(manifest, name) for name in ImageManifest.__dataclass_fields__}
    fields |= {"sources": Blob(SOURCES_TYPE, digest_of(blob), len(blob))}
    return ImageManifest(**(fields if symbols else fields | {"symbols": None}))


@pytest.mark.parametrize("symbols", [True, False])
def test_a_manifest_names_them_after_all_other_layers(symbols: bool) -> None:
    manifest = with_sources(symbols)
    again = parse_manifest(manifest.to_bytes())
    assert (again.sources, again.symbols) == (manifest.sources, manifest.symbols)
    assert again.layers[-1].media_type == SOURCES_TYPE
    assert again.digest != image("app").manifest.digest


@pytest.mark.parametrize("order", [[0, 2, 1], [0, 2, 2], [0, 1, 1], [0, 1, 2, 2], [2, 0], [0, 1, 1, 2]])
def test_layers_in_another_order_are_refused(order: list[int]) -> None:
    fields = json.loads(with_sources().to_bytes())
    fields["layers"] = [fields["layers"][place] for place in order]
    with pytest.raises(FormatError):
        parse_manifest(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())
