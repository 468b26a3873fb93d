"""What becomes of a folder of files before there is a request: what is refused, types, caches, paths, rules, layout."""

import gzip
import io
import json
import os
import random
import re
import shutil
from pathlib import Path

import brotli
import pytest
import zstandard
from typer.testing import CliRunner

from libos.toolchain.build import HERE
from libos.toolchain.packages import Package, source_tree
from origin.bake.assets import contents, folder, index, site
from origin.bake.assets.contents import Contents
from origin.bake.assets.folder import is_among, read_folder
from origin.bake.assets.model import Asset, Choices, Variant
from origin.bake.assets.policy import cache_fields, is_hashed
from origin.bake.assets.rules import read_headers, read_redirects, with_headers
from origin.bake.assets.types import TYPES, is_compressible, type_of
from origin.bake.assets.urls import Redirect, encoded, paths_of
from origin.bake.assets.variants import beside, made
from tests.support.assets import MODIFIED_S, packed, write
from tests.support.command_line import APP
from vmimage.disk import BLOCK_SIZE
from vmimage.errors import PublisherError

MIME_DB = Package("npm", "mime-db", "1.54.0", "2b21054e65d0eabd58c5002d2713e968dd47b15700bfed4b7281a344ded1c420")


# What is refused


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({".env": "secret", "a.txt": ""}, r"no hidden files expected, got \.env: .* --exclude '\.env'"),
        ({"sub/.git/config": "", "a.txt": ""}, r"hidden files expected, got sub/\.git:"),
        ({}, "a folder with files expected"),
        ({"a\nb.txt": ""}, "without control characters"),
        ({"a\x7fb.txt": ""}, "without control characters"),
        ({"_headers": "/*\n  X: y"}, "a folder with files expected"),
        ({"a.txt": "", "_redirects": "/a.txt /b"}, "a path without a file expected"),
        ({"a.txt": "", "_headers": "nonsense"}, "_headers line 1: a path that begins with /"),
        ({"a.txt": "", "_headers": b"/\xff"}, "_headers: at most 1 MiB of UTF-8"),
    ],
    ids=lambda value: repr(value)[:32],
)
def test_what_must_not_be_served_is_refused(tmp_path: Path, files: dict[str, bytes | str], message: str) -> None:
    write(tmp_path, files)
    with pytest.raises(PublisherError, match=message):
        packed(tmp_path)


def test_links_stay_within_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    public = write(tmp_path / "public", {"a.txt": "a", "sub/b.txt": "b"})
    (public / "same.txt").symlink_to("a.txt")
    (public / "there").symlink_to("sub")
    assert list(read_folder(public)) == ["a.txt", "same.txt", "sub/b.txt", "there/b.txt"]
    for name, target, message in (
        ("out.txt", "../secret", "it leads elsewhere"),
        ("passwd", "/etc/passwd", "it leads elsewhere"),
        ("gone", "nowhere", "it leads elsewhere"),
        ("sub/round", "..", "a circle"),
    ):
        (public / name).symlink_to(target)
        with pytest.raises(PublisherError, match=message):
            read_folder(public)
        (public / name).unlink()
    os.mkfifo(public / "pipe")
    with pytest.raises(PublisherError, match="pipe: a file or folder expected"):
        read_folder(public)


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {f"{n}.txt": "12345" for n in range(3)})
    for name, value, message in (
        ("FILES_MAX", 2, "at most 2 files"),
        ("TOTAL_BYTES_MAX", 14, "the folder has more"),
        ("FILE_BYTES_MAX", 4, r"0\.txt: at most .* got 5 bytes"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(folder, name, value)
            with pytest.raises(PublisherError, match=message):
                read_folder(tmp_path)
    assert len(read_folder(tmp_path)) == 3


def test_what_is_left_out(tmp_path: Path) -> None:
    write(
        tmp_path, {"a.js": "", "a.js.map": "", "drafts/b.html": "", ".git/config": "", ".well-known/security.txt": ""}
    )
    assert list(read_folder(tmp_path, ("*.map", "drafts", ".git"))) == [".well-known/security.txt", "a.js"]
    assert is_among("img/a.png", ["img/*.png"])
    assert not is_among("img/a.png", ["*.jpg", "im"])


def test_a_file_that_changes_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(PublisherError, match="it changed while it was read"):
        Contents(io.BytesIO(), by_blocks=False).add(tmp_path / "a", 4)


# Types


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("a.html", "text/html"),
        ("a/b.JS", "text/javascript"),
        ("x.tar.gz", "application/gzip"),
        ("archive.unknown", "application/octet-stream"),
        ("README", "application/octet-stream"),
        ("a.b/c", "application/octet-stream"),
        ("sub/.html", "application/octet-stream"),
        ("font.woff2", "font/woff2"),
    ],
)
def test_types(name: str, type_: str) -> None:
    assert type_of(name) == type_


