"""Are keys added, removed and replaced, at once and in steps, with nobody noticing; and by as many as must sign?"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root
from typer.testing import CliRunner

from edge.catalogue.catalogue import Catalogue
from origin.keys import folder_signers, generate, load_signer, load_trust, replace_private
from origin.model.signers import signer
from origin.model.tenant_keys import CARD_FILE, Card, load_card
from origin.model.tokens import TOKENS_FILE, Tokens
from origin.registry.roles import Online
from origin.registry.store import Store
from tests.support.command_line import APP, Desk
from tests.support.synthetic import NOW, TOKEN, Keys, running_origin
from vmimage.ceremony import Change, missing, parse_proposal, propose, sign_proposal
from vmimage.errors import NunatakError, OperatorError, OriginError, PublisherError


class Office(Desk):
    """A desk whose origin finds its online keys in the folder, and an edge that was there from the start."""

    def __init__(self, url: str, keys: Keys, folder: Path) -> None:
        super().__init__(url, keys, folder)
        self.edge = Catalogue(folder / "edge", f"{url}/tuf/", keys.root)

    def versions(self) -> tuple[int, int]:
        """Of root and targets in the key folder."""
        trust = load_trust(self.keys.folder)
        return trust.root.version, trust.targets.version

    def public(self, role: str) -> Path:
        """A new private key away from the folder, and the file of its public key."""
        private = self.folder / f"new-{role}.key"
        made = CliRunner().invoke(APP, ["keys", "new", str(private)])
        assert made.exit_code == 0
        public = self.folder / f"new-{role}.pem"
        public.write_text(made.stdout)
        return public

    def sign(self, file: Path, *words: str) -> str:
        result = CliRunner().invoke(APP, ["keys", "sign", str(file), *words])
        if isinstance(result.exception, NunatakError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout + result.stderr


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    folder = tmp_path / "keys"
    generate(folder, NOW, signers=3, threshold=2)
    replace_private(folder / "token", TOKEN.encode())
    keys = Keys(folder)

    def online(root: Root) -> Online:
        snapshot, timestamp = (load_signer(folder, role, root.roles[role].keyids) for role in ("snapshot", "timestamp"))
        return Online(snapshot, timestamp)

    store = Store(tmp_path / "store")
    with running_origin(store, keys, online=online, tokens=Tokens(folder / TOKENS_FILE)) as url:
        yield Office(url, keys, tmp_path)
    store.close()


def _away(office: Office, *names: str) -> None:
    """These keys are with somebody else."""
    (office.folder / "away").mkdir(exist_ok=True)
    for name in names:
        (office.keys.folder / name).rename(office.folder / "away" / name)


def test_two_of_three_sign_root_and_targets(office: Office) -> None:
    listed = json.loads(office.run("keys", "list", "--json"))
    assert {role: (each["threshold"], len(each["keys"])) for role, each in listed.items()} == {
        **dict.fromkeys(("root", "targets"), (2, 3)),
        **dict.fromkeys(("snapshot", "timestamp", "publisher"), (1, 1)),
    }
    assert all(here for each in listed.values() for here in each["keys"].values())
    _away(office, "root-2.key", "root-3.key", "targets-2.key")
    with pytest.raises(PublisherError, match="2 signatures by root keys of root version 1 expected, got 1"):
        office.run("renew", "root")
    office.run("renew", "targets")
    assert office.versions() == (1, 2)
    office.run("renew", "root", "--with-key", str(office.folder / "away" / "root-3.key"))
    assert office.versions() == (2, 2)
    office.edge.refresh()
    assert "root: 2 of 3, good until" in office.run("keys", "list")


def test_a_change_in_steps(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared at one desk, signed at two others without a network, brought back."""
    _away(office, "root.key", "root-2.key", "root-3.key")
    file, public = office.folder / "proposal.json", office.public("root")
    gone = next(iter(load_trust(office.keys.folder).root.roles["root"].keyids))
    office.run("keys", "prepare", str(file), "--add", f"root={public}", "--remove", f"root={gone[:8]}")
    with pytest.raises(PublisherError, match=r"root version 2: 0 of 2 signatures .* have them signed"):
        office.run("keys", "publish", str(file))
    said = office.sign(file, "--key", str(office.folder / "away" / "root-2.key"))
    assert f"root - key {gone}" in said
    assert "root version 2: 1 of 2" in said
    with pytest.raises(PublisherError, match="1 of 2 signatures"):
        office.run("keys", "publish", str(file))
    office.sign(file, "--key", str(office.folder / "new-root.key"))
    with pytest.raises(PublisherError, match="1 of 2 signatures by keys of root version 1"):
        office.run("keys", "publish", str(file))
    monkeypatch.setenv("SAFE", (office.folder / "away" / "root-3.key").read_text())
    assert "it can be published" in office.sign(file, "--key", "env:SAFE")
    office.run("keys", "publish", str(file))
    assert office.versions() == (2, 1)
    assert gone not in load_trust(office.keys.folder).root.roles["root"].keyids
    office.edge.refresh()
    with pytest.raises(OriginError, match="prepare it anew"):
        office.run("keys", "publish", str(file))


