"""Frames to a real worker, as a supervisor that is broken would send them.

A conversation is a list of good frames: images, disks, machines, requests, parks. It is then changed, frame by frame or
in its bytes. A worker may refuse what it likes; it may leave when the stream is out of step; it may not crash, hang,
take much memory, or be another worker afterwards than it was.
"""

import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from edge.vmm.wire import frames
from edge.vmm.wire.disks import Block, DiskDone, DiskMore, DropDisk, NewDisk, Pages
from edge.vmm.wire.fields import dump
from edge.vmm.wire.images import DropImage
from edge.vmm.wire.machines import Close, Died, OpenDisk, Park, Parked
from edge.vmm.wire.streams import Body, Credit, Head, Reset
from edge.vmm.wire.vitals import Ping, Pong
from tests.property.fuzzing import mutate, neighbours
from tests.property.fuzzing.case import DATA, Case
from tests.property.fuzzing.child import Child, WorkerEnded, WorkerLied, open_frame
from tests.property.fuzzing.mutate import Rng
from tests.property.fuzzing.session import Failure
from tests.support.wire import Frame, split
from vmimage import abi, disk, snapshot
from vmimage.drives import DriveRef
from vmimage.manifest import Limits
from vmimage.pages import no_pages
from vmimage.parked import encode_scratch

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
    sent.append(NewDisk(DISK, 4, 1 << 20).to_bytes())
    for machine in MACHINES:
        disks: tuple[OpenDisk, ...] = ()
        state = scratch = b""
        if rng.random() < 0.5:
            size = 4 * disk.BLOCK_SIZE
            disks = (
                OpenDisk(DISK, DriveRef(size, "sha256:" + "0" * 64, "cow", "data")),
                OpenDisk(None, DriveRef(size, None, "scratch", "tmp")),
            )
            sent.append(Pages(machine, 0, disk.encode_pages({1: b"x" * abi.PAGE_SIZE})).to_bytes())
        if rng.random() < 0.3:
            state = _record()
            scratch = encode_scratch([{2: b"y" * abi.PAGE_SIZE}]) if disks and rng.random() < 0.5 else b""
        fresh = rng.random() < 0.2
        sent.append(open_frame(machine, rng.choice(IMAGES), state, scratch, limits=LIMITS, disks=disks, fresh=fresh))
    for _ in range(rng.randrange(2, 12)):
        machine, stream = rng.choice(MACHINES), rng.randrange(1, 4)
        said = rng.choice(
            (
                Head(machine, stream, rng.random() < 0.5, b"PATH_INFO\0/\0\0"),
                Body(machine, stream, rng.random() < 0.5, rng.randbytes(100)),
                Credit(machine, stream, 1000),
                Reset(machine, stream),
                Block(DISK, rng.randrange(4), rng.choice((b"", bytes(disk.BLOCK_SIZE), None))),
                DiskDone(machine, rng.randrange(4), rng.choice((0, -5))),
                DiskMore(machine, rng.randrange(4)),
                Head(machine, abi.EXCHANGE_BIT | 1, True, b"Status\x00200\0\0"),
                Ping("p"),
                Park(machine),
            )
        )
        sent.append(said.to_bytes())
    sent += [rng.choice((Park, Close))(machine).to_bytes() for machine in MACHINES]
    sent.append(DropDisk(DISK).to_bytes())
    sent += [DropImage(image, True).to_bytes() for image in IMAGES]
    return split(b"".join(sent))


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
            sent[place] = frame._replace(first=rng.choice((0, *IMAGES, *MACHINES, DISK, 2**32 - 1)))
        elif kind == 5:
            sent[place] = frame._replace(second=rng.choice((0, 1, 2, 2**31, 2**31 + 1, 2**32 - 1)))
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
        head, rest = frames.split_head(payload)
        about = json.loads(head)
    except ValueError:
        try:
            return dump(mutate.value(rng, json.loads(payload)))
        except ValueError:
            return mutate.data(rng, payload)
    head = dump(mutate.value(rng, about))
    return frames.with_head(head, rest)


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
        except WorkerLied as error:
            raise Failure("protocol", str(error), child.said()) from None
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
        token = "look"
        case = Case(code=CODE)
        image = neighbours.hostile(999, case)
        child.send(child.give(image) + open_frame(999, 999, limits=LIMITS) + Reset(999, 9).to_bytes())
        child.send(Park(999).to_bytes() + Ping(token).to_bytes())
        wanted, until = {Parked, Pong}, time.monotonic() + ANSWER_S
        while wanted:
            if time.monotonic() > until:
                raise TimeoutError
            for message in child.receive(1.0):
                match message:
                    case Pong() if message.token == token:
                        wanted.discard(Pong)
                    case Parked(machine=999):
                        wanted.discard(Parked)
                    case Died(machine=999):
                        raise Failure("neighbour", f"a machine that does nothing wrong died: {message}")
        clean = [Close(machine).to_bytes() for machine in MACHINES]
        clean += [DropImage(image, True).to_bytes() for image in (*IMAGES, 999)]
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
