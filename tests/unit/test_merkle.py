"""Merkle trees by RFC 6962, as static tiles, and the checkpoint over them.

The vectors are those of the certificate-transparency project's reference implementation (merkletree, eight leaves).
"""

import base64
import hashlib
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner

from vmimage.checkpoint import Checkpoint, Entry, open_checkpoint, parse_entry, sign_checkpoint
from vmimage.errors import VerificationError
from vmimage.merkle import (
    EMPTY_ROOT,
    Frontier,
    Hashes,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from vmimage.tiles import WIDTH, entries_of, grown, hashes_of, outdated, tile_name

LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATH_OF_0_IN_8 = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]
FROM_6_TO_8 = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]


def _hashes(leaves: list[bytes]) -> Hashes:
    def find(level: int, number: int) -> bytes:
        if level == 0:
            return leaf_hash(leaves[number])
        return node_hash(find(level - 1, 2 * number), find(level - 1, 2 * number + 1))

    return find


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_vectors(size: int) -> None:
    assert root_of(size, _hashes(LEAVES)).hex() == ROOTS[size - 1]
    assert Frontier().grown(map(leaf_hash, LEAVES[:size])).root.hex() == ROOTS[size - 1]
    assert hashlib.sha256().digest() == EMPTY_ROOT == root_of(0, _hashes([])) == Frontier().root


def test_proofs_are_those_of_the_vectors() -> None:
    assert [each.hex() for each in inclusion_proof(0, 8, _hashes(LEAVES))] == PATH_OF_0_IN_8
    assert [each.hex() for each in consistency_proof(1, 8, _hashes(LEAVES))] == PATH_OF_0_IN_8
    assert [each.hex() for each in consistency_proof(6, 8, _hashes(LEAVES))] == FROM_6_TO_8


@given(st.integers(1, 70), st.data())
def test_proofs_hold_for_what_they_are_of_and_for_nothing_else(size: int, data: st.DataObject) -> None:
    leaves = [f"entry {number}".encode() for number in range(size)]
    hashes = _hashes(leaves)
    root = root_of(size, hashes)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    path, proof, before = (
        inclusion_proof(index, size, hashes),
        consistency_proof(old, size, hashes),
        root_of(old, hashes),
    )
    verify_inclusion(index, size, leaf_hash(leaves[index]), root, path)
    verify_consistency(old, size, before, root, proof)
    wrong = leaf_hash(b"another")
    with pytest.raises(VerificationError):
        verify_inclusion(index, size, wrong, root, path)
    with pytest.raises(VerificationError):
        verify_consistency(old, size, wrong, root, proof)
    with pytest.raises(VerificationError):
        verify_consistency(old, size, before, wrong, proof)
    for bent in (proof[:-1], [*proof, wrong]):
        if bent != proof:
            with pytest.raises(VerificationError):
                verify_consistency(old, size, before, root, bent)
    for place in range(len(path)):
        with pytest.raises(VerificationError):
            verify_inclusion(index, size, leaf_hash(leaves[index]), root, [*path[:place], wrong, *path[place + 1 :]])


def test_names_of_tiles_are_those_of_the_specification() -> None:
    assert tile_name(0, 0) == "tile/0/000"
    assert tile_name(1, 1234067, 8) == "tile/1/x001/x234/067.p/8"
    assert tile_name(None, 999, 1) == "tile/entries/999.p/1"


def test_tiles_of_a_log_that_grows_say_what_the_whole_tree_says() -> None:
    """Over two full tiles of the first level, in steps of every kind; and partial tiles that are full then go."""
    files: dict[str, bytes] = {}
    entries: list[bytes] = []
    steps = random.Random(6962)
    size = 2 * WIDTH + 40
    roots: dict[int, bytes] = {}
    while len(entries) < size:
        new = [f"entry {len(entries) + n}".encode() for n in range(min(steps.choice((1, 3, 90)), size - len(entries)))]
        made = grown(len(entries), new, files.get)
        assert not made.keys() & files.keys(), "no file ever changes"
        gone = outdated(len(entries), made)
        files |= made
        entries += new
        for name in gone:
            files.pop(name, None)
        roots[len(entries)] = root_of(len(entries), hashes_of(len(entries), files.get))
    assert roots[size] == Frontier().grown(map(leaf_hash, entries)).root
    found: list[bytes] = []
    while len(found) < size:
        found += entries_of(len(found), size, files.get)
    assert found == entries
    for old, root in roots.items():
        verify_consistency(old, size, root, roots[size], consistency_proof(old, size, hashes_of(size, files.get)))
    full = [name for name in files if ".p/" not in name]
    assert sorted(full) == ["tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001"]
    assert not [name for name in files if name.startswith(("tile/0/000.p", "tile/entries/001.p"))]


@pytest.mark.parametrize("damage", [b"", b"\xff\xff", b"\x00\x05cut"])
def test_a_damaged_file_of_a_log_is_refused(damage: bytes) -> None:
    entries = [f"entry {number}".encode() for number in range(WIDTH + 3)]
    files = grown(0, entries, lambda _: None)
    size = len(entries)
    for name, read in (
        ("tile/0/001.p/3", lambda read: root_of(size, hashes_of(size, read))),
        ("tile/entries/001.p/3", lambda read: entries_of(WIDTH, size, read)),
    ):
        read(files.get)
        with pytest.raises(VerificationError):
            read({**files, name: damage}.get)
        with pytest.raises(VerificationError):
            read({each: data for each, data in files.items() if each != name}.get)


def test_a_checkpoint_is_the_signed_note_that_others_read() -> None:
    signer = CryptoSigner.generate_ed25519()
    told = Checkpoint("nunatak/test", 7, bytes.fromhex(ROOTS[6]))
    note = sign_checkpoint(told, signer)
    assert open_checkpoint(note, [signer.public_key]) == told
    text, _, signature = note.decode().partition("\n\n")
    assert text == f"nunatak/test\n7\n{base64.b64encode(told.root).decode()}"
    dash, name, encoded = signature.rstrip("\n").split(" ")
    assert (dash, name) == ("\N{EM DASH}", "nunatak/test")
    public = bytes.fromhex(signer.public_key.keyval["public"])
    assert base64.b64decode(encoded)[:4] == hashlib.sha256(b"nunatak/test\n\x01" + public).digest()[:4]
    assert len(base64.b64decode(encoded)) == 4 + 64


@pytest.mark.parametrize(
    "bend",
    [
        lambda note: note.replace(b"\n7\n", b"\n8\n"),
        lambda note: note.replace(b"\n7\n", b"\n07\n"),
        lambda note: note.replace(b"nunatak/test\n7", b"nunatak/other\n7"),
        lambda note: note[:-8],
        lambda note: note.replace("\N{EM DASH}".encode(), b"-"),
        lambda note: b"",
        lambda note: note + b"x" * 5000,
    ],
)
def test_a_bent_checkpoint_is_refused(bend: Callable[[bytes], bytes]) -> None:
    signer, other = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
    note = sign_checkpoint(Checkpoint("nunatak/test", 7, bytes.fromhex(ROOTS[6])), signer)
    with pytest.raises(VerificationError):
        open_checkpoint(bend(note), [signer.public_key])
    with pytest.raises(VerificationError):
        open_checkpoint(note, [other.public_key])


def test_entries_have_one_spelling() -> None:
    entry = Entry(3, "ab" * 32, 900)
    assert parse_entry(entry.encode()) == entry
    for bent in (entry.encode() + b" ", b"{}", b"[", entry.encode().replace(b"3", b"true"), b'{"version":1}'):
        with pytest.raises(VerificationError):
            parse_entry(bent)
