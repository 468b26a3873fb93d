"""Listeners that go from one edge to the next: offered, declined, taken; and what is no offer."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from edge.common import unix_socket
from edge.common.service_manager import Held
from edge.config.options import EdgeConfig
from edge.front.handover import NAME, VERSION, Handover, ask
from edge.place import given_sockets, take_place
from vmimage.errors import OperatorError

PUBLIC = ("127.0.0.1", 0)


def play(act: Callable[[Handover, socket.socket], Awaitable[None]], folder: Path) -> None:
    """Let an edge that runs offer a listener of its."""

    async def run() -> None:
        with socket.create_server(PUBLIC) as own:
            leaving = Handover(folder, "127.0.0.1:0", [own.fileno()], lambda: 5.0)
            try:
                await act(leaving, own)
            finally:
                leaving.stop()
                leaving.close()

    uvloop.run(run())


def test_where_no_edge_runs_nothing_is_offered(tmp_path: Path) -> None:
    assert ask(tmp_path) is None
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / NAME))
    assert ask(tmp_path) is None, "its edge was killed"


def test_who_comes_and_goes_has_changed_nothing(tmp_path: Path) -> None:
    async def act(leaving: Handover, own: socket.socket) -> None:
        for _ in range(2):
            offer = await asyncio.to_thread(ask, tmp_path)
            assert offer is not None
            assert (offer.pid, offer.listen) == (os.getpid(), "127.0.0.1:0")
            assert [each.getsockname() for each in offer.sockets] == [own.getsockname()]
            assert not offer.sockets[0].get_inheritable()
            with pytest.raises(OperatorError, match="listeners of the edge that runs expected"):
                await asyncio.to_thread(ask, tmp_path)  # one at a time
            offer.decline()
            offer.connection.close()
            await asyncio.sleep(0.05)  # the edge that runs hears that it is gone
        assert not leaving.taken

    play(act, tmp_path)
    assert not (tmp_path / NAME).exists()


def test_who_takes_them_waits_for_the_end_of_who_had_them(tmp_path: Path) -> None:
    async def act(leaving: Handover, own: socket.socket) -> None:
        asked = asyncio.Event()
        leaving.on_take = asked.set
        offer = await asyncio.to_thread(ask, tmp_path)
        assert offer is not None
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(offer.take())
            await asked.wait()
            assert leaving.taken
            own.close()  # a client that connects now waits for the next one
            with socket.create_connection(offer.sockets[0].getsockname(), timeout=5):
                assert not taking.done()
                leaving.close()
                await taking
                accepted, _ = await asyncio.get_running_loop().sock_accept(offer.sockets[0])
                accepted.close()
        offer.decline()

    play(act, tmp_path)


def test_an_edge_that_does_not_end_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async def act(leaving: Handover, own: socket.socket) -> None:
        offer = await asyncio.to_thread(ask, tmp_path)
        assert offer is not None
        with pytest.raises(OperatorError, match=r"its end within 0.1 s expected"):
            await offer._replace(within_s=0.1).take()
        offer.decline()

    play(act, tmp_path)


STRANGER = """
import os, socket, sys
os.chmod(sys.argv[1], 0o777), os.chdir(sys.argv[1]), os.chmod(sys.argv[2], 0o777)
os.setgroups([]), os.setgid(65534), os.setuid(65534)
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[2])
    data, descriptors, _, _ = socket.recv_fds(connection, 4096, 16)
print(len(data), len(descriptors))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="ANOTHER USER IS NOT TRIED HERE: only root can become one")
def test_another_user_is_sent_away_even_where_the_folder_is_open(tmp_path: Path) -> None:
    async def act(leaving: Handover, own: socket.socket) -> None:
        words = [sys.executable, "-c", STRANGER, str(tmp_path), NAME]
        done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout == "0 0\n"
        assert not leaving.taken

    play(act, tmp_path)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b"[]",
        json.dumps({"version": VERSION + 1, "pid": 1, "listen": "x", "within_s": 1}).encode(),
        json.dumps({"version": VERSION, "pid": 1, "listen": "x", "within_s": 1}).encode(),  # without a socket
        json.dumps({"version": VERSION, "pid": "x", "listen": "x", "within_s": 1}).encode(),
    ],
)
def test_what_is_no_offer(tmp_path: Path, message: bytes) -> None:
    with unix_socket.listen(tmp_path / NAME) as other:
        other.setblocking(True)

        async def run() -> None:
            asking = asyncio.to_thread(ask, tmp_path)

            def answer() -> None:
                connection, _ = other.accept()
                connection.sendall(message)
                connection.close()

            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(answer))
                with pytest.raises(OperatorError, match="the listeners of the edge that runs expected"):
                    await asking

        asyncio.run(run())


# Whose sockets are used.

CONFIG = EdgeConfig(origin="http://origin.example", trust=Path("root.json"), cache=Path("cache"))


@pytest.mark.parametrize(
    ("names", "offered", "public", "private"),
    [
        ([], None, [], []),
        (["listen"], None, [0], []),
        (["nunatak-edge.socket", ""], None, [0, 1], []),
        (["admin", "listen"], None, [1], [0]),
        ([], CONFIG.listen, ["offered"], []),
        (["admin"], CONFIG.listen, ["offered"], [0]),
        (["listen"], CONFIG.listen, [0], []),
        ([], "127.0.0.1:9", [], []),
    ],
)
def test_whose_sockets_are_used(
    tmp_path: Path, names: list[str], offered: str | None, public: list[object], private: list[object]
) -> None:
    held = [Held(name, socket.create_server(PUBLIC)) for name in names]

    async def act(leaving: Handover, own: socket.socket) -> None:
        offer = await asyncio.to_thread(ask, tmp_path) if offered is not None else None
        if offer is not None:
            offer = offer._replace(listen=offered or "")
        known: dict[object, socket.socket] = {n: each.socket for n, each in enumerate(held)}
        if offer is not None:
            known["offered"] = offer.sockets[0]
        assert given_sockets(CONFIG, held, offer) == ([known[key] for key in public], [known[key] for key in private])
        if offer is not None:
            assert (offer.sockets[0].fileno() < 0) is ("offered" not in public), "what is left is closed"
            offer.decline()
            offer.connection.close()

    play(act, tmp_path)
    for each in held:
        each.socket.close()


def test_a_cache_folder_is_one_edges(tmp_path: Path) -> None:
    async def run() -> None:
        with await take_place(tmp_path, None), pytest.raises(OperatorError, match="another edge uses it"):
            await take_place(tmp_path, None)
        (await take_place(tmp_path, None)).close()

    asyncio.run(run())
