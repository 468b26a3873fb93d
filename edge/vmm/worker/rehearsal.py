"""A request that nobody made, in a spare shell: what the first machine there would else wait for is done before.

Unicorn translates what programs of the base run, KVM fills its own tables of pages. What the guest says is dropped, and
so is all that it did; its time is bounded by a slice, which ends as soon as there is input for the worker.
"""

import contextlib
from collections.abc import Iterable
from typing import Final

from edge.vmm.devices.ring import Record
from edge.vmm.machine.machine import Machine
from edge.vmm.shells.shell import Image, Shell
from edge.vmm.turns.watchdog import Watchdog
from vmimage import abi
from vmimage.errors import GuestError
from vmimage.terms import Limits

SLICE_NS: Final = 20_000_000  # QuickJS on Unicorn takes 13 ms for its first request
_HEAD: Final = (
    b"REQUEST_METHOD\0GET\0PATH_INFO\0/\0QUERY_STRING\0\0SERVER_PROTOCOL\0HTTP/1.1\0"
    b"REMOTE_ADDR\x00127.0.0.1\0HTTP_HOST\0localhost\0\0"
)


def worth_it(shell: Shell, image: Image, others: Iterable[Image]) -> bool:
    """Whether the next machine has something of it.

    A KVM engine that has run is thrown away where the next machine is laid out otherwise: one that never ran is better.

    :param others: images of the base that have machines here.
    """
    return shell.engine_name != "kvm" or all(other.template is image.template for other in others)


def rehearse(shell: Shell, image: Image, watchdog: Watchdog, slice_ns: int = SLICE_NS) -> int:
    """Run it once in a shell that no machine is in; CPU time in nanoseconds that it took. The shell may be broken then.

    :raises FormatError: the image cannot be bound.
    """
    machine = Machine(shell, image, Limits())
    machine.restore()
    machine.offer(Record(abi.RECORD_HEAD, abi.FLAG_END, 1, _HEAD))
    with contextlib.suppress(GuestError), watchdog.watching(shell.engine, slice_ns):  # its end is nobody's business
        machine.run(slice_ns, watchdog)
    shell.warm = not shell.broken
    if not shell.broken:
        shell.bind(image, None)  # nothing of that is there when the next machine comes
    return machine.last_cpu_ns
