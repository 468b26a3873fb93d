"""Hostile machines in one real worker, in batches; after each batch the worker and the neighbours are looked at.

A batch is sent in one go, as a busy supervisor would, and is over when the worker rests. What must hold is in
`_take` (every frame) and `_look_round` (after a batch); whatever does not is a `Failure`.
"""

import json
import random
import re
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import zstandard

from edge.content.image import Image
from edge.vmm.wire import frames
from edge.vmm.wire.frames import Frame
from tests.property.fuzzing import neighbours
from tests.property.fuzzing.case import AT_ONCE, AT_REST, Case
from tests.property.fuzzing.child import Child, WorkerEnded, open_frame
from vmimage import errors, snapshot
from vmimage.errors import FormatError, NunatakError
from vmimage.manifest import Limits

WEDGED_S: Final = 30.0  # without an answer to PING; an edge gives 5 s, on a machine that does nothing else
# Of the worker's CPU time, which other load on the machine does not shorten: for a batch that does not come to rest,
# and for each of its machines.
BATCH_NS: Final = 500_000_000
CASE_NS: Final = 10_000_000
SETTLED_S: Final = 60.0  # of any time
ASK_S: Final = (0.001, 0.016)  # between two PINGs: at first, and at most
SECRET_EVERY: Final = 4  # batches
INTERNAL: Final = "the machine could not go on"  # what an exception in the VMM itself is reported as

_FROM_WORKER: Final = frozenset(
    (
        *(frames.HEAD, frames.BODY, frames.RESET, frames.CREDIT, frames.SUBREQUEST, frames.PARKED, frames.DIED),
        *(frames.LOG, frames.PONG, frames.BLOCK_WANT, frames.KEEP, frames.APPEND),
    )
)
_VECTOR: Final = re.compile(r"\(vector (\d+)")
EXCEPTIONS: Final = 32  # vectors below are processors' own
_SECRET_WORDS: Final = frozenset(struct.unpack("<QQ", neighbours.SECRET))


class Failure(Exception):
    """What must not be: `kind` is a word for it, `message` a sentence, `said` the end of the worker's stderr."""

    def __init__(self, kind: str, message: str, said: str = "") -> None:
        super().__init__(kind, message, said)
        self.kind, self.message, self.said = kind, message, said

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass
class _Live:
    """A machine that the worker has."""

    case: Case | None
    image: Image | None
    parked: bytes | None = None
    died: str = ""
    body: bytes = b""
    answered: bool = False


