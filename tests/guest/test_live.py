"""A machine captured in the middle of its requests goes on elsewhere, and nobody outside can tell."""

import random
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest

from edge.vmm.devices.ring import Record
from edge.vmm.machine.machine import Idle, Phase
from edge.vmm.shells.shell import EngineName
from edge.vmm.turns.watchdog import watchdog
from tests.support.guests import EXAMPLES, PROGRAMS, RUNS_MAX, Guest, Response, image_of, wait_until
from vmimage import abi, snapshot
from vmimage.errors import FormatError, OutOfTime, OutputTooLarge, Unmovable

ECHO, CLOCK, HELLO = EXAMPLES / "echo.c", EXAMPLES / "clock.c", EXAMPLES / "hello.c"
DATA = random.Random(5).randbytes(400_000)

Move = Callable[..., Guest]


@pytest.fixture(params=["same", pytest.param("other", marks=pytest.mark.kvm)])
def move(request: pytest.FixtureRequest) -> Move:
    """To another machine, on the same engine or on the other one."""
    if request.param == "same":
        return Guest.move
    return lambda guest, **limits: guest.move("kvm" if guest.shell.engine_name == "unicorn" else "unicorn", **limits)


def whole(response: Response) -> tuple[int, dict[str, str], bytes, bool]:
    return response.status, response.headers, bytes(response.body), response.ended


@pytest.mark.parametrize("size", [1, 8192, 60_000, 65_536])
def test_a_body_that_is_half_sent(move: Move, size: int) -> None:
    """The rest of it follows in another machine; some of the first is still in the ring, some not yet that far."""
    guest, stays = Guest(image_of(ECHO)), Guest(image_of(ECHO))
    streams = [g.send("/p?q=1", method="POST", body=None, HTTP_A="b") for g in (guest, stays)]
    for g, stream in zip((guest, stays), streams, strict=True):
        for start in range(0, size, abi.RECORD_PAYLOAD_MAX):
            g.push(stream, DATA[start : min(size, start + abi.RECORD_PAYLOAD_MAX)])
    guest = move(guest)  # before it has heard of any of it
    guest.run()
    stays.run()
    guest = move(guest)
    assert guest.machine.busy
    for g, stream in zip((guest, stays), streams, strict=True):
        g.push(stream, b"the end", end=True)
    guest = move(guest)
    guest.run()
    stays.run()
    assert whole(guest.responses[streams[0]]) == whole(stays.responses[streams[1]])
    assert bytes(guest.responses[streams[0]].body) == DATA[:size] + b"the end"
    assert not guest.machine.busy


def test_moving_after_every_entry(engine: EngineName) -> None:
    """400 KB through echo, a machine for every turn of the guest: many records, one answer."""
    guest = Guest(image_of(ECHO))
    stream = guest.send("/", method="POST", body=None)
    sent = moves = 0
    for _ in range(RUNS_MAX):
        room = min(guest.credit[stream], abi.RECORD_PAYLOAD_MAX, len(DATA) - sent)
        if room:
            guest.push(stream, DATA[sent : sent + room], end=sent + room == len(DATA))
            sent += room
        guest.machine.run()
        guest.collect(credit=True)
        if guest.responses[stream].ended:
            break
        if engine == "unicorn" or moves < 10:  # a shell on KVM takes its time
            guest, moves = guest.move(), moves + 1
    assert bytes(guest.responses[stream].body) == DATA
    assert moves >= 10