# Where mime-db says nothing, or has a name from before: RFC 8878, RFC 9639, RFC 4337.
OWN_TYPES = {"zst": "application/zstd", "flac": "audio/flac", "m4v": "video/mp4"}


def test_types_are_those_of_mime_db() -> None:
    if shutil.which("npm") is None:
        pytest.skip("TYPES ARE NOT COMPARED HERE: npm fetches mime-db")
    said: dict[str, set[str]] = {}
    for type_, row in json.loads((source_tree(MIME_DB) / "db.json").read_bytes()).items():
        for suffix in row.get("extensions", ()):
            said.setdefault(suffix, set()).add(type_)
    assert len(said) > 1000
    assert {suffix: type_ for suffix, type_ in TYPES.items() if type_ not in said.get(suffix, ())} == OWN_TYPES


def test_text_is_utf_8_where_it_can_be(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "ü", "b.txt": "ü".encode("latin-1"), "c.png": b"\x89", "d.json": "{}"})
    found = packed(tmp_path).files[index.FILE][1]
    for expected in (b"text/plain; charset=utf-8\0", b"text/plain\0", b"image/png\0", b"application/json\0"):
        assert expected in found


def test_what_compresses() -> None:
    assert [
        name for name in ("a.html", "a.svg", "a.json", "a.wasm", "a.rss") if not is_compressible(type_of(name))
    ] == []
    assert [name for name in ("a.png", "a.woff2", "a.zip", "a.mp4", "a") if is_compressible(type_of(name))] == []


# Caches


@pytest.mark.parametrize(
    "name",
    [
        "app.3f9a1c2b.js", "main.8d7f2a1c9b4e6d0a1b2c.chunk.css", "assets/index-BkD3x9aZ.js", "chunk-5XWQ3ZKL.js",
        "logo_1a2b3c4d5e6f.svg", "app.3f9a1c2b.js.map",
    ],
)  # fmt: skip
def test_a_hash_in_a_name(name: str) -> None:
    assert is_hashed(name)


@pytest.mark.parametrize(
    "name",
    [
        "app.js", "jquery.validate.js", "jquery-validate.min.js", "report-20240101.pdf", "photo-1920x1080.jpg",
        "3f9a1c2b.js", "app.3f9a1c2b", "deadbeef-3f9a1c2b/app.js", "page.3f9a1c2b.html", "README-CHANGES2.md",
        "app.3f9a1c.js", "a-facade-effaced.js", "photo-iPhone12Pro.jpg", "q-Report24.xlsx",
    ],
)  # fmt: skip
def test_what_only_looks_like_one(name: str) -> None:
    assert not is_hashed(name)


def test_what_caches_are_told() -> None:
    edges = ("Nunatak-Cache-Control", "max-age=31536000")
    assert cache_fields("a.3f9a1c2b.js", (), 60) == (("Cache-Control", "public, max-age=31536000, immutable"), edges)
    assert cache_fields("a.js", (), 60) == (("Cache-Control", "public, max-age=60, must-revalidate"), edges)
    assert cache_fields("fonts/a.woff2", ("*.woff2",), 60)[0][1].endswith("immutable")
    assert cache_fields("a.js", (), 0)[0][1] == "public, max-age=0, must-revalidate"


# Paths


def test_paths() -> None:
    names = ["index.html", "about.html", "docs/index.html", "docs/a b.html", "img/ü.png"]
    assert paths_of(names, clean=False) == {
        "": Redirect("/"), "/": "index.html", "/index.html": "index.html", "/about.html": "about.html",
        "/docs": Redirect("/docs/"), "/docs/": "docs/index.html", "/docs/index.html": "docs/index.html",
        "/docs/a b.html": "docs/a b.html", "/img/ü.png": "img/ü.png",
    }  # fmt: skip
    assert paths_of(names, clean=True) == {
        "": Redirect("/"), "/": "index.html", "/index.html": Redirect("/"),
        "/about": "about.html", "/about.html": Redirect("/about"),
        "/docs": Redirect("/docs/"), "/docs/": "docs/index.html", "/docs/index.html": Redirect("/docs/"),
        "/docs/a b": "docs/a b.html", "/docs/a b.html": Redirect("/docs/a%20b"), "/img/ü.png": "img/ü.png",
    }  # fmt: skip


