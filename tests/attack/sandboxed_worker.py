"""The real worker, in the sandbox, on an engine of the test's choice: `sandboxed_worker ENGINE --frames-fd N ...`."""

import functools
import socket
import sys

from edge.vmm import engine_kvm, sandbox, worker
from edge.vmm.tiering import Tiering, calibrate
from edge.vmm.worker import Worker


def inside(frames_socket: socket.socket, images_socket: socket.socket) -> Worker:
    """A worker that was made where `main` makes it, with everything else given up."""
    config = sandbox.Config(keep=(frames_socket.fileno(), images_socket.fileno()), kvm=kvm)
    report, made = sandbox.enter(config, functools.partial(Worker, frames_socket, images_socket))
    print(*report.lines(), sep="\n", file=sys.stderr)
    return made


engine = sys.argv.pop(1)
calibrate()  # loads what the engines load at their first use
kvm = engine_kvm.open_kvm() if engine == "kvm" else None
worker.Worker = inside  # type: ignore[assignment,misc]
Tiering.observe = lambda *_: engine  # type: ignore[assignment,method-assign,return-value]
sys.exit(worker.main())
