"""What a service manager is told, by its own protocol; and which sockets are taken for listeners of its."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.common.service_manager import LISTENERS_MAX, ServiceManager, listener
from vmimage.errors import OperatorError


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ServiceManager, socket.socket]]:
    """One that is told something, and the socket that it hears it on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(str(tmp_path / "notify") if request.param == "path" else f"\0nunatak-{tmp_path}")
        hears.settimeout(5)
        name = hears.getsockname()
        at = name if isinstance(name, str) else "@" + name[1:].decode()
        yield ServiceManager({"NOTIFY_SOCKET": at}), hears


def test_what_a_manager_hears(manager: tuple[ServiceManager, socket.socket]) -> None:
    told, hears = manager
    told.ready("serving")
    assert hears.recv(999) == b"READY=1\nSTATUS=serving"
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    told.reloading()
    first, stamp, _ = hears.recv(999).decode().split("\n")
    assert first == "RELOADING=1"
    name, _, at_us = stamp.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before_us <= int(at_us) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    told.stopping("drains")
    assert hears.recv(999) == b"STOPPING=1\nSTATUS=drains"
    told.ping()
    assert hears.recv(999) == b"WATCHDOG=1"


def test_nobody_asked_or_nobody_is_there(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        ServiceManager(environment).ready("serving")


@pytest.mark.parametrize(
    ("environment", "every_s"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "self"}, 15.0),
        ({"WATCHDOG_USEC": "-1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_how_often_a_watchdog_is_fed(environment: dict[str, str], every_s: float) -> None:
    own = {name: str(os.getpid()) if value == "self" else value for name, value in environment.items()}
    assert ServiceManager(own).ping_s == every_s


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "0", "LISTEN_PID": "self"},
        {"LISTEN_FDS": "x", "LISTEN_PID": "self"},
    ],
)
def test_nothing_is_held_for_this_process(environment: dict[str, str]) -> None:
    own = {name: str(os.getpid()) if value == "self" else value for name, value in environment.items()}
    assert ServiceManager(own).held() == []


def test_more_than_there_can_be() -> None:
    own = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(LISTENERS_MAX + 1)}
    with pytest.raises(OperatorError, match=f"at most {LISTENERS_MAX} sockets expected"):
        ServiceManager(own).held()


HELD = """
import os, socket, sys
from edge.common.service_manager import ServiceManager
environment = {**os.environ, "LISTEN_PID": str(os.getpid())}
for name, held in ServiceManager(environment).held():
    print(name, held.getsockname()[1], held.get_inheritable(), held.getblocking())
"""


def test_names_and_sockets_belong_together() -> None:
    """In a process of its own: descriptors from 3 on are taken here."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [each.getsockname()[1] for each in (one, two)]
        environment = {**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "listen:admin"}
        reading, writing = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, each.fileno(), 90 + n) for n, each in enumerate((one, two))]
        actions += [(os.POSIX_SPAWN_DUP2, writing, 1)]
        actions += [(os.POSIX_SPAWN_DUP2, 90 + n, 3 + n) for n in range(2)]
        pid = os.posix_spawn(sys.executable, [sys.executable, "-c", HELD], environment, file_actions=actions)
        os.close(writing)
        with open(reading) as said:
            lines = said.read().splitlines()
        assert os.waitpid(pid, 0)[1] == 0
    assert lines == [f"listen {ports[0]} False False", f"admin {ports[1]} False False"]


def test_what_is_no_listener(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket() as silent,
        (tmp_path / "file").open("wb") as file,
    ):
        for each in (datagrams, silent, file):
            with pytest.raises(OperatorError, match="that listens expected"):
                listener(each.fileno())
            os.fstat(each.fileno())  # it is still its owner's
