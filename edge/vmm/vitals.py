"""What a worker says of its machines once a second: few enough of them that it always fits a frame's JSON."""

from collections.abc import Collection
from typing import Any, Final

from edge.vmm.memory_limit import told
from edge.vmm.resident import Resident

# Machines in one list of a PONG, whose JSON a supervisor takes up to 64 KiB of: three lists, at most 28 bytes each.
# Those that are left out of `resident` are told the next time.
LISTED_MAX: Final = 700


def of_machines(residents: Collection[Resident]) -> dict[str, Any]:
    """Plain data for PONG. `resident`: [number, bytes] of machines whose size changed since that was last told."""
    return {
        "machines": len(residents),
        "resident_bytes": sum(resident.measure() for resident in residents),
        "resident": told(residents, LISTED_MAX),
        "kvm_machines": sum(r.machine.shell.engine_name == "kvm" for r in residents),
        "throttled": [r.number for r in residents if r.entity.hold][:LISTED_MAX],
        "grown": [r.number for r in residents if r.has_grown()][:LISTED_MAX],
    }