def test_an_answer_that_is_half_sent_waits_for_credit_in_its_new_place(move: Move) -> None:
    guest = Guest(image_of(ECHO))
    stream = guest.send("/", method="POST", body=None)
    for start in range(0, 60_000, 10_000):
        guest.push(stream, DATA[start : start + 10_000])
        guest.run(credit=False)
    for start in range(60_000, 120_000, 10_000):
        if guest.credit[stream] >= 10_000:
            guest.push(stream, DATA[start : start + 10_000])
        guest.run(credit=False)
    before = len(guest.responses[stream].body)
    assert before == abi.STREAM_WINDOW, "the window is used up"
    guest = move(guest)
    guest.run(credit=False)
    assert len(guest.responses[stream].body) == before, "and it is in the new machine"
    guest.machine.offer(Record(abi.RECORD_CREDIT, 0, stream, struct.pack("<I", before)))
    guest.run()
    assert len(guest.responses[stream].body) > before
    assert bytes(guest.responses[stream].body) == DATA[: len(guest.responses[stream].body)]


def test_waiting_on_a_timer(move: Move) -> None:
    guest = Guest(image_of(EXAMPLES / "metronome.c"))
    stream = guest.send("/idle?beats=30")
    moves = 0
    for _ in range(RUNS_MAX):
        outcome = guest.machine.run()
        guest.collect(credit=True)
        if guest.responses[stream].ended:
            break
        if isinstance(outcome, Idle) and moves < 5:
            assert outcome.until_ns is not None
            assert guest.machine.phase is Phase.IDLE
            guest, moves = move(guest), moves + 1
            assert guest.machine.phase is Phase.IDLE, "it waits there for the rest of the time"
        elif isinstance(outcome, Idle) and outcome.until_ns is not None:
            wait_until(outcome.until_ns)
    assert moves == 5
    assert bytes(guest.responses[stream].body).startswith(b"30 beats, ")


def test_several_streams_at_once(move: Move) -> None:
    guest = Guest(image_of(ECHO), streams=4)
    streams = [guest.send(f"/{n}", method="POST", body=None) for n in range(7)]  # three wait for a place
    for turn in range(6):
        for n, stream in enumerate(streams):
            guest.push(stream, b"%d:%d," % (n, turn) * 100)
        if turn != 3:
            guest.run()
        guest = move(guest, streams=4) if turn % 2 else guest
    assert len(guest.machine.never_seen()) == 3
    for stream in streams:
        guest.push(stream, b"end", end=True)
    guest = guest.move(streams=4)
    guest.run()
    for n, stream in enumerate(streams):
        expected = b"".join(b"%d:%d," % (n, turn) * 100 for turn in range(6)) + b"end"
        assert whole(guest.responses[stream])[2:] == (expected, True)
        assert guest.responses[stream].headers["x-echo-path"] == f"/{n}"
    assert not guest.machine.busy


def test_a_client_that_has_left_is_known_to_have_left(move: Move) -> None:
    guest = Guest(image_of(ECHO))
    gone, stays = (guest.send(f"/{n}", method="POST", body=None) for n in range(2))
    guest.run()
    guest.push(gone, b"lost")
    guest.machine.offer(Record(abi.RECORD_RESET, 0, gone, b""))
    guest = move(guest)
    guest.push(stays, b"kept", end=True)
    guest.run()
    assert bytes(guest.responses[stays].body) == b"kept"
    assert not guest.responses[gone].ended
    assert not guest.machine.busy


def test_two_clones_of_one_record_have_lives_of_their_own() -> None:
    source = Guest(image_of(CLOCK))
    stream = source.send("/")
    record = snapshot.encode(source.machine.capture(live=True))
    bodies = set()
    for _ in range(4):
        clone = Guest(image_of(CLOCK), parked=record, live=True)
        clone.responses[stream] = Response()
        clone.run()
        assert clone.responses[stream].ended
        bodies.add(bytes(clone.responses[stream].body).partition(b'"generation"')[2])
    assert len(bodies) == 4


def test_time_used_counts_on() -> None:
    """A move gives a guest no more of anything than staying would."""
    spin, moves = Guest(image_of(EXAMPLES / "spin.c"), cpu_ms=100), 0
    spin.send("/spin")
    with pytest.raises(OutOfTime):  # noqa: PT012
        while moves < RUNS_MAX:
            spin, moves = _turn(spin), moves + 1
    assert 3 < moves < 60


