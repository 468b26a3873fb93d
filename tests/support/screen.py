"""A browser's tab as one person has it before them: every step waits, the keyboard is pressed, complaints are kept.

`browser` starts the browser, and skips where there is none.
"""

import asyncio
import base64
import json
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp

from tests.support.browser import chromium

# Of Runtime.evaluate: promises are awaited, values come whole, and the page's policy holds here too.
AS_THE_PAGE: Final = {"awaitPromise": True, "returnByValue": True, "allowUnsafeEvalBlockedByCSP": False}
PATIENCE_S: Final = 60.0  # for what takes a second on an idle machine

T = TypeVar("T")


class Screen:
    """One tab of a browser, step by step."""

    def __init__(self, url: str) -> None:
        """:param url: of the browser's own, as DevToolsActivePort has it."""
        self._runner = asyncio.Runner()
        self._number = 0
        self.problems: list[str] = []  # what the page complained of: errors of scripts, and of the content's policy
        self._do(self._connect(url))

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(asyncio.wait_for(work, PATIENCE_S))

    async def _connect(self, url: str) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.put(f"{url}/json/new") as answer:
            target = await answer.json(content_type=None)
        self._socket = await self._session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=1 << 26)
        for domain in ("Page", "Runtime", "Log"):
            await self._ask(f"{domain}.enable")

    async def _ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        await self._socket.send_str(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            said = json.loads(await self._socket.receive_str())
            if said.get("id") == self._number:
                if "error" in said:
                    raise AssertionError(f"{method}: {said['error']}")
                return said["result"]
            self._note(said)

    def _note(self, said: dict[str, Any]) -> None:
        about = said.get("params", {})
        if said.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(about["exceptionDetails"].get("exception", about["exceptionDetails"])))
        elif said.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.problems.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")

    def ask(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol."""
        return self._do(self._ask(method, **parameters))

    def open(self, url: str) -> None:
        """Go there, as who types the address."""
        self.ask("Page.navigate", url=url, transitionType="typed")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; of a promise, what it comes to."""
        done = self.ask("Runtime.evaluate", expression=script, **AS_THE_PAGE)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, script: str, what: str = "") -> None:
        """Wait for an expression to be true."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.run(f"(() => {{ try {{ return Boolean({script}) }} catch {{ return false }} }})()"):
            assert time.monotonic() < deadline, f"{what or script}: not in {PATIENCE_S} s; {self.problems}"
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        """What an element says; empty where there is none."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def click(self, selector: str) -> None:
        """As who clicks on it."""
        self.until(f"!document.querySelector({json.dumps(selector)}).disabled", f"{selector} can be clicked")
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def key(self, key: str) -> None:
        """As who presses a key."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = {"Enter": 13, "Escape": 27, "Tab": 9}.get(key, ord(key.upper()[0]))
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    def look(self, *, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """Of which size the window is, and what the system prefers."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self) -> bytes:
        """The window, as PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """Leave it."""

        async def leave() -> None:
            await self._socket.close()
            await self._session.close()

        self._do(leave())
        self._runner.close()


@contextmanager
def screen(folder: Path) -> Iterator[Screen]:
    """A tab of a browser with a profile of its own in `folder`, until the block is left."""
    with chromium(folder) as port:
        tab = Screen(f"http://127.0.0.1:{port}")
        try:
            yield tab
        finally:
            tab.close()
