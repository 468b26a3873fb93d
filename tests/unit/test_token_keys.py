"""Does a key that is on a token (PKCS #11) sign as one in a file does? SoftHSM's token, and a real change of root."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tuf.api.metadata import Root

from edge.catalogue.catalogue import Catalogue
from origin.keys import generate, load_trust, replace_private
from origin.model.signers import public_key, signer
from origin.registry.store import Store
from tests.support.command_line import Desk
from tests.support.synthetic import NOW, TOKEN, Keys, running_origin
from vmimage.errors import OperatorError, PublisherError

LIBRARIES: Final = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
PIN: Final = "1234"
ADDRESS: Final = "hsm:2?label=root"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A token called root with one key, whose identifier is 2; the folder of its files."""
    pytest.importorskip("pkcs11", reason="KEYS ON TOKENS ARE NOT TESTED HERE: pip install 'nunatak[hsm]'")
    library = next((each for each in LIBRARIES if Path(each).exists()), None)
    if library is None or shutil.which("softhsm2-util") is None:
        pytest.skip("KEYS ON TOKENS ARE NOT TESTED HERE: apt-get install softhsm2")
    folder = tmp_path / "tokens"
    folder.mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {folder}\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    monkeypatch.setenv("PYKCS11LIB", library)
    monkeypatch.setenv("NUNATAK_PIN", PIN)
    key = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)
    pins = ("--pin", PIN)
    _softhsm("--init-token", "--free", "--label", "root", *pins, "--so-pin", PIN)
    _softhsm("--import", str(tmp_path / "key.pem"), "--token", "root", "--label", "key", "--id", "02", *pins)
    return folder


def _softhsm(*words: str) -> None:
    subprocess.run(["softhsm2-util", *words], check=True, capture_output=True)


def test_root_is_signed_by_a_key_on_a_token(token: Path, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    generate(folder, NOW)
    replace_private(folder / "token", TOKEN.encode())
    keys, store = Keys(folder), Store(tmp_path / "store")
    try:
        with running_origin(store, keys) as url:
            desk, edge = Desk(url, keys, tmp_path), Catalogue(tmp_path / "edge", f"{url}/tuf/", keys.root)
            public = tmp_path / "token.pem"
            public.write_text(public_key(ADDRESS).keyval["public"])
            keyid = public_key(ADDRESS).keyid
            with pytest.raises(PublisherError, match="signatures"):  # who is added has to sign, too
                desk.run("keys", "add", "root", str(public), "--threshold", "2")
            by_token = ("--key", f"{keyid[:8]}={ADDRESS}")
            desk.run("keys", "add", "root", str(public), "--threshold", "2", *by_token)
            root = load_trust(folder).root
            assert (root.version, root.roles[Root.type].threshold) == (2, 2)
            assert keyid in root.roles[Root.type].keyids
            edge.refresh()
            with pytest.raises(PublisherError, match="2 signatures"):
                desk.run("renew", "root")
            desk.run("renew", "root", "--with-key", by_token[1])
            assert load_trust(folder).root.version == 3
            edge.refresh()
    finally:
        store.close()


@pytest.mark.parametrize(
    ("address", "variables", "why"),
    [
        ("hsm:3?label=root", {}, "could not find ECDSA key"),
        ("hsm:2?label=another", {}, "No PKCS#11 token found"),
        ("hsm:2?label=root", {"PYKCS11LIB": ""}, "PYKCS11LIB"),
        ("hsm:2?label=root", {"PYKCS11LIB": "/nowhere.so"}, "nowhere.so"),
        ("hsm:two", {}, r"hsm:ID\?label=TOKEN expected"),
        ("awskms:alias", {}, r"hsm:ID\?label=TOKEN expected"),
    ],
)
def test_a_public_key_that_is_not_there(
    token: Path, monkeypatch: pytest.MonkeyPatch, address: str, variables: dict[str, str], why: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OperatorError, match=why):
        public_key(address)


def test_a_token_that_does_not_sign_says_why(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked only when something is signed; what its library raises then has no text."""
    key = public_key(ADDRESS)
    by_token = signer(f"{key.keyid}={ADDRESS}", [key])
    key.verify_signature(by_token.sign(b"x"), b"x")
    monkeypatch.setenv("NUNATAK_PIN", "4321")
    with pytest.raises(OperatorError, match=r"hsm:2\?label=root: a key that can sign expected: PinIncorrect"):
        by_token.sign(b"x")
    shutil.rmtree(token)
    with pytest.raises(OperatorError, match=r"a key that can sign expected: [A-Z]"):
        by_token.sign(b"x")
