"""What operators order of one service, decided: to begin anew from its image, and to rest. Pure, as `life`.

Which services are on hold is `holds`' to keep, and that their requests are refused `supervisor`'s; here is what that
means for the machines and requests that there are.
"""

from edge.model.flow import OnHold
from edge.model.services import Service
from edge.model.sockets import TRY_AGAIN
from edge.supervisor import commands as do
from edge.supervisor.life import Life


class Orders:
    """Orders to all services of an edge."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def restart(self, service: Service) -> int:
        """The next request finds a machine that is new from the image; those that there are finish what they have.

        What they remember is gone, parked or not, and so is a pause after crashes. What they wrote to copy-on-write
        disks stays. One that is being opened is not reached: see `may_restart`.

        :return: how many machines go.
        """
        residents = self._life.residents
        residents.end_lineage(service)
        first, service.machine = service.machine, None
        machines = [machine for machine in (first, *service.others) if machine is not None]
        service.crashes_in_row, service.pause_until = 0, 0.0
        service.step("restart")
        for machine in machines:
            self._life.out.append(do.Count("rejuvenations", "operator"))
            self._life.retire(machine)
        self._life.out.append(do.WantSoon(service))  # those that waited for a PARKED
        return len(machines)

    def may_restart(self, service: Service) -> bool:
        """Whether the order can be given now: while a machine is being opened, nobody knows what it goes on from."""
        return service.state != "opening"

    def rest(self, service: Service) -> None:
        """A service is on hold: what waits is refused, sockets end, its machine is parked as soon as it is idle.

        To be called again until `at_rest`.
        """
        self._life.fail_queue(service, OnHold(f"{service.name}: on hold"))
        self._life.residents.end_sockets(service, TRY_AGAIN)
        self._life.residents.park(service)

    def at_rest(self, service: Service) -> bool:
        """Whether nothing of it runs."""
        return service.machine is None and service.state != "opening"
