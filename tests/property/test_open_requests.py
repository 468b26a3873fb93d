"""Open requests as bytes: they come back as they were, and what no gate can hold is refused whole, machine and all."""

import random
import struct
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from edge.vmm.devices.gate import Gate
from edge.vmm.machine.machine import Machine, Phase
from edge.vmm.shells.shell import EngineName
from edge.vmm.turns.watchdog import watchdog
from tests.support.guests import EXAMPLES, Guest, image_of
from vmimage import abi, requests, snapshot
from vmimage.errors import FormatError, GuestError
from vmimage.manifest import Limits
from vmimage.requests import UNDER_WAY_MAX, OpenRequests, OpenStream, Record

HEAD, BODY, RESET, CREDIT = abi.RECORD_HEAD, abi.RECORD_BODY, abi.RECORD_RESET, abi.RECORD_CREDIT
END, BIT, WINDOW = abi.FLAG_END, abi.EXCHANGE_BIT, abi.STREAM_WINDOW
MUTATIONS = 4000
RESTORED = 300


def stream(number: int = 1, **changes: Any) -> OpenStream:
    return replace(OpenStream(number, False, False, WINDOW, 0, 0), **changes)


EXAMPLE = OpenRequests(
    streams=(stream(3, request_ended=True), stream(7, response_started=True, credit=0, owed=90, output_bytes=70_000)),
    ready=(
        *(Record(HEAD, 0, 3, b"A\0b\0\0"), Record(BODY, END, 3, b"body"), Record(CREDIT, 0, 7, struct.pack("<I", 5))),
        *(Record(BODY, 0, 5, b"of a stream that is over"), Record(RESET, 0, 5, b""), Record(BODY, 0, 7, b"more")),
    ),
    waiting=(Record(HEAD, 0, 9, b"\0"), Record(BODY, END, 9, b"all"), Record(HEAD, END, 8, b"\0")),
    charged_ns=12_345_678,
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[OpenStream, ...]:
    numbers = draw(st.sets(st.integers(0, BIT - 1), max_size=abi.MAX_STREAMS))
    made = []
    for number in sorted(numbers):
        started = draw(st.booleans())
        sent = draw(st.integers(0, 1 << 30)) if started else 0
        credit, owed = draw(st.integers(0, WINDOW)), draw(st.integers(0, UNDER_WAY_MAX))
        made.append(OpenStream(number, draw(st.booleans()), started, credit, owed, sent))
    return tuple(made)


@given(streams(), st.booleans(), st.integers(0, 2**63 - 1), st.data())
def test_open_requests_decode_to_what_was_encoded(
    opened: tuple[OpenStream, ...], used: bool, charged_ns: int, data: st.DataObject
) -> None:
    ready = []
    for one in opened[:8]:
        for payload in data.draw(st.lists(st.binary(max_size=40), max_size=4)):
            ready.append(Record(BODY, 0, one.number, payload))
    data.draw(st.randoms()).shuffle(ready)
    value = OpenRequests(opened, tuple(ready), (), used, charged_ns)
    assert requests.decode(requests.encode(value)) == value


def test_the_example_is_one() -> None:
    assert requests.decode(requests.encode(EXAMPLE)) == EXAMPLE


REFUSED = {
    "a number twice": replace(EXAMPLE, streams=(stream(3), stream(3))),
    "numbers that fall": replace(EXAMPLE, streams=(stream(7), stream(3, request_ended=True))),
    "an exchange's number": replace(EXAMPLE, streams=(*EXAMPLE.streams, stream(BIT | 1))),
    "too many": OpenRequests(tuple(map(stream, range(abi.MAX_STREAMS + 1))), (), ()),
    "credit beyond the window": OpenRequests((stream(credit=WINDOW + 1),), (), ()),
    "more owed than was under way": OpenRequests((stream(owed=UNDER_WAY_MAX + 1),), (), ()),
    "output before an answer": OpenRequests((stream(output_bytes=1),), (), ()),
    "output beyond all limits": OpenRequests((stream(response_started=True, output_bytes=(1 << 30) + 1),), (), ()),
    "time beyond all limits": OpenRequests((), (), (), charged_ns=1 << 63),
    "an end of a request that goes on": OpenRequests((stream(),), (Record(BODY, END, 1, b""),), ()),
    "more after the end": OpenRequests((), (Record(BODY, END, 1, b""), Record(BODY, 0, 1, b"")), ()),
    "more after a reset": OpenRequests((), (Record(RESET, 0, 1, b""), Record(BODY, 0, 1, b"")), ()),
    "a reset of what is open": OpenRequests((stream(),), (Record(RESET, 0, 1, b""),), ()),
    "a head in the middle": OpenRequests((stream(),), (Record(BODY, 0, 1, b""), Record(HEAD, 0, 1, b"\0")), ()),
    "two heads": OpenRequests((stream(),), (Record(HEAD, 0, 1, b"\0"), Record(HEAD, 0, 1, b"\0")), ()),
    "an unknown type": OpenRequests((stream(),), (Record(9, 0, 1, b""),), ()),
    "padding as a record": OpenRequests((stream(),), (Record(abi.RECORD_PAD, 0, 1, b""),), ()),
    "an unknown flag": OpenRequests((stream(),), (Record(BODY, 2, 1, b""),), ()),
    "a credit that ends": OpenRequests((stream(),), (Record(CREDIT, END, 1, bytes(4)),), ()),
    "a credit of two bytes": OpenRequests((stream(),), (Record(CREDIT, 0, 1, b"xx"),), ()),
    "a reset with words": OpenRequests((), (Record(RESET, 0, 1, b"why"),), ()),
    "an exchange's answer": OpenRequests((), (Record(BODY, 0, BIT | 1, b""),), ()),
    "a record larger than a ring takes": OpenRequests((stream(),), (Record(BODY, 0, 1, bytes(0x4001)),), ()),
    "more than a window": OpenRequests((stream(),), (Record(BODY, 0, 1, bytes(0x4000)),) * 6, ()),
    "more than all windows": OpenRequests((), tuple(Record(HEAD, END, n, bytes(0x4000)) for n in range(700)), ()),
    "one that waits and is open": OpenRequests((stream(),), (), (Record(HEAD, END, 1, b"\0"),)),
    "one that waits twice": OpenRequests((), (), (Record(HEAD, END, 1, b"\0"), Record(HEAD, END, 1, b"\0"))),
    "one that waits without a head": OpenRequests((), (), (Record(BODY, END, 1, b""),)),
    "one that waits, in pieces": OpenRequests(
        (), (), (Record(HEAD, 0, 1, b"\0"), Record(HEAD, 0, 2, b"\0"), Record(BODY, 0, 1, b""))
    ),
    "one that waits for credit": OpenRequests((), (), (Record(HEAD, 0, 1, b"\0"), Record(CREDIT, 0, 1, bytes(4)))),
    "one that waits and goes on": OpenRequests((), (), (Record(HEAD, END, 1, b"\0"), Record(BODY, 0, 1, b""))),
    "too many that wait": OpenRequests((), (), tuple(Record(HEAD, END, n, b"\0") for n in range(200))),
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_what_no_gate_can_hold(value: OpenRequests, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError):
        requests.encode(value)
    with monkeypatch.context() as careless:
        careless.setattr(requests, "check", lambda _: None)
        data = requests.encode(value)
    with pytest.raises(FormatError):
        requests.decode(data)


def test_mutations_are_refused_or_are_what_they_say() -> None:
    """There is one way to write a value: whatever is believed would be written just so."""
    dice, refused = random.Random(3), 0
    good = requests.encode(EXAMPLE)
    for _ in range(MUTATIONS):
        data = bytearray(good[: len(good) if dice.random() < 0.8 else dice.randrange(len(good))])
        for _ in range(dice.randrange(1, 4)):
            if data:
                data[dice.randrange(len(data))] = dice.choice((0, 1, 2, 0x80, 0xFF, dice.randrange(256)))
        try:
            value = requests.decode(bytes(data))
        except FormatError:
            refused += 1
            continue
        assert requests.encode(value) == data
        gate = Gate(memoryview(bytearray(0x40000)), max_streams=abi.MAX_STREAMS, output_limit=1 << 30)
        with suppress(FormatError):
            gate.check(value)
            gate.restore(value)
            assert gate.save(value.charged_ns) == value
    assert MUTATIONS // 2 < refused < MUTATIONS


@pytest.mark.parametrize(
    ("version", "refusal"), [(2, "no open requests"), (3, "version 2 or 4 expected"), (4, "do not make")]
)
def test_version_and_size_must_agree(version: int, refusal: str) -> None:
    raw = bytearray(zstandard.decompress(_live_record()))
    raw[4:8] = struct.pack("<I", version)
    opened = struct.unpack_from("<I", raw, _count_at() + 4)[0]
    assert opened > 0
    if version == 4:
        raw = raw[:-opened]
    with pytest.raises(FormatError, match=refusal):
        snapshot.decode(zstandard.compress(bytes(raw)), memory_bytes=abi.MEMORY_DEFAULT, live=True)


def _count_at() -> int:
    return snapshot.record_size(0) - 8


def _live_guest() -> Guest:
    guest = Guest(image_of(EXAMPLES / "echo.c"))
    for number in range(3):
        sent = guest.send(f"/{number}", method="POST", body=None)
        guest.push(sent, b"x" * 1000)
    guest.run()
    for sent in (1, 2, 3):
        for _ in range(3):
            guest.push(sent, b"y" * 16_000)  # more than the ring takes
    return guest


def _live_record() -> bytes:
    return snapshot.encode(_live_guest().machine.capture(live=True))


@pytest.mark.parametrize("engine", ["unicorn", pytest.param("kvm", marks=pytest.mark.kvm)])
def test_mutated_records_in_a_machine(engine: EngineName) -> None:
    """Refused with nothing restored, or a machine that runs and may die of it; the shell is as good as before."""
    dice = random.Random(8)
    guest = _live_guest()
    raw = zstandard.decompress(snapshot.encode(guest.machine.capture(live=True)))
    guest.shell.choose(engine)
    opened = struct.unpack_from("<I", raw, _count_at() + 4)[0]
    image, refused, died = guest.machine.image, 0, 0
    for _ in range(RESTORED):
        data = bytearray(raw)
        for _ in range(dice.randrange(1, 3)):
            place = dice.choice(
                (dice.randrange(len(data) - opened, len(data) - opened + 200), dice.randrange(688, 800), 8 + 16 * 8)
            )
            data[place] = dice.choice((0, 1, 0x80, 0xFF, dice.randrange(256)))
        machine = Machine(guest.shell, image, Limits(cpu_ms=20))
        try:
            machine.restore(zstandard.compress(bytes(data), 1), live=True)
        except FormatError:
            refused += 1
            assert machine.phase is Phase.EMPTY
            assert not machine.busy
            continue
        try:
            for _ in range(4):
                with watchdog().watching(guest.shell.engine, 1_000_000):
                    machine.run(1_000_000)
                machine.records.clear()
        except GuestError:
            died += 1
    assert refused > RESTORED // 10
    assert died < RESTORED - refused
    assert not guest.shell.broken
    fresh = Guest(image_of(EXAMPLES / "hello.c"), shell=guest.shell)
    assert bytes(fresh.get("/").body) == b"hello from /, request 1\n"
