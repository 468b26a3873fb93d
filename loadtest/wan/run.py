"""A link as a program: until it is told to end it carries what comes, by signal or over its control socket."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from loadtest.wan.link import Link
from loadtest.wan.orders import open_control
from loadtest.wan.proxy import Proxy


async def run(
    listen: tuple[str, int], to: tuple[str, int], link: Link, control: Path | None, say: Callable[[str], None]
) -> None:
    """Carry until SIGTERM or SIGINT. SIGUSR1 begins a partition, SIGUSR2 ends it.

    :raises OSError: an address is not to be had.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    proxy = Proxy(to, link)
    port = await proxy.listen(*listen)
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