def test_a_proposal_signed_by_who_does_not_count(office: Office) -> None:
    file = office.folder / "proposal.json"
    office.run("keys", "prepare", str(file), "--threshold", "root=3")
    stranger = CryptoSigner.generate_ed25519()
    proposal = parse_proposal(file.read_bytes())
    assert sign_proposal(proposal, [stranger]) == []
    before = file.read_bytes()
    replace_private(office.folder / "stranger.key", stranger.private_bytes)
    for words, why in (((), "--key or --keys expected"), (("--key", str(office.folder / "stranger.key")), "got none")):
        with pytest.raises(PublisherError, match=why):
            office.sign(file, *words)
    assert file.read_bytes() == before
    assert proposal.root is not None
    proposal.root.sign(stranger, append=True)
    assert len(missing(proposal)) == 2
    signers = folder_signers(office.keys.folder, "root")
    sign_proposal(proposal, signers[:2])
    assert missing(proposal) == [line for line in missing(proposal) if "2 of 3" in line] != []
    sign_proposal(proposal, signers[2:])
    assert missing(proposal) == []


def test_the_last_key_and_what_is_no_key(office: Office) -> None:
    public = office.public("other")
    for words, why in (
        (("remove", "publisher", "0" * 64), "one of its keys expected"),
        (("remove", "snapshot", load_signer(office.keys.folder, "snapshot").public_key.keyid), "1 to 16 keys"),
        (("add", "root", str(public), "--threshold", "5"), "a threshold that they can meet"),
        (("add", "publisher", str(public), "--threshold", "2"), "a threshold of 1"),
        (("add", "mirror", str(public)), "a role of root, targets"),
        (("add", "root", str(office.keys.folder / "token")), "a public key in PEM"),
        (("rotate", "mirror"), "a role of root, targets"),
        (("prepare", "change.json", "--add", "root"), "--add: ROLE=FILE expected, got 'root'"),
    ):
        with pytest.raises(PublisherError, match=why):
            office.run("keys", *words)
    assert office.versions() == (1, 1)


def test_a_second_publisher_key_signs_beside_the_first_and_alone(office: Office) -> None:
    """Of a stolen publisher key nothing is believed once it is removed."""
    office.publish(office.keys.folder, "shop")
    office.run("keys", "add", "publisher", str(office.public("publisher")))
    office.publish(office.keys.folder, "shop", content=b"2")
    old = load_signer(office.keys.folder, "publisher")
    office.run("keys", "rotate", "publisher")
    office.publish(office.keys.folder, "shop", content=b"3")
    office.edge.refresh()
    found = office.edge.find_service("shop")
    assert found is not None
    assert found.version == 3
    replace_private(office.keys.folder / "publisher.key", old.private_bytes)
    with pytest.raises(PublisherError, match="a key that targets version 3 trusts expected"):
        office.publish(office.keys.folder, "shop", content=b"stolen")


