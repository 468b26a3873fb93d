"""Where plays of a service's life begin, and what several of them ask."""

from edge.supervisor.openings import Held
from edge.supervisor.pools import GROW_AT
from tests.support.playbook import MACHINE_BYTES, Playbook, Worker

RECORD = Held("parked", 5.0, 3, 6)


def play(**about: object) -> Playbook:
    """Nothing has happened yet."""
    return Playbook(**about)  # type: ignore[arg-type]


def resident(**about: object) -> Playbook:
    """Service a has a machine, a#1, that has answered request 0."""
    begun = play(**about).asked(0).expect("Open(a)").opened().expect("Dispatch(a#1, 0)")
    return begun.answered(0).expect().state("resident")


def grown(worker: int = 1, **about: object) -> Playbook:
    """Service a has machines a#1 with requests 1 and 2, and a#2, in another worker if nothing else is said."""
    busy = resident(pool=2, **about).asked(1).expect("Dispatch(a#1, 1)").asked(2).expect("Dispatch(a#1, 2)")
    assert GROW_AT == 2
    more = busy.asked(3).expect("Grow(a, a#1)", "Dispatch(a#1, 3)").asked(4).expect("Dispatch(a#1, 4)")
    return more.grown(worker=worker).expect("Count(pool_grown)").answered(3, 4).expect()


def still_right(
    begun: Playbook, worker: Worker | None = None, *, key: str = "", current: bool = True, machines: int = 1
) -> bool:
    """Whether what service a was prepared with may still be opened."""
    service, cost_bytes = begun.services["a"], machines * MACHINE_BYTES
    return begun.openings.still_right(service, key or service.key, worker or begun.workers[0], cost_bytes, current)
