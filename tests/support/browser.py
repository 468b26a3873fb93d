"""Chromium without a window, told what to do by the Chrome DevTools Protocol.

The protocol's reference is https://chromedevtools.github.io/devtools-protocol/. Where no Chromium is installed, `play`
skips the test and says so.
"""

import asyncio
import base64
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import pytest

from tests.support.edges import PATIENCE_S

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
START_S: Final = 60.0  # a browser on a busy machine


class Tab:
    """One page of a browser."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url, self._number = session, url, 0
        self._socket: aiohttp.ClientWebSocketResponse

    async def __aenter__(self) -> Self:
        self._socket = await self._session.ws_connect(self._url, max_msg_size=0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._socket.close()

    async def say(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command of the protocol; its result.

        :raises AssertionError: the browser refused it.
        """
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, awaited if it is a promise.

        :raises AssertionError: it threw.
        """
        result = await self.say("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Its value, as soon as that is true.

        :raises AssertionError: it did not become true in time.
        """
        end = time.monotonic() + PATIENCE_S
        while not (value := await self.evaluate(expression)):
            assert time.monotonic() < end, (expression, await self.evaluate("document.body?.innerText"))
            await asyncio.sleep(0.05)
        return value

    async def picture(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode((await self.say("Page.captureScreenshot"))["data"])


class Browser:
    """A running Chromium."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    @asynccontextmanager
    async def tab(self, url: str, *, width: int = 1000, height: int = 700) -> AsyncIterator[Tab]:
        """A new page, which begins to load; sizes are in CSS pixels."""
        async with self._session.put(f"{self._url}/json/new?about:blank") as answer:
            about = await answer.json(content_type=None)
        async with Tab(self._session, about["webSocketDebuggerUrl"]) as tab:
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            await tab.say("Emulation.setDeviceMetricsOverride", **size)
            await tab.say("Page.navigate", url=url)
            yield tab


def _chromium() -> str:
    for name in NAMES:
        if found := shutil.which(name):
            return found
    pytest.skip(f"BROWSERS ARE NOT TESTED HERE: no {' or '.join(NAMES)}")


@contextmanager
def chromium(folder: Path) -> Iterator[int]:
    """A browser with a profile of its own in `folder`, to which every host name is this machine; its protocol's port.

    :raises AssertionError: it did not come up.
    """
    command = [_chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"]
    command += ["--remote-debugging-port=0", f"--user-data-dir={folder}", "--host-resolver-rules=MAP * 127.0.0.1"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([*command, "about:blank"], stdout=log, stderr=log) as process,
    ):
        try:
            yield _port(folder, process)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()


def play(folder: Path, scene: Callable[[Browser], Awaitable[None]]) -> None:
    """A scene with a browser."""

    async def run(port: int) -> None:
        async with aiohttp.ClientSession() as session, asyncio.timeout(6 * PATIENCE_S):
            await scene(Browser(session, f"http://127.0.0.1:{port}"))

    with chromium(folder) as port:
        asyncio.run(run(port))


def _port(folder: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        with suppress(FileNotFoundError, IndexError):
            return int((folder / "DevToolsActivePort").read_text().splitlines()[0])
        time.sleep(0.1)
    raise AssertionError((folder / "log").read_text(errors="replace")[-2000:])
