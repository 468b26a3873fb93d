"""A collector of traces: takes what an edge sends by OTLP over HTTP, and reads it as OpenTelemetry defines it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PATH = "/v1/traces"


class Collector:
    """What came, in the order in which it was sent."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200  # that it answers
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.taken: asyncio.Event | None = None  # once set, calls are answered; at once without

    async def take(self, request: web.Request) -> web.Response:
        """One call."""
        if self.taken is not None:
            await self.taken.wait()
        if self.status != 200:
            return web.Response(status=self.status)
        call = ExportTraceServiceRequest.FromString(await request.read())
        for resource in call.resource_spans:
            self.resources.append(values(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    def of(self, trace_id: str) -> list[Any]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace_id.hex() == trace_id]


def values(attributes: Any) -> dict[str, Any]:
    """Attributes by name."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """One in this event loop."""
    collector = Collector()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post(PATH, collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"
        yield collector
    finally:
        await runner.cleanup()


@contextmanager
def collecting_beside() -> Iterator[Collector]:
    """One in a thread of its own."""
    found: list[tuple[Collector, Callable[[], object]]] = []
    ready = threading.Event()

    async def serve() -> None:
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        async with collecting() as collector:
            found.append((collector, lambda: loop.call_soon_threadsafe(over.set)))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(20)
    [(collector, end)] = found
    try:
        yield collector
    finally:
        end()
        thread.join()
