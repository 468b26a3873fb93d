"""What the VMM costs by itself, without HTTP: `python -m edge.vmm.bench.costs --json`.

The guest is a few instructions of machine code that writes eight pages and idles: what a small handler dirties.
Samples are microseconds, one for a batch, sides of a comparison in turn.
"""

import argparse
import ctypes
import gc
import json
import mmap
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from edge.vmm.engines.engine import Hypercall
from edge.vmm.machine.machine import Machine
from edge.vmm.memory.guest_memory import BaseMemory, page_template
from edge.vmm.shells.shell import Image, Shell
from edge.vmm.shells.tiering import LOOP, calibrate
from vmimage import abi, snapshot
from vmimage.manifest import Limits, Region
from vmimage.snapshot import Registers

BATCHES: Final = 40
BATCH: Final = 50
PAGES: Final = 8
NATIVE_ROUNDS: Final = 7

# start: mov esi,0x200000; mov ecx,8; l: incq (rsi); add rsi,0x1000; dec ecx; jnz l; mov rdi,-1; out 0x10,al; jmp start
CODE: Final = bytes.fromhex("be00002000 b908000000 48ff06 4881c600100000 ffc9 75f2 48c7c7ffffffff e610 ebdd")


def _guest() -> Machine:
    """A machine that is idle at the end of its first round."""
    program = abi.PROGRAM_ADDRESS
    regions = (
        Region(abi.INFO_ADDRESS, abi.CONTROL_ADDRESS, "r"),
        Region(abi.CONTROL_ADDRESS, abi.ENV_ADDRESS, "rw"),
        Region(abi.LIBOS_ADDRESS, abi.LIBOS_ADDRESS + abi.PAGE_SIZE, "rx"),
        Region(program, program + PAGES * abi.PAGE_SIZE, "rw"),
    )
    base = BaseMemory(None)
    blank = Image(base, page_template(regions, abi.MEMORY_DEFAULT))
    shell = Shell(base, abi.MEMORY_DEFAULT)
    shell.memory.bind(blank.template)
    shell.memory.write(abi.LIBOS_ADDRESS, CODE)
    machine = Machine(shell, blank, Limits(), baking=True)
    machine.boot(Registers(rip=abi.LIBOS_ADDRESS))
    machine.run()
    image = Image(base, blank.template, snapshot.encode(machine.capture()))
    machine = Machine(shell, image, Limits())
    machine.restore()
    return machine


def _batch(action: Callable[[], object]) -> float:
    """Microseconds of one action, over a batch."""
    started = time.perf_counter()
    for _ in range(BATCH):
        action()
    return (time.perf_counter() - started) / BATCH * 1e6


def measure() -> list[dict[str, Any]]:
    """Rows with their samples."""
    machine = _guest()
    shell, engine = machine.shell, machine.shell.engine
    assert engine.run() == Hypercall(abi.PORT_IDLE)
    parked = snapshot.encode(machine.capture(), level=1)

    def fresh() -> None:
        shell.reset()
        engine.run()

    def restore() -> None:
        Machine(shell, machine.image, Limits()).restore(parked)

    def park() -> None:
        snapshot.encode(machine.capture(), level=1)

    samples: dict[str, list[float]] = {"exit": [], "reset": [], "restore": [], "park": []}
    gc.freeze()  # as a worker does
    for _ in range(BATCHES):
        kept = _batch(engine.run)
        samples["exit"].append(kept)
        samples["reset"].append(_batch(fresh) - kept)
        samples["park"].append(_batch(park))
        samples["restore"].append(_batch(restore))
        engine.run()
    titles = {
        "exit": ("unicorn: hypercall, exit and re-entry, with 8 pages written", None),
        "reset": ("reset: a fresh machine for every request, over a kept one", 30),
        "park": ("park: capture and compress 8 pages", None),
        "restore": ("restore: a parked machine into a shell of its base", None),
    }
    return _native_rows() + [
        {
            "name": f"vmm-{name}",
            "title": title,
            "unit": "µs",
            "better": "lower",
            "reach": reach,
            "samples": samples[name],
        }
        for name, (title, reach) in titles.items()
    ]


def _native_rows() -> list[dict[str, Any]]:
    """A loop of adds and multiplications on both engines, against the same bytes as a function of this process."""
    calibrations = [calibrate() for _ in range(NATIVE_ROUNDS)]
    if calibrations[0].kvm_missing:
        print(f"KVM rows are left out: {calibrations[0].kvm_missing}", file=sys.stderr)
        return []
    page = mmap.mmap(-1, abi.PAGE_SIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(LOOP + b"\xc3")  # ret
    native = ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    ratios = []
    for _ in range(NATIVE_ROUNDS):
        native_ns = min(_time_ns(native) for _ in range(5))
        ratios.append(100 * native_ns / calibrate().kvm_work_ns)
    return [
        {
            "name": "kvm-exit",
            "title": "kvm: hypercall, exit and re-entry",
            "unit": "µs",
            "better": "lower",
            "reach": None,
            "samples": [c.kvm_exit_ns / 1e3 for c in calibrations],
        },
        {
            "name": "kvm-native",
            "title": "CPU-bound guest on kvm, speed against native",
            "unit": "%",
            "better": "higher",
            "reach": 90,
            "samples": ratios,
        },
        {
            "name": "tiering-speedup",
            "title": "kvm against unicorn, same guest loop",
            "unit": "x",
            "better": "higher",
            "reach": None,
            "samples": [c.speedup for c in calibrations],
        },
        {
            "name": "tiering-threshold",
            "title": "guest time on unicorn per request from which it moves to kvm",
            "unit": "µs",
            "better": "lower",
            "reach": None,
            "samples": [c.threshold_ns / 1e3 for c in calibrations],
        },
    ]


def _time_ns(action: Callable[[], object]) -> int:
    started = time.perf_counter_ns()
    action()
    return time.perf_counter_ns() - started


def main() -> int:
    """Print rows as text, or as JSON with their samples."""
    parser = argparse.ArgumentParser(prog="edge.vmm.bench.costs", description=__doc__)
    parser.add_argument("--json", action="store_true", help="samples, for programs")
    rows = measure()
    if parser.parse_args().json:
        print(json.dumps(rows))
    else:
        for row in rows:
            middle = sorted(row["samples"])[len(row["samples"]) // 2]
            print(f"{row['title']:70} {middle:8.1f} {row['unit']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
