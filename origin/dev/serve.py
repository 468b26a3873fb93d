"""The development server put together: an edge whose origin is the newest build, and the loop that builds.

Supervisor, worker, limits and front are those of `nunatak edge`. While a build is under way the machine of the one
before answers; a build that fails is what every request is told, until the source is fixed.
"""

import asyncio
import logging
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from edge.catalogue.directory import Directory
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.config.options import EdgeConfig
from edge.content.seal import new_seal
from edge.devices.upstreams import Upstreams
from edge.front.listeners import Place
from edge.node import running_node
from origin.dev import terminal
from origin.dev.front import DevFront
from origin.dev.local import LocalOrigin
from origin.dev.page import build_problem
from origin.dev.watch import Stamp, changed, stamp
from origin.model.diskfile import DiskFile
from vmimage.archive import ImageBundle
from vmimage.errors import NunatakError, OperatorError

LOOPBACK: Final = "127.0.0.1"
OWN_ADDRESSES: Final = (LOOPBACK, "localhost")
PORT_MAX: Final = 65535
DRAIN_S: Final = 1.0  # who stops the server is at a keyboard

Builder = Callable[[terminal.Progress], list[ImageBundle]]
T = TypeVar("T")


class Made:
    """What the program was made of, as the last build that came so far has said."""

    def __init__(self, source: Path, assets: Path | None = None) -> None:
        """:param assets: a folder of files that are served beside it."""
        self.assets = assets
        self.folder = source if source.is_dir() else source.parent
        self.root = self.folder  # that names of its files begin in
        self.inputs: Sequence[Path] = ()  # beside the source

    def of(self, root: Path, inputs: Sequence[Path]) -> None:
        """A build says it."""
        self.root, self.inputs = root, inputs


async def serve(
    source: Path,
    build: Builder,
    made: Made,
    *,
    name: str,
    listen: str,
    upstreams: str,
    disks: Sequence[DiskFile],
) -> None:
    """Build, serve, watch, build again, until SIGINT, SIGTERM, or the terminal is gone (SIGHUP).

    :param source: what is watched, a file or a folder.
    :param build: makes images of it, the service's last; called in a thread, one call at a time.
    :param made: is told by `build` what the program was made of.
    :param name: of the service.
    :param listen: address and port, see `own_address`.
    :param upstreams: as `EdgeConfig.upstreams`.
    :param disks: that the images name; what a guest writes to one lasts as long as this server.
    :raises OperatorError: the machine or the options do not allow it.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="nunatak-dev-") as folder:
        config = EdgeConfig(
            origin=f"http://{LOOPBACK}",  # never asked
            trust=Path(folder),
            cache=Path(folder),
            listen=own_address(listen),
            negative=0.0,  # what was refused is another build in a moment
            workers=1,
            upstreams=upstreams,
            response_disk=0,  # the folder ends with this server
        )
        counters, local = Counters(), LocalOrigin(name, disks)
        directory = Directory(local, counters, config.negative)
        with ThreadPoolExecutor(2, "images") as threads:
            async with running_node(config, counters, directory, local, new_seal(), threads) as supervisor:
                front = DevFront(supervisor, config, counters, terminal.say)
                await _answer(front, supervisor.upstreams, supervisor.tasks, config, source, build, made, local, stop)


async def _answer(
    front: DevFront,
    upstreams: Upstreams,
    tasks: Tasks,
    config: EdgeConfig,
    source: Path,
    build: Builder,
    made: Made,
    local: LocalOrigin,
    stop: asyncio.Event,
) -> None:
    await front.listeners.open(list(map(Place, config.listeners)))
    upstreams.forbid(front.listeners.addresses)
    terminal.note(f"nunatak dev ready on http://{LOOPBACK}:{front.listeners.port} (Ctrl-C ends it), watching {source}")
    building = tasks.spawn("build", _rebuild(front, source, build, made, local), awaited=True)
    stopping = tasks.spawn("stop", stop.wait())
    await asyncio.wait([building, stopping], return_when=asyncio.FIRST_COMPLETED)
    front.changed.set()  # nobody waits for a build any more
    building.cancel()
    with suppress(asyncio.CancelledError):
        await building
    await front.drain(DRAIN_S)


async def _rebuild(front: DevFront, source: Path, build: Builder, made: Made, local: LocalOrigin) -> None:
    """Build, and again whenever the source has changed; never returns."""
    directory, steps = front.directory, terminal.Steps()

    def look() -> Stamp:
        served = {} if made.assets is None else stamp(made.assets)
        return {**served, **stamp(source, made.inputs)}

    while True:
        seen, before, began = look(), made.inputs, time.monotonic()
        steps.begin()
        try:
            images = await _in_thread(lambda: build(steps.say))
        except NunatakError as error:
            front.broken = build_problem(error)
            terminal.problem(front.broken)
        else:
            release = local.publish(images)
            await directory.refresh()
            front.broken = None
            terminal.note(f"version {release.version} built in {(time.monotonic() - began) * 1000:.0f} ms")
        front.folders = (made.root, made.folder)
        front.builds += 1
        front.built.set()
        front.changed.set()
        front.changed = asyncio.Event()
        if (
            made.inputs != before
        ):  # which nobody has looked at yet: what was saved meanwhile is built with the next save
            seen = {**look(), **seen}
        await changed(look, seen)


def own_address(listen: str) -> str:
    """An address of this machine's own, for `EdgeConfig.listen`.

    :raises OperatorError: another one: what is under development is for nobody else.
    """
    host, _, port = listen.rpartition(":")
    if host not in OWN_ADDRESSES or not port.isascii() or not port.isdigit() or int(port) > PORT_MAX:
        raise OperatorError(f"--listen: {' or '.join(OWN_ADDRESSES)}, and a port, expected, got {listen!r}")
    return f"{LOOPBACK}:{port}" if host == "localhost" else listen


def _in_thread(call: Callable[[], T]) -> "asyncio.Future[T]":
    """Like `asyncio.to_thread`, in a thread that nobody waits for at the end: a compiler may take minutes."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as caught:
            error = caught
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="build", daemon=True).start()
    return future


def quiet_logs() -> None:
    """The edge's log without what the terminal says better; the guest's own lines go there as they are."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("nunatak.edge.reports").setLevel(logging.CRITICAL)
    guest = logging.getLogger("nunatak.edge.guest")
    guest.setLevel(logging.INFO)
    guest.addHandler(terminal.GuestLines())
    guest.propagate = False