def _turn(spin: Guest) -> Guest:
    """A slice, and a move."""
    with watchdog().watching(spin.shell.engine, 5_000_000):
        spin.machine.run(5_000_000)
    return spin.move(cpu_ms=100)


def test_bytes_sent_count_on() -> None:
    echo = Guest(image_of(ECHO), output_bytes=150_000)
    stream = echo.send("/", method="POST", body=None)
    for start in range(0, 140_000, 10_000):
        echo.push(stream, DATA[start : start + 10_000])
        echo.run()
        echo = echo.move(output_bytes=150_000)
    echo.push(stream, DATA[:15_000], end=True)
    with pytest.raises(OutputTooLarge):
        echo.run()
    assert bytes(echo.responses[stream].body).startswith(DATA[:120_000])


def test_what_waits_for_an_upstream_stays() -> None:
    guest = Guest(image_of(PROGRAMS / "upstream.c"))
    guest.send("/?url=http://a.test/x")
    guest.machine.run()
    assert any(record.type == abi.RECORD_SUBREQUEST for record in guest.machine.records)
    guest.machine.records.clear()
    with pytest.raises(Unmovable, match="upstreams"):
        guest.machine.capture(live=True)


def test_what_nobody_has_taken_from_it_is_not_lost() -> None:
    guest = Guest(image_of(HELLO))
    guest.send("/")
    guest.machine.run()
    assert guest.machine.records
    with pytest.raises(ValueError, match="taken"):
        guest.machine.capture(live=True)


def test_a_record_with_open_requests_is_no_parked_machine() -> None:
    guest = Guest(image_of(ECHO))
    guest.send("/", method="POST", body=None)
    guest.run()
    record = snapshot.encode(guest.machine.capture(live=True))
    with pytest.raises(FormatError, match="no open requests"):
        Guest(image_of(ECHO), parked=record)


def test_nothing_open_gives_the_record_of_a_parked_machine() -> None:
    guest = Guest(image_of(HELLO))
    guest.get()
    live = guest.machine.capture(live=True)
    assert live.requests is None
    parked = guest.machine.capture()
    assert snapshot.encode(replace(live, devices=parked.devices)) == snapshot.encode(parked)


Limit = Literal["streams", "output_bytes", "fresh"]


@pytest.mark.parametrize("limit", ["streams", "output_bytes", "fresh"])
def test_a_machine_that_cannot_hold_it_restores_nothing(limit: Limit) -> None:
    guest = Guest(image_of(ECHO))
    streams = [guest.send("/", method="POST", body=None) for _ in range(3)]
    for stream in streams:
        guest.push(stream, b"x" * 16_000)
        guest.push(stream, b"x" * 16_000)
    guest.run()
    record = snapshot.encode(guest.machine.capture(live=True))
    there = Guest.__new__(Guest)
    options = {"streams": {"streams": 2}, "output_bytes": {"output_bytes": 99}, "fresh": {"fresh": True}}[limit]
    with pytest.raises(FormatError):
        there.__init__(image_of(ECHO), parked=record, live=True, **options)  # type: ignore[misc, arg-type]
    assert there.machine.phase is Phase.EMPTY
    assert not there.machine.busy


def test_a_machine_for_one_request_serves_no_other_after_a_move() -> None:
    image = image_of(EXAMPLES / "hello.c")
    guest = Guest(image, fresh=True)
    guest.get()
    assert guest.machine.used
    with pytest.raises(ValueError, match="used"):
        guest.machine.capture()
    record = snapshot.encode(guest.machine.capture(live=True))
    there = Guest(image, parked=record, live=True, fresh=True)
    assert there.machine.used
    stream = there.send("/")
    there.run()
    assert not there.responses[stream].ended, "it waits for the reset"
    there.machine.reset()
    there.run()
    assert bytes(there.responses[stream].body).endswith(b"request 1\n")
