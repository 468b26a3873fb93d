"""A machine moves between engines at any exit, also in the middle of a request; what it says is the same."""

import random

import pytest

from edge.vmm.machine.machine import Idle
from edge.vmm.shells.shell import EngineName, Shell
from tests.support.guests import EXAMPLES, RUNS_MAX, Guest, image_of
from vmimage import abi, snapshot

pytestmark = pytest.mark.kvm

PATHS = {
    "hello.c": ["/", "/a", "/b?c=d"],
    "airports": ["/?q=oslo", "/?q=KJFK&format=html", "/?q=berg"],
    "env.c": ["/", "/NONE"],
    "hog.c": ["/touch?mib=3", "/touch?mib=99", "/"],
}


def other(name: EngineName) -> EngineName:
    return "kvm" if name == "unicorn" else "unicorn"


@pytest.mark.parametrize("program", PATHS)
def test_every_answer_is_the_same_wherever_it_runs(program: str) -> None:
    image = image_of(EXAMPLES / program)
    mover, stayer = Guest(image), Guest(image, shell=Shell(image.base, image.memory_bytes))
    for turn, path in enumerate(PATHS[program] * 4):
        mover.shell.use("kvm" if turn % 2 else "unicorn")
        assert mover.get(path) == stayer.get(path)


def test_moves_in_the_middle_of_a_request() -> None:
    """A body of 600 KB through echo, moving after every entry of the guest."""
    data = random.Random(1).randbytes(600_000)
    guest = Guest(image_of(EXAMPLES / "echo.c"))
    stream = guest.send("/", method="POST", body=None)
    sent = moves = 0
    for _ in range(RUNS_MAX):
        room = min(guest.credit[stream], abi.RECORD_PAYLOAD_MAX, len(data) - sent)
        if room:
            guest.push(stream, data[sent : sent + room], end=sent + room == len(data))
            sent += room
        idle = isinstance(guest.machine.run(), Idle)
        guest.collect(credit=True)
        guest.shell.use(other(guest.shell.engine_name))
        moves += 1
        if idle and guest.responses[stream].ended:
            break
    assert bytes(guest.responses[stream].body) == data
    assert moves > 30


def test_a_record_made_on_one_engine_goes_on_on_the_other() -> None:
    image = image_of(EXAMPLES / "hello.c")
    record: bytes | None = None
    engine: EngineName = "unicorn"
    for turn in range(1, 9):
        guest = Guest(image, parked=record, shell=Shell(image.base, image.memory_bytes, engine))
        assert bytes(guest.get("/").body) == f"hello from /, request {turn}\n".encode()
        record, engine = snapshot.encode(guest.machine.capture()), other(engine)
        guest.shell.close()


def test_registers_come_through_a_move_unchanged() -> None:
    guest = Guest(image_of(EXAMPLES / "hello.c"))
    guest.get()
    before = guest.shell.engine.save()
    for _ in range(4):
        guest.shell.use(other(guest.shell.engine_name))
        assert guest.shell.engine.save() == before
