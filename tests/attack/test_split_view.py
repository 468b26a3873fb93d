"""Whoever holds the online keys can show some edges another catalogue: does the auditor find it, whatever they do?

The thief here is an origin of its own on a copy of the store, with the same keys: all that it says is properly signed.
"""

import http.server
import json
import shutil
import threading
import time
import tracemalloc
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root
from typer.testing import CliRunner

from edge.main import build_app
from origin.keys import load_signer, load_top
from origin.model.exchange import Request, Response
from origin.publish import auditor
from origin.publish.auditor import BUNDLES_AT_ONCE, Known, Look, compare, look, read_state, write_state
from origin.publish.client import carry_out
from origin.publish.publish import publish
from origin.publish.renew import Plan, renew
from origin.registry.roles import Online
from origin.registry.store import Store
from origin.storage.memory import Memory
from tests.support.serving import serving
from tests.support.synthetic import NOW, TOKEN, Keys, publication, running_origin
from vmimage.checkpoint import Checkpoint, Entry, parse_entry, sign_checkpoint
from vmimage.errors import OperatorError, VerificationError
from vmimage.merkle import root_of
from vmimage.tiles import WIDTH, entries_of, grown, hashes_of, tile_name

Files = Callable[[str], bytes | None]
_T = TypeVar("_T")


def answered(exchange: Generator[Sequence[Request], Sequence[Response], _T], files: Files) -> _T:
    """An exchange with whoever has these files, by path."""
    group = next(exchange)
    while True:
        bodies = [files(request.path.removeprefix("/")) for request in group]
        try:
            group = exchange.send([Response(404 if body is None else 200, body or b"") for body in bodies])
        except StopIteration as stop:
            found: _T = stop.value
            return found


def served(folder: Path) -> Files:
    """What an origin over this store answers."""

    def read(path: str) -> bytes | None:
        return (folder / path).read_bytes() if (folder / path).is_file() else None

    return read


def published(folder: Path, keys: Keys, *services: str) -> None:
    """Let an origin over this store publish each, one after the other."""
    store = Store(folder)
    try:
        with running_origin(store, keys) as url:
            for service in services:
                carry_out(publish([publication(service)], keys.trust, keys.publisher, NOW), url=url, token=TOKEN)
    finally:
        store.close()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("split") / "keys")


