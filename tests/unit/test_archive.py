"""Does an image file give back the images that went in, and nothing from a damaged one?"""

import io
import tarfile
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.synthetic import BASE, image
from vmimage.archive import ImageBundle, pack_archive, read_archive
from vmimage.errors import FormatError
from vmimage.manifest import canonical_json, digest_of

DERIVED = image("guest", base=BASE.manifest)
PACKED = pack_archive([BASE, DERIVED])


def _tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _members() -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(PACKED)) as tar:
        files = ((info.name, tar.extractfile(info)) for info in tar)
        return {name: file.read() for name, file in files if file is not None}


def test_round_trip_base_first() -> None:
    assert read_archive(PACKED) == [BASE, DERIVED]
    assert read_archive(pack_archive([DERIVED, BASE])) == [BASE, DERIVED]
    assert read_archive(_tar(_members())) == [BASE, DERIVED]


def test_equal_images_give_equal_bytes() -> None:
    assert pack_archive([image("base"), image("guest", base=BASE.manifest)]) == PACKED


def test_it_is_an_oci_layout() -> None:
    members = _members()
    assert {"oci-layout", "index.json", f"blobs/sha256/{BASE.manifest.config_blob.digest[7:]}"} <= members.keys()
    assert all(name.startswith("blobs/sha256/") for name in members.keys() - {"oci-layout", "index.json"})


@given(st.integers(0, len(PACKED) - 1))
@settings(max_examples=200)
def test_a_truncated_file_is_refused_or_lacks_only_padding(size: int) -> None:
    with suppress(FormatError):
        assert read_archive(PACKED[:size]) == [BASE, DERIVED]
        assert not PACKED[size:].strip(b"\0")


@given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_a_flipped_byte_never_gives_another_image(position: int, flip: int) -> None:
    damaged = bytearray(PACKED)
    damaged[position] ^= flip
    with suppress(FormatError):
        assert read_archive(bytes(damaged)) == [BASE, DERIVED]


def test_incomplete_archives_are_refused() -> None:
    complete = _members()
    for name in complete:
        with pytest.raises(FormatError):
            read_archive(_tar({other: content for other, content in complete.items() if other != name}))


@pytest.mark.parametrize(
    "extra",
    [
        {"blobs/sha256/" + "0" * 64: b"not what it is named"},
        {"blobs/sha256/../../escape": b""},
        {"README": b"hello"},
        {f"blobs/sha256/{digest_of(b'%d' % i)[7:]}": b"%d" % i for i in range(64)},
    ],
    ids=["wrong name", "path", "stranger", "too many"],
)
def test_strange_members_are_refused(extra: dict[str, bytes]) -> None:
    with pytest.raises(FormatError, match="expected"):
        read_archive(_tar({**_members(), **extra}))


def test_links_are_refused() -> None:
    out = io.BytesIO(PACKED)
    with tarfile.open(fileobj=out, mode="a") as tar:
        link = tarfile.TarInfo("blobs/sha256/" + "1" * 64)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(FormatError, match="plain files"):
        read_archive(out.getvalue())


@pytest.mark.parametrize("index", [b"", b"{}", b'{"manifests":[]}', b"[" * 50_000, b'{"manifests":[{"digest":1}]}'])
def test_an_index_without_images_is_refused(index: bytes) -> None:
    with pytest.raises(FormatError):
        read_archive(_tar({**_members(), "index.json": index}))


@pytest.mark.parametrize("data", [b"", b"hello", b"\x7fELF" + bytes(600), bytes(10_240), canonical_json({})])
def test_what_is_no_image_file_is_said_so(data: bytes) -> None:
    with pytest.raises(FormatError, match="image file"):
        read_archive(data)


def test_an_image_without_its_base_is_refused() -> None:
    with pytest.raises(FormatError, match="without its base"):
        read_archive(pack_archive([DERIVED]))


def test_what_could_not_be_read_is_not_written() -> None:
    with pytest.raises(FormatError):
        pack_archive([ImageBundle(replace(BASE.manifest, name="Not A Name"), BASE.blobs)])
    with pytest.raises(FormatError):
        pack_archive([ImageBundle(BASE.manifest, {digest: data + b"!" for digest, data in BASE.blobs.items()})])
