"""Who may say what: the decoders of all frames, in two tables, one for each direction.

`to_worker` and `from_worker` are the only doors from frames to values. What they let through has a type that the
receiver knows, no flags, numbers or payload that the type does not have, and every number in its range; anything else
is a ValueError. What it means on this connection at this moment (a machine that is gone, an answer that nobody asked
for) is the receiver's to say.

Rules for callers: a frame that was refused is still somebody's. `machine_of` says whose it claims to be.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from edge.vmm.wire import disks, frames, images, machines, streams, vitals
from edge.vmm.wire.attribution import NOBODY
from edge.vmm.wire.frames import RawFrame

ToWorker: TypeAlias = (
    streams.Head
    | streams.Body
    | streams.Credit
    | streams.Reset
    | images.NewImage
    | images.DropImage
    | machines.Open
    | machines.Park
    | machines.Close
    | disks.NewDisk
    | disks.DropDisk
    | disks.Block
    | disks.Pages
    | disks.DiskDone
    | disks.DiskMore
    | vitals.Ping
    | vitals.Stop
)
FromWorker: TypeAlias = (
    streams.Answer
    | streams.Body
    | streams.Credit
    | streams.Reset
    | streams.Subrequest
    | streams.Piece
    | machines.Parked
    | machines.Died
    | machines.Log
    | disks.BlockWant
    | disks.Keep
    | disks.Append
    | vitals.Hello
    | vitals.Pong
)

TO_WORKER: Final[Mapping[int, Callable[[int, int, int, bytes], ToWorker]]] = {
    frames.HEAD: streams.parse_head,
    frames.BODY: streams.parse_body,
    frames.CREDIT: streams.parse_credit,
    frames.RESET: streams.parse_reset,
    frames.IMAGE: images.NewImage.parse,
    frames.DROP_IMAGE: images.DropImage.parse,
    frames.OPEN: machines.Open.parse,
    frames.PARK: machines.Park.parse,
    frames.CLOSE: machines.Close.parse,
    frames.PING: vitals.Ping.parse,
    frames.STOP: vitals.Stop.parse,
    frames.DISK: disks.NewDisk.parse,
    frames.DROP_DISK: disks.DropDisk.parse,
    frames.BLOCK: disks.Block.parse,
    frames.PAGES: disks.Pages.parse,
    frames.DISK_DONE: disks.DiskDone.parse,
    frames.DISK_MORE: disks.DiskMore.parse,
}
FROM_WORKER: Final[Mapping[int, Callable[[int, int, int, bytes], FromWorker]]] = {
    frames.HEAD: streams.parse_answer,
    frames.BODY: streams.parse_body,
    frames.CREDIT: streams.parse_credit,
    frames.RESET: streams.parse_abort,
    frames.SUBREQUEST: streams.parse_subrequest,
    frames.SOCKET: streams.parse_piece,
    frames.HELLO: vitals.Hello.parse,
    frames.PARKED: machines.Parked.parse,
    frames.DIED: machines.Died.parse,
    frames.LOG: machines.Log.parse,
    frames.PONG: vitals.Pong.parse,
    frames.BLOCK_WANT: disks.BlockWant.parse,
    frames.KEEP: disks.Keep.parse,
    frames.APPEND: disks.Append.parse,
}
# Frames of no machine: their first number, where they have one, is an image's or a disk's.
OF_NOBODY: Final = frozenset(
    (
        *(frames.IMAGE, frames.DROP_IMAGE, frames.PING, frames.STOP, frames.DISK, frames.DROP_DISK, frames.BLOCK),
        *(frames.HELLO, frames.PONG, frames.BLOCK_WANT),
    )
)


def to_worker(frame: RawFrame) -> ToWorker:
    """What a supervisor says.

    :raises ValueError: what none can say.
    """
    type_, flags, first, second, payload = frame
    parse = TO_WORKER.get(type_)
    if parse is None:
        raise ValueError(f"a frame type for a worker expected, got {type_}")
    return parse(flags, first, second, payload)


def from_worker(frame: RawFrame) -> FromWorker:
    """What a worker says.

    :raises ValueError: what none can say.
    """
    type_, flags, first, second, payload = frame
    parse = FROM_WORKER.get(type_)
    if parse is None:
        raise ValueError(f"a frame type from a worker expected, got {type_} with flags {flags:#x}")
    return parse(flags, first, second, payload)


def machine_of(frame: RawFrame) -> int:
    """The machine that a frame names, understood or not; NOBODY where its type has none."""
    return NOBODY if frame[0] in OF_NOBODY else frame[2]
