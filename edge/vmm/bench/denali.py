"""Two results of Denali on this VMM, without HTTP: `python -m edge.vmm.bench.denali --arrivals A --metronome M`.

Whitaker, Shaw and Gribble ("Scale and Performance in the Denali Isolation Kernel", OSDI 2002) found that interrupts
that are batched and delivered asynchronously beat those that are delivered one by one, and that idle with a timeout
lets many machines share a processor that a few spinning ones fill. Here the same questions are asked of both engines,
with images of `libos/examples/arrivals.c` and `metronome.c`. Sides take turns in every round.
"""

import argparse
import heapq
import json
import re
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

from edge.vmm.devices.ring import Record
from edge.vmm.machine.machine import Idle, Machine
from edge.vmm.memory.guest_memory import BaseMemory, page_template
from edge.vmm.memory.image_memory import base_memfd
from edge.vmm.shells.shell import EngineName, Image, Shell
from edge.vmm.turns.scheduler import Scheduler
from edge.vmm.turns.watchdog import watchdog
from vmimage import abi, snapshot
from vmimage.archive import ImageBundle, read_archive
from vmimage.errors import OperatorError
from vmimage.manifest import Limits

ROUNDS: Final = 5
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
RECORDS: Final = 1024  # of each side in a round, at each batch size
PAYLOAD: Final = struct.pack("<8Q", *range(8))
MACHINES: Final = (1, 2, 4, 8, 16, 32)
BEATS: Final = 100  # of each machine in a round, one every 10 ms
BEAT_S: Final = 0.01

_SAID: Final = re.compile(rb"records (\d+) interrupts (\d+) sum (\d+)")
_BEATS: Final = re.compile(rb"(\d+) beats, (\d+) late")
Rows = list[dict[str, Any]]


def load(archive: bytes) -> Image:
    """The last image of an image file, over its base."""
    base, derived = read_archive(archive)

    def record(bundle: ImageBundle) -> bytes:
        return bundle.blobs[bundle.manifest.snapshot.digest]

    state = snapshot.decode(record(base), memory_bytes=base.manifest.memory_bytes)
    memory = BaseMemory(base_memfd(state.page_nos, state.rows))
    manifest = derived.manifest
    return Image(memory, page_template(manifest.regions, manifest.memory_bytes), record(derived))


def machine_of(image: Image, engine: EngineName) -> Machine:
    """A machine of its own shell.

    :raises OperatorError: there is no such engine here.
    """
    machine = Machine(Shell(image.base, image.memory_bytes, engine), image, Limits(cpu_ms=60_000))
    machine.restore()
    return machine


