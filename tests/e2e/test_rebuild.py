"""The same source gives the same image, wherever and by whomever it is built; what differs otherwise is said."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from origin.bake.rebuild import rebuild
from vmimage.archive import read_archive, read_attached
from vmimage.attached import IN_TOTO_TYPE
from vmimage.provenance import Provenance, parse_provenance

HELLO = Path(__file__).parents[2] / "libos" / "examples" / "hello.c"


def built(folder: Path, *, umask: int = 0o022, **environment: str) -> bytes:
    """The image file of hello.c in a folder of its own, built by a process with another environment."""
    folder.mkdir(parents=True)
    shutil.copyfile(HELLO, folder / "hello.c")
    command = [str(Path(sys.executable).with_name("nunatak")), "build", "hello.c", "-o", "hello.oci.tar"]
    subprocess.run(command, cwd=folder, env=os.environ | environment, umask=umask, check=True, capture_output=True)
    return (folder / "hello.oci.tar").read_bytes()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return built(tmp_path_factory.mktemp("rebuild") / "here")


def statement(data: bytes) -> Provenance:
    """What an image file says."""
    [said] = [content for each, content in read_attached(data) if each.kind == IN_TOTO_TYPE]
    return parse_provenance(said)


def test_the_same_source_gives_the_same_file_wherever_it_is_built(here: bytes, tmp_path: Path) -> None:
    """Another folder, user, umask, locale, zone and cache: all of the file is the same, the statement and bill too."""
    home = tmp_path / "somebody"
    elsewhere = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "USER": "somebody"}
    there = built(
        tmp_path / "very" / "far" / "away", umask=0o077, TZ="Asia/Tokyo", LC_ALL="C", LANG="tr_TR.UTF-8", **elsewhere
    )
    assert there == here


def test_what_is_built_again_is_the_same_image(here: bytes, tmp_path: Path) -> None:
    shutil.copyfile(HELLO, tmp_path / "hello.c")
    published = read_archive(here)[-1].manifest
    again = rebuild(statement(here), published, tmp_path / "hello.c", lambda _: None)
    assert (again.image, again.differences) == (published.digest, ())


def test_what_differs_is_said_by_compiler_file_and_layer(here: bytes, tmp_path: Path) -> None:
    (tmp_path / "hello.c").write_text(HELLO.read_text().replace("hello from", "hullo from"))
    published, signed = read_archive(here)[-1].manifest, statement(here)
    older = Provenance(
        signed.image, signed.name, signed.options, signed.materials, {**signed.builder, "ziglang": "0.1"}, signed.bill
    )
    again = rebuild(older, published, tmp_path / "hello.c", lambda _: None)
    assert again.image != published.digest
    said = "\n".join(again.differences)
    assert "ziglang: 0.1 then" in said
    assert "source:hello.c: SHA-256" in said
    assert "layer application/vnd.nunatak.snapshot" in said
    assert "base:libos" not in said


def test_the_bill_names_compiler_libraries_and_base_with_versions_and_hashes(here: bytes) -> None:
    [bill] = [json.loads(content) for each, content in read_attached(here) if each.kind != IN_TOTO_TYPE]
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    parts = {part["name"]: part for part in bill["components"]}
    assert {"base libos", "ziglang", "unicorn", "nunatak"} <= parts.keys()
    base = read_archive(here)[0].manifest.digest.removeprefix("sha256:")
    assert parts["base libos"]["hashes"] == [{"alg": "SHA-256", "content": base}]
    assert all(part["version"] for part in parts.values())
    assert len(parts["ziglang"]["properties"][0]["value"]) == 64
