"""The worker process: `python -m edge.vmm.worker --frames-fd N --images-fd M`. It enters its sandbox, then serves."""

import argparse
import functools
import gc
import logging
import os
import socket
import sys
from typing import Final

from edge.vmm.kernel import host
from edge.vmm.sandbox import layers
from edge.vmm.shells.tiering import kvm_device, measured
from edge.vmm.worker.memory_limit import STATM
from edge.vmm.worker.worker import Worker

# How long the watchdog may wait for the interpreter while a guest makes one hypercall after the other: by default 5 ms,
# which were the p99 of a machine beside one that spins.
THREAD_SWITCH_S: Final = 0.0002

# Of a worker's turns: below what the kernel gives others (some 3 ms), so that one that wakes preempts them, and above
# those of the supervisor and of watchdogs, which preempt it.
SLICE_NS: Final = 250_000

log = logging.getLogger("nunatak.worker")


def main() -> int:
    """Entry point of the worker process: `python -m edge.vmm.worker --frames-fd N --images-fd M`."""
    parser = argparse.ArgumentParser(prog="edge.vmm.worker")
    parser.add_argument("--frames-fd", type=int, required=True)
    parser.add_argument("--images-fd", type=int, required=True)
    parser.add_argument("--attribution-fd", type=int, default=-1, help="a page that says for which machine it works")
    parser.add_argument("--memory-bytes", type=int, default=0, help="that machines and shells may take; 0: no limit")
    parser.add_argument("--engine", choices=("auto", "unicorn", "kvm"), default="auto", help="what machines run on")
    parser.add_argument("--kvm-ring0", choices=("on", "off"), default="off", help="use KVM where calls land in ring 0")
    arguments = parser.parse_args()
    engine = None if arguments.engine == "auto" else arguments.engine
    tiering = functools.partial(measured, engine, ring_0=arguments.kvm_ring0 == "on")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    host.small_pages()
    host.ask_for_short_slices(SLICE_NS)
    limited = arguments.memory_bytes > 0 and host.LINUX
    statm = os.open(STATM, os.O_RDONLY | os.O_CLOEXEC) if limited else -1
    kept = (arguments.frames_fd, arguments.images_fd, arguments.attribution_fd, statm)
    config = layers.Config(keep=tuple(fd for fd in kept if fd >= 0), kvm=kvm_device(engine))
    ends = (socket.socket(fileno=arguments.frames_fd), socket.socket(fileno=arguments.images_fd))
    limits = (arguments.attribution_fd, statm, arguments.memory_bytes if limited else 0)
    report, worker = layers.enter(config, functools.partial(Worker, tiering, *ends, *limits))
    for layer in report.layers:
        if not layer.stands:
            log.warning('event=sandbox_layer_missing layer=%s reason="%s"', layer.name, layer.detail)
    sys.setswitchinterval(THREAD_SWITCH_S)
    gc.freeze()  # modules live for ever: collections need not look at them
    try:
        worker.serve()
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the supervisor closed its end: nothing is left to serve
    return 0
