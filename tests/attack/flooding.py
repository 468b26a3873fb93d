"""What tests of floods have in common: guests of several tenants, and a worker that keeps what it is told."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, TypeVar

from edge.vmm.wire.messages import ToWorker
from tests.support.wire import to_worker
from vmimage.trust import ServiceRecord

T = TypeVar("T")


class Worker:
    """What a worker is sent."""

    def __init__(self) -> None:
        self.sent: list[ToWorker] = []
        self.disks: set[int] = set()

    def send(self, data: bytes) -> None:
        self.sent += to_worker(data)

    async def has(self, count: int, kind: type) -> None:
        """Until it was sent so many."""
        enough = asyncio.Event()
        send = self.send

        def watched(data: bytes) -> None:
            send(data)
            if sum(isinstance(message, kind) for message in self.sent) >= count:
                enough.set()

        self.send = watched  # type: ignore[method-assign]
        await enough.wait()

    def take(self, kind: type[T]) -> list[T]:
        found: list[T] = [message for message in self.sent if isinstance(message, kind)]
        self.sent.clear()
        return found


class Guest(SimpleNamespace):
    """A machine; one is another, whatever they have."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


def machine(number: int, tenant: str, worker: Worker) -> Any:
    name = f"{tenant}-{number}"
    release = ServiceRecord(name, (), "sha256:" + "00" * 32, 1, 1)
    service = SimpleNamespace(name=name, tenant=tenant, withdrawn=False, is_candidate=False, release=release)
    image = SimpleNamespace(manifest=SimpleNamespace(upstreams=("http://192.0.2.1",), sources=None))
    owner = {"tenant": tenant, "version": release.manifest_digest}
    return Guest(number=number, service=service, image=image, worker=worker, streams={}, log_lines=0, **owner)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())