def test_who_claims_a_path() -> None:
    found = paths_of(["about", "about.html", "x.html", "x/index.html"], clean=True)
    assert (found["/about"], found["/x"], found["/x/"]) == ("about", "x.html", "x/index.html")


def test_a_path_in_a_url() -> None:
    assert encoded("/a b/100%/ü?#;&.txt") == "/a%20b/100%25/%C3%BC%3F%23;&.txt"


# Rules


def test_headers() -> None:
    rules = read_headers(
        "# all\n/*\n  X-Frame-Options: DENY\n  Cache-Control: no-store\n\n/a/*.js\n\tX-Frame-Options:\n"
    )
    fields = (("Cache-Control", "public"), ("Nunatak-Cache-Control", "max-age=1"), ("Accept-Ranges", "bytes"))
    assert dict(with_headers("/b", fields, rules)) == {
        "Cache-Control": "no-store", "Accept-Ranges": "bytes", "X-Frame-Options": "DENY"
    }  # fmt: skip
    assert dict(with_headers("/a/b/c.js", fields, rules))["X-Frame-Options"] == ""
    assert with_headers("/a", fields, read_headers("/b\n X: y")) == fields
    with pytest.raises(PublisherError, match="at most 16384 bytes"):
        with_headers("/a", (), read_headers("/a\n X: " + "y" * 20_000))


@pytest.mark.parametrize(
    "text",
    [" X: y", "/a\n X y", "/a\n X: \x01", "/a\n X Y: z", "/a\n Content-Length: 5", "/a\n ETag: x", "/a\n X: ü",
     "/a\n Location: /b", "/a\n X-Nunatak-A: b", "x\n" * 20_000],
    ids=lambda text: repr(text)[:24],
)  # fmt: skip
def test_headers_that_cannot_be(text: str) -> None:
    with pytest.raises(PublisherError, match="_headers line"):
        read_headers(text)


def test_redirects() -> None:
    text = "# moved\n/old  /new/ 301\n/caf%C3%A9 /café\n/out https://other.example/?q=1 308\n"
    assert read_redirects(text) == {
        "/old": Redirect("/new/", 301),
        "/café": Redirect("/caf%C3%A9", 302),
        "/out": Redirect("https://other.example/?q=1", 308),
    }


@pytest.mark.parametrize(
    "text",
    ["/a", "a /b", "/a b", "/a //evil.example", "/a /\\evil 99", "/a javascript:x", "/a/* /b", "/:id /b", "/a /b 200",
     "/a /b 301 more", "/a /b\n/a /c", "/a https:///b"],
)  # fmt: skip
def test_redirects_that_cannot_be(text: str) -> None:
    with pytest.raises(PublisherError, match="_redirects line"):
        read_redirects(text)


# Codings

TEXT = b"body { color: red } " * 200


def test_codings_beside_a_file_hold_the_same(tmp_path: Path) -> None:
    packers = {".br": brotli.compress, ".gz": gzip.compress, ".zst": zstandard.compress}
    files = {f"a.css{suffix}": pack(TEXT) for suffix, pack in packers.items()}
    wrong: dict[str, bytes] = {}
    for suffix, pack in packers.items():
        wrong |= {f"b.css{suffix}": pack(TEXT + b"!"), f"c.css{suffix}": pack(TEXT)[:-9], f"d.css{suffix}": b"nonsense"}
        wrong[f"e.css{suffix}"] = pack(bytes(8 << 20))
    write(tmp_path, {f"{name}.css": TEXT for name in "abcde"} | files | wrong | {"alone.gz": gzip.compress(b"x")})
    said: list[str] = []
    assert beside(read_folder(tmp_path), said.append) == {
        "a.css": {"br": "a.css.br", "gzip": "a.css.gz", "zstd": "a.css.zst"}
    }
    assert sorted(line.split(":")[0] for line in said) == sorted(wrong)


