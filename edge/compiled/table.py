"""Which modules are compiled: those of a request's way through supervisor and worker, and what they lean on.

All are compiled together and call each other as C functions, so what a test replaces in them is replaced for Python's
eyes only: such a test is marked `plain`. To add a module, add it here, and run the suite both ways.

Left out: `edge.model.flow`, which is run with -m to draw its tables, and costs next to nothing in a request; `vmimage`,
which is imported without `edge`.
"""

from typing import Final

GROUP: Final = "nunatak"  # of the library that holds them all, `nunatak__mypyc`

MODULES: Final = tuple(
    """
    edge.cache.asked edge.cache.prospects edge.cache.purges edge.cache.responses edge.cache.reuse edge.cache.status
    edge.cache.storing edge.cache.places
    edge.common.bloom edge.common.durations edge.common.fair_room edge.common.slices edge.content.tiers
    edge.front.answers edge.front.asking edge.front.bodies edge.front.caching edge.front.cgi edge.front.connection
    edge.front.crowd edge.front.fills edge.front.heads edge.front.http edge.front.kept_answers edge.front.marks
    edge.front.looks edge.front.request edge.front.senders edge.front.telling
    edge.model.routes edge.model.services edge.model.streams edge.model.tracing
    edge.supervisor.budget edge.supervisor.life edge.supervisor.residents edge.supervisor.routing
    edge.supervisor.supervisor edge.supervisor.waiting edge.supervisor.window
    edge.workers.intake edge.workers.process
    edge.vmm.devices.clock edge.vmm.devices.exchanges edge.vmm.devices.gate edge.vmm.devices.info_page
    edge.vmm.devices.ring edge.vmm.devices.shared_pages
    edge.vmm.engines.engine edge.vmm.engines.interrupts edge.vmm.engines.kvm edge.vmm.engines.unicorn
    edge.vmm.engines.unicorn_registers
    edge.vmm.machine.background edge.vmm.machine.hypercalls edge.vmm.machine.machine edge.vmm.machine.phases
    edge.vmm.machine.resident
    edge.vmm.turns.charges edge.vmm.turns.fair_queue edge.vmm.turns.scheduler edge.vmm.turns.sleepers
    edge.vmm.turns.token_bucket edge.vmm.turns.watchdog
    edge.vmm.wire.attribution edge.vmm.wire.frames edge.vmm.wire.messages edge.vmm.wire.streams
    edge.vmm.worker.duties edge.vmm.worker.guard edge.vmm.worker.outbox edge.vmm.worker.worker
    """.split()
)
