"""A worker that was taken over, and says whatever it likes to its supervisor; an edge's other workers are real.

`hostile_worker FOLDER SEED --frames-fd N --images-fd M ...`: the process that gets the lock in FOLDER is hostile, until
there is a file `stop`; every other one becomes a real worker.
"""

import fcntl
import json
import os
import random
import signal
import socket
import struct
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Final

from edge.vmm.shells.tiering import Calibration
from edge.vmm.wire import frames
from edge.vmm.wire.disks import Append, BlockWant, Keep
from edge.vmm.wire.machines import Died, Log, Parked, Report
from edge.vmm.wire.messages import FromWorker
from edge.vmm.wire.streams import Answer, Body, Credit, Piece, Reset, Subrequest
from edge.vmm.wire.vitals import Hello, Pong
from vmimage import abi

REAL: Final = (sys.executable, "-m", "edge.vmm.worker")
TYPES: Final = (
    *(frames.HEAD, frames.HEAD, frames.BODY, frames.BODY, frames.RESET, frames.CREDIT, frames.SUBREQUEST),
    *(frames.PARKED, frames.PARKED, frames.DIED, frames.DIED, frames.LOG, frames.PONG, frames.BLOCK_WANT),
    *(frames.KEEP, frames.APPEND, frames.HELLO, frames.OPEN, frames.IMAGE),
)
ERRORS: Final = (
    "GuestFault",
    "OutOfTime",
    "Unavailable",
    "NunatakError",
    "OperatorError",
    "Exception",
    "__class__",
    "",
)
HEADS: Final = (
    *(b"", b"\0", b"Status", b"Status\x00999\0\0", b"Status\x00200\0\0ok", b"Status\x00200\0Content-Length\x005\0\0ok"),
    *(b"Status\x00200\0X\0a\r\nb\0\0", b"Status\x00200\0Content-Length\x0010000000000\0\0", b"Status\x00204\0\0body"),
    b"Status\x00302\0Location\0/again\0X-Nunatak-Local\0yes\0\0",
)
URLS: Final = (b"http://127.0.0.1/", b"https://a", b"//", b"\xff", b"http://[::1]:1/", b"x" * 9000)


