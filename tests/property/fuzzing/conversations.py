"""Frames to a real worker, as a supervisor that is broken would send them.

A conversation is a list of good frames: images, disks, machines, requests, parks. It is then changed, frame by frame or
in its bytes. A worker may refuse what it likes; it may leave when the stream is out of step; it may not crash, hang,
take much memory, or be another worker afterwards than it was.
"""

import contextlib
import json
import struct
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from edge.vmm.wire import frames
from edge.vmm.wire.frames import Frame
from tests.property.fuzzing import mutate, neighbours
from tests.property.fuzzing.case import DATA, Case
from tests.property.fuzzing.child import Child, WorkerEnded, open_frame
from tests.property.fuzzing.mutate import Rng
from tests.property.fuzzing.session import Failure
from vmimage import abi, disk, snapshot
from vmimage.canonical import canonical_json
from vmimage.manifest import Limits
from vmimage.pages import no_pages

ANSWER_S: Final = 30.0
LEAVE_S: Final = 10.0  # after the supervisor has gone
RESIDENT_MAX: Final = 768 << 20  # bytes; 75 MiB are the interpreter, the rest a few of the largest frames
LIMITS: Final = Limits(cpu_ms=5)
IMAGES: Final = (100, 101)
MACHINES: Final = (200, 201, 202)
DISK: Final = 300
CODE: Final = bytes.fromhex("48c7c7ffffffff e610 ebf5")


@dataclass
class Changed:
    """What is sent: bytes, and whether they still parse as frames to their end."""

    data: bytes
    in_step: bool


def conversation(rng: Rng) -> list[Frame]:
    """Good frames, in an order that a supervisor keeps to."""
    sent: list[bytes] = []
    for number in IMAGES:
        case = Case(code=CODE, gpr=(0, 0, 0, DATA, DATA + 0x8000, *(0,) * 11), data=bytes(64))
        sent.append(neighbours.hostile(number, case).announcement())
    sent.append(frames.pack(frames.DISK, 0, DISK, 0, canonical_json({"blocks": 4, "cache_bytes": 1 << 20})))
    for machine in MACHINES:
        disks = []
        if rng.random() < 0.5:
            name = {"bytes": 4 * disk.BLOCK_SIZE, "digest": "sha256:" + "0" * 64, "kind": "cow", "name": "data"}
            disks = [
                {"number": DISK, **name},
                {"number": None, **name, "kind": "scratch", "digest": None, "name": "tmp"},
            ]
            pages = disk.encode_pages({1: b"x" * abi.PAGE_SIZE})
            sent.append(frames.pack(frames.PAGES, 0, machine, 0, pages))
        record = b""
        if rng.random() < 0.3:
            record = _record()
            record = struct.pack("<I", len(record)) + record if disks else record
        sent.append(
            open_frame(machine, rng.choice(IMAGES), record, limits=LIMITS, disks=disks, fresh=rng.random() < 0.2)
        )
    for _ in range(rng.randrange(2, 12)):
        machine, stream = rng.choice(MACHINES), rng.randrange(1, 4)
        sent.append(
            rng.choice(
                (
                    frames.pack(frames.HEAD, rng.randrange(2), machine, stream, b"PATH_INFO\0/\0\0"),
                    frames.pack(frames.BODY, rng.randrange(2), machine, stream, rng.randbytes(100)),
                    frames.pack(frames.CREDIT, 0, machine, stream, struct.pack("<I", 1000)),
                    frames.pack(frames.RESET, 0, machine, stream),
                    frames.pack(frames.BLOCK, 0, DISK, rng.randrange(4), rng.choice((b"", bytes(disk.BLOCK_SIZE)))),
                    frames.pack(frames.DISK_DONE, 0, machine, rng.randrange(4), struct.pack("<i", 0)),
                    frames.pack(frames.DISK_MORE, 0, machine, rng.randrange(4)),
                    frames.pack(frames.HEAD, 1, machine, abi.EXCHANGE_BIT | 1, b"Status\x00200\0\0"),
                    frames.pack(frames.PING, 0, 0, 0, b"p"),
                    frames.pack(frames.PARK, 0, machine, 0),
                )
            )
        )
    sent += [frames.pack(rng.choice((frames.PARK, frames.CLOSE)), 0, machine, 0) for machine in MACHINES]
    sent.append(frames.pack(frames.DROP_DISK, 0, DISK, 0))
    sent += [frames.pack(frames.DROP_IMAGE, frames.FLAG_END, image, 0) for image in IMAGES]
    return frames.parse(bytearray(b"".join(sent)))


def _record() -> bytes:
    state = snapshot.decode(neighbours.hostile(0, Case(code=CODE)).blob, memory_bytes=abi.MEMORY_MIN)
    return snapshot.encode(snapshot.Snapshot(state.registers, state.devices, *no_pages()), level=1)


