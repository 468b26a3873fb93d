"""Secrets: what may be one, what a folder of them must be like, and how a machine's environment takes them."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.config.secrets import NONE, block_of, check_name, holder, is_holder, value_of
from edge.content.seal import Seal, new_seal
from edge.devices.secrets import Given, read_secrets
from edge.vmm.devices.environment import joined
from vmimage.abi import SECRETS_SIZE

SEAL = Seal(bytes(32))


def put(root: Path, name: str, value: bytes = b"s3cret\n", mode: int = 0o600) -> Path:
    """One secret as `nunatak secrets set` leaves it, folders private."""
    path = root / name
    root.mkdir(mode=0o700, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(value)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("name", ["A", "_a", "API_KEY", "a1", "HTTPS", "x" * 64])
def test_a_name_is_that_of_a_variable(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "1A", "A-B", "A=B", "A B", "Ä", "x" * 65, "../A", "A/B", ".A", "A\n", "HTTP_HOST", "REMOTE_ADDR", "PATH_INFO"],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        check_name(name)


def test_a_value_is_text_without_the_newline_at_its_end() -> None:
    assert [value_of(data) for data in (b"a", b"a\n", b"a\r\n", b"a\n\n", b" a ")] == [b"a", b"a", b"a", b"a\n", b" a "]
    assert value_of(b"x" * 4096 + b"\r\n") == b"x" * 4096
    for data in (b"", b"\n", b"x" * 4097, b"\xff", b"a\0b"):
        with pytest.raises(ValueError, match="a value"):
            value_of(data)


def test_all_together_are_bounded() -> None:
    with pytest.raises(ValueError, match="at most 64 secrets"):
        block_of({f"A{n}": b"x" for n in range(65)})
    fits = {"A": b"x" * 4096, "B": b"x" * (SECRETS_SIZE - 4096 - 6)}
    assert len(block_of(fits)) == SECRETS_SIZE
    with pytest.raises(ValueError, match=f"at most {SECRETS_SIZE} bytes"):
        block_of({**fits, "C": b"x"})


def test_a_holder_is_a_service_of_a_tenant() -> None:
    assert [holder("shop", "shop"), holder("shop", ""), holder("shop", "acme")] == ["shop", "shop", "shop@acme"]
    names = ["shop", "shop@acme", "shop@shop", "shop@", "@acme", "a/b", "..", "Shop", "a@b@c"]
    assert [name for name in names if is_holder(name)] == ["shop", "shop@acme"]


@pytest.mark.parametrize(
    ("own", "both"),
    [
        (b"\0\0", b"K=1\0N=2\0\0\0"),
        (b"A=x\0\0\0", b"K=1\0N=2\0A=x\0\0\0"),
        (b"A=x\0K=old\0B=y\0\0prog\0arg\0\0", b"K=1\0N=2\0A=x\0B=y\0\0prog\0arg\0\0"),
        (b"\0prog\0\0", b"K=1\0N=2\0\0prog\0\0"),
        (b"KK=x\0K\0\0\0", b"K=1\0N=2\0KK=x\0\0\0"),
    ],
)
def test_secrets_come_first_and_take_the_place_of_variables(own: bytes, both: bytes) -> None:
    assert joined(b"K=1\0N=2\0", own) == both


def test_a_folder_is_read_by_service_and_tenant(tmp_path: Path) -> None:
    root = tmp_path / "secrets"
    put(root, "shop/API_KEY", b"k1\n")
    put(root, "shop/B", b"b")
    put(root, "shop@acme/API_KEY", b"k2")
    put(root, "shop/.API_KEY.1234", b"half writ")
    given = Given(root, SEAL)
    given.look()
    assert given.health() == []
    assert given.of("shop", "shop").block == b"API_KEY=k1\0B=b\0"
    assert given.of("shop", "acme").block == b"API_KEY=k2\0"
    assert given.of("shop", "other") == given.of("blog", "blog") == NONE
    shown = repr(given.of("shop", "shop")) + str(given.holders)
    assert "API_KEY" in shown
    assert "k1" not in shown


def test_a_mark_tells_of_no_value_and_is_the_same_after_a_restart(tmp_path: Path) -> None:
    put(tmp_path / "secrets", "shop/A", b"1234")
    marks = []
    for seal in (SEAL, Seal(bytes(32)), new_seal()):
        found, _ = read_secrets(tmp_path / "secrets", seal)
        marks.append(found["shop"].mark)
    assert marks[0] == marks[1] != marks[2]


def a_link(root: Path) -> None:
    put(root.parent / "other", "shop/A", b"of others")
    (root / "shop" / "A").unlink()
    (root / "shop" / "A").symlink_to(root.parent / "other" / "shop" / "A")


def a_linked_folder(root: Path) -> None:
    put(root, "blog/A", b"of the blog")
    (root / "shop" / "A").unlink()
    (root / "shop").rmdir()
    (root / "shop").symlink_to("blog")


def a_pipe(root: Path) -> None:
    (root / "shop" / "A").unlink()
    os.mkfifo(root / "shop" / "A", 0o600)


def a_socket(root: Path) -> None:
    (root / "shop" / "A").unlink()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(root / "shop" / "A"))
    (root / "shop" / "A").chmod(0o600)


def a_folder_within(root: Path) -> None:
    (root / "shop" / "DEEPER").mkdir(mode=0o700)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda root: (root / "shop" / "A").chmod(0o640), "shop/A: mode 0600 expected, got 0640"),
        (lambda root: (root / "shop" / "A").chmod(0o602), "shop/A: mode 0600 expected, got 0602"),
        (lambda root: (root / "shop").chmod(0o755), "shop: mode 0700 expected, got 0755"),
        (a_link, "shop/A: a file and no symbolic link expected"),
        (a_linked_folder, "shop: a folder and no symbolic link expected"),
        (a_pipe, "shop/A: a plain file expected"),
        (a_socket, "shop/A: a file and no symbolic link expected"),
        (a_folder_within, "shop/DEEPER: a plain file expected"),
        (lambda root: put(root, "shop/a-b"), "shop: a-b: a name of 1 to 64"),
        (lambda root: put(root, "shop/B", b"\xff"), "shop: B: a value in UTF-8 expected"),
        (lambda root: put(root, "shop/B", b"x" * 10_000), "shop: B: a value of 1 to 4096 bytes expected"),
        (lambda root: put(root, "Shop/A"), "Shop: a folder named SERVICE or SERVICE@TENANT expected"),
        (lambda root: (root / "note").write_text("x"), "note: a folder and no symbolic link expected"),
    ],
)
def test_what_is_not_as_it_should_be_is_not_used_and_leaves_others_alone(
    tmp_path: Path, spoil: Callable[[Path], object], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    root = tmp_path / "secrets"
    put(root, "shop/A", b"mine")
    put(root, "fine/A", b"fine")
    given = Given(root, SEAL)
    given.look()
    spoil(root)
    given.look()
    assert [why in line for line in given.health()] == [True], given.health()
    assert given.of("fine", "fine").block == b"A=fine\0"
    assert given.of("shop", "shop").block == b"A=mine\0", "what was in use stays"
    found, problems = read_secrets(root, SEAL)  # as an edge that starts
    assert len(problems) == 1
    assert found["fine"].block == b"A=fine\0"
    assert "shop" not in found or found["shop"].block == b"A=mine\0"


def test_a_folder_that_others_may_open_is_not_read_at_all(tmp_path: Path) -> None:
    root = tmp_path / "secrets"
    put(root, "shop/A")
    root.chmod(0o750)
    found, problems = read_secrets(root, SEAL)
    assert not found
    assert "mode 0700 expected, got 0750" in problems[0]
    assert read_secrets(tmp_path / "nowhere", SEAL)[1] != []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_user_s_file_is_not_read(tmp_path: Path) -> None:
    os.chown(put(tmp_path / "secrets", "shop/A"), 54321, -1)
    assert "it is user 54321's" in read_secrets(tmp_path / "secrets", SEAL)[1][0]


def test_changes_are_told_by_holder_and_nothing_else_is(tmp_path: Path) -> None:
    root = tmp_path / "secrets"
    put(root, "shop/A", b"1")
    put(root, "blog/A", b"1")
    given, told = Given(root, SEAL), list[str]()
    given.on_change = told.append
    given.look()
    assert told == ["blog", "shop"]
    told.clear()
    given.look()
    put(root, "blog/A", b"1\n")  # the same value
    given.look()
    assert told == []
    put(root, "shop/A", b"2")
    given.look()
    assert told == ["shop"]
    (root / "shop" / "A").unlink()
    given.look()
    assert told == ["shop", "shop"]
    assert given.of("shop", "shop") == NONE


def test_without_a_folder_there_is_nothing_to_watch() -> None:
    given = Given(None, SEAL)
    given.look()
    asyncio.run(asyncio.wait_for(given.watch(lambda: 3600), 5))
    assert given.of("shop", "shop") == NONE
    assert given.health() == []


def test_who_changed_something_need_not_wait_for_the_next_look(tmp_path: Path) -> None:
    put(tmp_path / "secrets", "shop/A", b"1")

    async def look() -> None:
        given, told = Given(tmp_path / "secrets", SEAL), asyncio.Event()
        given.look()
        given.on_change = lambda _: told.set()
        watching = asyncio.create_task(given.watch(lambda: 3600))
        for value in (b"2", b"3"):
            put(tmp_path / "secrets", "shop/A", value)
            while not told.is_set():  # the first look may have begun before
                given.look_now()
                await asyncio.sleep(0.01)
            told.clear()
        watching.cancel()
        assert given.of("shop", "shop").block == b"A=3\0"

    asyncio.run(asyncio.wait_for(look(), 20))
