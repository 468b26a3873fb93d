"""What a worker says of itself and its machines once a second, in PONG."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge.vmm.devices.drives import Drives
from edge.vmm.machine.resident import Resident
from edge.vmm.shells.held_images import HeldImages
from edge.vmm.shells.shell_pool import ShellPool
from edge.vmm.shells.tiering import Tiering
from edge.vmm.turns.sleepers import Sleepers
from edge.vmm.turns.watchdog import Watchdog
from edge.vmm.worker.guard import Guard
from edge.vmm.worker.memory_limit import MemoryLimit, told
from edge.vmm.worker.placement import Placement

# Machines in one list of a PONG, whose JSON a supervisor takes up to 64 KiB of: three lists, at most 28 bytes each.
# Those that are left out of `resident` are told the next time.
LISTED_MAX: Final = 700


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

    def statistics(self) -> dict[str, Any]:
        """Plain data. `resident`: [number, bytes] of machines whose size changed since that was last told."""
        residents = self.residents.values()
        return {
            "machines": len(residents),
            "resident_bytes": sum(resident.measure() for resident in residents),
            "resident": told(residents, LISTED_MAX),
            "kvm_machines": sum(r.machine.shell.engine_name == "kvm" for r in residents),
            "throttled": [r.number for r in residents if r.entity.hold][:LISTED_MAX],
            "grown": [r.number for r in residents if r.has_grown()][:LISTED_MAX],
            "free_shells": len(self.shells),
            "images": len(self.images),
            "cpu_ns": time.process_time_ns(),
            "wakeups": self.sleepers.wakeups,
            "slices_stopped": self.watchdog.stopped,
            "promotions": self.tiering.promotions,
            "demotions": self.tiering.demotions,
            "kept_off_kvm": self.placement.kept_off,
            "failures": self.guard.failures,
            "refused_frames": self.guard.refused_frames,
            "ended_for_memory": self.memory.ended if self.memory is not None else 0,
            **self.drives.statistics(),
        }
