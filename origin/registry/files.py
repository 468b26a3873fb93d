"""The files of the catalogue and of the log of snapshots, as edges, parents and auditors read them over HTTP.

All are immutable but two, which whoever polls them revalidates: the timestamp and the log's checkpoint.
"""

import asyncio

from aiohttp import web

from origin.model.exchange import TIMESTAMP_FILE
from origin.registry.answers import ask, contents, fresh
from origin.registry.refusal import OciError
from origin.registry.store import Store
from origin.registry.transparency import SnapshotLog
from origin.storage.blobs import FOR_EVER
from vmimage.checkpoint import CHECKPOINT_FILE


class CatalogueFiles:
    """The routes under /tuf/ and /log/ that need no token."""

    def __init__(self, store: Store, log: SnapshotLog) -> None:
        self._store, self._log = store, log

    def routes(self) -> list[web.RouteDef]:
        """For an application."""
        return [web.get("/tuf/{name}", self._metadata), web.get("/log/{name:.+}", self._of_log)]

    async def _metadata(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        missing = OciError(404, "NAME_UNKNOWN", f"no metadata {name[:200]}")
        try:
            path = self._store.metadata_path(name)
        except ValueError:
            raise missing from None
        if name == TIMESTAMP_FILE:
            headers = {"Cache-Control": "no-cache", "Content-Type": "application/json"}
            if (answer := await fresh(request, path, headers)) is None:
                raise missing
            return answer
        if (size := await ask(self._store, path.size)) is None:
            raise missing
        headers = {"Cache-Control": FOR_EVER, "Content-Type": "application/json"}
        return contents(request, path, size, headers)

    async def _of_log(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if (data := await asyncio.to_thread(self._log.read, name)) is None:
            raise OciError(404, "NAME_UNKNOWN", f"no file {name[:200]} of the log")
        if name == CHECKPOINT_FILE:
            return web.Response(body=data, content_type="text/plain", headers={"Cache-Control": "no-cache"})
        return web.Response(body=data, headers={"Cache-Control": FOR_EVER})
