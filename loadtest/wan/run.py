"""A link as a program: until it is told to end it carries what comes, by signal or over its control socket."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from loadtest.wan.link import Link
from loadtest.wan.orders import open_control
from loadtest.wan.proxy import Proxy

_REMEDIES: Final = {
    errno.EADDRINUSE: "another process listens there (ss -ltnp says which): end it, or name another port",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address: name one of its own (ip address)",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE: name a higher one",
}


async def run(
    listen: tuple[str, int], to: tuple[str, int], link: Link, control: Path | None, say: Callable[[str], None]
) -> None:
    """Carry until SIGTERM or SIGINT. SIGUSR1 begins a partition, SIGUSR2 ends it.

    :raises OSError: an address is not to be had; what it says has the place and what to do.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    proxy = Proxy(to, link)
    try:
        port = await proxy.listen(*listen)
    except OSError as error:
        raise OSError(f"--listen {listen[0]}:{listen[1]}: {_why(error)}") from None
    orders = await open_control(proxy, control) if control is not None else None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, proxy.partition, True)
    loop.add_signal_handler(signal.SIGUSR2, proxy.partition, False)
    say(f"nunatak wan ready on http://{listen[0]}:{port}")
    await ended.wait()
    if orders is not None:
        orders.close()
    await proxy.close()
    if control is not None:
        with suppress(FileNotFoundError):
            os.unlink(control)


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno is None:
        return f"{error.strerror}: an address, or a name that this machine knows, expected"
    remedy = _REMEDIES.get(error.errno)
    return os.strerror(error.errno) + (f": {remedy}" if remedy is not None else "")
