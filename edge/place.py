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
from edge.config.options import EdgeConfig
from edge.front.handover import Offer
from vmimage.errors import OperatorError

ADMIN: Final = "admin"  # FileDescriptorName= of sockets for operators' pages; all others serve
SETTLE_S: Final = 2.0  # for the kernel to take a process apart that has ended without a word
LOOK_S: Final = 0.02

_logger: Final = log.logger("serve")


async def take_place(folder: Path, offer: Offer | None) -> IO[bytes]:
    """Hold a cache folder for as long as the file that is returned is open.

    :param offer: of the edge that has it now, which is to end.
    :raises OperatorError: another edge has it.
    """
    if offer is not None:
        _logger.info(log.line("taking_over", pid=offer.pid, listen=offer.listen, sockets=len(offer.sockets)))
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


def given_sockets(
    config: EdgeConfig, held: Sequence[Held], offer: Offer | None
) -> tuple[list[socket.socket], list[socket.socket]]:
    """The sockets that services and operators' pages are to be served on, where others have opened them.

    A service manager's go before those of an edge before; those of one that listened elsewhere are left.

    :return: for `listen`, for `admin_listen`.
    """
    public = [each.socket for each in held if each.name != ADMIN]
    private = [each.socket for each in held if each.name == ADMIN]
    if offer is not None:
        if not public and offer.listen == config.listen:
            return offer.sockets, private
        offer.decline()
    return public, private
