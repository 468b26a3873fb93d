"""A worker that does what requests and tenants' names tell it, lies included; what it knows of a machine is a count.

`scripted_worker FOLDER --frames-fd N --images-fd M --attribution-fd K ...`. FOLDER holds what a later worker must know.

Requests (a path's last part): `abort` ends it on behalf of the machine; `page-N` first names machine N, `page-other`
another one of its own; `exit` ends it without naming anybody; `frame` breaks the protocol on behalf of the machine;
`lie-KIND` says what no worker says, see LIES; `wedge` hangs; `once` is not answered by the first worker that is asked.
Tenants: `big...` answers PARK with a frame that is too large, `fat...` with a record that is; they and `grown...` say
that they take a GiB; with `talks-nonsense...` the worker's PONG is none.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from edge.vmm.wire import frames, messages
from edge.vmm.wire.attribution import NOBODY, Attribution
from edge.vmm.wire.machines import Close, Died, Open, Park, Parked
from edge.vmm.wire.messages import FromWorker
from edge.vmm.wire.streams import Answer, Head
from edge.vmm.wire.vitals import CALIBRATION, Hello, Ping, Pong, Stop


def option(name: str) -> int:
    return int(sys.argv[sys.argv.index(name) + 1])


folder = Path(sys.argv[1])
connection = socket.socket(fileno=option("--frames-fd"))
page = Attribution(option("--attribution-fd"))
tenants: dict[int, str] = {}  # by machine
counts: dict[int, int] = {}


def send(message: FromWorker) -> None:
    connection.sendall(message.to_bytes())


def answer(machine: int, stream: int) -> None:
    counts[machine] += 1
    body = b"Status\x00200\x00\x00" + f"request {counts[machine]}\n".encode()
    send(Answer(machine, stream, True, 0, 0, 0, body))


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
            connection.sendall(frames.pack(200, 0, machine, 0))
        case ["lie", kind]:
            page.set(min(tenants))
            connection.sendall(LIES[kind](machine))
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
        send(Parked(machine, os.urandom(40 << 20)))
    else:
        send(Parked(machine, str(counts[machine]).encode()))
    del tenants[machine], counts[machine]


def pong(token: str) -> Pong:
    sizes = tuple(
        (n, 1 << 30 if tenant.startswith(("big", "fat", "grown")) else 1 << 20) for n, tenant in tenants.items()
    )
    lists = {"token": token, "resident": sizes, "throttled": (), "grown": ()}
    return Pong(**lists, **{field.name: 0 for field in fields(Pong) if field.name not in lists})  # type: ignore[arg-type]


def misspelt(frame: bytes, right: bytes, wrong: bytes) -> bytes:
    """A frame with other JSON."""
    payload = frame[frames.HEADER.size :].replace(right, wrong)
    type_, flags, first, second, _ = frames.Splitter().feed(frame)[0]
    return frames.pack(type_, flags, first, second, payload)


def died(machine: int) -> bytes:
    return Died(machine, "GuestFault", "it died", None, ()).to_bytes()


# What no worker says: each is a frame that is nearly right.
LIES: dict[str, Callable[[int], bytes]] = {
    "retry": lambda machine: misspelt(died(machine), b'"retry"', b'"retries"'),
    "flags": lambda machine: frames.pack(frames.CREDIT, 1, machine, 1, bytes(4)),
    "state": lambda machine: frames.pack(frames.PARKED, 0, machine, 0, b""),
}

costs = dict.fromkeys(CALIBRATION, 1.0) | {"kvm_missing": "", "kvm": None}
send(Hello(os.getpid(), ("scripted",), costs))
splitter = frames.Splitter()
while data := connection.recv(1 << 20):
    for raw in splitter.feed(data):
        match messages.to_worker(raw):
            case Open() as wanted:
                tenants[wanted.machine] = wanted.tenant
                counts[wanted.machine] = int(wanted.state or b"0")
            case Head(machine, stream, _, payload) if machine in tenants:
                variables = payload.split(b"\0")
                path = variables[variables.index(b"PATH_INFO") + 1].decode()
                obey(machine, stream, path.rpartition("/")[2])
            case Park(machine):
                park(machine)
            case Close(machine):
                tenants.pop(machine, None)
            case Ping(token) if any(tenant.startswith("talks-nonsense") for tenant in tenants.values()):
                connection.sendall(misspelt(pong(token).to_bytes(), b'"wakeups":0', b'"wakeups":"many"'))
            case Ping(token):
                send(pong(token))
            case Stop():
                sys.exit(0)
