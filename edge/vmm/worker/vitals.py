"""What a worker says of itself and its machines once a second, in PONG."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from edge.vmm.devices.drives import Drives
from edge.vmm.machine.resident import Resident
from edge.vmm.shells.held_images import HeldImages
from edge.vmm.shells.shell_pool import ShellPool
from edge.vmm.shells.tiering import Tiering
from edge.vmm.turns.sleepers import Sleepers
from edge.vmm.turns.watchdog import Watchdog
from edge.vmm.wire.vitals import LISTED_MAX, Pong
from edge.vmm.worker.guard import Guard
from edge.vmm.worker.memory_limit import MemoryLimit, told
from edge.vmm.worker.placement import Placement


@dataclass(frozen=True)
class Vitals:
    """The parts of a worker that count something."""

    residents: Mapping[int, Resident]
    shells: ShellPool
    images: HeldImages
    drives: Drives
    sleepers: Sleepers
    watchdog: Watchdog
    tiering: Tiering
    placement: Placement
    guard: Guard
    memory: MemoryLimit | None

    def pong(self, token: str, rests: int) -> Pong:
        """The answer to a PING.

        :param rests: times the worker slept because nobody had work.
        """
        residents, blocks = self.residents.values(), self.drives.blocks
        return Pong(
            token=token,
            resident=told(residents, LISTED_MAX),
            throttled=tuple(r.number for r in residents if r.entity.hold)[:LISTED_MAX],
            grown=tuple(r.number for r in residents if r.has_grown())[:LISTED_MAX],
            machines=len(residents),
            resident_bytes=sum(resident.measure() for resident in residents),
            kvm_machines=sum(r.machine.shell.engine_name == "kvm" for r in residents),
            free_shells=len(self.shells),
            images=len(self.images),
            cpu_ns=time.process_time_ns(),
            wakeups=self.sleepers.wakeups,
            rests=rests,
            slices_stopped=self.watchdog.stopped,
            promotions=self.tiering.promotions,
            demotions=self.tiering.demotions,
            kept_off_kvm=self.placement.kept_off,
            failures=self.guard.failures,
            refused_frames=self.guard.refused_frames,
            ended_for_memory=self.memory.ended if self.memory is not None else 0,
            blocks=len(blocks),
            block_hits=blocks.hits,
            block_misses=blocks.misses,
        )