def test_every_role_is_rotated_and_no_look_up_fails(office: Office) -> None:
    """An edge looks services up and refreshes without a pause, publishers publish, all keys change."""
    acme = office.tenant("acme")
    office.run("tenant", "add", str(acme / CARD_FILE))
    office.publish(acme, "acme.shop")
    office.publish(office.keys.folder, "front", "front.example")
    stop, began = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def look() -> None:
        while not stop.is_set():
            try:
                office.edge.refresh()
                assert office.edge.find_service("acme.shop") is not None
                assert office.edge.find_host("front.example") is not None
            except BaseException as error:
                failures.append(error)
            began.set()

    thread = threading.Thread(target=look)
    thread.start()
    began.wait()
    try:
        for number, role in enumerate(("snapshot", "timestamp", "targets", "publisher", "root")):
            office.run("keys", "rotate", role)
            office.publish(office.keys.folder, "front", content=f"{number}".encode())
        new = office.tenant("acme2").rename(office.folder / "new")
        (new / CARD_FILE).write_bytes(Card("acme", load_card(new).keys).to_bytes())
        office.run("tenant", "rekey", str(new / CARD_FILE))
        office.run("tenant", "renew", "--token-file", str(acme / "token"), keys=new)
        office.run("tenant", "rekey", str(new / CARD_FILE), "--only")
        replace_private(new / "token", (acme / "token").read_bytes())
        office.publish(new, "acme.shop", content=b"2")
    finally:
        stop.set()
        thread.join()
    assert failures == []
    office.edge.refresh()
    versions = [office.edge.find_service(name) for name in ("front", "acme.shop")]
    assert [each.version if each else 0 for each in versions] == [6, 2]
    assert office.versions() == (5, 3)


# Where keys are.


def test_keys_from_files_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = CryptoSigner.generate_ed25519()
    replace_private(tmp_path / "a.key", made.private_bytes)
    monkeypatch.setenv("A_KEY", made.private_bytes.decode())
    monkeypatch.setenv("NO_KEY", "x")
    for source in (str(tmp_path / "a.key"), "env:A_KEY"):
        assert signer(source, []).public_key == made.public_key
    for source in ("env:NO_KEY", "env:NOT_THERE", str(tmp_path / "b.key")):
        with pytest.raises(OperatorError):
            signer(source, [])
    (tmp_path / "a.key").chmod(0o644)
    with pytest.raises(OperatorError, match="others may read"):
        signer(str(tmp_path / "a.key"), [])


def test_keys_that_securesystemslib_reaches(tmp_path: Path) -> None:
    """Its own file scheme stands for the others here, which need tokens and services."""
    made = CryptoSigner.generate_ed25519()
    (tmp_path / "a.pem").write_bytes(made.private_bytes)
    keyid = made.public_key.keyid
    assert signer(f"{keyid[:12]}=file2:{tmp_path / 'a.pem'}", [made.public_key]).public_key == made.public_key
    other = CryptoSigner.generate_ed25519().public_key
    for source, why in (
        (f"{keyid[:12]}=file2:{tmp_path / 'b.pem'}", "a key that can sign expected"),
        (f"{other.keyid}=file2:{tmp_path / 'a.pem'}", "a key that can sign expected"),
        (f"0000=file2:{tmp_path / 'a.pem'}", "the identifier of a key expected"),
        (f"{keyid}=carrier:pigeon", "expected, got 'carrier:pigeon'"),
        (f"{keyid}=awskms:alias", "expected"),
    ):
        with pytest.raises(OperatorError, match=why):
            signer(source, [made.public_key, other])


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"before": {}}', b'{"before": 5, "root": ""}', b"x" * 100])
def test_what_is_no_proposal(damage: bytes) -> None:
    with pytest.raises(PublisherError, match=r"a file of `nunatak keys prepare` expected"):
        parse_proposal(damage)


def test_a_proposal_reads_as_it_was_written(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    new = CryptoSigner.generate_ed25519().public_key
    root, targets = (keys.metadata[f"1.{role}.json"] for role in ("root", "targets"))
    made = propose(root, targets, {"timestamp": Change((new,)), "publisher": Change((new,))}, NOW)
    assert parse_proposal(made.to_bytes()).to_bytes() == made.to_bytes()
