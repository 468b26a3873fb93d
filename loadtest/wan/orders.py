"""What a link that runs is told over its control socket: a line with an order, and a line of JSON comes back.

`partition`, `heal`, `reset`, `rtt MS`, `rate MBIT` and `status`. Nobody but the socket file's owner may connect.
"""

import asyncio
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from loadtest.wan.proxy import Proxy

LINE_MAX: Final = 200  # bytes of an order
MBIT: Final = 125_000  # bytes


class NoOrder(ValueError):
    """The line says nothing that a link knows."""


def obey(proxy: Proxy, line: str) -> Mapping[str, Any]:
    """Do what a line says, and say how the link is now.

    :raises NoOrder: it is no order.
    """
    match line.split():
        case ["status"]:
            pass
        case ["partition"]:
            proxy.partition()
        case ["heal"]:
            proxy.partition(False)
        case ["reset"]:
            proxy.reset_all()
        case ["rtt" | "rate" as what, value]:
            try:
                number = float(value)
                now = proxy.link
                proxy.change(replace(now, rtt_s=number / 1000) if what == "rtt" else replace(now, rate=number * MBIT))
            except ValueError as error:
                raise NoOrder(f"{line}: {error}") from None
        case _:
            raise NoOrder(f"partition, heal, reset, rtt MS, rate MBIT or status expected, got {line[:80]!r}")
    return {
        "connections": proxy.connections,
        "partitioned": proxy.partitioned,
        "rate_mbit": proxy.link.rate / MBIT,
        "resets": proxy.resets,
        "rtt_ms": proxy.link.rtt_s * 1000,
    }


async def open_control(proxy: Proxy, path: Path) -> asyncio.Server:
    """Take orders on a socket file, which replaces one of an earlier process.

    :raises OSError: it cannot be made, or another file is there, which stays.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError):  # who asked has gone, or sends what is no line
            while line := await reader.readline():
                try:
                    said = dict(obey(proxy, line.decode("utf-8", "replace").strip()))
                except NoOrder as error:
                    said = {"error": str(error)}
                writer.write(json.dumps(said).encode() + b"\n")
                await writer.drain()
        writer.close()

    before = os.umask(0o177)
    try:
        _clear(path)
        return await asyncio.start_unix_server(talk, path, limit=LINE_MAX)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(f"--control {path}: {os.strerror(error.errno)}: name a file in a folder of yours") from None
    finally:
        os.umask(before)


def _clear(path: Path) -> None:
    """Remove the socket file of a process that has ended.

    :raises OSError: it is no socket, or cannot be removed.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(f"--control {path}: a socket or nothing expected there, found another file: name another")
        path.unlink()