def test_codings_that_are_made(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(5000)
    write(tmp_path, {"a.css": TEXT, "small.css": "a{}", "noise.txt": noise, "a.png": TEXT})
    files = read_folder(tmp_path)
    found = {name: dict(made(name, file, {})) for name, file in files.items()}
    assert {name for name, each in found.items() if each} == {"a.css"}
    assert brotli.decompress(found["a.css"]["br"]) == gzip.decompress(found["a.css"]["gzip"]) == TEXT
    assert dict(made("a.css", files["a.css"], {})) == found["a.css"], "the same each time"
    assert list(dict(made("a.css", files["a.css"], {"br": "a.css.br"}))) == ["gzip"]


# Layout


def test_contents_on_a_disk_keep_to_blocks() -> None:
    file = io.BytesIO()
    found = Contents(file, by_blocks=True)
    sizes = {"a": 3000, "b": 3 * BLOCK_SIZE + 5, "c": 60_000, "d": 10_000, "e": 0}
    places = {name: found.add(name.encode() * size, size) for name, size in sizes.items()}
    for name, size in sizes.items():
        place = places[name]
        assert file.getvalue()[place.data : place.data + size] == name.encode() * size
        blocks = (place.data + max(size, 1) - 1) // BLOCK_SIZE - place.data // BLOCK_SIZE + 1
        assert blocks == (4 if name == "b" else 1)
    assert places["b"].data % BLOCK_SIZE == 0
    assert found.add(b"a" * 3000, 3000) == places["a"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', places["a"].tag)
    assert len(places["a"].tag) == 2 * contents.TAG_BYTES + 2


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, {"a.css": TEXT, "index.html": "x", "sub/b.txt": "y"})
    first, second = (packed(tmp_path / name, Choices(compress=True)).files for name in ("one", "two"))
    assert first == second
    os.utime(tmp_path / "two" / "a.css", (MODIFIED_S + 5, MODIFIED_S + 5))
    assert packed(tmp_path / "two", Choices(compress=True)).files != first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(MODIFIED_S))
    assert packed(tmp_path / "two", Choices(compress=True)).files == first


def test_what_is_large_lies_on_a_disk(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "site", {"a.bin": bytes(site.IN_IMAGE_MAX // 2), "b.bin": b"b" * (site.IN_IMAGE_MAX // 2)}
    )
    disk = tmp_path / "assets.disk"
    small = packed(folder, disk=disk)
    assert (small.drives, disk.exists(), small.largest) == ((), False, site.IN_IMAGE_MAX // 2)
    write(folder, {"c.txt": "one byte more"})
    large = packed(folder, disk=disk)
    (drive,) = large.drives
    assert (drive.ref.name, drive.ref.kind, disk.exists()) == (index.DISK, "shared", True)
    assert len(large.files[index.FILE][1]) < 4096 < site.IN_IMAGE_MAX < drive.ref.bytes


def test_the_header_says_the_same() -> None:
    text = (HERE / "assets" / "assets.h").read_text()
    for name, value in (
        ("MAGIC", index.MAGIC),
        ("VERSION", index.VERSION),
        ("ALONE", index.ALONE),
        ("ON_DISK", index.ON_DISK),
    ):
        found = re.search(rf"#define ASSETS_{name} (\w+)", text)
        assert found is not None
        assert int(found[1], 0) == value
    assert f'#define ASSETS_FILE "{index.FILE}"' in text
    assert f'#define ASSETS_DISK "{index.DISK}"' in text


def test_an_index_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    asset = Asset(type="text/plain", variants=(Variant("", '"x"', 0, 1),))
    monkeypatch.setattr(index, "INDEX_MAX", 100)
    with pytest.raises(PublisherError, match="an index of at most"):
        index.pack_index({"/a": asset}, None, alone=True, contents=b"x")


def test_a_folder_of_files_is_told_from_a_program(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {"index.html": "x"})
    assert site.is_site(folder)
    assert not site.is_site(write(tmp_path / "b", {"index.html": "x", "main.c": ""}))
    assert not site.is_site(write(tmp_path / "c", {"index.html": "x", "prepare.py": ""}))
    assert not site.is_site(write(tmp_path / "d", {"a.html": "x"}))
    assert not site.is_site(folder / "index.html")


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a.txt": "x"})
    with pytest.raises(PublisherError, match=r"--single-page: a folder with index\.html"):
        packed(folder, Choices(single_page=True))


@pytest.mark.parametrize(("name", "found"), [("a.html", "a file"), ("nowhere", "nothing")])
def test_what_is_no_folder_is_not_served(tmp_path: Path, name: str, found: str) -> None:
    write(tmp_path, {"a.html": ""})
    words = ["static", str(tmp_path / name), "--origin", "http://127.0.0.1:1", "--keys", str(tmp_path)]
    error = CliRunner().invoke(APP, words).exception
    assert isinstance(error, PublisherError)
    assert f"a folder expected at {tmp_path / name}, found {found}" in str(error)
