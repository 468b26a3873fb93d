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
from edge.config.listeners import parse_listeners
from edge.front.handover import NAME, VERSION, Handover, Offer, ask
from edge.place import places_of, take_place
from vmimage.errors import OperatorError

PUBLIC = ("127.0.0.1", 0)
AT = "127.0.0.1:0"


def play(act: Callable[[Handover, socket.socket], Awaitable[None]], folder: Path) -> None:
    """Let an edge that runs offer a listener of its."""

    async def run() -> None:
        with socket.create_server(PUBLIC) as own:
            leaving = Handover(folder, [(AT, [own.fileno()])], lambda: 5.0)
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
            assert (offer.pid, list(offer.places)) == (os.getpid(), [AT])
            assert [each.getsockname() for each in offer.places[AT]] == [own.getsockname()]
            assert not offer.places[AT][0].get_inheritable()
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
            with socket.create_connection(offer.places[AT][0].getsockname(), timeout=5):
                assert not taking.done()
                leaving.close()
                await taking
                accepted, _ = await asyncio.get_running_loop().sock_accept(offer.places[AT][0])
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
        json.dumps({"version": 1, "pid": 1, "listen": "x", "within_s": 1}).encode(),  # without a socket
        json.dumps({"version": VERSION, "pid": 1, "places": [["x", 1]], "within_s": 1}).encode(),  # as well
        json.dumps({"version": VERSION, "pid": 1, "places": [], "within_s": 1}).encode(),
        json.dumps({"version": VERSION, "pid": 1, "places": [["x"]], "within_s": 1}).encode(),
        json.dumps({"version": VERSION, "pid": 1, "places": "x", "within_s": 1}).encode(),
        json.dumps({"version": VERSION, "pid": "x", "places": [["x", 1]], "within_s": 1}).encode(),
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


def asked(folder: Path, message: dict[str, object], sockets: list[socket.socket]) -> dict[str, list[object]]:
    """The addresses that another edge's offer comes to, by place."""
    with unix_socket.listen(folder / NAME) as other:
        other.setblocking(True)

        async def run() -> dict[str, list[object]]:
            def answer() -> None:
                connection, _ = other.accept()
                numbers = [each.fileno() for each in sockets]
                socket.send_fds(connection, [json.dumps(message).encode()], numbers)
                connection.close()

            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(answer))
                offer = await asyncio.to_thread(ask, folder)
            assert offer is not None
            found = {place: [each.getsockname() for each in own] for place, own in offer.places.items()}
            offer.decline()
            offer.connection.close()
            return found

        return asyncio.run(run())


def test_each_place_has_its_own_sockets(tmp_path: Path) -> None:
    sockets = [socket.create_server(PUBLIC) for _ in range(3)]
    names: list[object] = [each.getsockname() for each in sockets]
    said = {"version": VERSION, "pid": 1, "places": [["a:1", 1], ["*:2", 2]], "within_s": 1}
    assert asked(tmp_path, said, sockets) == {"a:1": names[:1], "*:2": names[1:]}
    before = {"version": 1, "pid": 1, "listen": "*:2", "within_s": 1}
    assert asked(tmp_path, before, sockets) == {"*:2": names}, "of an edge that knew one place"
    for each in sockets:
        each.close()


# Whose sockets are used.


@pytest.mark.parametrize(
    ("listen", "names", "offered", "expected", "private"),
    [
        (AT, [], [], {AT: []}, []),
        (AT, ["listen"], [], {AT: [0]}, []),
        (AT, ["nunatak-edge.socket", ""], [], {AT: [0, 1]}, []),
        (AT, ["admin", "listen"], [], {AT: [1]}, [0]),
        (AT, [], [AT], {AT: [AT]}, []),
        (AT, ["admin"], [AT], {AT: [AT]}, [0]),
        (AT, ["listen"], [AT], {AT: [0]}, []),
        (AT, [], ["127.0.0.1:9"], {AT: []}, []),
        (f"{AT},proxy", [], [AT], {AT: [AT]}, []),
        (f"{AT} a:1 unix:/x", [], ["a:1", "b:1"], {AT: [], "a:1": ["a:1"], "unix:/x": []}, []),
        ("fd:a,proxy fd:b", ["b", "a", "b"], [], {"fd:a": [1], "fd:b": [0, 2]}, []),
        (f"fd:a {AT}", ["a", "admin"], [AT, "fd:a"], {"fd:a": [0], AT: [AT]}, [1]),
        ("fd:a", [], ["fd:a"], {"fd:a": ["fd:a"]}, []),
    ],
)
def test_whose_sockets_are_used(
    tmp_path: Path,
    listen: str,
    names: list[str],
    offered: list[str],
    expected: dict[str, list[object]],
    private: list[int],
) -> None:
    held = [Held(name, socket.create_server(PUBLIC)) for name in names]
    theirs = {place: socket.create_server(PUBLIC) for place in offered}
    known: dict[object, socket.socket] = dict(enumerate(each.socket for each in held))
    known |= {place: own for place, own in theirs.items()}  # noqa: C416  # whose keys are objects too
    offer = Offer(1, {place: [own] for place, own in theirs.items()}, 1.0, socket.socket()) if offered else None
    places, operators = places_of(parse_listeners(listen), held, offer)
    used = {place.listener.place: list(place.sockets) for place in places}
    assert used == {place: [known[key] for key in keys] for place, keys in expected.items()}
    assert operators == [held[number].socket for number in private]
    assert [place.listener.proxy for place in places] == [each.proxy for each in parse_listeners(listen)]
    assert {place.listener.place for place in places if place.ours} == {
        place for place, keys in expected.items() if set(keys) & set(offered)
    }
    left = {place for place, own in theirs.items() if own.fileno() < 0}
    assert left == set(offered) - {place.listener.place for place in places if place.ours}, "what is left is closed"
    for each in (*known.values(), *([offer.connection] if offer is not None else [])):
        each.close()


@pytest.mark.parametrize(
    ("listen", "names", "why"),
    [
        ("fd:a", [], "fd:a: a socket of that name expected"),
        ("fd:a", ["b"], "fd:a: a socket of that name expected"),
        ("fd:a", ["a", "b"], "fd:b expected"),
        (f"{AT} fd:a", ["a", ""], "fd: expected"),
        (f"{AT},proxy", ["listen"], "fd:NAME expected for each socket .* listen"),
        (f"{AT} a:1", ["", "x"], "fd:NAME expected for each socket .* one without a name x"),
    ],
)
def test_a_socket_that_nobody_is_to_listen_on_is_a_mistake(listen: str, names: list[str], why: str) -> None:
    held = [Held(name, socket.create_server(PUBLIC)) for name in names]
    with pytest.raises(OperatorError, match=why):
        places_of(parse_listeners(listen), held, None)
    for each in held:
        each.socket.close()


def test_a_cache_folder_is_one_edges(tmp_path: Path) -> None:
    async def run() -> None:
        with await take_place(tmp_path, None), pytest.raises(OperatorError, match="another edge uses it"):
            await take_place(tmp_path, None)
        (await take_place(tmp_path, None)).close()

    asyncio.run(run())