class Liar:
    """What it knows of its supervisor, and what it makes of that."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._machines = [0, 1, 2**32 - 1]
        self._streams = [0, 1, abi.EXCHANGE_BIT, abi.EXCHANGE_BIT | 1]

    def hello(self) -> bytes:
        """Mostly as it should be, else it would never get further."""
        good = Hello(1, ("unicorn",), asdict(Calibration(1.0))).to_bytes()
        return good if self._rng.random() < 0.9 else self._nearly(good)

    def answer(self, frame: frames.RawFrame) -> bytes:
        """To one frame: nothing, or anything."""
        rng = self._rng
        type_, _, first, second, payload = frame
        if first not in self._machines:
            self._machines.append(first)
        if second not in self._streams:
            self._streams.append(second)
        if type_ == frames.PING and rng.random() < 0.7:
            return self._pong(payload.decode())
        out = b"".join(self._say() for _ in range(rng.choice((0, 1, 1, 2, 4))))
        if rng.random() < 0.02:
            return out + rng.choice((rng.randbytes(100), struct.pack("<IBBHII", 2**32 - 1, 1, 0, 0, 0, 0), out[:7]))
        return out

    def _say(self) -> bytes:
        """Mostly what gets past the decoder: beyond it is what can be hurt."""
        kind = self._rng.random()
        return self._truth() if kind < 0.8 else self._nearly(self._truth()) if kind < 0.9 else self._lie()

    def _truth(self) -> bytes:
        """What a worker could say, of machines and streams that there may be."""
        rng = self._rng
        machine, stream = rng.choice(self._machines[-4:]) or 1, rng.choice(self._streams[-5:]) & ~abi.EXCHANGE_BIT
        messages: tuple[FromWorker, ...] = (
            Answer(machine, stream, rng.random() < 0.7, 1, 2, rng.randrange(2), rng.choice(HEADS)),
            Answer(machine, stream, True, 1, 2, 0, HEADS[4]),
            Body(machine, stream, rng.random() < 0.5, rng.randbytes(rng.choice((0, 100, 16384)))),
            Credit(machine, stream, rng.choice((0, 1, 2**16, 2**32 - 1))),
            Reset(machine, stream),
            Subrequest(machine, stream | abi.EXCHANGE_BIT, True, b"Method\0GET\0URL\0" + rng.choice(URLS) + b"\0\0"),
            Piece(machine, rng.randrange(1, 5), rng.random() < 0.5, b"\x01" + rng.randbytes(rng.choice((0, 100)))),
            Parked(machine, rng.randbytes(rng.choice((1, 2000)))),
            Parked(machine, b"state", b"scratch"),
            Died(machine, rng.choice(ERRORS), "m" * rng.choice((0, 1000)), None, (stream,)),
            Died(
                machine, "GuestFault", "it", Report("GuestFault", "it", {"RIP": 5}, (1, 2**64 - 1), {}, "0f05", ""), ()
            ),
            Log(machine, rng.choice((b"a line\n", b"\x1b]0;x\x07", b"\xff\xfe", b"x" * 100000, b"\n" * 1000))),
            BlockWant(machine, rng.choice((0, 7))),
            Keep(machine, stream, rng.randrange(8), rng.random() < 0.5, b"\0\0\0\0"),
            Append(machine, stream, rng.randrange(8), rng.choice((None, b"", b"record"))),
        )
        return rng.choice(messages).to_bytes()

    def _pong(self, token: str) -> bytes:
        rng = self._rng
        lists = {
            "resident": tuple((n, rng.choice((0, 2**40))) for n in self._machines[-3:] if n),
            "throttled": tuple(n for n in self._machines[-2:] if n),
            "grown": tuple(n for n in self._machines[-1:] if n) if rng.random() < 0.3 else (),
        }
        counts = {field.name: rng.choice((0, 1, 2**63 - 1)) for field in fields(Pong) if field.name not in lists}
        return Pong(**{**counts, **lists, "token": token}).to_bytes()  # type: ignore[arg-type]

    def _nearly(self, frame: bytes) -> bytes:
        """A frame as it is, or with a few bytes changed behind its length."""
        rng, data = self._rng, bytearray(frame)
        for _ in range(rng.choice((0, 1, 1, 2))):
            data[rng.choice((4, 5, *range(8, 16), rng.randrange(8, len(data))))] = rng.randrange(256)
        return bytes(data)

    def _lie(self) -> bytes:
        rng = self._rng
        kind = rng.choice((*TYPES, rng.randrange(256)))
        machine, stream = rng.choice(self._machines[-4:]), rng.choice(self._streams[-5:])
        payload = self._payload(kind if rng.random() < 0.8 else rng.choice(TYPES))
        return frames.pack(kind, rng.choice((0, 0, 1, rng.randrange(256))), machine, stream, payload)

    def _payload(self, kind: int) -> bytes:
        rng = self._rng
        if rng.random() < 0.1:
            return rng.choice(
                (b"", rng.randbytes(rng.choice((1, 4, 8, 100, 5000))), b"[" * 60000, b"{}", b"\n" * 100000)
            )
        if kind == frames.HEAD:
            return struct.pack("<IIB", 1, 2, rng.choice((0, 1, 7, 255))) + rng.choice(HEADS)
        if kind == frames.DIED:
            reports: tuple[object, ...] = ({}, {"frames": [1, "x", -5, 2**70], "code": 5, "registers": []}, 5, [], None)
            retry = rng.choice(([], [1], 5, "x", [[1]], None, {"a": 1}))
            about = {
                "error": rng.choice(ERRORS),
                "message": "m" * rng.choice((1, 2000)),
                "report": rng.choice(reports),
                "retry": retry,
            }
            return json.dumps(about).encode()
        if kind == frames.PONG:
            some: tuple[object, ...] = ([], [1], "x", [1.5], 5, None, [2**70], {"a": []})
            names = ("throttled", "grown", "wakeups", "cpu_ns", "machines", "resident_bytes", "blocks", "ping")
            return json.dumps(dict.fromkeys(rng.sample(names, 3), rng.choice(some))).encode()
        if kind in (frames.KEEP, frames.APPEND, frames.CREDIT):
            return struct.pack("<I", rng.choice((0, 1, 7, 2**31, 2**32 - 1))) + rng.randbytes(rng.choice((0, 8, 4100)))
        if kind == frames.SUBREQUEST:
            return b"Method\0" + rng.choice((b"GET", b"CONNECT", b"")) + b"\0URL\0" + rng.choice(URLS) + b"\0\0"
        if kind == frames.LOG:
            return rng.choice((b"a line\n", b"\x1b]0;x\x07", b"\xff\xfe", b"x" * 100000, b"\n" * 1000))
        return rng.randbytes(rng.choice((0, 16, 2000)))


def main() -> None:
    """Be hostile, or real."""
    folder, seed, rest = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    lock = (folder / "hostile.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.execv(REAL[0], [*REAL, *rest])
    if (folder / "stop").exists():
        os.execv(REAL[0], [*REAL, *rest])
    with (folder / "lives").open("a") as lives:
        lives.write("x")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    life = (folder / "lives").stat().st_size
    liar = Liar(random.Random(f"{seed}:{life}"))
    connection = socket.socket(fileno=int(rest[rest.index("--frames-fd") + 1]))
    connection.sendall(liar.hello())
    splitter = frames.Splitter()
    while not (folder / "stop").exists() and (data := connection.recv(1 << 20)):
        for frame in splitter.feed(data):
            with (folder / "lies").open("a") as lies:
                lies.write("x")
            connection.sendall(liar.answer(frame))


if __name__ == "__main__":
    main()