def arrive(machine: Machine, count: int, batch: int, *, one_by_one: bool) -> float:
    """Offer `count` records, `batch` at a time; seconds it took.

    :param one_by_one: the guest is entered and interrupted for each, as soon as it is there.
    """
    record = Record(abi.RECORD_BODY, 0, 1, PAYLOAD)
    started = time.perf_counter()
    for _ in range(count // batch):
        for _ in range(batch):
            machine.offer(record)
            if one_by_one:
                machine.run()
        if not one_by_one:
            machine.run()
    return time.perf_counter() - started


def counted(machine: Machine) -> tuple[int, int]:
    """How many records the guest says it had, and in how many interrupts; the asking is one of each."""
    machine.log.clear()
    machine.offer(Record(abi.RECORD_BODY, 0, 1, b""))
    machine.run()
    said = _SAID.search(b"".join(machine.log))
    if said is None:
        raise ValueError(f"counts of the guest expected, got {b''.join(machine.log)!r}")
    return int(said[1]), int(said[2])


def measure_interrupts(image: Image, engine: EngineName, batches: Sequence[int], rounds: int, records: int) -> Rows:
    """Records per second, and interrupts for each record as the guest counts them, by batch size."""
    samples: dict[tuple[str, int], list[float]] = {}
    interrupts: dict[tuple[str, int], float] = {}
    for _ in range(rounds):
        for batch in batches:
            for side in ("batched", "synchronous"):
                machine = machine_of(image, engine)
                machine.offer(Record(abi.RECORD_HEAD, 0, 1, b"\0"))
                machine.run()
                arrive(machine, batch, batch, one_by_one=side == "synchronous")  # code is translated, pages are there
                before = counted(machine)
                took = arrive(machine, records, batch, one_by_one=side == "synchronous")
                after = counted(machine)
                if after[0] - before[0] != records // batch * batch + 1:
                    raise ValueError(f"{records} records expected, the guest had {after[0] - before[0] - 1}")
                samples.setdefault((side, batch), []).append(records / took)
                interrupts[side, batch] = (after[1] - before[1] - 1) / records
                machine.shell.close()
    return [
        _row(f"denali-irq-{engine}-{side}-{batch}", f"{engine}: {side}, {batch} at once", "1/s", "higher", values)
        | {"figure": "interrupts", "engine": engine, "side": side, "x": batch, "interrupts": interrupts[side, batch]}
        for (side, batch), values in samples.items()
    ]


def keep_time(machines: Sequence[Machine], path: str, beats: int) -> tuple[float, float, int]:
    """All machines beat side by side on one processor, as in a worker; seconds, CPU seconds, beats that were late.

    :raises ValueError: a guest did not do all of its beats.
    """
    block = b"".join(
        b"%b\0%b\0" % pair
        for pair in (
            (b"REQUEST_METHOD", b"GET"),
            (b"PATH_INFO", path.encode()),
            (b"QUERY_STRING", b"beats=%d" % beats),
        )
    )
    scheduler, sleepers, late, done = Scheduler(), [], 0, 0  # type: ignore[var-annotated]
    entities = {scheduler.add(str(number)): machine for number, machine in enumerate(machines)}
    started, cpu_started = time.perf_counter(), time.process_time()
    for entity, machine in entities.items():
        machine.offer(Record(abi.RECORD_HEAD, abi.FLAG_END, 1, block + b"\0"))
        scheduler.wake(entity, time.monotonic_ns())
    while done < len(machines):
        now_ns = time.monotonic_ns()
        while sleepers and sleepers[0][0] <= now_ns:
            scheduler.wake(heapq.heappop(sleepers)[2], now_ns)
        turn = scheduler.next(now_ns)
        if turn is None:
            time.sleep(max(0.0, (sleepers[0][0] - now_ns) / 1e9))
            continue
        entity, slice_ns = turn
        machine, mark_ns = entities[entity], time.thread_time_ns()
        with watchdog().watching(machine.shell.engine, slice_ns):
            outcome = machine.run(slice_ns)
        now_ns = time.monotonic_ns()
        scheduler.charge(entity, time.thread_time_ns() - mark_ns, now_ns)
        if isinstance(outcome, Idle):
            scheduler.sleep(entity, now_ns)
            if outcome.until_ns is not None:
                heapq.heappush(sleepers, (outcome.until_ns, id(entity), entity))
        for answer in machine.records:
            found = _BEATS.search(answer.payload)
            if found is None or int(found[1]) != beats:
                raise ValueError(f"{beats} beats expected, got {answer.payload!r}")
            late, done = late + int(found[2]), done + 1
        machine.records.clear()
    watchdog().rest()
    return time.perf_counter() - started, time.process_time() - cpu_started, late


def measure_idling(image: Image, engine: EngineName, counts: Sequence[int], rounds: int, beats: int) -> Rows:
    """Beats in time per second, and the share of a processor they took, by number of machines."""
    in_time: dict[tuple[str, int], list[float]] = {}
    cpu: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for count in counts:
            for side in ("idle", "spin"):
                machines = [machine_of(image, engine) for _ in range(count)]
                took_s, cpu_s, late = keep_time(machines, f"/{side}", beats)
                in_time.setdefault((side, count), []).append((count * beats - late) / took_s)
                cpu.setdefault((side, count), []).append(100 * cpu_s / took_s)
                for machine in machines:
                    machine.shell.close()
    rows: Rows = []
    for (side, count), values in in_time.items():
        title = f"{engine}: {count} machines that {side} until their timer"
        name = f"denali-idle-{engine}-{side}-{count}"
        about = {"figure": "idle", "engine": engine, "side": side, "x": count}
        rows.append(_row(name, f"{title}: beats in time", "1/s", "higher", values) | about)
        rows.append(_row(f"{name}-cpu", f"{title}: CPU", "%", "lower", cpu[side, count]) | about)
    return rows


def _row(name: str, title: str, unit: str, better: str, samples: list[float]) -> dict[str, Any]:
    return {"name": name, "title": title, "unit": unit, "better": better, "reach": None, "samples": samples}


def main() -> int:
    """Print rows as text, or as JSON with their samples."""
    parser = argparse.ArgumentParser(prog="edge.vmm.bench.denali", description=__doc__)
    parser.add_argument("--arrivals", type=Path, required=True, help="image file of libos/examples/arrivals.c")
    parser.add_argument("--metronome", type=Path, required=True, help="image file of libos/examples/metronome.c")
    parser.add_argument("--quick", action="store_true", help="one round of few points")
    parser.add_argument("--json", action="store_true", help="samples, for programs")
    arguments = parser.parse_args()
    arrivals, metronome = load(arguments.arrivals.read_bytes()), load(arguments.metronome.read_bytes())
    quick = arguments.quick
    rows: Rows = []
    for engine in get_args(EngineName):
        try:
            rows += measure_interrupts(
                arrivals, engine, (1, 16) if quick else BATCHES, 1 if quick else ROUNDS, 64 if quick else RECORDS
            )
            rows += measure_idling(
                metronome, engine, (1, 4) if quick else MACHINES, 1 if quick else ROUNDS, 10 if quick else BEATS
            )
        except OperatorError as error:
            print(f"{engine} is left out: {error}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            print(f"{row['title']:70} {sorted(row['samples'])[len(row['samples']) // 2]:12.1f} {row['unit']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