def change(rng: Rng, good: list[Frame]) -> Changed:
    """One to five frames left out, doubled, moved, renamed or spoilt; or the bytes of all of them."""
    sent = list(good)
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        if not sent:
            break
        place = rng.randrange(len(sent))
        frame = sent[place]
        kind = rng.randrange(10)
        if kind == 0:
            del sent[place]
        elif kind == 1:
            sent.insert(rng.randrange(len(sent) + 1), frame)
        elif kind == 2:
            sent.insert(rng.randrange(len(sent)), sent.pop(place))
        elif kind == 3:
            sent[place] = frame._replace(type=rng.choice((*range(48), rng.randrange(256))))
        elif kind == 4:
            sent[place] = frame._replace(machine=rng.choice((0, *IMAGES, *MACHINES, DISK, 2**32 - 1)))
        elif kind == 5:
            sent[place] = frame._replace(stream=rng.choice((0, 1, 2, 2**31, 2**31 + 1, 2**32 - 1)))
        elif kind == 6:
            sent[place] = frame._replace(flags=rng.randrange(256))
        elif kind == 7:
            sent[place] = frame._replace(payload=mutate.data(rng, frame.payload))
        else:
            sent[place] = frame._replace(payload=_other_json(rng, frame.payload))
    sent = [frame for frame in sent if frame.type != frames.STOP]
    data = b"".join(frames.pack(*frame) for frame in sent)
    if rng.random() < 0.85:
        return Changed(data, in_step=True)
    return Changed(mutate.data(rng, data), in_step=False)


def _other_json(rng: Rng, payload: bytes) -> bytes:
    """JSON in a payload with a value changed."""
    try:
        head, rest = frames.split_json(payload)
        about = json.loads(head)
    except (struct.error, ValueError):
        try:
            return json.dumps(mutate.value(rng, json.loads(payload))).encode()
        except ValueError:
            return mutate.data(rng, payload)
    head = json.dumps(mutate.value(rng, about)).encode()
    return frames.with_json(head, rest)


class Listener:
    """A worker that is talked to, and made anew when it has left."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self._child: Child | None = None

    def close(self) -> None:
        """No more talk."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def say(self, rng: Rng) -> None:
        """One changed conversation, and a look at the worker behind it.

        :raises Failure: it is not as it should be.
        """
        changed = change(rng, conversation(rng))
        child = self._child
        if child is None:
            child = self._child = Child("--engine", "unicorn")
            child.send(child.give(neighbours.base_image()))
        try:
            for start in range(0, len(changed.data), step := rng.choice((1 << 20, 4096, 700))):
                child.send(changed.data[start : start + step])
            if changed.in_step:
                self._look(child)
                self.ends["stays"] += 1
                return
            with contextlib.suppress(WorkerEnded):
                child.receive(0.05)
        except WorkerEnded as error:
            self._child = None
            status = child.close()
            self._judge(status, error.said, changed.in_step)
            return
        except TimeoutError:
            raise Failure("wedged", f"no answer in {ANSWER_S} s", child.said()) from None
        self._refuse_size(child)
        self._child = None
        began = time.monotonic()
        status = child.close()
        if time.monotonic() - began >= LEAVE_S:
            raise Failure("wedged", "a worker whose supervisor has gone leaves", child.last_said)
        self._judge(status, child.last_said, in_step=False)

    def _judge(self, status: int | None, said: str, in_step: bool) -> None:
        if status is None or status < 0:
            raise Failure("died", f"the worker ended with status {status}", said)
        if in_step:
            raise Failure("died", f"frames that parse ended the worker, status {status}", said)
        self.ends["leaves out of step"] += 1

    def _look(self, child: Child) -> None:
        """It answers, and a machine that is opened now runs and is parked."""
        token = b"look"
        case = Case(code=CODE)
        image = neighbours.hostile(999, case)
        child.send(child.give(image) + open_frame(999, 999, limits=LIMITS) + frames.pack(frames.RESET, 0, 999, 9))
        child.send(frames.pack(frames.PARK, 0, 999, 0) + frames.pack(frames.PING, 0, 0, 0, token))
        wanted, until = {frames.PARKED, frames.PONG}, time.monotonic() + ANSWER_S
        while wanted:
            if time.monotonic() > until:
                raise TimeoutError
            for frame in child.receive(1.0):
                if frame.type == frames.PONG and json.loads(frame.payload).get("ping") == token.decode():
                    wanted.discard(frames.PONG)
                elif frame.machine == 999 and frame.type == frames.PARKED:
                    wanted.discard(frames.PARKED)
                elif frame.machine == 999 and frame.type == frames.DIED:
                    raise Failure("neighbour", f"a machine that does nothing wrong died: {frame.payload[:300]!r}")
        clean = [frames.pack(frames.CLOSE, 0, machine, 0) for machine in MACHINES]
        clean += [frames.pack(frames.DROP_IMAGE, frames.FLAG_END, image, 0) for image in (*IMAGES, 999)]
        child.send(b"".join(clean))
        self._refuse_size(child)

    def _refuse_size(self, child: Child) -> None:
        resident = child.resident_bytes()
        if resident > RESIDENT_MAX:
            raise Failure("memory", f"at most {RESIDENT_MAX} bytes resident expected, got {resident}", child.said())


def run(seed: int, first: int, count: int) -> Counter[str]:
    """Conversations `first` to `first + count` of a seed; how they ended.

    :raises Failure: see `Listener.say`; its message names the number.
    """
    listener = Listener()
    try:
        for number in range(first, first + count):
            try:
                listener.say(Rng(f"frames:{seed}:{number}"))
            except Failure as failure:
                again = f"python -m tests.property.fuzzing frames --seed {seed} --first {number} --count 1"
                raise Failure(failure.kind, f"{failure.message}\nagain: {again}", failure.said) from None
        return listener.ends
    finally:
        listener.close()