@pytest.fixture(scope="module")
def past(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which three services were published."""
    folder = tmp_path_factory.mktemp("split") / "store"
    published(folder, keys, "one", "two", "three")
    return folder


@pytest.fixture
def honest(past: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(past, tmp_path / "honest"))


@pytest.fixture
def thief(past: Path, keys: Keys, tmp_path: Path) -> Path:
    """It has gone on from the same past with another service."""
    folder = Path(shutil.copytree(past, tmp_path / "thief"))
    published(folder, keys, "malice")
    return folder


def kinds(found: Look) -> list[str]:
    return [alarm.kind for alarm in found.alarms]


def test_an_honest_origin_is_followed_without_an_alarm(honest: Path, keys: Keys) -> None:
    first = answered(look([keys.root], Known()), served(honest))
    assert (kinds(first), first.served.version, first.checkpoint.size) == ([], 4, 4)
    published(honest, keys, "four", "five")
    known = read_state(write_state({"url": first.known}))["url"]
    assert known == first.known
    again = answered(look([keys.root], known), served(honest))
    assert (kinds(again), again.served.version, again.checkpoint.size) == ([], 6, 6)
    files = served(honest)
    entered = entries_of(0, 6, lambda name: files(f"log/{name}"))
    assert [parse_entry(entry).version for entry in entered] == [1, 2, 3, 4, 5, 6]


def test_another_snapshot_beside_the_honest_log_is_found_at_once(honest: Path, thief: Path, keys: Keys) -> None:
    published(honest, keys, "four")

    def both(path: str) -> bytes | None:
        return served(honest if path.startswith("log/") else thief)(path)

    found = answered(look([keys.root], Known()), both)
    assert kinds(found) == ["two_snapshots"]
    assert found.known.served == 0, "what was not honest is not what was served before"


def test_a_second_log_is_found_by_who_knows_the_first(honest: Path, thief: Path, keys: Keys) -> None:
    published(honest, keys, "four")
    known = answered(look([keys.root], Known()), served(honest)).known
    for _ in range(2):
        found = answered(look([keys.root], known), served(thief))
        assert kinds(found) == ["fork"]
        assert found.known.note == known.note, "the evidence stays"
        known = found.known
    published(thief, keys, "more", "malice2")
    assert kinds(answered(look([keys.root], known), served(thief))) == ["fork"], "however far it goes on"


def test_a_second_log_is_found_by_who_asks_both(honest: Path, thief: Path, keys: Keys) -> None:
    published(honest, keys, "four", "five")
    mine, theirs = (answered(look([keys.root], Known()), served(each)) for each in (honest, thief))
    assert (kinds(mine), kinds(theirs)) == ([], []), "each alone looks right"
    [alarm] = answered(compare(theirs.checkpoint, mine.checkpoint), served(honest))
    assert alarm.kind == "fork"


def test_a_mirror_that_is_behind_is_no_liar(past: Path, honest: Path, keys: Keys) -> None:
    published(honest, keys, "four", "five")
    now, before = (answered(look([keys.root], Known()), served(each)) for each in (honest, past))
    assert answered(compare(before.checkpoint, now.checkpoint), served(honest)) == []


def test_a_log_that_forgets_is_found(past: Path, honest: Path, keys: Keys) -> None:
    published(honest, keys, "four")
    known = answered(look([keys.root], Known()), served(honest)).known
    assert kinds(answered(look([keys.root], known), served(past))) == ["rollback", "shrunk"]


def test_a_snapshot_that_nobody_entered_is_found(past: Path, honest: Path, keys: Keys) -> None:
    published(honest, keys, "four")

    def without_entry(path: str) -> bytes | None:
        return served(past if path.startswith("log/") else honest)(path)

    assert kinds(answered(look([keys.root], Known()), without_entry)) == ["unlogged"]


def _rewritten(folder: Path, keys: Keys, entries: list[bytes]) -> None:
    """With the stolen key: any log."""
    files: dict[str, bytes] = grown(0, entries, lambda _: None)
    root = root_of(len(entries), hashes_of(len(entries), files.get))
    note = sign_checkpoint(Checkpoint("nunatak/any", len(entries), root), keys.online.snapshot)
    for name, data in (files | {"checkpoint": note}).items():
        (folder / "log" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "log" / name).write_bytes(data)


def test_two_entries_of_one_version_are_found(honest: Path, keys: Keys) -> None:
    _rewritten(honest, keys, [Entry(version, f"{version:064x}", 9).encode() for version in (1, 2, 3, 3, 4)])
    assert kinds(answered(look([keys.root], Known()), served(honest))) == ["two_snapshots"]


@pytest.mark.parametrize("entry", [b"", b"{}", b'{"length":9,"sha256":"","version":1}'])
def test_entries_that_are_none_are_no_log(honest: Path, keys: Keys, entry: bytes) -> None:
    _rewritten(honest, keys, [entry])
    with pytest.raises(VerificationError):
        answered(look([keys.root], Known()), served(honest))


def test_entries_and_tiles_are_one(honest: Path, keys: Keys) -> None:
    """A bundle of other entries than those that the root is over."""
    name = honest / "log" / "tile" / "entries" / "000.p" / "4"
    files = served(honest)
    entry = parse_entry(entries_of(1, 4, lambda name: files(f"log/{name}"))[0])
    name.write_bytes(name.read_bytes().replace(entry.sha256.encode(), b"ab" * 32))
    assert kinds(answered(look([keys.root], Known()), served(honest))) == ["fork"]


def test_a_checkpoint_by_another_key_is_refused(honest: Path, keys: Keys, tmp_path: Path) -> None:
    other = Keys(tmp_path / "other")
    _rewritten(honest, other, [Entry(4, "ab" * 32, 9).encode()])
    with pytest.raises(VerificationError, match="signed by the key for snapshots"):
        answered(look([keys.root], Known()), served(honest))


def test_a_log_that_was_lost_for_a_while_catches_up(honest: Path, keys: Keys) -> None:
    """An origin that ended before it had entered what counted, or that had no log yet."""
    for path in ("log/checkpoint", "log/tile"):
        place = honest / path
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    published(honest, keys, "four")
    found = answered(look([keys.root], Known()), served(honest))
    assert (kinds(found), found.checkpoint.size) == ([], 5)


def test_a_state_that_is_none_is_refused() -> None:
    for data in (b"", b"{}", b'{"sources": {"url": {}}}', b'{"sources": []}x'):
        with pytest.raises(OperatorError):
            read_state(data)


def test_a_log_goes_on_when_the_key_that_signs_it_is_replaced(honest: Path, keys: Keys, tmp_path: Path) -> None:
    known = answered(look([keys.root], Known()), served(honest)).known
    new = CryptoSigner.generate_ed25519()
    here = {signer.public_key.keyid: signer for signer in (new, keys.online.snapshot)}

    def online(root: Root) -> Online:
        [keyid] = root.roles["snapshot"].keyids
        return replace(keys.online, snapshot=here[keyid])

    store = Store(honest)
    try:
        with running_origin(store, keys, online=online) as url:
            plan = Plan.of(frozenset({"root"}), {"root": [load_signer(keys.folder, "root")]}, None, {"snapshot": new})
            carry_out(renew(plan, *load_top(keys.folder), NOW), url=url, token=TOKEN)
    finally:
        store.close()
    found = answered(look([keys.root], known), served(honest))
    assert (kinds(found), found.root.version, found.checkpoint.size) == ([], 2, known.frontier.size + 1)
    _rewritten(honest, keys, [Entry(5, "ab" * 32, 9).encode()])
    with pytest.raises(VerificationError, match="signed by the key for snapshots"):
        answered(look([keys.root], found.known), served(honest))


def test_origins_over_one_store_write_one_log(keys: Keys) -> None:
    """Each enters what counts, whoever published it; whose checkpoint comes first does not matter."""
    bucket = Memory()

    def files(path: str) -> bytes | None:
        found = bucket.read(path)
        return found[0] if found is not None else None

    with running_origin(Store(bucket), keys) as one, running_origin(Store(bucket), keys) as other:
        for number, url in enumerate((one, other, other, one)):
            wanted = publication(f"service{number}")
            carry_out(publish([wanted], keys.trust, keys.publisher, NOW), url=url, token=TOKEN)
            found = answered(look([keys.root], Known()), files)
            assert (kinds(found), found.served.version) == ([], number + 2)
    assert found.checkpoint.size == 5


def test_a_log_without_end_takes_no_memory_for_each_entry(honest: Path, keys: Keys) -> None:
    entries = [Entry(version, f"{version:064x}", 9).encode() for version in range(1, WIDTH + 1)]
    bundle = grown(0, entries, lambda name: None)[tile_name(None, 0)]
    note = sign_checkpoint(Checkpoint("nunatak/any", 10**14, bytes(32)), keys.online.snapshot)
    exchange, files = look([keys.root], Known()), served(honest)
    group, seen = next(exchange), 0

    def read(path: str) -> bytes | None:
        return note if path == "log/checkpoint" else bundle if "entries" in path else files(path)

    def go_on(until: int) -> None:
        nonlocal group, seen
        while seen < until:
            bodies = [read(request.path.removeprefix("/")) for request in group]
            seen += sum(body is bundle for body in bodies)
            group = exchange.send([Response(404 if body is None else 200, body or b"") for body in bodies])

    go_on(4 * BUNDLES_AT_ONCE)
    tracemalloc.start()
    try:
        go_on(24 * BUNDLES_AT_ONCE)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    exchange.close()
    assert held < 3 * BUNDLES_AT_ONCE * len(bundle), "of 20 times as many"


@pytest.mark.parametrize("every", [False, True])
def test_who_gives_a_byte_now_and_then_does_not_keep_others_from_being_looked_at(
    honest: Path, keys: Keys, tmp_path: Path, every: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditor, "LOOK_S", 0.5)
    monkeypatch.setattr(time, "sleep", _end)  # instead of the next look
    (tmp_path / "root.json").write_bytes(keys.root)
    with closing(Store(honest)) as store, running_origin(store, keys) as url, _dripping() as slow:
        words = ["audit", "--trust", str(tmp_path / "root.json"), "--state", str(tmp_path / "state"), "--json"]
        words += ["--every", "1"] if every else []
        result = CliRunner().invoke(build_app(), [*words, f"--origin={slow}", f"--origin={url}"])
    said = {line["origin"]: line for line in map(json.loads, result.stdout.splitlines())}
    assert [alarm["kind"] for alarm in said[slow]["alarms"]] == ["unreachable"]
    assert (said[url]["alarms"], said[url]["snapshot"]) == ([], 4)
    assert read_state((tmp_path / "state").read_bytes()).keys() == {url}
    assert result.exit_code == (_NEXT_LOOK if every else 1)


_NEXT_LOOK = 99


def _end(seconds: float) -> None:
    raise SystemExit(_NEXT_LOOK)


@contextmanager
def _dripping() -> Iterator[str]:
    """The URL of a server that answers with a head, and then with a byte in a tenth of a second."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            with suppress(OSError):
                while not over.wait(0.1):
                    self.wfile.write(b" ")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(Handler) as url:
        yield url
        over.set()


def test_the_command_ends_with_1_where_somebody_was_lied_to(
    honest: Path, thief: Path, keys: Keys, tmp_path: Path
) -> None:
    (tmp_path / "root.json").write_bytes(keys.root)
    published(honest, keys, "four")

    def audit(*folders: Path) -> tuple[int, list[list[str]]]:
        with ExitStack() as running:
            stores = [running.enter_context(closing(Store(folder))) for folder in folders]
            urls = [running.enter_context(running_origin(store, keys)) for store in stores]
            words = ["audit", "--trust", str(tmp_path / "root.json"), "--state", str(tmp_path / "state"), "--json"]
            result = CliRunner().invoke(build_app(), [*words, "--grace", "0", *(f"--origin={url}" for url in urls)])
        said = [json.loads(line) for line in result.stdout.splitlines()]
        return result.exit_code, [[alarm["kind"] for alarm in line["alarms"]] for line in said]

    assert audit(honest) == (0, [[]])
    code, alarms = audit(honest, thief)
    assert code == 1
    assert sorted(alarms) == [[], ["fork"]]
