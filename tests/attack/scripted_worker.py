"""A worker that does what requests and tenants' names tell it, lies included; what it knows of a machine is a count.

`scripted_worker FOLDER --frames-fd N --images-fd M --attribution-fd K ...`. FOLDER holds what a later worker must know.

Requests (a path's last part): `abort` ends it on behalf of the machine; `page-N` first names machine N, `page-other`
another one of its own; `exit` ends it without naming anybody; `frame` breaks the protocol on behalf of the machine;
`wedge` hangs; `once` is not answered by the first worker that is asked. Tenants: `big...` answers PARK with a frame
that is too large, `fat...` with a record that is; they and `grown...` say that they take a GiB.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

from edge.vmm.wire import frames
from edge.vmm.wire.attribution import NOBODY, Attribution


def option(name: str) -> int:
    return int(sys.argv[sys.argv.index(name) + 1])


folder = Path(sys.argv[1])
connection = socket.socket(fileno=option("--frames-fd"))
page = Attribution(option("--attribution-fd"))
tenants: dict[int, str] = {}  # by machine
counts: dict[int, int] = {}


def send(type_: int, machine: int, stream: int = 0, payload: bytes = b"", flags: int = 0) -> None:
    connection.sendall(frames.pack(type_, flags, machine, stream, payload))


def answer(machine: int, stream: int) -> None:
    counts[machine] += 1
    body = b"Status\x00200\x00\x00" + f"request {counts[machine]}\n".encode()
    send(frames.HEAD, machine, stream, frames.TIMING.pack(0, 0, 0) + body, frames.FLAG_END)


def obey(machine: int, stream: int, order: str) -> None:
    match order.split("-"):
        case ["abort"]:
            page.set(machine)
            os.abort()
        case ["page", "other"]:
            page.set(min(number for number in tenants if number != machine))
            os.abort()
        case ["page", number]:
            page.set(int(number))
            os.abort()
        case ["exit"]:
            page.set(NOBODY)
            os._exit(3)
        case ["frame"]:
            page.set(min(tenants))
            send(200, machine)
        case ["wedge"]:
            page.set(machine)
            while True:
                signal.pause()
        case ["once"] if not (folder / "asked").exists():
            (folder / "asked").touch()
        case _:
            answer(machine, stream)


def park(machine: int) -> None:
    if tenants[machine].startswith("big"):
        page.set(machine)
        connection.sendall(frames.HEADER.pack(frames.PAYLOAD_MAX + 1, frames.PARKED, 0, 0, machine, 0))
    elif tenants[machine].startswith("fat"):
        send(frames.PARKED, machine, 0, os.urandom(40 << 20))
    else:
        send(frames.PARKED, machine, 0, str(counts[machine]).encode())
    del tenants[machine], counts[machine]


send(frames.HELLO, 0, 0, json.dumps({"pid": os.getpid(), "engines": ["scripted"]}).encode())
buffer = bytearray()
while data := connection.recv(1 << 20):
    buffer += data
    for frame in frames.parse(buffer):
        if frame.type == frames.OPEN:
            about, record = frames.split_json(frame.payload)
            tenants[frame.machine] = json.loads(about)["tenant"]
            counts[frame.machine] = int(record or b"0")
        elif frame.type == frames.HEAD and frame.machine in tenants:
            fields = frame.payload.split(b"\0")
            obey(frame.machine, frame.stream, fields[fields.index(b"PATH_INFO") + 1].decode().rpartition("/")[2])
        elif frame.type == frames.PARK:
            park(frame.machine)
        elif frame.type == frames.CLOSE:
            tenants.pop(frame.machine, None)
        elif frame.type == frames.PING:
            sizes = [
                [n, 1 << 30 if tenant.startswith(("big", "fat", "grown")) else 1 << 20] for n, tenant in tenants.items()
            ]
            said = {"ping": frame.payload.decode(), "resident": sizes, "wakeups": "many", "huge": 10**400}
            send(frames.PONG, 0, 0, json.dumps(said).encode())
        elif frame.type == frames.STOP:
            sys.exit(0)
