"""What `life` wants done, a value each: the closed list of what a decision can lead to. `driver` does it.

The state of services, machines and requests has changed already when a command is given. They are done in order.
"""

from typing import Literal, NamedTuple

from edge.model.services import Machine, Service, SocketState, StreamState
from edge.supervisor.budget import Room
from vmimage.errors import NunatakError
from vmimage.trust import ServiceRecord


class Open(NamedTuple):
    """Bring up a machine for a service: image, disks, record, worker, room. `Openings.opened` or `failed` follows."""

    service: Service


class Grow(NamedTuple):
    """Bring up a machine beside a service's first. `Openings.grow_over` follows, and before it `grown` if one came."""

    service: Service
    first: Machine


class Dispatch(NamedTuple):
    """Send a request to a machine."""

    machine: Machine
    stream: StreamState


class Reset(NamedTuple):
    """Tell a guest that nobody waits for this answer any more."""

    machine: Machine
    stream: StreamState


class Park(NamedTuple):
    """Ask a worker for a machine's record. `Life.parked` or `died` follows."""

    machine: Machine


class Close(NamedTuple):
    """Have a worker forget a machine."""

    machine: Machine


class Leave(NamedTuple):
    """A machine is no longer in its worker: give back what was held for it."""

    machine: Machine


class Fail(NamedTuple):
    """Tell a client that no (further) answer will come."""

    stream: StreamState
    error: Exception


class EndSockets(NamedTuple):
    """Close the sockets that were a service's, with a code of RFC 6455 section 7.4."""

    sockets: tuple[SocketState, ...]
    code: int


class Replay(NamedTuple):
    """A request waits again, for another machine than the one that is gone: count it."""

    stream: StreamState


class ForgetRecord(NamedTuple):
    """Drop a parked machine's record."""

    key: str


class ParkedParts(NamedTuple):
    """What a worker made of a machine that it parked, and what the machine's disks were then."""

    state: bytes
    scratch: bytes
    disk_versions: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of what the worker made."""
        return len(self.state) + len(self.scratch)


class KeepRecord(NamedTuple):
    """Keep a parked machine's record, with its age."""

    key: str
    machine: Machine
    parts: ParkedParts
    lived_s: float
    served: int


class LeaveWritten(NamedTuple):
    """Keep aside what a service that is withdrawn wrote to its disks."""

    service: Service


class LookAgain(NamedTuple):
    """Let one who waits for room for a machine look again."""

    room: Room


class WantSoon(NamedTuple):
    """Call `Life.wanted` when the present event is over: what the catalogue says of the service is not in it yet."""

    service: Service


class Count(NamedTuple):
    """Add one to a counter."""

    counter: Literal["collapsed", "crashes", "limit_hits", "parks", "pool_grown", "rejuvenations", "replaced"]
    label: str = ""


class Report(NamedTuple):
    """Tell a service's publisher of a machine's end."""

    machine: Machine
    error: NunatakError
    details: object
    requests: tuple[StreamState, ...]  # that it had


class StatesLost(NamedTuple):
    """Say that services go back to a state from before their last requests: to their records, where there are some."""

    services: tuple[Service, ...]


class RecordTooLarge(NamedTuple):
    """Say that a service's state is lost because its record is of a time when this edge had more memory."""

    service: Service
    size_bytes: int


class FellBack(NamedTuple):
    """Say that a version does not come up here, and that the one before it goes on."""

    service: Service
    refused: ServiceRecord
    error: NunatakError


class Released(NamedTuple):
    """Say that a service has left quarantine, into which it had come so many times."""

    service: str
    cause: Literal["healthy", "new_version"]
    times: int


Command = (
    Open
    | Grow
    | Dispatch
    | Reset
    | Park
    | Close
    | Leave
    | Fail
    | EndSockets
    | Replay
    | ForgetRecord
    | KeepRecord
    | LeaveWritten
    | LookAgain
    | WantSoon
    | Count
    | Report
    | StatesLost
    | RecordTooLarge
    | FellBack
    | Released
)