class Session:
    """One worker process with its neighbours."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.outcomes: Counter[str] = Counter()
        self._child = Child("--engine", engine)
        self._machines: dict[int, _Live] = {}
        self._number = self._image_number = neighbours.FIRST_NUMBER
        self._pings = self._batches = 0
        self._pongs: dict[str, dict[str, Any]] = {}
        self._looking: dict[int, neighbours.Looking] = {}
        self._hello = self._hellos = 0
        try:
            self._guarded(self._begin)
        except BaseException:
            self._child.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker."""
        self._child.close()

    def run(self, cases: Sequence[Case]) -> None:
        """One batch.

        :raises Failure: something did not hold.
        """
        self._guarded(lambda: self._batch(cases), self._look_round)

    def _guarded(self, *steps: Callable[[], None]) -> None:
        """What ends the worker while these are done is a failure of them."""
        try:
            for step in steps:
                step()
        except WorkerEnded as error:
            raise Failure("died", f"the worker ended with status {error.status}", error.said) from None
        except TimeoutError:
            self._child.process.kill()  # it would not leave
            raise Failure("wedged", f"no answer in {WEDGED_S} s", self._child.said()) from None

    # Batches

    def _batch(self, cases: Sequence[Case]) -> None:
        out, mine = [], []
        for case in cases:
            image = neighbours.hostile(self._next_image(), case)
            number = self._enter(case, image)
            out += [self._child.give(image), _open(number, image, case)]
            out += [frames.pack(kind, flags, number, stream, payload) for kind, flags, stream, payload in case.sent]
            out.append(_wake(number))
            if case.park == AT_ONCE:
                out.append(frames.pack(frames.PARK, 0, number, 0))
            mine.append(number)
        self._send(b"".join(out))
        self._settle(mine)
        resting = [number for number in mine if self._lives(number) and self._case_of(number).park == AT_REST]
        self._send(b"".join(frames.pack(frames.PARK, 0, number, 0) for number in resting))
        self._settle(resting)
        out, reopened = [], []
        for number in mine:
            live, case = self._machines[number], self._case_of(number)
            if live.parked is None or not case.reopen:
                continue
            assert live.image is not None
            record = live.parked if case.reopen == 1 else _changed(live.parked, case.reopen)
            other = self._enter(case, live.image)
            out.append(_open(other, live.image, case, record))
            out += [_wake(other), frames.pack(frames.PARK, 0, other, 0)]
            reopened.append(other)
        self._send(b"".join(out))
        self._settle(reopened)
        self._end([*mine, *reopened])

    def _case_of(self, number: int) -> Case:
        case = self._machines[number].case
        assert case is not None
        return case

    def _end(self, numbers: Sequence[int]) -> None:
        out = []
        images = set()
        for number in numbers:
            live = self._machines[number]
            if live.parked is None and not live.died:
                out.append(frames.pack(frames.CLOSE, 0, number, 0))
                self.outcomes["goes on"] += 1
            if live.image is not None:
                images.add(live.image.number)
        out += [frames.pack(frames.DROP_IMAGE, frames.FLAG_END, image, 0) for image in sorted(images)]
        self._send(b"".join(out))
        self._ping()
        for number in numbers:
            del self._machines[number]

    def _settle(self, numbers: Sequence[int]) -> None:
        """Until all have ended, or the worker rests, or it has had long enough."""
        if not numbers:
            return
        until, pause_s = time.monotonic() + SETTLED_S, ASK_S[0]
        before = now = self._ping()
        enough_ns = before["cpu_ns"] + BATCH_NS + CASE_NS * len(numbers)
        while any(self._lives(number) for number in numbers):
            if now["rests"] > before["rests"] or now["cpu_ns"] > enough_ns or time.monotonic() > until:
                return
            self._take(self._child.receive(pause_s, until=1000))
            now = self._ping()
            pause_s = min(2 * pause_s, ASK_S[1])

    def _lives(self, number: int) -> bool:
        live = self._machines[number]
        return live.parked is None and not live.died

    # Frames

    def _enter(self, case: Case | None, image: Image | None) -> int:
        self._number += 1
        self._machines[self._number] = _Live(case, image)
        return self._number

    def _next_image(self) -> int:
        self._image_number += 1
        return self._image_number

    def _send(self, data: bytes) -> None:
        self._take(self._child.send(data))

    def _ping(self) -> dict[str, Any]:
        self._pings += 1
        token = str(self._pings)
        self._send(frames.pack(frames.PING, 0, 0, 0, token.encode()))
        deadline = time.monotonic() + WEDGED_S
        while token not in self._pongs:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._take(self._child.receive(left))
        return self._pongs.pop(token)

    def _take(self, batch: Sequence[Frame]) -> None:
        """What holds for every frame of a worker: a type, a machine and a payload that there may be; no secrets."""
        for frame in batch:
            if frame.type not in _FROM_WORKER:
                raise Failure("protocol", f"a frame type from a worker expected, got {frame.type}")
            if frame.type == frames.PONG:
                statistics = json.loads(frame.payload)
                self._pongs[statistics["ping"]] = statistics
                continue
            live = self._machines.get(frame.machine)
            if live is None or live.died or live.parked is not None:
                raise Failure("protocol", f"a machine that is there expected, got type {frame.type} of {frame.machine}")
            if live.case is not _SECRET_CASE:
                _refuse_secret(frame)
            if frame.type == frames.DIED:
                live.died = self._on_died(live, frame.payload)
            elif frame.type == frames.PARKED:
                live.parked = frame.payload
                self.outcomes["parked"] += 1
                if live.case is not _SECRET_CASE and neighbours.SECRET in _unpacked(frame.payload):
                    raise Failure("leak", "the record of a machine holds what belongs to another")
                self._refuse_unreadable(live)
            elif frame.type in (frames.HEAD, frames.BODY):
                payload = frame.payload[frames.TIMING.size :] if frame.type == frames.HEAD else frame.payload
                live.body += payload[-200:] if live.case is not None else payload
                live.answered |= bool(frame.flags & frames.FLAG_END)

    def _refuse_unreadable(self, live: _Live) -> None:
        """What a machine is parked as must be what the next worker takes."""
        assert live.parked is not None
        assert live.image is not None
        try:
            snapshot.decode(live.parked, memory_bytes=live.image.manifest.memory_bytes)
        except FormatError as error:
            raise Failure("record", f"a record that can be read expected: {error}") from None

    def _on_died(self, live: _Live, payload: bytes) -> str:
        about = json.loads(payload)
        kind = getattr(errors, about["error"], None)
        if not (isinstance(kind, type) and issubclass(kind, NunatakError)):
            raise Failure("error", f"an error class of ours expected, got {about['error']}: {about['message']}")
        if about["message"].startswith(INTERNAL):
            raise Failure("internal", f"{about['error']}: {about['message']}", self._child.said())
        if live.case is None:
            raise Failure("neighbour", f"a machine that did nothing died: {about['error']}: {about['message']}")
        registers = about["report"].get("registers", {})
        if _SECRET_WORDS & set(registers.values()):
            raise Failure("leak", f"the registers of a machine hold what belongs to another: {registers}")
        self.outcomes[_word(about["error"], about["message"])] += 1
        return str(about["error"])

    # Neighbours

    def _begin(self) -> None:
        below, hello = neighbours.hello_images()
        self._send(b"".join(self._child.give(image) for image in (neighbours.base_image(), below, hello)))
        self._hello = self._enter(None, None)
        self._send(open_frame(self._hello, hello.number, limits=Limits(cpu_ms=5000), tenant="neighbour"))
        for memory_bytes in sorted({layout.memory_bytes for layout in neighbours.LAYOUTS}):
            looking = neighbours.looking(self._next_image(), memory_bytes, self.engine)
            self._looking[memory_bytes] = looking
            self._send(self._child.give(looking.image))
        self._secret_image = neighbours.hostile(self._next_image(), _SECRET_CASE)
        self._send(self._child.give(self._secret_image))
        self._open_secret()
        for memory_bytes in self._looking:
            self._look(memory_bytes)
        self._ask_hello()

    def _look_round(self) -> None:
        """The neighbours are as they were, and nothing of one machine is in the shell of another."""
        self._batches += 1
        self._ask_hello()
        sizes = sorted(self._looking)
        self._look(sizes[0] if self._batches % 4 else sizes[self._batches // 4 % len(sizes)])
        if self._batches % SECRET_EVERY == 0:
            self._check_secret()

    def _ask_hello(self) -> None:
        self._hellos += 1
        live = self._machines[self._hello]
        live.body, live.answered = b"", False
        self._send(neighbours.hello_request(self._hello, self._hellos))
        deadline = time.monotonic() + WEDGED_S
        while not live.answered:
            if time.monotonic() > deadline:
                raise Failure("neighbour", "the neighbour does not answer")
            self._take(self._child.receive(0.5))
        if not live.body.endswith(b"\0" + neighbours.hello_answer(self._hellos)):
            raise Failure("neighbour", f"{neighbours.hello_answer(self._hellos)!r} expected, got {live.body[-80:]!r}")

    def _look(self, memory_bytes: int) -> None:
        looking = self._looking[memory_bytes]
        number = self._enter(None, looking.image)
        self._send(open_frame(number, looking.image.number, limits=neighbours.LOOKING_LIMITS, tenant="neighbour"))
        self._send(_wake(number))
        self._settle([number])
        self._send(frames.pack(frames.PARK, 0, number, 0))
        if wrong := neighbours.what_it_saw(self._parked(number), looking):
            raise Failure("leak", f"in a shell of {memory_bytes >> 20} MiB: {wrong}")

    def _open_secret(self) -> None:
        self._secret = self._enter(_SECRET_CASE, self._secret_image)
        self._send(_open(self._secret, self._secret_image, _SECRET_CASE))

    def _check_secret(self) -> None:
        self._send(frames.pack(frames.PARK, 0, self._secret, 0))
        record = self._parked(self._secret)
        state = snapshot.decode(record, memory_bytes=self._secret_image.manifest.memory_bytes)
        if len(state.page_nos):
            raise Failure("neighbour", f"memory of an idle machine changed in pages {state.page_nos.tolist()[:8]}")
        self._open_secret()

    def _parked(self, number: int) -> bytes:
        live = self._machines[number]
        deadline = time.monotonic() + WEDGED_S
        while live.parked is None:
            if time.monotonic() > deadline:
                raise TimeoutError
            self._take(self._child.receive(0.5))
        del self._machines[number]
        return live.parked


_SECRET_CASE: Final = neighbours.secret_case()


def _wake(machine: int) -> bytes:
    """Lets a machine run that nothing is asked of: a RESET of a stream that it does not have."""
    return frames.pack(frames.RESET, 0, machine, 0x7FFF_FFFF)


def _open(machine: int, image: Image, case: Case, record: bytes = b"") -> bytes:
    more: dict[str, Any] = {"record_bytes": case.record_bytes, "fresh": case.fresh}
    return open_frame(machine, image.number, record, limits=Limits(**case.limits), **more)


def _refuse_secret(frame: Frame) -> None:
    if neighbours.SECRET in frame.payload or neighbours.SECRET.hex().encode() in frame.payload:
        raise Failure("leak", f"a frame of type {frame.type} holds what belongs to another machine")


def _unpacked(record: bytes) -> bytes:
    return zstandard.decompress(record) if record else b""


def _changed(record: bytes, seed: int) -> bytes:
    """A parked record with some bytes changed behind its checks, as a hostile worker would write it."""
    rng, raw = random.Random(seed), bytearray(_unpacked(record))
    for _ in range(rng.randrange(1, 5)):
        place = rng.choice((rng.randrange(len(raw)), rng.randrange(min(800, len(raw)))))
        raw[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    data = zstandard.compress(bytes(raw), 1)
    return data if rng.random() < 0.9 else data[: rng.randrange(len(data))]


def _word(error: str, message: str) -> str:
    """What a death counts as: its class, and of an exception the vector."""
    found = _VECTOR.search(message)
    if found is None:
        return error
    return f"{error} {found[1]}" if int(found[1]) < EXCEPTIONS else f"{error} int"


__all__ = ["Failure", "FormatError", "Session"]
