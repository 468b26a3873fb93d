"""An edge's place on its machine: the cache folder, which it has alone, and the sockets that others have opened for it.

Two edges on one folder would overwrite each other's parked machines. One that takes another's place gets the folder
when that one has ended, with all machines parked in it.
"""

import asyncio
import fcntl
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from edge.common import log
from edge.common.service_manager import Held
from edge.config.listeners import OPERATORS, Listener
from edge.front.handover import Offer
from edge.front.listeners import Place
from vmimage.errors import OperatorError

SETTLE_S: Final = 2.0  # for the kernel to take a process apart that has ended without a word
LOOK_S: Final = 0.02

_logger: Final = log.logger("serve")


async def take_place(folder: Path, offer: Offer | None) -> IO[bytes]:
    """Hold a cache folder for as long as the file that is returned is open.

    :param offer: of the edge that has it now, which is to end.
    :raises OperatorError: another edge has it.
    """
    if offer is not None:
        _logger.info(log.line("taking_over", pid=offer.pid, listen=" ".join(offer.places)))
        await offer.take()
    lock = (folder / "lock").open("wb")
    loop = asyncio.get_running_loop()
    until = loop.time() + (SETTLE_S if offer is not None else 0.0)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if loop.time() >= until:
                break
        await asyncio.sleep(LOOK_S)
    lock.close()
    raise OperatorError(
        f"--cache: a folder of its own expected, got {folder}: another edge uses it (--take-over takes its place)"
    )


def places_of(
    listeners: Sequence[Listener], held: Sequence[Held], offer: Offer | None
) -> tuple[list[Place], list[socket.socket]]:
    """Where services are to be served, and the sockets of operators' pages that a service manager holds.

    A service manager's sockets go before those of an edge before, and these before new ones; those of an edge that
    listened elsewhere are left.

    :raises OperatorError: a socket that nobody is to listen on, or the other way round.
    """
    public = [each for each in held if each.name != OPERATORS]
    private = [each.socket for each in held if each.name == OPERATORS]
    if public and not any(each.held for each in listeners):
        places = _in_place_of(listeners, public)
    else:
        places = [_place(each, public, offer) for each in listeners]
        named = {each.held for each in listeners if each.held}
        if unnamed := [each.name for each in public if each.name not in named]:
            raise OperatorError(f"listen: fd:{unnamed[0]} expected, a socket that the service manager holds: name all")
    if offer is not None:
        offer.decline(but=[place.listener.place for place in places if place.ours])
    return places, private


def _in_place_of(listeners: Sequence[Listener], public: Sequence[Held]) -> list[Place]:
    """All that a manager holds, for the one place that is named."""
    plain = Listener(listeners[0].place, listeners[0].at)
    if list(listeners) != [plain]:
        raise OperatorError(
            "listen: fd:NAME expected for each socket that the service manager holds (FileDescriptorName= names it), "
            f"where more is said than a place: {' '.join(each.name or 'one without a name' for each in public)}"
        )
    return [Place(plain, [each.socket for each in public])]


def _place(listener: Listener, public: Sequence[Held], offer: Offer | None) -> Place:
    held = [each.socket for each in public if listener.held and each.name == listener.held]
    offered = offer.places.get(listener.place, []) if offer is not None and not held else []
    if listener.held and not held and not offered:
        raise OperatorError(
            f"listen: {listener.place}: a socket of that name expected of the service manager, it has none: name one "
            "so with FileDescriptorName="
        )
    return Place(listener, held or offered, ours=bool(offered))
